"""The `concat` kind: maps one after another, by channels (Darknet `route`) or along rows or columns; of one map, an alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless

AXES = ("channels", "rows", "columns")


def axis(node: Node) -> int:
    """Along which axis maps are joined: 0 channels, 1 rows, 2 columns. Raises `ModelError` for anything else."""
    found = node.attributes.get("axis", "channels")
    if found not in AXES:
        raise ModelError(f"{node.name}: axis {found!r}; allowed: {', '.join(AXES)}")
    return AXES.index(str(found))


class Concat(Weightless):
    """Joining channels moves nothing in a machine: the producers can write next to each other. Attribute `axis`: see `AXES`."""

    kind = "concat"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [Ci, H, W] of equal H, W -> [sum of Ci, H, W]; likewise along rows or columns.

        Raises:  `ModelError` where the other sizes differ
        """
        along = axis(node)
        others = {tuple(size for at, size in enumerate(shape) if at != along) for shape in inputs}
        if len(others) != 1:
            shapes = ", ".join(str(list(shape)) for shape in inputs) or "none"
            alike = ("one height and width", "one channel count and width", "one channel count and height")[along]
            raise ModelError(f"{node.name}: maps to concatenate need {alike}, given {shapes}")
        made = list(inputs[0])
        made[along] = sum(shape[along] for shape in inputs)
        return (made[0], made[1], made[2])

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Concatenate; one map is handed on, not copied."""
        return inputs[0] if len(inputs) == 1 else np.concatenate(inputs, axis=axis(node))


LAYER: Layer = Concat()
