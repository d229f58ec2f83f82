"""The `pad` kind: a border of channels, rows and columns around a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only

MODES = ("constant", "edge", "reflect", "wrap")


class Pad(Weightless):
    """`node.pad` are rows and columns, attributes `front` and `back` channels; `mode` says what they hold, of `constant` mode `value`."""

    kind = "pad"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [front + C + back, top + H + bottom, left + W + right].

        Raises:  `ModelError` for an unknown mode, a negative pad, or a border that mode `reflect` cannot fill
        """
        shape, mode = only(node, inputs), str(node.attributes.get("mode", "constant"))
        if mode not in MODES:
            raise ModelError(f"{node.name}: unknown mode {quoted(mode)}\n    {choices(MODES, mode)}")
        around = self._around(node)
        if any(min(pair) < 0 for pair in around):
            raise ModelError(f"{node.name}: pads {around}; allowed: 0 or more (a slice takes elements away)")
        if mode == "reflect" and any(max(pair) >= size for pair, size in zip(around, shape, strict=True)):
            raise ModelError(f"{node.name}: pads {around} reflect more of {list(shape)} than there is")
        channels, height, width = (size + sum(pair) for size, pair in zip(shape, around, strict=True))
        return (channels, height, width)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Lay the border around the map."""
        mode = str(node.attributes.get("mode", "constant"))
        if mode != "constant":
            # an empty axis needs no mode, and numpy's `reflect` refuses none
            # numpy's stubs know the modes one by one, not as a text
            return np.pad(inputs[0], self._around(node), mode=mode)  # type: ignore[call-overload, no-any-return]
        return np.pad(inputs[0], self._around(node), constant_values=np.float32(node.attributes.get("value", 0.0)))

    @staticmethod
    def _around(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        top, left, bottom, right = node.pad
        return (int(node.attributes.get("front", 0)), int(node.attributes.get("back", 0))), (top, bottom), (left, right)


LAYER: Layer = Pad()
