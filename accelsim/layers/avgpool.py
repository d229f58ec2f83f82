"""The `avgpool` kind: the mean of each window, or (a window as large as the map) of each whole channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import Activated, activate
from accelsim.layers.base import Layer, Tensor, only, patches, windows


def counts(node: Node, height: int, width: int) -> Tensor:
    """How many elements each window is divided by. Shapes: float32 [Ho, Wo]."""
    counted = np.zeros((1, height + node.pad[0] + node.pad[2], width + node.pad[1] + node.pad[3]), dtype=np.float32)
    if node.attributes.get("count_pad"):
        beyond = (int(node.attributes.get("beyond_down", 0)), int(node.attributes.get("beyond_along", 0)))
        counted[:, : counted.shape[1] - beyond[0], : counted.shape[2] - beyond[1]] = 1
    else:
        counted[:, node.pad[0] : node.pad[0] + height, node.pad[1] : node.pad[1] + width] = 1
    inside = Node(0, node.name, node.kind, (), (1, 1, 1), node.kernel, node.stride, dilation=node.dilation)
    sizes: Tensor = patches(inside, counted, 0.0).sum(axis=(3, 4))[0]
    return sizes


class AvgPool(Activated):
    """`node.kernel` is the size of the ifmap for global pooling.

    Attribute `count_pad`: padding counts as elements; but never the last `beyond_down` rows and `beyond_along` columns of it, which a
    rounded-up output size added.
    """

    kind = "avgpool"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, Ho, Wo]. Raises `ModelError` where a window would count no element."""
        channels, height, width = only(node, inputs)
        result = (channels, *windows(node, height, width))
        if any(node.pad) and not counts(node, height, width).all():
            raise ModelError(
                f"{node.name}: pad {node.pad} of a {node.kernel[0]} x {node.kernel[1]} window; a window lies wholly in the padding"
            )
        return result

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Average each window, adding up in float32."""
        (ifmap,) = inputs
        sums = patches(node, ifmap, 0.0).sum(axis=(3, 4), dtype=np.float32)
        return activate(node, sums / counts(node, *ifmap.shape[1:]), weights)


LAYER: Layer = AvgPool()
