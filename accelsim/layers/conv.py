"""The `conv` kind: convolution with groups, dilation, uneven padding and a fused activation; depthwise where groups = channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import activate, slope_shapes
from accelsim.layers.base import Layer, Tensor, only, patches, windows


class Conv:
    """Batch normalisation is folded into the weights before they come here; K is the channel count of `node.shape`."""

    kind = "conv"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [K, Ho, Wo]. Raises `ModelError` where groups do not divide C and K, or the kernel does not fit."""
        channels, height, width = only(node, inputs)
        filters = node.shape[0]
        if filters < 1 or node.groups < 1 or channels % node.groups or filters % node.groups:
            raise ModelError(f"{node.name}: {node.groups} groups must divide {channels} input channels and {filters} filters")
        return (filters, *windows(node, height, width))

    def macs(self, node: Node, inputs: Sequence[Shape]) -> int:
        """K * Ho * Wo * C/g * R * S."""
        filters, rows, cols = self.output_shape(node, inputs)
        return filters * rows * cols * (inputs[0][0] // node.groups) * node.kernel[0] * node.kernel[1]

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes: weight [K, C/g, R, S], bias [K]; slopes of a `prelu`."""
        filters = self.output_shape(node, inputs)[0]
        return {"weight": (filters, only(node, inputs)[0] // node.groups, *node.kernel), "bias": (filters,), **slope_shapes(node)}

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Multiply the filters of each group with the columns of its patches."""
        (ifmap,) = inputs
        shape = self.output_shape(node, [ifmap.shape])
        columns = patches(node, ifmap, 0.0).transpose(0, 3, 4, 1, 2).reshape(node.groups, -1, shape[1] * shape[2])
        filters = weights["weight"].reshape(node.groups, shape[0] // node.groups, -1)
        return activate(node, (filters @ columns).reshape(shape) + weights["bias"].astype(np.float32)[:, None, None], weights)


LAYER: Layer = Conv()
