"""The `ws` dataflow: a systolic array that holds weights, window (R * S * channels) on rows and filters on columns; pixels stream through.

A fold holds rows x cols weights. Filling it, and draining the last sums, takes 2 * rows + cols - 2 cycles; then a pixel enters each cycle.
The weights of one channel serve all pixels of the tile, so a channel is skipped for the whole tile or not at all. Each group of a
grouped convolution is a multiplication of its own: a depthwise layer uses R * S rows of one column.
Pooling, adds and the like run on a vector unit of `cols` lanes at the array's lower edge, one tap a cycle.
"""

from __future__ import annotations

import numpy as np

from accelsim.dataflows.base import Cycles, Grain, Int, TileWork
from accelsim.hardware import PeArray


def grain(array: PeArray, taps: int) -> Grain:
    """Whole folds: as many filters as columns, as many channels as fill the rows."""
    return Grain(filters=array.cols, channels=-(-array.rows // taps))


def part(array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
    """The whole tile."""
    return out_height, out_width


def tile_cycles(work: TileWork, array: PeArray) -> Cycles:
    """Cycles of one tile: folds * (2 * rows + cols + pixels - 2), of which folds * pixels work.

    Source:  Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim, ISPASS 2020
    """
    window = work.taps * work.live_channels.reshape(work.groups, -1).max(axis=1)
    folds = int((-(-window // array.rows)).sum()) * -(-work.filters // array.cols)
    return Cycles(busy=folds * work.out_height * work.out_width, fill=folds * (2 * array.rows + array.cols - 2))


def dense_cycles(groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
    """Cycles of dense tiles."""
    folds = groups * -(-taps * channels // array.rows) * -(-filters // array.cols)
    return np.asarray(folds * (2 * array.rows + array.cols - 2 + out_height * out_width))


def lanes(array: PeArray) -> int:
    """One lane a column."""
    return array.cols
