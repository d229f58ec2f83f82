"""The `os` dataflow: a systolic array that holds partial sums, pixels on rows and filters on columns; the window streams through.

A fold makes rows x cols outputs. An element of the window (R * S * channels) enters each cycle; until the last one has met the far corner
and its row, rows + cols - 2 cycles pass. A channel that is skipped shortens the window of the whole tile. Each group of a grouped
convolution is a multiplication of its own: a depthwise layer uses one column.
Pooling, adds and the like run on a vector unit of `cols` lanes at the array's lower edge, one tap a cycle.
"""

from __future__ import annotations

import numpy as np

from accelsim.dataflows.base import Cycles, Grain, Int, TileWork
from accelsim.hardware import PeArray


def grain(array: PeArray, taps: int) -> Grain:
    """Whole folds: as many filters as columns, as many pixels as rows."""
    return Grain(filters=array.cols, width=array.rows)


def part(array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
    """The whole tile."""
    return out_height, out_width


def tile_cycles(work: TileWork, array: PeArray) -> Cycles:
    """Cycles of one tile: folds * (rows + cols + window - 2), of which folds * window work; a group without live channels takes none.

    Source:  Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim, ISPASS 2020
    """
    window = work.taps * work.live_channels.reshape(work.groups, -1).max(axis=1)
    folds = -(-work.out_height * work.out_width // array.rows) * -(-work.filters // array.cols)
    return Cycles(busy=folds * int(window.sum()), fill=folds * (array.rows + array.cols - 2) * int(np.count_nonzero(window)))


def dense_cycles(groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
    """Cycles of dense tiles."""
    folds = groups * -(-out_height * out_width // array.rows) * -(-filters // array.cols)
    return np.asarray(folds * (array.rows + array.cols - 2 + taps * channels))


def lanes(array: PeArray) -> int:
    """One lane a column."""
    return array.cols
