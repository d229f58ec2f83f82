"""Descriptors of fetch units that have places of their own: a block of a map moves all units that it touches, each of them whole.

Blocks are the products of channel spans, windows of rows and windows of columns, in that order.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import kernel
from accelsim.kernels.schedule.jobs import COLUMNS, NO_RUN, Int, Rules, bytes_of, joined, roomy

Triple = tuple[int, int, int]


@kernel
def unit_jobs(
    spans: Int, rows: Int, cols: Int, unit: Triple, shape: Triple, sizes: Int, places: Int, rules: Rules, kept: bool, table: Int
) -> Int:
    """Jobs that move all units that each block touches, near ones joined; where they are not `kept`, they are only weighed.

    Shapes:  spans int64 [n, 2], rows int64 [2, R], cols int64 [2, X], low and high (exclusive); sizes, places int64 [C', H', W'], bytes and
             addresses of the units, addresses ascending; table int64 [n * R * X, 4], its first three columns filled: jobs low and high
             (exclusive), bytes wanted: of each unit the block's share of its elements, rounded up; or 0, bytes moved, 0
             -> jobs int64 [., 6]
    Units:   elements: `unit` of a fetch unit, `shape` of the map, channels, rows and columns; bytes
    Raises:  nothing
    """
    jobs = np.empty((2 * table.shape[0] + 8, COLUMNS), dtype=np.int64)
    nothing = (0, 0, 0)
    at, block, before, moved = 0, 0, (nothing, nothing), 0
    for n in range(spans.shape[0]):
        for y in range(rows.shape[1]):
            for x in range(cols.shape[1]):
                low, high = (spans[n, 0], rows[0, y], cols[0, x]), (spans[n, 1], rows[1, y], cols[1, x])
                first, last = touched(low, high, unit)
                table[block, 0], table[block, 2] = at, 0
                if kept or (first, last) != before:
                    jobs = roomy(jobs, at, at + (last[0] - first[0]) * (last[1] - first[1]) * (last[2] - first[2]))
                    at += units_of(first, last, sizes, places, rules, jobs[at:])
                if kept:
                    table[block, 1], table[block, 2] = at, shares_of(first, last, low, high, unit, shape, sizes)
                else:
                    if (first, last) != before:
                        before, moved, at = (first, last), bytes_of(jobs, at, rules[1]), 0
                    table[block, 1] = moved
                block += 1
    return jobs[:at]


@kernel
def touched(low: Triple, high: Triple, unit: Triple) -> tuple[Triple, Triple]:
    """First and last (exclusive) of the units that a block touches, along each axis; equal where it is empty."""
    first = (low[0] // unit[0], low[1] // unit[1], low[2] // unit[2])
    if low[0] >= high[0] or low[1] >= high[1] or low[2] >= high[2]:
        return first, first
    return first, (-(-high[0] // unit[0]), -(-high[1] // unit[1]), -(-high[2] // unit[2]))


@kernel
def units_of(first: Triple, last: Triple, sizes: Int, places: Int, rules: Rules, jobs: Int) -> int:
    """Write the jobs of some units. Returns how many."""
    at, run = 0, NO_RUN
    for c in range(first[0], last[0]):
        for h in range(first[1], last[1]):
            for w in range(first[2], last[2]):
                if sizes[c, h, w]:
                    at, run = joined(jobs, at, run, places[c, h, w], places[c, h, w] + sizes[c, h, w], rules)
    return at


@kernel
def shares_of(first: Triple, last: Triple, low: Triple, high: Triple, unit: Triple, shape: Triple, sizes: Int) -> int:
    """Bytes that a block wants of some units: of each the share of its elements that lie in the block, rounded up."""
    wanted = 0
    for c in range(first[0], last[0]):
        for h in range(first[1], last[1]):
            for w in range(first[2], last[2]):
                share, whole = 1, 1
                for axis, number in enumerate((c, h, w)):
                    begin, end = number * unit[axis], min((number + 1) * unit[axis], shape[axis])
                    share *= min(end, high[axis]) - max(begin, low[axis])
                    whole *= end - begin
                wanted += -(-sizes[c, h, w] * share // whole)
    return wanted
