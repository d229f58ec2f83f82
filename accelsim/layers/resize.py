"""The `resize` kind: a map at another size, by the nearest element, or by linear or cubic interpolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError, choices
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only

MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SIMPLE = "simple"
"""Rounding of operators older than 11, as ONNX Runtime does it: up where the size shrinks, down where it grows."""
Where = NDArray[np.float32]
Index = NDArray[np.int64]


def positions(coordinates: str, size: int, made: int, scale: float) -> Where:
    """Where in a line of `size` elements each of the `made` elements lies. Shapes: float32 [made]. Source: ONNX operator Resize."""
    x, factor, half = np.arange(made, dtype=np.float32), np.float32(scale), np.float32(0.5)
    if coordinates == "align_corners":
        step = np.float32(size - 1) / np.float32(made - 1) if made > 1 else np.float32(0)
        return np.asarray(x * step, dtype=np.float32)
    if coordinates == "asymmetric":
        return x / factor
    if coordinates == "pytorch_half_pixel" and made == 1:
        return np.zeros(1, dtype=np.float32)
    found = (x + half) / factor - half
    if coordinates == "half_pixel_symmetric":
        found = found + np.float32(size / 2 * (1 - made / (scale * size)))
    return np.asarray(found, dtype=np.float32)


def rounded(where: Where, rounding: str) -> Index:
    """Nearest whole positions. Shapes: int64 of the shape of `where`."""
    by_name: dict[str, Where] = {
        "floor": np.floor(where),
        "ceil": np.ceil(where),
        "round_prefer_floor": np.ceil(where - np.float32(0.5)),
        "round_prefer_ceil": np.floor(where + np.float32(0.5)),
    }
    return by_name[rounding].astype(np.int64)


def taps(node: Node, axis: int, size: int) -> tuple[Index, Where]:
    """Which elements of a line each new element is made of, and their weights. Shapes: int64, float32 [made, taps]."""
    key = ("scale_down", "scale_along")[axis]
    made = node.shape[axis + 1]
    scale = float(node.attributes.get(key, made / size))
    where = positions(str(node.attributes.get("coordinates", COORDINATES[0])), size, made, scale)
    mode = str(node.attributes.get("mode", "nearest"))
    if mode == "nearest":
        rounding = str(node.attributes.get("rounding", ROUNDINGS[0]))
        nearest = rounded(where, ("ceil" if scale < 1 else "floor") if rounding == SIMPLE else rounding)
        return np.clip(nearest, 0, size - 1)[:, None], np.ones((made, 1), dtype=np.float32)
    if mode == "linear":
        where = np.clip(where, np.float32(0), np.float32(size - 1))
        low = np.minimum(where.astype(np.int64), size - 1)
        part = where - low.astype(np.float32)
        return np.stack([low, np.minimum(low + 1, size - 1)], axis=1), np.stack([np.float32(1) - part, part], axis=1)
    low = np.floor(where).astype(np.int64)
    index = low[:, None] + np.arange(-1, 3)
    weight = _cubic(where[:, None] - index.astype(np.float32), np.float32(node.attributes.get("cubic", -0.75)))
    if node.attributes.get("exclude_outside"):
        weight = np.where((index >= 0) & (index < size), weight, np.float32(0))
        weight = weight / weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, size - 1), weight


def _cubic(distance: Where, a: np.float32) -> Where:
    """Keys' kernel. Source: R. Keys, Cubic convolution interpolation for digital image processing, 1981."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.asarray(np.where(d <= 1, near, far), dtype=np.float32)


class Resize(Weightless):
    """Height and width are those of `node.shape`.

    Attributes, named as in ONNX: `mode`, `coordinates`, `rounding` (of mode nearest), `cubic` (its coefficient), `exclude_outside`,
    `scale_down` and `scale_along` (new size over old as the file says it, where that is not the quotient of the sizes).
    """

    kind = "resize"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [C, H, W] -> [C, Ho, Wo]. Raises `ModelError` for unknown attributes or a size that is not positive."""
        shape = only(node, inputs)
        for key, allowed in (("mode", MODES), ("coordinates", COORDINATES), ("rounding", (*ROUNDINGS, SIMPLE))):
            given = str(node.attributes.get(key, allowed[0]))
            if given not in allowed:
                raise ModelError(f"{node.name}: unknown {key} {given!r}\n    {choices(allowed, given)}")
        if prod(node.shape[1:]) < 1:
            raise ModelError(f"{node.name}: resize to {node.shape[1]} x {node.shape[2]}; allowed: 1 x 1 or more")
        return (shape[0], *node.shape[1:])

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Interpolate along rows, then down columns."""
        (ifmap,) = inputs
        index, weight = taps(node, 1, ifmap.shape[2])
        wide = np.stack([ifmap[:, :, index[:, tap]] * weight[:, tap] for tap in range(index.shape[1])]).sum(axis=0, dtype=np.float32)
        index, weight = taps(node, 0, ifmap.shape[1])
        tall = np.stack([wide[:, index[:, tap]] * weight[:, tap, None] for tap in range(index.shape[1])])
        return np.asarray(tall.sum(axis=0, dtype=np.float32))


LAYER: Layer = Resize()
