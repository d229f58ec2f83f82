"""From live data to descriptors: every live byte once, gaps only where skipping would save nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_samples import accelerator, covered, graph, trace

from accelsim import schemes
from accelsim.hardware import Data
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.memory import Allocator, FilterRegion, MapRegion, live_windows
from accelsim.schedule.runs import Rules, join
from accelsim.schemes.base import EncodedMap, unit_sizes

RULES = st.builds(Rules, min_skip=st.sampled_from([1, 8, 40]), access=st.sampled_from([1, 4, 16]), dims=st.integers(1, 3))


@st.composite
def blocks(draw):
    """A map with skipped units, and a block of it."""
    shape = tuple(draw(st.integers(1, most)) for most in (6, 12, 12))
    whole = draw(st.booleans())
    tall, wide = shape[1:] if whole else (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    bits = draw(st.sampled_from([8, 16]))
    sizes = unit_sizes(shape, tall, wide, bits)
    live = np.random.default_rng(draw(st.integers(0, 999))).random((shape[0], *sizes.shape)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    region = MapRegion(draw(st.integers(0, 40)), shape, bits, EncodedMap(tall, wide, np.where(live, sizes, 0), 0))
    spans = []
    for size in shape:
        low = draw(st.integers(0, size - 1))
        spans.append((low, draw(st.integers(low + 1, size))))
    return region, spans


def live_bytes(region, spans):
    """Addresses of the live elements of a block, found one by one."""
    found, size = [], region.bits // 8
    for channel in range(*spans[0]):
        for row in range(*spans[1]):
            for col in range(*spans[2]):
                if region.encoded.unit_bytes[channel, row // region.encoded.unit_height, col // region.encoded.unit_width]:
                    start = region.address + channel * region.plane_bytes + row * region.row_bytes + col * size
                    found += range(start, start + size)
    return found


def check(jobs, live, rules):
    """Each live byte once; the rest lies in gaps that may be joined; no descriptor says more than the engine can."""
    moved = covered(jobs)
    assert len(set(moved.tolist())) == len(moved)
    assert set(live) <= set(moved.tolist())
    wanted = np.array(sorted(live), dtype=np.int64)
    for byte in sorted(set(moved.tolist()) - set(live)):
        at = np.searchsorted(wanted, byte)
        assert 0 < at < wanted.size, "a run begins or ends with bytes that nobody wants"
        assert wanted[at] - wanted[at - 1] - 1 < max(rules.min_skip, 2 * rules.access)
    dimensions = 1 + (jobs[:, 2] > 1) + (jobs[:, 4] > 1)
    assert (dimensions <= rules.dims).all()


@given(blocks(), RULES)
def test_a_block_moves_each_live_byte_once(case, rules):
    region, spans = case
    jobs, wanted, dense = region.piece(*spans, rules)
    live = live_bytes(region, spans)
    assert wanted == len(live)
    assert dense == np.prod([high - low for low, high in spans]) * region.bits // 8
    check(jobs, live, rules)


@given(blocks(), RULES)
def test_units_that_are_all_live_are_moved_as_the_dense_scheme_does(case, rules):
    region, spans = case
    sizes = unit_sizes(region.shape, *region.shape[1:], region.bits)
    dense = MapRegion(region.address, region.shape, region.bits, EncodedMap(*region.shape[1:], np.tile(sizes, (region.shape[0], 1, 1)), 0))
    if (region.encoded.unit_bytes > 0).all():
        assert region.piece(*spans, rules)[0].tolist() == dense.piece(*spans, rules)[0].tolist()


@st.composite
def filter_blocks(draw):
    layer = Geometry(draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 6)), 4, 4, 4, 4, (draw(st.integers(1, 3)), 1))
    group = draw(st.integers(0, layer.groups - 1))
    groups = (group, draw(st.integers(group + 1, layer.groups)))
    spans = [(0, layer.filters), (0, layer.channels)]
    if groups[1] - groups[0] == 1:
        for axis, size in enumerate((layer.filters, layer.channels)):
            low = draw(st.integers(0, size - 1))
            spans[axis] = (low, draw(st.integers(low + 1, size)))
    live = np.random.default_rng(draw(st.integers(0, 999))).random((groups[1] - groups[0], spans[1][1] - spans[1][0])) < 0.7
    region = FilterRegion(draw(st.integers(0, 40)), layer, draw(st.sampled_from([8, 16])), draw(st.sampled_from(["kcrs", "ckrs"])))
    return region, groups, *spans, live


@given(filter_blocks(), RULES)
def test_filters_of_live_channels_are_moved_once_in_both_layouts(case, rules):
    region, groups, filters, channels, live = case
    layer, size = region.layer, region.bits // 8
    wanted = []
    for group, mask in zip(range(*groups), live, strict=True):
        for k in range(*filters):
            for c, needed in zip(range(*channels), mask, strict=True):
                if region.layout == "kcrs":
                    element = ((group * layer.filters + k) * layer.channels + c) * layer.taps
                else:
                    element = ((group * layer.channels + c) * layer.filters + k) * layer.taps
                if needed:
                    wanted += range(region.address + element * size, region.address + (element + layer.taps) * size)
    jobs, bytes_wanted, dense = region.piece(groups, filters, channels, live, rules)
    assert bytes_wanted == len(wanted)
    assert dense == live.size * (filters[1] - filters[0]) * layer.taps * size
    check(jobs, wanted, rules)
    assert region.size == layer.weight_elements * size


def test_channel_major_filters_skip_a_slice_and_output_major_ones_cannot():
    layer = Geometry(1, 64, 8, 8, 8, 8, 8, (3, 3))
    live = np.ones((1, 8), dtype=bool)
    live[0, 3] = False
    moved = {}
    for layout in ("ckrs", "kcrs"):
        jobs, wanted, dense = FilterRegion(0, layer, 16, layout).piece((0, 1), (0, 64), (0, 8), live, Rules(64, 64, 3))
        assert dense - wanted == 64 * 9 * 2
        moved[layout] = dense - len(covered(jobs))
    assert moved == {"ckrs": 64 * 9 * 2, "kcrs": 0}


def test_whole_rows_are_contiguous_in_a_channel_and_whole_channels_over_channels():
    region = MapRegion(0, (4, 8, 64), 16, EncodedMap(8, 64, np.full((4, 1, 1), 1024), 0))
    rules = Rules(64, 64, 3)
    assert region.piece((0, 4), (0, 8), (0, 64), rules)[0].tolist() == [[0, 4096, 1, 0, 1, 0]]
    assert region.piece((0, 4), (2, 4), (0, 64), rules)[0].tolist() == [[256, 256, 4, 1024, 1, 0]]
    assert region.piece((0, 4), (2, 4), (0, 16), rules)[0].tolist() == [[256, 32, 2, 128, 4, 1024]]


@pytest.mark.parametrize(("dims", "jobs"), [(3, 1), (2, 4), (1, 8)])
def test_engines_of_fewer_dimensions_need_more_descriptors(dims, jobs):
    region = MapRegion(0, (4, 8, 64), 16, EncodedMap(8, 64, np.full((4, 1, 1), 1024), 0))
    assert len(region.piece((0, 4), (2, 4), (0, 16), Rules(64, 64, dims))[0]) == jobs


@pytest.mark.parametrize(("gap", "runs"), [(63, 1), (64, 2)])
def test_runs_that_lie_less_than_min_skip_apart_are_one(gap, runs):
    assert len(join(np.array([0, 128 + gap]), np.array([128, 256 + gap]), Rules(64, 1, 3))) == runs


def test_runs_whose_accesses_touch_are_one():
    assert len(join(np.array([0, 127]), np.array([1, 128]), Rules(1, 64, 3))) == 1
    assert len(join(np.array([0, 128]), np.array([1, 129]), Rules(1, 64, 3))) == 2


@given(st.integers(0, 80), st.integers(1, 70), st.integers(1, 70), RULES)
def test_rows_are_closed_when_two_of_them_are_joined_wherever_they_lie(start, row_bytes, gap, rules):
    pitch = row_bytes + gap
    shifts = [0] if pitch % rules.access == 0 else range(rules.access)
    starts = [np.array([start + shift, start + shift + pitch]) for shift in shifts]
    joined = [len(join(two, two + row_bytes, rules)) == 1 for two in starts]
    assert rules.closed(start, row_bytes, pitch) == all(joined)


def test_regions_start_at_pages_and_do_not_overlap():
    space, wide = Allocator(64), Allocator(16384)
    assert [space.take(size) for size in (1, 4096, 4097, 1)] == [0, 4096, 8192, 16384]
    assert [wide.take(size) for size in (1, 16385, 1)] == [0, 16384, 49152], "and at an access where those are longer"


@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 4))
def test_a_window_is_live_when_it_touches_a_live_unit(seed, tall, wide):
    rng = np.random.default_rng(seed)
    sizes = unit_sizes((3, 9, 7), tall, wide, 8)
    encoded = EncodedMap(tall, wide, np.where(rng.random((3, *sizes.shape)) < 0.4, sizes, 0), 0)
    low = np.array([[0, 3, 5], [0, 2, 6]])
    high = low + np.array([[4, 1, 4], [2, 5, 1]])
    found = live_windows(encoded, 0, 3, (low[0], high[0]), (low[1], high[1]))
    for channel, y, x in np.ndindex(3, 3, 3):
        touched = {(row // tall, col // wide) for row in range(low[0, y], high[0, y]) for col in range(low[1, x], high[1, x])}
        assert found[channel, y, x] == any(encoded.unit_bytes[channel, a, b] for a, b in touched)


def test_fetched_bytes_of_the_reference_tensor_in_raster_order(shared):
    tensor = json.loads((shared / "golden/schemes/tensor_a.json").read_text())
    expected = json.loads((shared / "golden/schemes/skip_a.json").read_text())["fetched bytes"]
    data = trace(graph((4, 6, 6), {"kind": "dropout"}), [np.array(tensor["values"])])
    machine = accelerator(3, 3, data=Data(ifmap_bits=16))
    for access in (32, 64):
        for name, label in (("dense", "dense"), ("channel_marker", "channel"), ("part_marker", "part")):
            region = MapRegion(0, (4, 6, 6), 16, schemes.load(name).encode(data, 0, machine))
            jobs, _, _ = region.piece((0, 4), (0, 6), (0, 6), Rules(1, access, 3))
            accesses = {byte // access for byte in covered(jobs).tolist()}
            assert len(accesses) * access == expected[f"raster CHW, 16-bit, burst {access} B, {label}"]
