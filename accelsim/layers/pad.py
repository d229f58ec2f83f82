"""The `pad` kind: a border of channels, rows and columns around a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only

MODES = ("constant", "edge", "reflect", "wrap")


def mode(node: Node) -> str:
    """What the border holds: one of `MODES`, unless the node is wrong."""
    return str(node.attributes.get("mode", "constant"))


def value(node: Node) -> np.float32:
    """The value of a constant border."""
    return np.float32(node.attributes.get("value", 0.0))


def around(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Elements before and after the map along channels, rows and columns."""
    top, left, bottom, right = node.pad
    return (int(node.attributes.get("front", 0)), int(node.attributes.get("back", 0))), (top, bottom), (left, right)


class Pad(Weightless):
    """`node.pad` are rows and columns, attributes `front` and `back` channels; `mode` says what they hold, of `constant` mode `value`."""

    kind = "pad"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [front + C + back, top + H + bottom, left + W + right].

        Raises:  `ModelError` for an unknown mode, a negative pad, or a border that mode `reflect` cannot fill
        """
        shape, how, pairs = only(node, inputs), mode(node), around(node)
        if how not in MODES:
            raise ModelError(f"{node.name}: unknown mode {quoted(how)}\n    {choices(MODES, how)}")
        if any(min(pair) < 0 for pair in pairs):
            raise ModelError(f"{node.name}: pads {pairs}; allowed: 0 or more (a slice takes elements away)")
        if how == "reflect" and any(max(pair) >= size for pair, size in zip(pairs, shape, strict=True)):
            raise ModelError(f"{node.name}: pads {pairs} reflect more of {list(shape)} than there is")
        channels, height, width = (size + sum(pair) for size, pair in zip(shape, pairs, strict=True))
        return (channels, height, width)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Lay the border around the map."""
        if mode(node) != "constant":
            # an empty axis needs no mode, and numpy's `reflect` refuses none
            return np.pad(inputs[0], around(node), mode=mode(node))  # type: ignore[call-overload, no-any-return]  # stubs know no text as mode
        return np.pad(inputs[0], around(node), constant_values=value(node))


LAYER: Layer = Pad()
