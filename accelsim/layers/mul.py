"""The `mul` kind: the product of maps, element by element, such as the gate of a squeeze-and-excitation block."""

from __future__ import annotations

from accelsim.layers.activations import Pairwise
from accelsim.layers.base import Layer, Tensor


class Multiply(Pairwise):
    """Each input times what is made so far."""

    kind = "mul"

    def combine(self, made: Tensor, other: Tensor) -> Tensor:
        """The product of both."""
        return made * other


LAYER: Layer = Multiply()
