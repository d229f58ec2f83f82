"""The `spatial` dataflow: the array holds one rows x cols part of an output map and takes one kernel tap of one channel a cycle.

This is the array for which Algorithm 1 cuts channels into h x w parts: a channel whose window of a part is wholly zero costs no cycle.
Pooling, adds and the like run on the same elements, one output each, one tap a cycle.
"""

from __future__ import annotations

import numpy as np

from accelsim.dataflows.base import Cycles, Grain, Int, TileWork
from accelsim.hardware import PeArray


def grain(array: PeArray, taps: int) -> Grain:
    """Whole parts: a tile that is no multiple of the array leaves elements idle."""
    return Grain(height=array.rows, width=array.cols)


def part(array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
    """What the array holds at once."""
    return array.rows, array.cols


def tile_cycles(work: TileWork, array: PeArray) -> Cycles:
    """Cycles of one tile: for each part, filters * live channels * taps; partial sums stay in place, so nothing is filled or drained.

    Source:  output-stationary cycles of Algorithm 1's array (Liang et al., arXiv 1812.09922)
    """
    return Cycles(busy=work.filters * work.taps * int(work.live_channels.sum()), fill=0)


def dense_cycles(groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
    """Cycles of dense tiles: parts * filters * channels * taps."""
    parts = -(-out_height // array.rows) * -(-out_width // array.cols)
    return np.asarray(groups * filters * channels * taps * parts)


def lanes(array: PeArray) -> int:
    """Every element of the array."""
    return array.rows * array.cols
