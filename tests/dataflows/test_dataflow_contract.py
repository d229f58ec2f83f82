"""Every dataflow: closed forms against naive walks, and the published systolic cycles."""

from __future__ import annotations

import csv
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.errors import ConfigError
from accelsim.hardware import PeArray

SMALL = st.integers(1, 9)
ARRAYS = st.builds(lambda rows, cols: PeArray(rows=rows, cols=cols), st.integers(1, 5), st.integers(1, 5))


def work_of(name, array, filters, taps, height, width, live_of):
    part_height, part_width = dataflows.load(name).part(array, height, width)
    down, across = -(-height // part_height), -(-width // part_width)
    live = np.array(
        [[[live_of(group, y, x) for x in range(across)] for y in range(down)] for group in range(live_of.groups)], dtype=np.int64
    )
    return TileWork(filters, taps, height, width, live)


class Live:
    """Live channels of group, part row, part column: `most` everywhere, or fewer, decided by a seed."""

    def __init__(self, groups, most, seed=None):
        self.groups, self.most, self.rng = groups, most, None if seed is None else np.random.default_rng(seed)

    def __call__(self, group, y, x):
        return self.most if self.rng is None else int(self.rng.integers(0, self.most + 1))


@pytest.mark.parametrize("name", dataflows.names())
class TestEveryDataflow:
    @given(array=ARRAYS, groups=SMALL, filters=SMALL, channels=SMALL, taps=SMALL, height=SMALL, width=SMALL)
    def test_dense_cycles_are_tile_cycles_with_everything_live(self, name, array, groups, filters, channels, taps, height, width):
        flow = dataflows.load(name)
        cycles = flow.tile_cycles(work_of(name, array, filters, taps, height, width, Live(groups, channels)), array)
        sizes = [np.array([size]) for size in (groups, filters, channels)]
        dense = flow.dense_cycles(*sizes, taps, np.array([height]), np.array([width]), array)
        assert dense.tolist() == [cycles.busy + cycles.fill]

    @given(array=ARRAYS, filters=SMALL, taps=SMALL, height=SMALL, width=SMALL)
    def test_nothing_live_takes_no_cycle(self, name, array, filters, taps, height, width):
        cycles = dataflows.load(name).tile_cycles(work_of(name, array, filters, taps, height, width, Live(2, 0)), array)
        assert (cycles.busy, cycles.fill) == (0, 0)

    @given(array=ARRAYS, channels=SMALL, taps=SMALL, height=SMALL, width=SMALL, seed=st.integers(0, 99))
    def test_fewer_live_channels_never_take_longer(self, name, array, channels, taps, height, width, seed):
        flow = dataflows.load(name)
        some = flow.tile_cycles(work_of(name, array, 3, taps, height, width, Live(2, channels, seed)), array)
        every = flow.tile_cycles(work_of(name, array, 3, taps, height, width, Live(2, channels)), array)
        assert some.busy + some.fill <= every.busy + every.fill

    def test_tiles_of_its_grain_use_the_whole_array(self, name):
        array, taps = PeArray(rows=4, cols=3), 2
        flow = dataflows.load(name)
        grain = flow.grain(array, taps)
        cycles = flow.tile_cycles(work_of(name, array, grain.filters, taps, grain.height, grain.width, Live(1, grain.channels)), array)
        assert grain.filters * grain.channels * taps * grain.height * grain.width == cycles.busy * array.rows * array.cols


@given(array=ARRAYS, filters=SMALL, taps=SMALL, height=SMALL, width=SMALL, groups=st.integers(1, 3), seed=st.integers(0, 99))
def test_spatial_equals_a_walk_over_parts_filters_channels_and_taps(array, filters, taps, height, width, groups, seed):
    work = work_of("spatial", array, filters, taps, height, width, Live(groups, 4, seed))
    cycles = 0
    for group, top, left in product(range(groups), range(0, height, array.rows), range(0, width, array.cols)):
        for _filter in range(filters):
            for _channel in range(int(work.live_channels[group, top // array.rows, left // array.cols])):
                for _tap in range(taps):
                    cycles += 1
    assert dataflows.load("spatial").tile_cycles(work, array).busy == cycles


@given(array=ARRAYS, filters=SMALL, taps=SMALL, height=SMALL, width=SMALL, groups=st.integers(1, 3), seed=st.integers(0, 99))
def test_ws_equals_a_walk_over_folds_clock_by_clock(array, filters, taps, height, width, groups, seed):
    """Weights enter row by row; pixel p enters row r at clock p + r and leaves column c after all rows: the last one ends the fold."""
    work = work_of("ws", array, filters, taps, height, width, Live(groups, 4, seed))
    clocks = busy = 0
    for group in range(groups):
        for _row_fold in range(0, taps * int(work.live_channels[group].max()), array.rows):
            for _col_fold in range(0, filters, array.cols):
                start = clocks + array.rows
                pixels = height * width
                clocks = max(start + pixel + (array.rows - 1) + (array.cols - 1) for pixel in range(pixels))
                busy += pixels
    cycles = dataflows.load("ws").tile_cycles(work, array)
    folds = busy // (height * width)
    # Each fold's last clock index is one less than its length.
    assert (cycles.busy, cycles.busy + cycles.fill) == (busy, clocks + folds)


def test_ws_cycles_are_those_of_scale_sim(shared):
    flow, compared = dataflows.load("ws"), 0
    with (shared / "golden/dataflow/systolic_cycles.csv").open() as table:
        for row in csv.DictReader(table):
            if row["dataflow"] != "ws":
                continue
            high, wide, taps_down, taps_across, stride = (int(row[name]) for name in ("ifm_h", "ifm_w", "flt_h", "flt_w", "stride"))
            array = PeArray(rows=int(row["array_h"]), cols=int(row["array_w"]))
            height, width = -(-(high - taps_down + stride) // stride), -(-(wide - taps_across + stride) // stride)
            live = np.array([[[int(row["ch"])]]], dtype=np.int64)
            cycles = flow.tile_cycles(TileWork(int(row["filters"]), taps_down * taps_across, height, width, live), array)
            # The tool prints the index of its last cycle.
            assert cycles.busy + cycles.fill - 1 == int(row["total_cycles"]), row
            compared += 1
    assert compared > 20


def test_an_unknown_dataflow_is_named_with_those_allowed():
    with pytest.raises(ConfigError, match=r"unknown dataflow 'spatail'\n    allowed: .*spatial.*  Did you mean 'spatial'\?"):
        dataflows.load("spatail")
