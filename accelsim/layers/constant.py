"""The `constant` kind: a map that comes with the network and is the same for every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Constant(Weightless):
    """Numbers that are neither one a channel nor filters; those that are belong to `scale`, `conv` or `fc`.

    Its one input (node 0) says nothing of it.
    """

    kind = "constant"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states."""
        only(node, inputs)
        return node.shape

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes: values [C, H, W]."""
        return {"values": node.shape}

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Hand the values on, whatever the image."""
        return weights["values"]


LAYER: Layer = Constant()
