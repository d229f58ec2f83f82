"""The `slice` kind: some of the channels, rows and columns of a map, at a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only, whole_numbers


def picks(node: Node, axis: int) -> range:
    """Channels (axis 0), rows of one image (1) or columns (2) of the ifmap that are kept, in their new order."""
    start, step = whole_numbers(node, "start", 3)[axis], whole_numbers(node, "step", 3, "1 1 1")[axis]
    count = node.shape[axis] // node.images if axis == 1 else node.shape[axis]
    return range(start, start + count * step, step)


def kept(node: Node) -> tuple[slice, slice, slice]:
    """What is kept, as an index of the ifmap."""
    # a range that counts down to 0 ends before it, which a slice writes as no end at all
    one, two, three = (slice(axis.start, axis.stop if axis.stop >= 0 else None, axis.step) for axis in (picks(node, at) for at in range(3)))
    return one, two, three


class Slice(Weightless):
    """Attributes `start` and `step` (channel, row, column) as text; `node.shape` says how many. Steps may be negative."""

    kind = "slice"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states. Raises `ModelError` where it reaches beyond the map."""
        shape = only(node, inputs)
        if 0 in whole_numbers(node, "step", 3, "1 1 1"):
            raise ModelError(f"{node.name}: step {node.attributes['step']!r}; allowed: anything but 0")
        axes = [picks(node, axis) for axis in range(3)]
        if any(not axis or min(axis) < 0 or max(axis) >= size for axis, size in zip(axes, shape, strict=True)):
            ends = ", ".join(f"{axis[0]} to {axis[-1]}" if axis else "none" for axis in axes)
            raise ModelError(f"{node.name}: slice of channels, rows, columns {ends} from a map of {list(shape)}")
        return node.shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Pick."""
        return np.ascontiguousarray(inputs[0][kept(node)])


LAYER: Layer = Slice()
