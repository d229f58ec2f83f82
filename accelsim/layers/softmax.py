"""The `softmax` kind: probabilities over the whole map, over each of `groups` equal runs of it, or over elements further apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Softmax(Weightless):
    """Attribute `temperature` divides the inputs, 1 by default; `logarithm` asks for the logarithms of the probabilities.

    Attribute `inner`: elements between those that belong together, in C, H, W order; 1 by default, H * W to go over channels.
    """

    kind = "softmax"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input. Raises `ModelError` where groups do not divide it."""
        shape = only(node, inputs)
        if node.groups < 1 or prod(shape) % node.groups:
            raise ModelError(f"{node.name}: {node.groups} groups do not divide {prod(shape)} elements")
        if self._inner(node) < 1 or prod(shape) // node.groups % self._inner(node):
            raise ModelError(f"{node.name}: {node.groups} groups of {prod(shape)} elements are not {self._inner(node)} apart")
        return shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Subtract each group's maximum first, so that no exponential overflows."""
        (ifmap,) = inputs
        runs = ifmap.reshape(node.groups, -1, self._inner(node)) / np.float32(node.attributes.get("temperature", 1.0))
        below = runs - runs.max(axis=1, keepdims=True)
        powers = np.exp(below)
        whole = powers.sum(axis=1, keepdims=True)
        scores = below - np.log(whole) if node.attributes.get("logarithm") else powers / whole
        return np.asarray(scores.reshape(ifmap.shape), dtype=np.float32)

    @staticmethod
    def _inner(node: Node) -> int:
        return int(node.attributes.get("inner", 1))


LAYER: Layer = Softmax()
