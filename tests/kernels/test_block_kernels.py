"""Descriptors of fetch units and of live parts of maps, and the bytes that they move, against numpy one block at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive_jobs import parts_one_by_one, units_one_by_one

from accelsim.kernels.schedule.jobs import moved_bytes
from accelsim.schedule.memory import DENSE, HIGH, LOW, WANTED, Blocks, MapRegion
from accelsim.schedule.runs import Rules
from accelsim.schemes.base import EncodedMap, place, unit_sizes

RULES = st.builds(Rules, min_skip=st.sampled_from([1, 8, 40]), access=st.sampled_from([1, 4, 16]), dims=st.integers(1, 3))


@st.composite
def blocks(draw, shape):
    """Channel spans, windows of rows and windows of columns, which may overlap or be empty."""
    found = []
    for size in shape:
        edges = []
        for _ in range(draw(st.integers(1, 3))):
            low = draw(st.integers(0, size))
            edges.append((low, draw(st.integers(low, size))))
        found.append(np.array(edges, dtype=np.int64))
    return Blocks(found[0], np.ascontiguousarray(found[1].T), np.ascontiguousarray(found[2].T))


@st.composite
def placed(draw):
    """A map in units of any size, in slots or packed, and blocks of it."""
    shape = tuple(draw(st.integers(1, most)) for most in (6, 9, 9))
    unit = tuple(draw(st.integers(1, extent)) for extent in shape)
    elements = [np.minimum(size, extent - np.arange(0, extent, size)) for size, extent in zip(unit, shape, strict=True)]
    dense = np.multiply.outer(np.multiply.outer(elements[0], elements[1]), elements[2]) * 2
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    stored = np.where(rng.random(dense.shape) < draw(st.sampled_from([0.3, 0.8, 1.0])), rng.integers(1, dense + 1), 0)
    offsets, extent = place(stored, dense, draw(st.sampled_from([1, 16])), draw(st.sampled_from(["slots", "packed"])))
    encoded = EncodedMap(*unit[1:], stored, 0, unit[0], offsets=offsets, extent=extent)
    return MapRegion(draw(st.integers(0, 40)), shape, 16, encoded), draw(blocks(shape))


@st.composite
def raster(draw):
    """A map in the raster with skipped parts, and blocks of it: broad lines and short ones, parts of single elements among them."""
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 12)), draw(st.sampled_from([1, 5, 12, 40, 90]))
    tall, wide = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 5, 16]))
    bits = draw(st.sampled_from([4, 8, 12, 16]))
    sizes = unit_sizes(shape, tall, wide, bits)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    live = rng.random((shape[0], *sizes.shape)) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    # whole planes, and parts that go on below, are otherwise rare
    live |= rng.random((shape[0], 1, 1)) < draw(st.sampled_from([0.0, 0.5]))
    live |= rng.random((shape[0], 1, live.shape[2])) < draw(st.sampled_from([0.0, 0.3]))
    region = MapRegion(draw(st.integers(0, 40)), shape, bits, EncodedMap(tall, wide, np.where(live, sizes, 0), 0))
    return region, draw(blocks(shape))


def check(region, cut, rules, twin):
    """Jobs and bytes of all blocks are those of each block."""
    jobs, table = region.jobs(cut, rules)
    bits, at = region.bits, 0
    expected = []
    for channels in cut.channels.tolist():
        for rows in cut.rows.T.tolist():
            for cols in cut.cols.T.tolist():
                found, wanted = twin(region, (channels, rows, cols), rules.key)
                line = -(-cols[1] * bits // 8) - cols[0] * bits // 8 if cols[0] < cols[1] else 0
                dense = (channels[1] - channels[0]) * (rows[1] - rows[0]) * line
                low, high = table[at, [LOW, HIGH]]
                assert jobs[low:high].tolist() == found.tolist()
                assert table[at, [WANTED, DENSE]].tolist() == [min(wanted, dense), dense]
                expected.append(int(moved_bytes(found, rules.access).sum()) if len(found) else 0)
                at += 1
    assert at == len(table)
    assert region.moved(cut, rules).tolist() == expected
    return jobs


@given(placed(), RULES)
def test_the_jobs_of_units_are_those_of_each_block(case, rules):
    jobs = check(*case, rules, units_one_by_one)
    assert (jobs[:, [2, 4]] == 1).all()


@given(raster(), RULES)
def test_the_jobs_of_live_parts_are_those_of_each_block(case, rules):
    region, cut = case
    if region.flags is None:
        check(region, cut, rules, parts_one_by_one)


@given(raster(), RULES)
def test_whole_channels_are_moved_as_parts_that_are_as_large(case, rules):
    region, cut = case
    whole = region.encoded.unit_bytes.any(axis=(1, 2))
    sizes = unit_sizes(region.shape, *region.shape[1:], region.bits)
    channels = MapRegion(
        region.address, region.shape, region.bits, EncodedMap(*region.shape[1:], np.where(whole[:, None, None], sizes, 0), 0)
    )
    assert channels.flags.tolist() == whole.tolist()
    check(channels, cut, rules, parts_one_by_one)
