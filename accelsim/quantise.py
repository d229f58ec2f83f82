"""Post-training quantisation: maps and weights on a grid of whole numbers times a step, as an integer accelerator holds them.

Inference stays in float32 with values on the grid ((integer - zero point) * step), as ONNX's QuantizeLinear and DequantizeLinear: sums are
those of float32, not of int32, and biases are not rounded. An element is zero where its integer equals the zero point, so what a trace
records as zero is what an integer machine would find.
* Weights: symmetric, from the largest magnitude of the tensor or of each filter; the last integer below stays unused (-128 of int8).
* Maps: one grid for each map, from the least and largest value over the calibration images, 0 included. `symmetric`: zero point 0, so a
  map without negative values uses half of the integers; `zero_point`: all of them, so it has the least integer for its zero point.
Maps that are put together (`concat`), and those that only hand elements on (`HANDING_KINDS`), share one grid, that of all their values:
what is copied must not be rounded again. Scores (`softmax`) and kinds that no type rounds stay in float32.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from accelsim import inference
from accelsim.graph import Graph, Node
from accelsim.inference import Input
from accelsim.layers.activations import INTEGERS
from accelsim.layers.base import Tensor
from accelsim.networks.network import Network, Weights
from accelsim.runfile import Quantisation

ROUNDED_KINDS = frozenset({"input", "crop", "conv", "fc", "scale", "avgpool", "add", "sub", "mul", "activation"})
"""Kinds that make values, which are rounded."""
HANDING_KINDS = frozenset({"maxpool", "concat", "slice", "pad", "reshape", "permute", "upsample", "dropout", "yolo"})
"""Kinds whose outputs hold values of their inputs, or zeros."""
GRIDDED_KINDS = ROUNDED_KINDS | HANDING_KINDS
WEIGHTED_KINDS = frozenset({"conv", "fc", "scale"})

Range = tuple[float, float]
"""Least and largest value, 0 included."""
Progress = Callable[[str, int, int], None]


def quantise(network: Network, asked: Quantisation, images: Iterable[Input], progress: Progress = inference.silent) -> Network:
    """The network with weights and maps on their grids; its provenance (`quantised`) says how.

    The nodes say theirs: `dtype`, `zero_point`, and where they round, attribute `quantum`, the step.
    Raises:  `ModelError` where the network has no weights, or as `inference.run`
    """
    rounded = replace(network, weights=_rounded_weights(network, asked))
    ranges = calibrate(rounded, images, progress)
    nodes = tuple(_rounded(node, ranges[node.index], asked) if node.index in ranges else node for node in network.graph.nodes)
    grids = json.dumps([(node.zero_point, node.attributes.get("quantum")) for node in nodes])
    text = (
        f"maps int{asked.map_bits} {asked.maps.replace('_', ' ')}, weights int{asked.weight_bits} {asked.weights.replace('_', ' ')}, "
        f"{len(asked.images)} calibration images, grids {hashlib.sha256(grids.encode()).hexdigest()[:16]}"
    )
    return replace(rounded, graph=Graph(network.graph.name, nodes), provenance={**network.provenance, "quantised": text})


def calibrate(network: Network, images: Iterable[Input], progress: Progress = inference.silent) -> Mapping[int, Range]:
    """Range of each map that lies on a grid, by node, over all images; maps that share a grid share a range."""
    graph = network.graph
    prepared = inference.prepare(network)
    group = groups(graph)
    found: dict[int, Range] = {}
    for done, source in enumerate(images):
        progress(f"calibrate {graph.name} on {source.name}", done, 0)
        for step in inference.run(prepared, source.tensor):
            if step.node.kind in ROUNDED_KINDS:
                low, high = found.get(group[step.node.index], (0.0, 0.0))
                found[group[step.node.index]] = (min(low, float(step.output.min())), max(high, float(step.output.max())))
    return {node.index: found[group[node.index]] for node in graph.nodes if node.kind in GRIDDED_KINDS and group[node.index] in found}


def groups(graph: Graph) -> tuple[int, ...]:
    """For each node the first one whose map has the same grid."""
    first = list(range(len(graph.nodes)))
    for node in graph.nodes:
        if node.kind in HANDING_KINDS:
            same = {first[index] for index in (node.index, *node.inputs)}
            first = [min(same) if other in same else other for other in first]
    return tuple(first)


def grid(values: Range, bits: int, zero_point: bool) -> tuple[float, int]:
    """Step and zero point of signed integers for a range. Source: Jacob et al., CVPR 2018, section 2.1 and 3."""
    least, most = INTEGERS[f"int{bits}"]
    low, high = values
    if not zero_point:
        return _step(max(-low, high) / most), 0
    step = _step((high - low) / (most - least))
    return step, int(np.clip(np.rint(least - low / step), least, most))


def _step(exact: float) -> float:
    """A step as float32, in which inference works; 1 where there is nothing but zeros."""
    step = float(np.float32(exact))
    return step if step > 0 else 1.0


def _rounded(node: Node, values: Range, asked: Quantisation) -> Node:
    step, zero_point = grid(values, asked.map_bits, asked.maps == "zero_point")
    attributes = {**node.attributes, "quantum": step} if node.kind in ROUNDED_KINDS else node.attributes
    return replace(node, dtype=f"int{asked.map_bits}", zero_point=zero_point, attributes=attributes)


def _rounded_weights(network: Network, asked: Quantisation) -> Weights:
    changed = dict(network.require_weights())
    for node in network.graph.nodes:
        if node.kind in WEIGHTED_KINDS:
            weight = changed[node.index]["weight"]
            changed[node.index] = {
                **changed[node.index],
                "weight": round_weights(weight, asked.weight_bits, asked.weights == "per_channel"),
            }
    return changed


def round_weights(weight: Tensor, bits: int, per_channel: bool) -> Tensor:
    """Weights on a symmetric grid, one for the tensor or one for each filter. Shapes: float32 [K, ...], both ways."""
    most = INTEGERS[f"int{bits}"][1]
    rows = weight.reshape(len(weight) if per_channel else 1, -1)
    steps = (np.abs(rows).max(axis=1, keepdims=True) / np.float32(most)).astype(np.float32)
    steps[steps == 0] = 1
    codes = np.clip(np.rint(rows / steps), -most, most)
    return np.ascontiguousarray((codes * steps).reshape(weight.shape), dtype=np.float32)
