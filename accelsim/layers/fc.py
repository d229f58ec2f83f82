"""The `fc` kind: a fully connected layer over the flattened ifmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from accelsim.graph import Node, Shape
from accelsim.layers.activations import activate, slope_shapes
from accelsim.layers.base import Layer, Tensor, only


class FullyConnected:
    """K is the channel count of `node.shape`; the ifmap is read in C, H, W order."""

    kind = "fc"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [K, 1, 1]."""
        only(node, inputs)
        return (node.shape[0], 1, 1)

    def macs(self, node: Node, inputs: Sequence[Shape]) -> int:
        """K * C * H * W."""
        return node.shape[0] * prod(only(node, inputs))

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes: weight [K, C*H*W], bias [K]; slopes of a `prelu`."""
        return {"weight": (node.shape[0], prod(only(node, inputs))), "bias": (node.shape[0],), **slope_shapes(node)}

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Multiply the matrix with the flat ifmap."""
        (ifmap,) = inputs
        return activate(node, (weights["weight"] @ ifmap.reshape(-1) + weights["bias"]).reshape(-1, 1, 1), weights)


LAYER: Layer = FullyConnected()
