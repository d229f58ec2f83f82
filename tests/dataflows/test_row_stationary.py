"""Row stationary: closed form against a walk that lays sets on the array, published mappings, and what zero channels remove."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.dataflows.row_stationary import WEIGHTS_PER_CYCLE, RowStationary
from accelsim.hardware import PeArray

EYERISS = PeArray(rows=12, cols=14, dataflow="row_stationary")
SMALL = st.integers(1, 7)


def work(filters, taps, height, width, live):
    return TileWork(filters, taps, height, width, np.array(live, dtype=np.int64).reshape(-1, 1, 1))


def placements(array, kernel_rows, most_rows):
    """Every (e, r, t): sets of folds * R x width elements, side by side and one above the other, as far as they fit."""
    tall = min(kernel_rows, array.rows)
    for e in range(1, most_rows + 1):
        folds, width = -(-e // array.cols), min(e, array.cols)
        sets = (array.rows // (tall * folds)) * (array.cols // width)
        for r, t in product(range(1, sets + 1), repeat=2):
            if r * t <= sets:
                yield e, r, t


def walk(array, kernel, filters, channels, height, width, way):
    """Do every multiplication of a tile pass by pass. Returns how often each MAC was done, and cycles (of the busiest element)."""
    e, r, t = way
    kernel_rows, kernel_cols = kernel
    done, cycles = Counter(), 0
    for first_row in range(0, kernel_rows, array.rows):
        of_set = range(first_row, min(first_row + array.rows, kernel_rows))
        for top, left_channel, left_filter in product(range(0, height, e), range(0, channels, r), range(0, filters, t)):
            elements = Counter()
            for row, channel, filter_, kernel_row in product(
                range(top, min(top + e, height)),
                range(left_channel, min(left_channel + r, channels)),
                range(left_filter, min(left_filter + t, filters)),
                of_set,
            ):
                element = (channel - left_channel, filter_ - left_filter, kernel_row, row - top)
                for kernel_col, col in product(range(kernel_cols), range(width)):
                    done[filter_, channel, row, col, kernel_row, kernel_col] += 1
                    elements[element] += 1
            assert len(elements) <= array.rows * array.cols
            cycles += max(elements.values())
    return done, cycles


@given(
    array=st.builds(lambda rows, cols: PeArray(rows=rows, cols=cols), st.integers(1, 5), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 3)),
    filters=SMALL,
    channels=SMALL,
    height=SMALL,
)
def test_cycles_are_those_of_the_best_of_all_placements(array, kernel, filters, channels, height):
    cycles = RowStationary(kernel[0]).tile_cycles(work(filters, kernel[0] * kernel[1], height, 2, [channels]), array)
    steps = min(-(-height // e) * -(-channels // r) * -(-filters // t) for e, r, t in placements(array, kernel[0], height))
    assert cycles.busy == steps * -(-kernel[0] // array.rows) * kernel[1] * 2


@given(
    array=st.builds(lambda rows, cols: PeArray(rows=rows, cols=cols), st.integers(1, 4), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 2)),
    filters=st.integers(1, 5),
    channels=st.integers(1, 4),
    height=st.integers(1, 5),
)
def test_the_mapping_does_every_mac_exactly_once_in_the_cycles_of_the_closed_form(array, kernel, filters, channels, height):
    flow, taps = RowStationary(kernel[0]), kernel[0] * kernel[1]
    found = flow.mapping(filters, channels, taps, height, array)
    done, cycles = walk(array, kernel, filters, channels, height, 2, (found.e, found.r, found.t))
    assert set(done.values()) == {1}
    assert len(done) == filters * channels * height * 2 * taps
    assert cycles == flow.tile_cycles(work(filters, taps, height, 2, [channels]), array).busy


@given(
    kernel_rows=st.integers(1, 13), filters=SMALL, channels=SMALL, taps_across=SMALL, height=st.integers(1, 40), groups=st.integers(1, 3)
)
def test_dense_cycles_are_tile_cycles_with_everything_live_for_any_kernel(kernel_rows, filters, channels, taps_across, height, groups):
    flow, taps = dataflows.load("row_stationary", (kernel_rows, taps_across)), kernel_rows * taps_across
    cycles = flow.tile_cycles(work(filters, taps, height, 5, [channels] * groups), EYERISS)
    one = [np.array([size]) for size in (groups, filters, channels, height, 5)]
    dense = flow.dense_cycles(one[0], one[1], one[2], taps, one[3], one[4], EYERISS)
    assert dense.tolist() == [cycles.busy + cycles.fill]


PUBLISHED = {  # R, E, then tile: m (or what is loaded of it: p * t), q * r; and Table III's e, p, q, r, t; Table V's active elements
    "CONV1": ((11, 11), 32, 1, 7, (7, 16, 1, 1, 2), 154),
    "CONV2": ((5, 5), 16, 2, 27, (27, 16, 2, 1, 1), 135),
    "CONV3": ((3, 3), 64, 4, 13, (13, 16, 4, 1, 4), 156),
    "CONV4": ((3, 3), 32, 6, 13, (13, 16, 3, 2, 2), 156),
    "CONV5": ((3, 3), 32, 6, 13, (13, 16, 3, 2, 2), 156),
}


@pytest.mark.parametrize("layer", PUBLISHED)
def test_mappings_are_those_that_eyeriss_published(layer):
    kernel, filters, channels, rows, published, active = PUBLISHED[layer]
    found = RowStationary(kernel[0]).mapping(filters, channels, kernel[0] * kernel[1], rows, EYERISS)
    assert (found.e, found.p, found.q, found.r, found.t) == published
    assert found.r * found.t * kernel[0] * found.e == active


def test_published_mappings_are_those_of_the_table(shared):
    with (shared / "golden/silicon/eyeriss_jssc17_tableIII_mapping.csv").open() as table:
        for row in csv.DictReader(table):
            assert tuple(int(row[name]) for name in ("e", "p", "q", "r", "t")) == PUBLISHED[row["layer"]][4]


def test_dead_channels_take_no_pass():
    flow = RowStationary(3)
    cycles = [flow.tile_cycles(work(64, 9, 13, 13, [live]), EYERISS) for live in (0, 4, 8)]
    assert cycles[0].busy == cycles[0].fill == 0
    assert (2 * cycles[1].busy, 2 * cycles[1].fill) == (cycles[2].busy, cycles[2].fill)


def test_weights_enter_the_array_before_their_pass():
    cycles = RowStationary(3).tile_cycles(work(16, 9, 13, 13, [4]), EYERISS)
    assert cycles.fill == 16 * 4 * 9 // WEIGHTS_PER_CYCLE


def test_a_kernel_taller_than_the_array_takes_several_passes():
    array = PeArray(rows=3, cols=4)
    whole, tall = (RowStationary(rows).tile_cycles(work(2, rows * 2, 4, 5, [3]), array).busy for rows in (3, 7))
    assert tall == 3 * whole


def test_its_own_functions_are_those_of_a_kernel_of_one_row():
    plain, one_row = dataflows.load("row_stationary"), dataflows.load("row_stationary", (1, 5))
    tile = work(3, 5, 4, 6, [7])
    assert plain.tile_cycles(tile, EYERISS) == one_row.tile_cycles(tile, EYERISS)


def test_other_dataflows_do_not_ask_for_the_kernel():
    assert dataflows.load("ws", (3, 3)) is dataflows.load("ws")
