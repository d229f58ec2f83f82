"""The `avgpool` kind: the mean of each whole channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.graph import Node, Shape
from accelsim.layers.activations import activate
from accelsim.layers.base import Layer, Tensor, Weightless, only


class AvgPool(Weightless):
    """Global average pooling; loaders set `node.kernel` to the size of the ifmap."""

    kind = "avgpool"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, 1, 1]."""
        return (only(node, inputs)[0], 1, 1)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Average each channel, adding up in float32."""
        return activate(node, inputs[0].mean(axis=(1, 2), dtype=np.float32, keepdims=True))


LAYER: Layer = AvgPool()
