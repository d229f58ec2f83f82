"""The `scale` kind: each channel times a number plus a number, such as a batch normalisation that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from accelsim.graph import Node, Shape
from accelsim.layers.activations import activate, slope_shapes
from accelsim.layers.base import Layer, Tensor, only


class Scale:
    """A depthwise convolution with a kernel of 1 x 1; loaders fold it into its producer where they can."""

    kind = "scale"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input."""
        return only(node, inputs)

    def macs(self, node: Node, inputs: Sequence[Shape]) -> int:
        """C * H * W."""
        return prod(only(node, inputs))

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes: weight [C], bias [C]; slopes of a `prelu`."""
        channels = only(node, inputs)[0]
        return {"weight": (channels,), "bias": (channels,), **slope_shapes(node)}

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Multiply, add, activate."""
        return activate(node, inputs[0] * weights["weight"][:, None, None] + weights["bias"][:, None, None], weights)


LAYER: Layer = Scale()
