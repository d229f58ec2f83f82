"""Descriptors of live planes: which jobs move those of each piece of a map or of filters.

A request is a row of eight integers: address of the piece in plane 0, distance of planes, first plane, planes, place of the first plane's
flag among all flags, rows, bytes of a row, distance of rows.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import kernel
from accelsim.kernels.schedule.jobs import COLUMNS, Bool, Int, Rules, append, bytes_of, closed, joined, roomy

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
def strided_jobs(requests: Int, tiles: Int, live: Bool, rules: Rules, base: int, table: Int) -> Int:
    """Jobs that move the live planes of each request; runs that lie near each other are joined, neighbours are one strided job.

    Shapes:  requests int64 [m, 8]; tiles int64 [m], ascending; live bool [flags]; table int64 [tiles, 4], filled: jobs low and high
             (exclusive) from `base` on, bytes wanted, bytes with all planes -> jobs int64 [., 6]
    Units:   `rules`: smallest gap that is skipped and bytes of an access; dimensions of a job
    Raises:  nothing
    """
    jobs = np.empty((2 * requests.shape[0] + 8, COLUMNS), dtype=np.int64)
    at, m = 0, 0
    for tile in range(table.shape[0]):
        table[tile, 0], table[tile, 2], table[tile, 3] = base + at, 0, 0
        while m < requests.shape[0] and tiles[m] == tile:
            planes, flag, size = requests[m, PLANES], requests[m, FLAG], requests[m, ROWS] * requests[m, ROW_BYTES]
            jobs = roomy(jobs, at, at + planes * (requests[m, ROWS] if rules[2] == 1 else 1))
            many = 0
            for plane in range(planes):
                many += live[flag + plane]
            if many and size:
                at += planes_of(requests, m, live, rules, jobs[at:])
            table[tile, 2] += many * size
            table[tile, 3] += planes * size
            m += 1
        table[tile, 1] = base + at
    return jobs[:at]


@kernel
def strided_moved(requests: Int, tiles: Int, live: Bool, rules: Rules, moved: Int) -> None:
    """Bytes that the jobs of `strided_jobs` move.

    Shapes:  as there; moved int64 [tiles], added to
    Raises:  nothing
    """
    jobs = np.empty((8, COLUMNS), dtype=np.int64)
    for m in range(requests.shape[0]):
        jobs = roomy(jobs, 0, requests[m, PLANES] * (requests[m, ROWS] if rules[2] == 1 else 1))
        if requests[m, ROWS] * requests[m, ROW_BYTES]:
            moved[tiles[m]] += bytes_of(jobs, planes_of(requests, m, live, rules, jobs), rules[1])


@kernel
def planes_of(requests: Int, m: int, live: Bool, rules: Rules, jobs: Int) -> int:
    """Write the jobs of request m. Returns how many."""
    min_skip, access, dims = rules
    start, pitch, row_pitch, flag = requests[m, START], requests[m, PLANE_PITCH], requests[m, ROW_PITCH], requests[m, FLAG]
    rows, row_bytes = requests[m, ROWS], requests[m, ROW_BYTES]
    if rows > 1 and closed(start, row_bytes, row_pitch, min_skip, access):
        row_bytes, rows = (rows - 1) * row_pitch + row_bytes, 1
    join = rows == 1 and closed(start, row_bytes, pitch, min_skip, access)
    at, n, low = 0, requests[m, PLANES], 0
    unrolled = False
    while low < n:
        if not live[flag + low]:
            low += 1
            continue
        high = low + 1
        while high < n and live[flag + high]:
            high += 1
        address = start + (requests[m, FIRST] + low) * pitch
        # what one job moves: planes, and lines of each
        planes, lines = high - low if dims == 3 or (dims == 2 and rows == 1) else 1, rows if dims > 1 else 1
        if join:
            at, _ = joined(jobs, at, at - 1, address, address + (high - low - 1) * pitch + row_bytes, rules)
        elif rows == 1:
            for plane in range(0, high - low, planes):
                at = append(jobs, at, address + plane * pitch, row_bytes, planes, pitch, 1, 0)
        else:
            for plane in range(0, high - low, planes):
                for line in range(0, rows, lines):
                    begin, distance = address + plane * pitch + line * row_pitch, row_pitch if lines > 1 else 0
                    at = append(jobs, at, begin, row_bytes, lines, distance, planes, pitch)
        unrolled |= planes < high - low
        low = high
    if unrolled and not join:
        for job in range(at):
            jobs[job, 3 if rows == 1 else 5] = 0
    return at
