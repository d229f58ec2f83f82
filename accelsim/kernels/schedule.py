"""Descriptors of many pieces at once: which jobs move the live planes of each piece of a map or of filters.

A request is a row of eight integers: address of the piece in plane 0, distance of planes, first plane, planes, place of the first plane's
flag among all flags, rows, bytes of a row, distance of rows. A job is a row as in `schedule.tables.Descriptors`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

START, PLANE_PITCH, FIRST, PLANES, FLAG, ROWS, ROW_BYTES, ROW_PITCH = range(8)
REQUEST = 8
LOW, HIGH, PLANE, ADDRESS, OF_PLANES, OF_ROWS, FIRST_FLAG, SOURCE = range(8)
"""Columns of `parts`: channels low to high of a map (exclusive) are planes `PLANE`.. of a region; its pitches and flags; its operand."""


@kernel
def map_requests(spans: Int, parts: Int, rows: Int, cols: Int) -> tuple[Int, Int]:
    """Requests for all tiles of a map that lies in one region or in several.

    Shapes:  spans int64 [n, 2], channels low and high (exclusive); parts int64 [p, 8]; rows int64 [operands, 2, R]; cols int64
             [operands, 2, X]; tiles are the product n x R x X in that order -> requests int64 [m, 8]; the tile of each int64 [m]
    Units:   `rows`: lines; `cols`: bytes from the start of a line
    Raises:  nothing
    """
    count = 0
    for n in range(spans.shape[0]):
        for p in range(parts.shape[0]):
            count += max(spans[n, 0], parts[p, LOW]) < min(spans[n, 1], parts[p, HIGH])
    many_rows, many_cols = rows.shape[2], cols.shape[2]
    requests = np.empty((count * many_rows * many_cols, REQUEST), dtype=np.int64)
    tiles = np.empty(count * many_rows * many_cols, dtype=np.int64)
    at = 0
    for n in range(spans.shape[0]):
        for y in range(many_rows):
            for x in range(many_cols):
                for p in range(parts.shape[0]):
                    low, high = max(spans[n, 0], parts[p, LOW]), min(spans[n, 1], parts[p, HIGH])
                    if low < high:
                        source = parts[p, SOURCE]
                        plane = parts[p, PLANE] + low - parts[p, LOW]
                        requests[at, START] = parts[p, ADDRESS] + rows[source, 0, y] * parts[p, OF_ROWS] + cols[source, 0, x]
                        requests[at, PLANE_PITCH], requests[at, FIRST], requests[at, PLANES] = parts[p, OF_PLANES], plane, high - low
                        requests[at, FLAG] = parts[p, FIRST_FLAG] + plane
                        requests[at, ROWS] = rows[source, 1, y] - rows[source, 0, y]
                        requests[at, ROW_BYTES] = cols[source, 1, x] - cols[source, 0, x]
                        requests[at, ROW_PITCH] = parts[p, OF_ROWS]
                        tiles[at] = (n * many_rows + y) * many_cols + x
                        at += 1
    return requests, tiles


@kernel
def strided_jobs(requests: Int, tiles: Int, live: Bool, rules: tuple[int, int, int], base: int, table: Int) -> Int:
    """Jobs that move the live planes of each request; runs that lie near each other are joined, neighbours are one strided job.

    Shapes:  requests int64 [m, 8]; tiles int64 [m], ascending; live bool [flags]; table int64 [tiles, 4], filled: jobs low and high
             (exclusive) from `base` on, bytes wanted, bytes with all planes -> jobs int64 [., 6]
    Units:   `rules`: smallest gap that is skipped and bytes of an access; dimensions of a job
    Raises:  nothing
    """
    jobs = np.empty((2 * requests.shape[0] + 8, 6), dtype=np.int64)
    at, m = 0, 0
    for tile in range(table.shape[0]):
        table[tile, 0], table[tile, 2], table[tile, 3] = base + at, 0, 0
        while m < requests.shape[0] and tiles[m] == tile:
            planes, flag, size = requests[m, PLANES], requests[m, FLAG], requests[m, ROWS] * requests[m, ROW_BYTES]
            room = at + planes * (requests[m, ROWS] if rules[2] == 1 else 1)
            if room > jobs.shape[0]:
                more = np.empty((2 * room, 6), dtype=np.int64)
                for job in range(at):
                    for column in range(6):
                        more[job, column] = jobs[job, column]
                jobs = more
            many = 0
            for plane in range(planes):
                many += live[flag + plane]
            if many and size:
                at = planes_of(requests, m, live, rules, jobs, at)
            table[tile, 2] += many * size
            table[tile, 3] += planes * size
            m += 1
        table[tile, 1] = base + at
    return jobs[:at]


@kernel
def planes_of(requests: Int, m: int, live: Bool, rules: tuple[int, int, int], jobs: Int, at: int) -> int:
    """Write the jobs of request m into `jobs` from row `at` on. Returns the row after the last."""
    min_skip, access, dims = rules
    start, pitch, row_pitch, flag = requests[m, START], requests[m, PLANE_PITCH], requests[m, ROW_PITCH], requests[m, FLAG]
    rows, row_bytes = requests[m, ROWS], requests[m, ROW_BYTES]
    if rows > 1 and closed(start, row_bytes, row_pitch, min_skip, access):
        row_bytes, rows = (rows - 1) * row_pitch + row_bytes, 1
    join = rows == 1 and closed(start, row_bytes, pitch, min_skip, access)
    first, n, low = at, requests[m, PLANES], 0
    unrolled = False
    while low < n:
        if not live[flag + low]:
            low += 1
            continue
        high = low + 1
        while high < n and live[flag + high]:
            high += 1
        address = start + (requests[m, FIRST] + low) * pitch
        if join:
            end = address + (high - low - 1) * pitch + row_bytes
            if at > first and near(jobs[at - 1, 0] + jobs[at - 1, 1], address, min_skip, access):
                jobs[at - 1, 1] = end - jobs[at - 1, 0]
            else:
                at = append(jobs, at, address, end - address, 1, 0, 1, 0)
        elif rows == 1:
            if dims == 1:
                unrolled |= high - low > 1
                for plane in range(high - low):
                    at = append(jobs, at, address + plane * pitch, row_bytes, 1, pitch, 1, 0)
            else:
                at = append(jobs, at, address, row_bytes, high - low, pitch, 1, 0)
        elif dims == 3:
            at = append(jobs, at, address, row_bytes, rows, row_pitch, high - low, pitch)
        else:
            unrolled |= high - low > 1
            for plane in range(high - low):
                if dims == 2:
                    at = append(jobs, at, address + plane * pitch, row_bytes, rows, row_pitch, 1, pitch)
                else:
                    for row in range(rows):
                        at = append(jobs, at, address + plane * pitch + row * row_pitch, row_bytes, 1, 0, 1, pitch)
        low = high
    if unrolled:
        for job in range(first, at):
            jobs[job, 3 if rows == 1 else 5] = 0
    return at


@kernel
def append(jobs: Int, at: int, address: int, row_bytes: int, rows: int, row_pitch: int, planes: int, plane_pitch: int) -> int:
    """Write one job. Returns the next row."""
    jobs[at, 0], jobs[at, 1], jobs[at, 2], jobs[at, 3], jobs[at, 4], jobs[at, 5] = address, row_bytes, rows, row_pitch, planes, plane_pitch
    return at + 1


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
def undominated(needed: Int, cost: Int) -> Bool:
    """Which choices are worth having: there is none that costs less and needs no more of any memory.

    Shapes:  needed int64 [memories, n], cost int64 [n] ascending -> bool [n]
    Raises:  nothing
    """
    memories, count = needed.shape
    kept = np.zeros(count, dtype=np.bool_)
    found = np.empty(count, dtype=np.int64)
    many = 0
    for n in range(count):
        beaten = False
        for m in range(many):
            other = found[m]
            if cost[other] == cost[n]:
                break
            beaten = True
            for memory in range(memories):
                beaten &= needed[memory, other] <= needed[memory, n]
            if beaten:
                break
        if not beaten:
            kept[n] = True
            found[many] = n
            many += 1
    return kept


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
def strided_moved(requests: Int, tiles: Int, live: Bool, rules: tuple[int, int, int], moved: Int) -> None:
    """Bytes that the jobs of `strided_jobs` move.

    Shapes:  as there; moved int64 [tiles], added to
    Raises:  nothing
    """
    jobs = np.empty((8, 6), dtype=np.int64)
    for m in range(requests.shape[0]):
        room = requests[m, PLANES] * (requests[m, ROWS] if rules[2] == 1 else 1)
        if room > jobs.shape[0]:
            jobs = np.empty((2 * room, 6), dtype=np.int64)
        if requests[m, ROWS] * requests[m, ROW_BYTES]:
            for job in range(planes_of(requests, m, live, rules, jobs, 0)):
                moved[tiles[m]] += job_bytes(jobs, job, rules[1])


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
