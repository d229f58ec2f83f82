"""The `upsample` kind: every element repeated `factor` times down and across (nearest neighbour)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Upsample(Weightless):
    """Attribute `factor`: whole number, 1 or more."""

    kind = "upsample"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, factor*H, factor*W]."""
        channels, height, width = only(node, inputs)
        factor = self._factor(node)
        return (channels, height * factor, width * factor)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Repeat rows and columns."""
        factor = self._factor(node)
        return inputs[0].repeat(factor, axis=1).repeat(factor, axis=2)

    @staticmethod
    def _factor(node: Node) -> int:
        factor = node.attributes.get("factor")
        if not isinstance(factor, int) or factor < 1:
            raise ModelError(f"{node.name}: factor {factor!r}; allowed: whole numbers from 1")
        return factor


LAYER: Layer = Upsample()
