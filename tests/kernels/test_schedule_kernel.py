"""Descriptors of many pieces at once, against numpy one piece at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive_jobs import planes_one_by_one

from accelsim.kernels.schedule.planes import map_requests, strided_jobs

RULES = st.tuples(st.sampled_from([1, 8, 40]), st.sampled_from([1, 4, 16]), st.integers(1, 3))


@st.composite
def stored_maps(draw):
    """Regions of some channels each, which parts of them a map is made of, and how it is cut into tiles."""
    width, height = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    row_pitch = width + draw(st.sampled_from([0, 0, 5, 40]))
    plane_pitch = height * row_pitch + draw(st.sampled_from([0, 0, 16, 70]))
    flags, parts, low, address = [], [], 0, draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    for _ in range(draw(st.integers(1, 3))):
        channels = draw(st.integers(1, 7))
        first = draw(st.integers(0, channels - 1))
        high = low + channels - first
        parts.append((low, high, first, address, plane_pitch, row_pitch, len(flags), 0))
        flags += (rng.random(channels) < draw(st.sampled_from([0.4, 0.9, 1.0]))).tolist()
        low, address = high, address + channels * plane_pitch + draw(st.integers(0, 99))
    spans = [(start, min(low, start + size)) for size in [draw(st.integers(1, low))] for start in range(0, low, size)]
    windows = []
    for size in (height, width):
        starts = range(0, size, draw(st.integers(1, size)))
        windows.append([starts, [min(size, start + draw(st.integers(1, size))) for start in starts]])
    arrays = [np.array(found, dtype=np.int64) for found in (spans, parts, [[list(w) for w in windows[0]]], [[list(w) for w in windows[1]]])]
    return (*arrays, np.array(flags, dtype=np.bool_))


@given(stored_maps(), RULES, st.integers(0, 9))
def test_the_jobs_of_all_tiles_are_those_of_each_tile(stored, rules, base):
    spans, parts, rows, cols, live = stored
    requests, tiles = map_requests(spans, parts, rows, cols)
    table = np.full((len(spans) * rows.shape[2] * cols.shape[2], 4), -1, dtype=np.int64)
    jobs = strided_jobs(requests, tiles, live, rules, base, table)
    assert table[0, 0] == base
    assert table[-1, 1] == base + len(jobs)
    at = 0
    for low, high in spans.tolist():
        for top, bottom in rows[0].T.tolist():
            for left, right in cols[0].T.tolist():
                expected, wanted, dense = [], 0, 0
                for first, last, plane, address, pitch, of_rows, flag, _ in parts.tolist():
                    begin, end = max(low, first), min(high, last)
                    if begin < end:
                        at_plane = plane + begin - first
                        mask = live[flag + at_plane : flag + at_plane + end - begin]
                        start = address + top * of_rows + left
                        request = np.array([start, pitch, at_plane, 0, 0, bottom - top, right - left, of_rows])
                        expected += planes_one_by_one(request, mask, rules).tolist()
                        wanted += int(mask.sum()) * (bottom - top) * (right - left)
                        dense += (end - begin) * (bottom - top) * (right - left)
                found = table[at].tolist()
                assert jobs[found[0] - base : found[1] - base].tolist() == expected
                assert found[2:] == [wanted, dense]
                at += 1


def test_a_tile_without_any_part_moves_nothing():
    parts = np.array([[2, 4, 0, 100, 10, 10, 0, 0]], dtype=np.int64)
    window = np.array([[[0], [1]]], dtype=np.int64)
    requests, tiles = map_requests(np.array([[0, 2], [2, 4], [4, 6]], dtype=np.int64), parts, window, window * 10)
    table = np.empty((3, 4), dtype=np.int64)
    jobs = strided_jobs(requests, tiles, np.ones(2, dtype=np.bool_), (1, 1, 3), 5, table)
    assert jobs.tolist() == [[100, 20, 1, 0, 1, 0]]
    assert table.tolist() == [[5, 5, 0, 0], [5, 6, 20, 20], [6, 6, 0, 0]]
