"""Timeloop: one problem file for each convolution or fully connected layer.

Timeloop's letters: C channels and M filters of a group, R and S width and height of the filter, P and Q of the output, N images, G groups;
W goes with R and P, H with S and Q.
Source:  Parashar et al., Timeloop: a systematic approach to DNN accelerator evaluation, ISPASS 2019, section V-A; problem format 0.4
"""

from __future__ import annotations

from typing import Any

from accelsim import configfile
from accelsim.convert.base import Converted, left_out, plain_name
from accelsim.graph import Graph, Node, Shape

WRITTEN = ("conv", "fc")


def problems(graph: Graph) -> Converted:
    """Write the layers of a graph, one file each, numbered in the order in which they run."""
    layers = [node for node in graph.nodes if node.kind in WRITTEN]
    files = []
    for number, node in enumerate(layers):
        problem = _problem(node, graph.nodes[node.inputs[0]].shape)
        files.append((f"{number:03d}_{plain_name(node)}.yaml", configfile.dump({"problem": problem})))
    notes = left_out(graph, WRITTEN, "a Timeloop convolution")
    return Converted(tuple(files), (*notes, "padding is not stated: Timeloop takes every input that a window touches as data"))


def _problem(node: Node, ifmap: Shape) -> dict[str, Any]:
    kernel = ifmap[1:] if node.kind == "fc" else node.kernel
    groups = [["G"]] if node.groups > 1 else []
    instance = {
        "C": ifmap[0] // node.groups,
        "M": node.shape[0] // node.groups,
        "R": kernel[1],
        "S": kernel[0],
        "N": 1,
        "P": node.shape[2],
        "Q": node.shape[1],
        **({"G": node.groups} if groups else {}),
        "Wstride": node.stride[1],
        "Hstride": node.stride[0],
        "Wdilation": node.dilation[1],
        "Hdilation": node.dilation[0],
    }
    windows = [[["R", "Wdilation"], ["P", "Wstride"]], [["S", "Hdilation"], ["Q", "Hstride"]]]
    spaces: list[dict[str, Any]] = [
        {"name": "Weights", "projection": [*([group] for group in groups), [["C"]], [["M"]], [["R"]], [["S"]]]},
        {"name": "Inputs", "projection": [[["N"]], *([group] for group in groups), [["C"]], *windows]},
        {"name": "Outputs", "projection": [[["N"]], *([group] for group in groups), [["M"]], [["Q"]], [["P"]]], "read_write": True},
    ]
    shape = {
        "name": "grouped_convolution" if groups else "convolution",
        "dimensions": [key for key in instance if len(key) == 1],
        "coefficients": [{"name": key, "default": 1} for key in instance if len(key) > 1],
        "data_spaces": spaces,
    }
    return {"version": 0.4, "shape": shape, "instance": instance}
