"""The `os` dataflow against a walk over folds, clock by clock."""

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
def test_os_equals_a_walk_over_folds_clock_by_clock(rows, cols, filters, taps, height, width, live):
    """Element w of the window meets row r and column c at clock w + r + c; the fold ends after the far corner has met the last one."""
    work = TileWork(filters, taps, height, width, np.array([0, *live], np.int64).reshape(-1, 1, 1))
    clocks = busy = macs = 0
    for channels in live:
        for first_pixel in range(0, height * width, rows):
            for first_filter in range(0, filters, cols):
                last = clocks
                for element in range(taps * channels):
                    for row in range(rows):
                        for col in range(cols):
                            last = max(last, clocks + element + row + col)
                            macs += first_pixel + row < height * width and first_filter + col < filters
                clocks = last + 1
                busy += taps * channels
    cycles = dataflows.load("os").tile_cycles(work, PeArray(rows=rows, cols=cols))
    assert (cycles.busy, cycles.busy + cycles.fill) == (busy, clocks)
    assert macs == height * width * filters * taps * sum(live)
