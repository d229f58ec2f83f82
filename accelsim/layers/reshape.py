"""The `reshape` kind: the same elements in the same order, seen as another number of channels, rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Reshape(Weightless):
    """The form is that of `node.shape`; nothing moves."""

    kind = "reshape"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states. Raises `ModelError` where it has another number of elements."""
        shape = only(node, inputs)
        if prod(shape) != node.elements:
            raise ModelError(f"{node.name}: {list(shape)} has {prod(shape):,} elements, {list(node.shape)} has {node.elements:,}")
        return node.shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Hand the data on in its new form."""
        return inputs[0].reshape(node.shape)


LAYER: Layer = Reshape()
