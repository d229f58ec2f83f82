"""The `concat` kind: channels of several maps one after another (Darknet `route`); of one map, an alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless


class Concat(Weightless):
    """Moves nothing in a machine: the producers can write next to each other."""

    kind = "concat"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shapes: [Ci, H, W] of equal H, W -> [sum of Ci, H, W]. Raises `ModelError` where heights or widths differ."""
        if not inputs or len({shape[1:] for shape in inputs}) != 1:
            shapes = ", ".join(str(list(shape)) for shape in inputs) or "none"
            raise ModelError(f"{node.name}: maps to concatenate need one height and width, given {shapes}")
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Concatenate; one map is handed on, not copied."""
        return inputs[0] if len(inputs) == 1 else np.concatenate(inputs, axis=0)


LAYER: Layer = Concat()
