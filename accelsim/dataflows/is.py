"""The `is` dataflow: a systolic array that holds inputs, window (R * S * channels) on rows and pixels on columns; filters stream through.

A fold holds the windows of `cols` pixels, rows elements of each. Filling it, and draining the last sums, takes 2 * rows + cols - 2 cycles;
then a filter enters each cycle. A channel is skipped for the whole tile or not at all. Each group of a grouped convolution is a
multiplication of its own: a depthwise layer streams one filter a fold.
Pooling, adds and the like run on a vector unit of `cols` lanes at the array's lower edge, one tap a cycle.
"""

# ruff: noqa: N999 -- a dataflow's module bears its name

from __future__ import annotations

import numpy as np

from accelsim.dataflows.base import Cycles, Grain, Int, TileWork
from accelsim.hardware import PeArray


def grain(array: PeArray, taps: int) -> Grain:
    """Whole folds: as many pixels as columns, as many channels as fill the rows."""
    return Grain(channels=-(-array.rows // taps), width=array.cols)


def part(array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
    """The whole tile."""
    return out_height, out_width


def tile_cycles(work: TileWork, array: PeArray) -> Cycles:
    """Cycles of one tile: folds * (2 * rows + cols + filters - 2), of which folds * filters work.

    Source:  Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim, ISPASS 2020
    """
    window = work.taps * work.live_channels.reshape(work.groups, -1).max(axis=1)
    folds = int((-(-window // array.rows)).sum()) * -(-work.out_height * work.out_width // array.cols)
    return Cycles(busy=folds * work.filters, fill=folds * (2 * array.rows + array.cols - 2))


def dense_cycles(groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
    """Cycles of dense tiles."""
    folds = groups * -(-taps * channels // array.rows) * -(-out_height * out_width // array.cols)
    return np.asarray(folds * (2 * array.rows + array.cols - 2 + filters))


def lanes(array: PeArray) -> int:
    """One lane a column."""
    return array.cols
