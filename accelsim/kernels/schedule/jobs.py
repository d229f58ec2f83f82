"""Jobs as they are written one after the other, runs that lie near each other as one, and the bytes that jobs move.

A job is a row as in `schedule.tables.Descriptors`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Rules = tuple[int, int, int]
"""Smallest gap that is skipped and bytes of an access; dimensions of a job."""

COLUMNS = 6
NO_RUN = -1


@kernel
def append(jobs: Int, at: int, address: int, row_bytes: int, rows: int, row_pitch: int, planes: int, plane_pitch: int) -> int:
    """Write one job. Returns the next row."""
    jobs[at, 0], jobs[at, 1], jobs[at, 2], jobs[at, 3], jobs[at, 4], jobs[at, 5] = address, row_bytes, rows, row_pitch, planes, plane_pitch
    return at + 1


@kernel
def joined(jobs: Int, at: int, run: int, start: int, end: int, rules: Rules) -> tuple[int, int]:
    """Write a run, as part of that in row `run` where the two are near. Returns the next row, and the row that it is in.

    `run`: NO_RUN where there is none
    """
    if run > NO_RUN and near(jobs[run, 0] + jobs[run, 1], start, rules[0], rules[1]):
        jobs[run, 1] = max(jobs[run, 0] + jobs[run, 1], end) - jobs[run, 0]
        return at, run
    return append(jobs, at, start, end - start, 1, 0, 1, 0), at


@kernel
def roomy(jobs: Int, at: int, room: int) -> Int:
    """Jobs of which the first `at` are written, with room for so many rows in all."""
    if room <= jobs.shape[0]:
        return jobs
    more = np.empty((2 * room, COLUMNS), dtype=np.int64)
    for job in range(at):
        for column in range(COLUMNS):
            more[job, column] = jobs[job, column]
    return more


@kernel
def near(end: int, start: int, min_skip: int, access: int) -> bool:
    """Whether a run that ends at `end` (exclusive) and one that starts at `start` are moved as one."""
    return start - end < min_skip or start // access <= (end + access - 1) // access


@kernel
def closed(start: int, row_bytes: int, pitch: int, min_skip: int, access: int) -> bool:
    """Whether rows at a pitch are moved as one run wherever they lie, gaps included."""
    gap = pitch - row_bytes
    if pitch % access == 0:
        return gap < min_skip or (start + pitch) // access <= (start + row_bytes + access - 1) // access
    return gap < max(min_skip, access)


@kernel
def small(size: int, rules: Rules) -> bool:
    """Whether runs on both sides of a piece can be near each other."""
    return size < max(rules[0], 2 * rules[1])


@kernel
def moved_bytes(jobs: Int, access: int) -> Int:
    """Bytes that each job moves: whole accesses that its runs touch.

    Shapes:  jobs int64 [n, 6] -> int64 [n]
    Units:   `access`: bytes, a power of two
    Raises:  nothing
    """
    moved = np.empty(jobs.shape[0], dtype=np.int64)
    for job in range(jobs.shape[0]):
        moved[job] = job_bytes(jobs, job, access)
    return moved


@kernel
def job_bytes(jobs: Int, job: int, access: int) -> int:
    """Bytes that one job moves; rows, and planes, without a gap between them are one run. Runs lie alike within accesses every so often."""
    row, rows, row_pitch, planes, plane_pitch = jobs[job, 1], jobs[job, 2], jobs[job, 3], jobs[job, 4], jobs[job, 5]
    if rows == 1 or row_pitch == row:
        row, rows = row * rows, 1
        if planes == 1 or plane_pitch == row:
            row, planes = row * planes, 1
    same_row, same_plane = period(row_pitch, access), period(plane_pitch, access)
    accesses = 0
    for plane in range(min(planes, same_plane)):
        for line in range(min(rows, same_row)):
            low = jobs[job, 0] + plane * plane_pitch + line * row_pitch
            alike = (planes // same_plane + (plane < planes % same_plane)) * (rows // same_row + (line < rows % same_row))
            accesses += alike * ((low + row + access - 1) // access - low // access)
    return accesses * access


@kernel
def period(pitch: int, access: int) -> int:
    """After so many runs at a pitch one lies within its access as the first did. Units: bytes; `access`: a power of two."""
    return access // min(access, pitch & -pitch) if pitch else 1


@kernel
def bytes_of(jobs: Int, count: int, access: int) -> int:
    """Bytes that the first so many jobs move."""
    moved = 0
    for job in range(count):
        moved += job_bytes(jobs, job, access)
    return moved
