"""The `sub` kind: the first map minus the others, element by element."""

from __future__ import annotations

from accelsim.layers.activations import Pairwise
from accelsim.layers.base import Layer, Tensor


class Subtract(Pairwise):
    """What is made so far, less each input."""

    kind = "sub"

    def combine(self, made: Tensor, other: Tensor) -> Tensor:
        """The difference of both."""
        return made - other


LAYER: Layer = Subtract()
