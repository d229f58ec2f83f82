"""The `is` dataflow against a walk over folds, clock by clock."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.hardware import PeArray

SMALL = st.integers(1, 9)


@given(
    rows=st.integers(1, 5), cols=st.integers(1, 5), filters=SMALL, taps=SMALL, height=SMALL, width=SMALL, live=st.lists(SMALL, max_size=3)
)
def test_is_equals_a_walk_over_folds_clock_by_clock(rows, cols, filters, taps, height, width, live):
    """Inputs enter row by row; filter k meets row r of column c at clock k + r + c after that; the last sum ends the fold."""
    work = TileWork(filters, taps, height, width, np.array([0, *live], np.int64).reshape(-1, 1, 1))
    clocks = busy = macs = 0
    for channels in live:
        for first_element in range(0, taps * channels, rows):
            for first_pixel in range(0, height * width, cols):
                start = last = clocks + rows
                for k in range(filters):
                    for row in range(rows):
                        for col in range(cols):
                            last = max(last, start + k + row + col)
                            macs += first_element + row < taps * channels and first_pixel + col < height * width
                clocks = last + 1
                busy += filters
    cycles = dataflows.load("is").tile_cycles(work, PeArray(rows=rows, cols=cols))
    assert (cycles.busy, cycles.busy + cycles.fill) == (busy, clocks)
    assert macs == height * width * filters * taps * sum(live)
