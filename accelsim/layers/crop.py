"""The `crop` kind: the centre of a map, then value * scale + offset (Darknet: 2x - 1 unless `noadjust`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import rounded
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Crop(Weightless):
    """Height and width are those of `node.shape`; attributes `scale` and `offset` default to 1 and 0."""

    kind = "crop"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, Ho, Wo]. Raises `ModelError` where the crop is larger than the map."""
        channels, height, width = only(node, inputs)
        rows, cols = node.shape[1:]
        if not (0 < rows <= height and 0 < cols <= width):
            raise ModelError(f"{node.name}: crop of {rows} x {cols} from a map of {height} x {width}")
        return (channels, rows, cols)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Cut out the centre and scale it."""
        (ifmap,) = inputs
        _, rows, cols = self.output_shape(node, [ifmap.shape])
        top, left = (ifmap.shape[1] - rows) // 2, (ifmap.shape[2] - cols) // 2
        scale, offset = np.float32(node.attributes.get("scale", 1.0)), np.float32(node.attributes.get("offset", 0.0))
        return rounded(node, ifmap[:, top : top + rows, left : left + cols] * scale + offset)


LAYER: Layer = Crop()
