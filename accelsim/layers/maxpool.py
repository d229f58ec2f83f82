"""The `maxpool` kind: the largest element of each window; padding never wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import Activated, activate
from accelsim.layers.base import Layer, Tensor, only, patches, windows


class MaxPool(Activated):
    """`node.pad` says how far windows reach over each edge; loaders express Darknet's one-sided padding with it."""

    kind = "maxpool"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, Ho, Wo]. Raises `ModelError` where a window could lie wholly in the padding."""
        channels, height, width = only(node, inputs)
        result = (channels, *windows(node, height, width))
        extents = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(node.kernel, node.dilation, strict=True)]
        if any(pad >= extent for pad, extent in zip(node.pad, extents * 2, strict=True)):
            raise ModelError(
                f"{node.name}: pad {node.pad} of a {extents[0]} x {extents[1]} window; each pad must be smaller than the window"
            )
        return result

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Take the maximum over each patch; NaN wins."""
        return activate(node, patches(node, inputs[0], float("-inf")).max(axis=(3, 4)), weights)


LAYER: Layer = MaxPool()
