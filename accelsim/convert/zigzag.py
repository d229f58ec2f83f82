"""ZigZag: a workload file, one entry for each layer.

ZigZag has convolutions, poolings and sums of two maps, and each operand comes from one layer: what reads a concatenation is said to read
the last map in it. A fully connected layer is a convolution with a window as large as its map.
Source:  ZigZag documentation, "Workload"; its schema of a layer (zigzag/parser/workload_validator.py)
"""

from __future__ import annotations

from typing import Any

from accelsim import configfile
from accelsim.convert.base import Converted, left_out, plain_name
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Data

CONVOLUTION = "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]"
GROUPED = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
POOLING = "O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]"
SUM = "O[b][g][oy][ox]=W[b][g][oy][ox]+I[b][g][oy][ox]"
WRITTEN = ("conv", "fc", "maxpool", "avgpool", "add")


def workload(graph: Graph, data: Data | None = None) -> Converted:
    """Write a graph as a workload. Units: `data`: bits of an element of each operand; by default those of a machine that states none."""
    bits = data or Data()
    layers: list[dict[str, Any]] = []
    source: dict[int, int | None] = {}
    joined = 0
    for node in graph.nodes:
        given = [source[index] for index in node.inputs]
        if node.kind not in WRITTEN or (node.kind == "add" and len(node.inputs) != 2):
            source[node.index] = next((number for number in reversed(given) if number is not None), None)
            joined += len(set(given)) > 1
            continue
        number = source[node.index] = len(layers)
        shapes = graph.input_shapes(node.index)
        layers.append({"id": number, "name": plain_name(node), **_layer(node, shapes[0], bits)})
        operands = [number if found is None else found for found in given]
        layers[-1]["operand_source"] = {"I": operands[0], "W": operands[1] if len(operands) > 1 else number}
    notes = list(left_out(graph, WRITTEN, "ZigZag"))
    if joined:
        notes.append(f"of maps that are joined or multiplied ({joined}), readers name the last one as their source: ZigZag knows one each")
    return Converted(((f"{graph.name}.yaml", configfile.dump(layers)),), tuple(notes))


def _layer(node: Node, ifmap: Shape, bits: Data) -> dict[str, Any]:
    filters, rows, cols = node.shape
    precision = {"W": bits.filter_bits, "I": bits.ifmap_bits, "O": bits.psum_bits, "O_final": bits.ifmap_bits}
    if node.kind == "add":
        sizes = {"B": 1, "G": filters, "OY": rows, "OX": cols}
        precision["W"] = bits.ifmap_bits
        return {
            "operator_type": "Add",
            "equation": SUM,
            "loop_dims": list(sizes),
            "loop_sizes": list(sizes.values()),
            "operand_precision": precision,
        }
    kernel = ifmap[1:] if node.kind == "fc" else node.kernel
    if node.kind in ("maxpool", "avgpool"):
        kind, equation = "Pooling", POOLING
        sizes = {"B": 1, "G": filters, "OY": rows, "OX": cols, "FX": kernel[1], "FY": kernel[0]}
        precision["W"] = 0
    else:
        kind, equation = "Conv", GROUPED if node.groups > 1 else CONVOLUTION
        groups = {"G": node.groups} if node.groups > 1 else {}
        inner = {"K": filters // node.groups, "C": ifmap[0] // node.groups, "OY": rows, "OX": cols, "FY": kernel[0], "FX": kernel[1]}
        sizes = {"B": 1, **groups, **inner}
    (down, across), (apart_down, apart_across) = node.stride, node.dilation
    return {
        "operator_type": kind,
        "equation": equation,
        "dimension_relations": [f"ix={across}*ox+{apart_across}*fx", f"iy={down}*oy+{apart_down}*fy"],
        "loop_dims": list(sizes),
        "loop_sizes": list(sizes.values()),
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [ifmap[2], ifmap[1]],
        "padding": [[node.pad[1], node.pad[3]], [node.pad[0], node.pad[2]]],
        "operand_precision": precision,
    }
