"""Slow twins of `kernels.schedule`: the jobs of one piece, made with numpy.

A job is a row of six integers: address, row_bytes, rows, row_pitch, planes, plane_pitch. `rules`: as kernels take them.
"""

from __future__ import annotations

import numpy as np

NO_JOBS = np.zeros((0, 6), dtype=np.int64)


def near(end, start, min_skip, access):
    return (start - end < min_skip) | (start // access * access <= -(-end // access) * access)


def closed(start, row_bytes, pitch, min_skip, access):
    """Rows at a pitch are one run: wherever they lie if rows lie differently within accesses, or else where they do."""
    if pitch % access == 0:
        return bool(near(start + row_bytes, start + pitch, min_skip, access))
    return pitch - row_bytes < max(min_skip, access)


def lines(starts, sizes):
    jobs = np.zeros((starts.size, 6), dtype=np.int64)
    jobs[:, 0], jobs[:, 1], jobs[:, 2], jobs[:, 4] = starts, sizes, 1, 1
    return jobs


def unrolled(jobs, count, pitch):
    """Each of several rows (or planes) a job of its own."""
    if (jobs[:, count] == 1).all():
        return jobs
    found = []
    for job in jobs:
        for number in range(job[count]):
            one = job.copy()
            one[0] += number * job[pitch]
            one[count], one[pitch] = 1, 0
            found.append(one)
    return np.array(found)


def planes_one_by_one(request, live, rules):
    """Jobs of one request."""
    start, pitch, first, _, _, rows, row_bytes, row_pitch = request.tolist()
    min_skip, access, dims = rules
    planes = first + np.flatnonzero(live)
    if not planes.size:
        return NO_JOBS
    if rows > 1 and closed(start, row_bytes, row_pitch, min_skip, access):
        row_bytes, rows = (rows - 1) * row_pitch + row_bytes, 1
    if rows == 1 and closed(start, row_bytes, pitch, min_skip, access):
        starts = start + planes * pitch
        apart = np.flatnonzero(~near(starts[:-1] + row_bytes, starts[1:], min_skip, access))
        begin, end = starts[np.append(0, apart + 1)], starts[np.append(apart, planes.size - 1)] + row_bytes
        return lines(begin, end - begin)
    heads = np.append(0, np.flatnonzero(np.diff(planes) != 1) + 1)
    counts = np.diff(np.append(heads, planes.size))
    jobs = lines(start + planes[heads] * pitch, np.full(heads.size, row_bytes))
    if rows == 1:
        jobs[:, 2], jobs[:, 3] = counts, pitch
    else:
        jobs[:, 2], jobs[:, 3], jobs[:, 4], jobs[:, 5] = rows, row_pitch, counts, pitch
    if dims < 3:
        jobs = unrolled(jobs, 4, 5)
    return unrolled(jobs, 2, 3) if dims < 2 else jobs


def joined(starts, ends, rules):
    """Jobs for runs in ascending order, near ones as one."""
    apart = np.flatnonzero(~near(ends[:-1], starts[1:], *rules[:2]))
    first = starts[np.append(0, apart + 1)]
    return lines(first, ends[np.append(apart, starts.size - 1)] - first)


def in_order(jobs):
    return jobs[np.argsort(jobs[:, 0], kind="stable")]


def by_run(jobs, rules):
    """Jobs as runs, near and overlapping ones as one."""
    runs = in_order(unrolled(unrolled(jobs, 4, 5), 2, 3))
    return joined(runs[:, 0], np.maximum.accumulate(runs[:, 0] + runs[:, 1]), rules)


def small(size, rules):
    """Whether runs on both sides of a piece can be near each other."""
    return size < max(rules[0], 2 * rules[1])


def units_one_by_one(region, block, rules):
    """Jobs of the units that a block touches, bytes wanted."""
    encoded = region.encoded
    touched, shares = [], []
    for (low, high), size, extent in zip(
        block, (encoded.unit_channels, encoded.unit_height, encoded.unit_width), region.shape, strict=True
    ):
        units = np.arange(low // size, -(-high // size))
        first, end = units * size, np.minimum((units + 1) * size, extent)
        touched.append(units)
        shares.append((np.minimum(end, high) - np.maximum(first, low), end - first))
    if any(low >= high for low, high in block):
        return NO_JOBS, 0
    sizes, starts = (table[np.ix_(*touched)] for table in (encoded.unit_bytes, region.address + encoded.offsets))
    part, whole = (np.multiply.outer(np.multiply.outer(c, y), x) for c, y, x in zip(*shares, strict=True))
    live = sizes > 0
    jobs = joined(starts[live], (starts + sizes)[live], rules) if live.any() else NO_JOBS
    return jobs, int((-(-sizes * part // whole)).sum())


def parts_one_by_one(region, block, rules):
    """Jobs of the live parts of planes that a block holds, bytes that hold something of them."""
    if any(low >= high for low, high in block):
        return NO_JOBS, 0
    (first, last), rows, cols = block
    tall, wide, bits, pitch = region.encoded.unit_height, region.encoded.unit_width, region.bits, region.row_bytes
    bands, parts = (np.arange(low // size, -(-high // size)) for (low, high), size in ((rows, tall), (cols, wide)))
    tops = np.maximum(bands * tall, rows[0])
    counts = np.minimum((bands + 1) * tall, rows[1]) - tops
    low, high = np.maximum(parts * wide, cols[0]) * bits // 8, -(-np.minimum((parts + 1) * wide, cols[1]) * bits // 8)
    live = region.encoded.unit_bytes[first:last, bands[0] : bands[-1] + 1, parts[0] : parts[-1] + 1] > 0
    wanted = (live.sum(axis=0) * np.multiply.outer(counts, high - low)).sum()
    # a byte that two live neighbours share is wanted once
    wanted -= ((live[:, :, :-1] & live[:, :, 1:]).sum(axis=0) * np.multiply.outer(counts, high[:-1] - low[1:])).sum()
    count, width = rows[1] - rows[0], int(high[-1] - low[0])
    some, whole = live.any(axis=(1, 2)), live.all(axis=(1, 2))
    start = region.address + rows[0] * pitch + int(low[0])
    request = np.array([start, region.plane_bytes, first, 0, 0, count, width, pitch])
    jobs = planes_one_by_one(request, whole, rules)
    broken = np.flatnonzero(some & ~whole)
    if broken.size:
        planes = region.address + (first + broken) * region.plane_bytes
        jobs = in_order(np.concatenate([jobs, broken_planes(planes, low, high, tops, counts, pitch, live[broken], rules)]))
        if small((count - 1) * pitch + width, rules) or (jobs[:, 2] == 1).all():
            jobs = by_run(jobs, rules)
    return jobs, int(wanted)


def broken_planes(start, low, high, tops, counts, pitch, live, rules):
    """Jobs of the live parts of several planes, found in all of them at once."""
    min_skip, access, dims = rules
    edges = np.zeros((*live.shape[:2], live.shape[2] + 2), dtype=np.int8)
    edges[:, :, 1:-1] = live
    steps = np.diff(edges, axis=2)
    plane, band, opens = np.nonzero(steps == 1)
    begin, end = low[opens], high[np.nonzero(steps == -1)[2] - 1]
    row = plane * live.shape[1] + band
    address = start[plane] + tops[band] * pitch
    if pitch % access == 0:
        close = near((address + end)[:-1], (address + begin)[1:], min_skip, access)
    else:
        close = begin[1:] - end[:-1] < max(min_skip, access)
    apart = np.flatnonzero(~(close & (row[1:] == row[:-1])))
    first, last = np.append(0, apart + 1), np.append(apart, row.size - 1)
    row, plane, band, begin, end = row[first], plane[first], band[first], begin[first], end[last]
    # bands of one interval each that continue the band above become one taller job
    lone = np.bincount(row, minlength=live.shape[0] * live.shape[1])[row] == 1
    same = (begin[1:] == begin[:-1]) & (end[1:] == end[:-1]) & (plane[1:] == plane[:-1]) & (band[1:] == band[:-1] + 1)
    heads = np.append(0, np.flatnonzero(~(same & lone[1:] & lone[:-1])) + 1)
    jobs = lines((start[plane] + tops[band] * pitch + begin)[heads], (end - begin)[heads])
    jobs[:, 2], jobs[:, 3] = np.add.reduceat(counts[band], heads), pitch
    if small(pitch, rules):
        return by_run(jobs, rules)
    one_run = np.array([closed(address, size, pitch, min_skip, access) for address, size in jobs[:, :2].tolist()])
    one_run = (one_run & lone[heads]) | (jobs[:, 2] == 1)
    runs, others = jobs[one_run], jobs[~one_run]
    found = joined(runs[:, 0], runs[:, 0] + (runs[:, 2] - 1) * pitch + runs[:, 1], rules) if len(runs) else NO_JOBS
    return in_order(np.concatenate([found, unrolled(others, 2, 3) if dims < 2 and len(others) else others]))
