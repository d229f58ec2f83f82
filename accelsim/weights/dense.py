"""The `dense` weight scheme: every weight lies at its place, as `layout.filter` of the machine says. Saves nothing.

Slices of zero ifmap channels are left out where the activation scheme says so, and where the layout makes them whole runs.
"""

from __future__ import annotations

import numpy as np

from accelsim.bits import Bits, Words, to_bits
from accelsim.weights import base
from accelsim.weights.base import Block, Granularity, Saves, Sizes

SAVES = Saves()


class Options(base.Options):
    """None."""


def granularity(connected: bool, options: Options) -> Granularity | None:
    """Weights lie dense."""
    return None


def sizes(block: Block, bits: int, options: Options) -> Sizes:
    """All weights in one unit."""
    return Sizes(0, np.array([block.values.size * bits], dtype=np.int64), block.values.size)


def write(block: Block, bits: int, options: Options) -> tuple[Bits, list[Bits]]:
    """Word after word."""
    return np.zeros(0, dtype=np.bool_), [to_bits(block.values.ravel(), bits)]


def read(head: Bits, units: list[Bits], shape: tuple[int, int, int, int], bits: int, options: Options, connected: bool) -> Words:
    """Word after word."""
    return base.fields(units[0], int(np.prod(shape)), bits).reshape(shape)
