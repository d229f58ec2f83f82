"""A network that is ready to run: its graph, its weights, and where both came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Graph
from accelsim.layers import layer
from accelsim.layers.base import Tensor

COUNTED = frozenset({"conv", "maxpool", "avgpool", "fc", "add"})
"""Kinds whose outputs make up the paper's Table 4 totals."""

Weights = Mapping[int, Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Network:
    """A graph with prepared weights.

    Shapes:  `weights[node index][role]` as `Layer.weight_shapes` says, float32, C-contiguous, batch normalisation folded in;
             nodes without weights are absent. None: the weights are not there; shapes and counts are known all the same.
    `provenance`: texts: network_file, network_sha256, weights_file, weights_sha256, ...; file names without folders.
    Raises:  `ModelError` where the graph contradicts itself or a weight is missing, of another shape, or not finite
    """

    graph: Graph
    weights: Weights | None
    provenance: Mapping[str, str]

    def __post_init__(self) -> None:
        check_graph(self.graph)
        if self.weights is not None:
            _check_weights(self.graph, self.weights)

    def require_weights(self) -> Weights:
        """Weights of all nodes that have some. Raises `ModelError` where they are absent."""
        if self.weights is None:
            source = self.provenance.get("network_file", self.graph.name)
            raise ModelError(
                f"{self.graph.name}: no weights, so it cannot be run (shapes are known)\n    give a weights file beside {source}"
            )
        return self.weights


def check_graph(graph: Graph) -> None:
    """Check that nodes are numbered in running order and that every shape is what its layer makes. Raises `ModelError`."""
    if not graph.nodes or graph.nodes[0].kind != "input":
        raise ModelError(f"{graph.name}: node 0 must be the input")
    for index, node in enumerate(graph.nodes):
        if node.index != index or any(not 0 <= producer < index for producer in node.inputs):
            raise ModelError(
                f"{graph.name}: {node.name}: index {node.index} at place {index}, inputs {node.inputs}; inputs must come before"
            )
        shape = layer(node.kind).output_shape(node, graph.input_shapes(index))
        if shape != node.shape or min(shape) < 1:
            raise ModelError(f"{graph.name}: {node.name}: shape {list(node.shape)}, but its layer makes {list(shape)}")


def total_elements(graph: Graph) -> int:
    """Feature-map elements of one image as the paper's Table 4 counts them.

    Outputs of convolution, pooling, fully connected and shortcut layers; not of route, crop, dropout, softmax or cost.
    """
    return sum(node.elements for node in graph.nodes if node.kind in COUNTED)


def total_macs(graph: Graph) -> int:
    """Multiply-accumulates of one image, padding included."""
    return sum(layer(node.kind).macs(node, graph.input_shapes(node.index)) for node in graph.nodes)


def total_weights(graph: Graph) -> int:
    """Prepared weights, biases included (batch normalisation is folded into both)."""
    shapes = (layer(node.kind).weight_shapes(node, graph.input_shapes(node.index)) for node in graph.nodes)
    return sum(prod(shape) for roles in shapes for shape in roles.values())


def output_index(graph: Graph) -> int:
    """Index of the last node that is not a training cost: where the probabilities of a classifier are."""
    return max(node.index for node in graph.nodes if node.kind != "cost")


def file_sha256(path: str | Path) -> str:
    """Hash of a file's bytes. Raises `ModelError` where it cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault


def _check_weights(graph: Graph, weights: Weights) -> None:
    for node in graph.nodes:
        wanted = layer(node.kind).weight_shapes(node, graph.input_shapes(node.index))
        given = weights.get(node.index, {})
        if set(wanted) != set(given):
            raise ModelError(f"{graph.name}: {node.name}: weights {sorted(given)}, wanted {sorted(wanted)}")
        for role, shape in wanted.items():
            tensor = given[role]
            if tensor.shape != tuple(shape) or tensor.dtype != np.float32 or not tensor.flags.c_contiguous:
                raise ModelError(
                    f"{graph.name}: {node.name}: {role} is {tensor.dtype} {list(tensor.shape)}, wanted contiguous float32 {list(shape)}"
                )
            broken = int(tensor.size - np.isfinite(tensor).sum())
            if broken:
                raise ModelError(f"{graph.name}: {node.name}: {broken:,} of {tensor.size:,} values of its {role} are not finite")
