"""The `filter_pruned` weight scheme: filters that are wholly zero are neither stored nor loaded nor worked on.

The channel of the ofmap that such a filter makes is a constant, its activated bias, and is written as any other. The head of a piece holds
a flag for each of its filters; behind it lie the others, ifmap channel by ifmap channel, so that slices of zero channels can be left out.
Saves weights, multiply-accumulates and cycles.
"""

from __future__ import annotations

import numpy as np

from accelsim.bits import Bits, Words, to_bits
from accelsim.weights import base
from accelsim.weights.base import Block, Granularity, Saves, Sizes

SAVES = Saves(weights=True, macs=True, cycles=True)


class Options(base.StreamOptions):
    """Those of every scheme that leaves zeros out."""


def granularity(connected: bool, options: Options) -> Granularity | None:
    """The slice of an ifmap channel."""
    return "channel"


def sizes(block: Block, bits: int, options: Options) -> Sizes:
    """A flag for each filter, and the weights of those that are left."""
    channels, taps = block.values.shape[2:]
    units = np.repeat(block.alive.sum(axis=1) * (taps * bits), channels)
    return Sizes(block.alive.size, units, int(units.sum()) // bits)


def write(block: Block, bits: int, options: Options) -> tuple[Bits, list[Bits]]:
    """Flags, and word after word."""
    units = [
        to_bits(block.values[group, alive, channel].ravel(), bits)
        for group, alive in enumerate(block.alive)
        for channel in range(block.values.shape[2])
    ]
    return block.alive.ravel(), units


def read(head: Bits, units: list[Bits], shape: tuple[int, int, int, int], bits: int, options: Options, connected: bool) -> Words:
    """Words of the filters that are flagged."""
    words = np.zeros(shape, dtype=np.uint32)
    alive = head[: shape[0] * shape[1]].reshape(shape[:2])
    for number, unit in enumerate(units):
        group, channel = divmod(number, shape[2])
        count = int(alive[group].sum()) * shape[3]
        words[group, alive[group], channel] = base.fields(unit, count, bits).reshape(-1, shape[3])
    return words
