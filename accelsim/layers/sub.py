"""The `sub` kind: the first map minus the others, element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.graph import Node, Shape
from accelsim.layers.activations import Activated, activate
from accelsim.layers.base import Layer, Tensor, broadcast


class Subtract(Activated):
    """Axes of length 1 are repeated."""

    kind = "sub"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of all inputs laid over each other. Raises `ModelError` for fewer than two, or where they do not fit."""
        return broadcast(node, inputs)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Subtract in the order of the inputs, then activate."""
        self.output_shape(node, [tensor.shape for tensor in inputs])
        made = inputs[0]
        for other in inputs[1:]:
            made = made - other
        return activate(node, made, weights)


LAYER: Layer = Subtract()
