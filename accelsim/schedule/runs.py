"""From live data to DMA descriptors: contiguous runs, joined where skipping would save nothing, as strided jobs.

A job is a row of six integers in the order of `Descriptors`: address, row_bytes, rows, row_pitch, planes, plane_pitch.
Two runs are joined when less than `min_skip` bytes lie between them, or when the whole accesses that cover them touch or overlap.
In a strided job whose rows lie differently within accesses, rows are joined when that holds wherever they lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.schedule.planes import strided_jobs

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

ADDRESS, ROW_BYTES, ROWS, ROW_PITCH, PLANES, PLANE_PITCH = range(6)
NO_JOBS: Int = np.zeros((0, 6), dtype=np.int64)
_ONE_TILE: Int = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the DMA engine moves runs. Units: bytes; `dims`: dimensions of one descriptor."""

    min_skip: int
    access: int
    dims: int

    @property
    def key(self) -> tuple[int, int, int]:
        """As kernels take it."""
        return self.min_skip, self.access, self.dims

    def near(self, end: Int, start: Int) -> Bool:
        """Whether a run that ends at `end` (exclusive) and one that starts at `start` are moved as one."""
        return np.asarray((start - end < self.min_skip) | (start // self.access * self.access <= -(-end // self.access) * self.access))

    def closed(self, start: int, row_bytes: int, pitch: int) -> bool:
        """Whether rows at a pitch are moved as one run, gaps included."""
        gap = pitch - row_bytes
        if pitch % self.access == 0:  # what `near` says, without the cost of arrays
            return bool(gap < self.min_skip or (start + pitch) // self.access <= -(-(start + row_bytes) // self.access))
        return gap < max(self.min_skip, self.access)


def lines(starts: Int, sizes: Int) -> Int:
    """One job for each contiguous run."""
    jobs = np.zeros((starts.size, 6), dtype=np.int64)
    jobs[:, ADDRESS], jobs[:, ROW_BYTES], jobs[:, ROWS], jobs[:, PLANES] = starts, sizes, 1, 1
    return jobs


def join(starts: Int, ends: Int, rules: Rules) -> Int:
    """Jobs for runs in ascending order, near ones joined."""
    if starts.size < 2:
        return lines(starts, ends - starts)
    apart = np.flatnonzero(~rules.near(ends[:-1], starts[1:]))
    first = starts[np.concatenate(([0], apart + 1))]
    return lines(first, ends[np.append(apart, starts.size - 1)] - first)


def plane_jobs(start: int, pitch: int, first: int, live: Bool, rows: int, row_bytes: int, row_pitch: int, rules: Rules) -> Int:
    """Jobs for the same piece of the live ones of several planes.

    Shapes:  `live` bool [n], planes from `first` on
    Units:   bytes; `start`: address of the piece in plane 0, of `rows` rows
    """
    request = np.array([[start, pitch, first, live.size, 0, rows, row_bytes, row_pitch]], dtype=np.int64)
    return strided_jobs(request, _ONE_TILE, live, rules.key, 0, np.empty((1, 4), dtype=np.int64))


def row_jobs(start: int, pitch: int, rows: int, low: Int, high: Int, rules: Rules) -> Int:
    """Jobs for the same intervals of several rows.

    Shapes:  `low`, `high` int64 [n], bytes from the start of a row, ascending
    """
    if not low.size:
        return NO_JOBS
    if rows == 1 or pitch % rules.access == 0:
        pieces = join(start + low, start + high, rules)
    else:
        apart = np.flatnonzero(low[1:] - high[:-1] >= max(rules.min_skip, rules.access))
        first = low[np.concatenate(([0], apart + 1))]
        pieces = lines(start + first, high[np.append(apart, low.size - 1)] - first)
    if rows == 1:
        return pieces
    if len(pieces) == 1 and rules.closed(int(pieces[0, ADDRESS]), int(pieces[0, ROW_BYTES]), pitch):
        pieces[0, ROW_BYTES] += (rows - 1) * pitch
        return pieces
    pieces[:, ROWS], pieces[:, ROW_PITCH] = rows, pitch
    return in_order(split(pieces, rules.dims))


def in_order(jobs: Int) -> Int:
    """Jobs by ascending address."""
    ordered: Int = jobs[np.argsort(jobs[:, ADDRESS], kind="stable")]
    return ordered


def split(jobs: Int, dims: int) -> Int:
    """Cut jobs to what one descriptor can say: one row, one plane, or all."""
    if dims < 3:
        jobs = _unroll(jobs, PLANES, PLANE_PITCH)
    if dims < 2:
        jobs = _unroll(jobs, ROWS, ROW_PITCH)
    return jobs


def _unroll(jobs: Int, count: int, pitch: int) -> Int:
    counts = jobs[:, count]
    if (counts == 1).all():
        return jobs
    rows: Int = np.repeat(jobs, counts, axis=0)
    step = np.arange(len(rows), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    rows[:, ADDRESS] += step * rows[:, pitch]
    rows[:, count], rows[:, pitch] = 1, 0
    return rows
