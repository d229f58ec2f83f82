"""Descriptors of the live parts of planes: a block of a map moves what it holds of each, lines that lie near each other joined.

Blocks are the products of channel spans, windows of rows and windows of columns, in that order. Planes of which a block holds only live
parts are moved together, as planes of a dense map are; the others part by part. Parts that lie one below the other are one taller piece.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import kernel
from accelsim.kernels.schedule.jobs import COLUMNS, NO_RUN, Bool, Int, Rules, append, bytes_of, closed, joined, near, roomy, small
from accelsim.kernels.schedule.planes import REQUEST, planes_of

Block = tuple[int, int, int, int, int, int]
"""Low and high (exclusive) channels, rows and columns."""
Raster = tuple[int, int, int, int, int, int]
"""Address of a map, distances of planes and of rows, bits of an element, rows and columns of a part."""


@kernel
def part_jobs(spans: Int, rows: Int, cols: Int, raster: Raster, live: Bool, rules: Rules, kept: bool, table: Int) -> Int:
    """Jobs that move the live parts of each block; where they are not `kept`, they are only weighed.

    Shapes:  spans int64 [n, 2], rows int64 [2, R], cols int64 [2, X], low and high (exclusive); live bool [C, bands, parts]; table int64
             [n * R * X, 4], its first three columns filled: jobs low and high (exclusive), bytes wanted; or 0, bytes moved, 0
             -> jobs int64 [., 6]
    Units:   elements; `raster`: bytes, but for the bits of an element and the rows and columns of a part
    Raises:  nothing
    """
    jobs = np.empty((2 * table.shape[0] + 8, COLUMNS), dtype=np.int64)
    at, number = 0, 0
    for n in range(spans.shape[0]):
        for y in range(rows.shape[1]):
            for x in range(cols.shape[1]):
                block = (spans[n, 0], spans[n, 1], rows[0, y], rows[1, y], cols[0, x], cols[1, x])
                jobs = roomy(jobs, at, at + most_jobs(block, raster, rules))
                table[number, 0], table[number, 2] = at, 0
                at += parts_of(live, block, raster, rules, jobs[at:])
                if kept:
                    table[number, 1], table[number, 2] = at, live_bytes(live, block, raster)
                else:
                    table[number, 1], at = bytes_of(jobs, at, rules[1]), 0
                number += 1
    return jobs[:at]


@kernel
def most_jobs(block: Block, raster: Raster, rules: Rules) -> int:
    """Rows that `parts_of` writes at most: lines, or pieces of bands, and planes that are put in order with them."""
    c_low, c_high, y_low, y_high, x_low, x_high = block
    _, _, _, _, tall, wide = raster
    bands = -(-y_high // tall) - y_low // tall
    apart = -(-x_high // wide) - x_low // wide + 1
    by_line = rules[2] == 1 or small(raster[2], rules) or small(extent(block, raster), rules)
    return max(c_high - c_low, 0) * (max(y_high - y_low if by_line else bands, 0) * max(apart // 2, 0) + max(y_high - y_low, 0))


@kernel
def extent(block: Block, raster: Raster) -> int:
    """Bytes from the first to the last of what a block holds of a plane."""
    _, _, y_low, y_high, x_low, x_high = block
    _, _, pitch, bits, _, _ = raster
    return (y_high - y_low - 1) * pitch - (-x_high * bits // 8) - x_low * bits // 8


@kernel
def parts_of(live: Bool, block: Block, raster: Raster, rules: Rules, jobs: Int) -> int:
    """Write the jobs of one block; rows behind them are overwritten, too. Returns how many."""
    c_low, c_high, y_low, y_high, x_low, x_high = block
    address, plane_pitch, pitch, bits, tall, wide = raster
    if c_low >= c_high or y_low >= y_high or x_low >= x_high:
        return 0
    whole = np.empty(c_high - c_low, dtype=np.bool_)
    broken = False
    for c in range(c_low, c_high):
        some, every = False, True
        for band in range(y_low // tall, -(-y_high // tall)):
            for part in range(x_low // wide, -(-x_high // wide)):
                some |= live[c, band, part]
                every &= live[c, band, part]
            if some and not every:
                broken = True
                break
        whole[c - c_low] = every
    if broken and small(extent(block, raster), rules):
        rules = (rules[0], rules[1], 1)
    left = x_low * bits // 8
    request = np.empty((1, REQUEST), dtype=np.int64)
    piece = (address + y_low * pitch + left, plane_pitch, c_low, c_high - c_low, 0, y_high - y_low, -(-x_high * bits // 8) - left, pitch)
    for column in range(REQUEST):
        request[0, column] = piece[column]
    middle = planes_of(request, 0, whole, rules, jobs)
    if not broken:
        return middle
    at = broken_planes(live, whole, block, raster, rules, jobs, middle)
    in_order(jobs, middle, at)
    for job in range(at):
        if jobs[job, 2] > 1:
            return at
    end, run = 0, NO_RUN
    for job in range(at):
        end, run = joined(jobs, end, run, jobs[job, 0], jobs[job, 0] + jobs[job, 1], rules)
    return end


@kernel
def broken_planes(live: Bool, whole: Bool, block: Block, raster: Raster, rules: Rules, jobs: Int, at: int) -> int:
    """Write the jobs of the live parts of planes that are not whole from row `at` on. Returns the row after the last.

    Where a line is so short that lines may be near each other, each is a run of its own, joined to the one before where that is near.
    Else bands are walked from above, and one that has the same single run as that above it makes this one taller.
    """
    c_low, c_high, y_low, y_high, x_low, x_high = block
    address, plane_pitch, pitch, _, tall, wide = raster
    by_line, bands = small(pitch, rules), -(-y_high // tall)
    runs = np.empty((-(-x_high // wide) - x_low // wide, 2), dtype=np.int64)
    run = NO_RUN
    for c in range(c_low, c_high):
        if whole[c - c_low]:
            continue
        start, size, lines = 0, 0, 0
        for band in range(y_low // tall, bands + 1):
            top, many = max(band * tall, y_low), 0
            line, height = address + c * plane_pitch + top * pitch, min((band + 1) * tall, y_high) - top
            if band < bands:
                many = live_runs(live, c, band, block, raster, line, rules, runs)
            alone = many == 1 and not by_line
            if alone and lines and line + runs[0, 0] == start + lines * pitch and runs[0, 1] - runs[0, 0] == size:
                lines += height
                continue
            at, run = tall_piece(jobs, at, run, start, size, lines, pitch, rules)
            start, size, lines = line + runs[0, 0], runs[0, 1] - runs[0, 0], height if alone else 0
            if alone:
                continue
            if by_line or height == 1:
                for one in range(height * many):
                    at_line = line + one // many * pitch
                    at, run = joined(jobs, at, run, at_line + runs[one % many, 0], at_line + runs[one % many, 1], rules)
            elif rules[2] == 1:
                for one in range(height * many):
                    at_line = line + one // many * pitch
                    at = append(jobs, at, at_line + runs[one % many, 0], runs[one % many, 1] - runs[one % many, 0], 1, 0, 1, 0)
            else:
                for one in range(many):
                    at = append(jobs, at, line + runs[one, 0], runs[one, 1] - runs[one, 0], height, pitch, 1, 0)
    return at


@kernel
def live_runs(live: Bool, c: int, band: int, block: Block, raster: Raster, line: int, rules: Rules, runs: Int) -> int:
    """Write the live runs of a line into `runs`, near ones as one. Returns how many. Units: bytes from the start of the line."""
    _, _, _, _, x_low, x_high = block
    _, _, pitch, bits, _, wide = raster
    min_skip, access, _ = rules
    many, part, last = 0, x_low // wide, -(-x_high // wide)
    while part < last:
        if not live[c, band, part]:
            part += 1
            continue
        begin = max(part * wide, x_low) * bits // 8
        while part < last and live[c, band, part]:
            part += 1
        end = -(-min(part * wide, x_high) * bits // 8)
        if many and pitch % access == 0:
            same = near(line + runs[many - 1, 1], line + begin, min_skip, access)
        else:  # lines lie differently within accesses
            same = many > 0 and begin - runs[many - 1, 1] < max(min_skip, access)
        if not same:
            runs[many, 0] = begin
            many += 1
        runs[many - 1, 1] = end
    return many


@kernel
def tall_piece(jobs: Int, at: int, run: int, start: int, size: int, lines: int, pitch: int, rules: Rules) -> tuple[int, int]:
    """Write some lines, each of which is one run. Returns the next row, and the row of the last run that others may be joined to."""
    if lines == 0:
        return at, run
    if lines == 1 or closed(start, size, pitch, rules[0], rules[1]):
        return joined(jobs, at, run, start, start + (lines - 1) * pitch + size, rules)
    if rules[2] > 1:
        return append(jobs, at, start, size, lines, pitch, 1, 0), run
    for line in range(lines):
        at = append(jobs, at, start + line * pitch, size, 1, 0, 1, 0)
    return at, run


@kernel
def in_order(jobs: Int, middle: int, high: int) -> None:
    """Merge the jobs before and from row `middle` on, both by ascending address; as many rows behind `high` are overwritten."""
    for job in range(middle):
        for column in range(COLUMNS):
            jobs[high + job, column] = jobs[job, column]
    one, other, end = high, middle, high + middle
    for to in range(high):
        if other == high or (one < end and jobs[one, 0] <= jobs[other, 0]):
            source = one
            one += 1
        else:
            source = other
            other += 1
        for column in range(COLUMNS):
            jobs[to, column] = jobs[source, column]


@kernel
def live_bytes(live: Bool, block: Block, raster: Raster) -> int:
    """Bytes that hold something of the live parts of a block; one that two neighbours share counts once."""
    c_low, c_high, y_low, y_high, x_low, x_high = block
    _, _, _, bits, tall, wide = raster
    found = 0
    for band in range(y_low // tall, -(-y_high // tall)):
        lines = min((band + 1) * tall, y_high) - max(band * tall, y_low)
        for part in range(x_low // wide, -(-x_high // wide)):
            begin, end = max(part * wide, x_low) * bits // 8, -(-min((part + 1) * wide, x_high) * bits // 8)
            shared = -(-part * wide * bits // 8) - begin  # with the part to the left
            for c in range(c_low, c_high):
                if live[c, band, part]:
                    both = part > x_low // wide and live[c, band, part - 1]
                    found += lines * (end - begin - (shared if both else 0))
    return found
