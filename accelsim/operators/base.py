"""What an operator is asked, and what it tells of its ofmap while that is still in registers, so that nobody need read it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from accelsim.layers.base import Tensor

Flags = NDArray[np.bool_]
Allocate = Callable[[tuple[int, ...]], Tensor]
"""Gives an uninitialised float32 array of a shape."""


class Tally(NamedTuple):
    """Largest magnitudes and zeros of every channel.

    Shapes:  `largest` uint32 [K], the bits of the magnitude of float32 (NaN lies above infinity); `zeros` int64 [K], of 0 and -0
    """

    largest: NDArray[np.uint32]
    zeros: NDArray[np.int64]

    @classmethod
    def of(cls, channels: int) -> Tally:
        """One to be filled in by an operator."""
        return cls(np.zeros(channels, np.uint32), np.zeros(channels, np.int64))


UNTOLD = Tally.of(0)
"""For those who do not ask."""


class Operator(Protocol):
    """One node, ready to run."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Make the ofmap, in memory from `empty` or (kinds that hand data on) in that of an input.

        Shapes:  each input float32 [C, H, W], C-contiguous, with its zero channels bool [C] -> [K, Ho, Wo]
        """
        ...


@runtime_checkable
class Telling(Operator, Protocol):
    """One that can tell of its ofmap."""

    @property
    def tells(self) -> bool:
        """Whether it does: what is done to the ofmap after its kernel, no kernel tells."""
        ...

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate, tally: Tally = UNTOLD) -> Tensor:
        """As `Operator`, and fill in a tally of K channels."""
        ...
