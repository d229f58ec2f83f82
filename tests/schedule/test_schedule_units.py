"""Fetch units that do not lie in the raster, and what only some schemes skip: written once, read whole, work left out where it is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, accelerators, addresses, by_tensor, conv, covered, graph, graphs, maxpool, searched, trace
from scheme_samples import LABELS

from accelsim import engines, schemes
from accelsim.errors import ConfigError
from accelsim.schedule import build
from accelsim.schedule.memory import WANTED, Blocks, MapRegion
from accelsim.schedule.runs import Rules
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, OFMAP, READ, WRITE
from accelsim.schemes.base import EncodedMap, place

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
EXACT = {"min_skip": 1, "access": 1, "burst": 64}
"""A DMA engine that moves no byte in vain."""


@st.composite
def placed(draw):
    """A map in units of any size and any layout."""
    shape = tuple(draw(st.integers(1, most)) for most in (6, 10, 10))
    unit = tuple(draw(st.integers(1, extent)) for extent in shape)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    elements = [np.minimum(size, extent - np.arange(0, extent, size)) for size, extent in zip(unit, shape, strict=True)]
    dense = np.multiply.outer(np.multiply.outer(elements[0], elements[1]), elements[2]) * 2
    stored = np.where(rng.random(dense.shape) < 0.7, rng.integers(1, dense + 1), 0)
    offsets, extent = place(stored, dense, draw(st.sampled_from([1, 16])), draw(st.sampled_from(["slots", "packed"])))
    return MapRegion(draw(st.integers(0, 9)) * 4096, shape, 16, EncodedMap(*unit[1:], stored, 0, unit[0], offsets=offsets, extent=extent))


def units_of(region, channel, row, col):
    encoded = region.encoded
    return channel // encoded.unit_channels, row // encoded.unit_height, col // encoded.unit_width


def unit_addresses(region, unit):
    start = region.address + int(region.encoded.offsets[unit])
    return range(start, start + int(region.encoded.unit_bytes[unit]))


@given(placed(), st.data())
def test_a_block_reads_every_unit_it_touches_whole_and_wants_its_share(region, data):
    spans = []
    for size in region.shape:
        low = data.draw(st.integers(0, size - 1))
        spans.append((low, data.draw(st.integers(low + 1, size))))
    jobs, wanted, dense = region.piece(*spans, Rules(1, 1, 3))
    touched = {units_of(region, c, y, x) for c in range(*spans[0]) for y in range(*spans[1]) for x in range(*spans[2])}
    assert sorted(covered(jobs).tolist()) == sorted(byte for unit in touched for byte in unit_addresses(region, unit))
    assert dense == np.prod([high - low for low, high in spans]) * 2
    assert wanted <= dense
    if spans == [(0, size) for size in region.shape]:
        assert wanted == region.encoded.payload_bytes


@given(placed(), st.data())
def test_blocks_that_cover_a_map_write_every_unit_once_with_its_last_element(region, data):
    cuts = [sorted({0, size, *data.draw(st.lists(st.integers(0, size), max_size=2))}) for size in region.shape]
    seen: list[int] = []
    computed = np.zeros(region.shape, dtype=bool)
    for c in zip(cuts[0][:-1], cuts[0][1:], strict=True):
        for y in zip(cuts[1][:-1], cuts[1][1:], strict=True):
            for x in zip(cuts[2][:-1], cuts[2][1:], strict=True):
                computed[slice(*c), slice(*y), slice(*x)] = True
                jobs, table = region.jobs(region.completed(Blocks.one(c, y, x)), Rules(1, 1, 3))
                moved = covered(jobs).tolist()
                assert table[0, WANTED] == len(moved)
                seen += moved
                for element in np.argwhere(~computed)[:20].tolist():
                    assert not set(unit_addresses(region, units_of(region, *element))) & set(seen)
    assert len(seen) == len(set(seen)) == region.encoded.payload_bytes


@given(graphs(), accelerators(), st.sampled_from(LABELS), st.integers(0, 9))
@SLOW
def test_what_consumers_read_of_a_map_is_what_its_producer_wrote(net, machine, scheme, seed):
    machine = machine.model_copy(update={"dma": machine.dma.model_copy(update={"min_skip": 1, "access": 1})})
    try:
        schedule = build(trace(net, seed=seed), machine, scheme)
    except ConfigError:
        assume(False)
    table = schedule.transfers
    written: set[int] = set()
    for transfer in np.flatnonzero((table.direction == WRITE) & np.isin(table.tensor, (OFMAP, METADATA))):
        written |= set(addresses(schedule, transfer).tolist())
    first = min(written, default=0)
    for transfer in np.flatnonzero((table.direction == READ) & np.isin(table.tensor, (IFMAP, METADATA))):
        read = set(addresses(schedule, transfer).tolist())
        stored = {byte for byte in read if byte >= first}
        # The network's input was stored by the host; it lies before every other map.
        assert stored <= written
        assert table.wait_layer[transfer] >= 0 or not stored


@pytest.mark.parametrize("scheme", ["zvc", "rlc", "bitmap", "csr", "zero_block"])
def test_compression_saves_reads_and_writes_but_no_weights_and_no_work(scheme):
    data = trace(graph((4, 16, 16), conv(8, 3), conv(8, 3), conv(2)), zeros=0.85, dead=0.3, seed=3)
    machine = accelerator(4, 4, **EXACT)
    dense, found = (build(data, machine, name) for name in ("dense", scheme))
    for tensor, way in ((IFMAP, READ), (OFMAP, WRITE)):
        assert by_tensor(found, "bytes_wanted", tensor, way) < by_tensor(dense, "bytes_wanted", tensor, way)
    assert by_tensor(found, "bytes_wanted", FILTER, READ) == by_tensor(dense, "bytes_wanted", FILTER, READ)
    assert found.tiles.busy_cycles.tolist() == dense.tiles.busy_cycles.tolist()
    assert not found.tiles.macs_skipped.any()


def test_a_layer_that_reads_a_map_twice_reads_whole_units_each_time():
    """A unit of 8 rows; tiles of few rows read it again for each tile, and the report sees more bytes moved than wanted."""
    data = trace(graph((2, 32, 16), conv(64, 3), conv(64, 3), conv(1)), zeros=0.5, dead=0.0)
    machine = accelerator(4, 4, size=8 * KIB, access=16)
    schedule = build(data, machine, "zvc:unit=256")
    timeline = engines.replay(schedule, machine, "reference")
    second = (schedule.transfers.layer == 1) & (schedule.transfers.tensor == IFMAP)
    dense = engines.replay(build(data, machine, "dense"), machine, "reference")
    extra = timeline.bytes_moved[second].sum() / schedule.transfers.bytes_wanted[second].sum()
    assert extra > 1.2 * dense.bytes_moved[second].sum() / schedule.transfers.bytes_dense[second].sum()


def test_sizes_that_do_not_fit_on_chip_are_metadata_of_every_consumer():
    net = graph((2, 32, 32), conv(4, 3), conv(2), conv(2, inputs=(1,)), conv(1))
    data = trace(net, zeros=0.8, dead=0.0)
    schedule = build(data, accelerator(marker_bytes=1, **{"access": 16}), "zvc:unit=128")
    table = schedule.transfers
    size = schemes.load("zvc:unit=128").encode(data, 1, accelerator(access=16)).metadata_bytes
    mine = (table.tensor == METADATA) & (table.bytes_wanted == size)
    assert table.direction[mine].tolist() == [WRITE, READ, READ]
    # 64 units of 128 bytes, 8 accesses each: 4 bits of size; and one bit for the map.
    assert size == (4 * 16 * 4 + 1 + 7) // 8


def test_columns_that_are_zero_in_all_channels_are_not_computed_by_the_layer_that_makes_them():
    """The reference vector: 9 of 36 positions masked, 3 x 3 convolution, 8 filters."""
    made = np.ones((8, 6, 6))
    made[:, :, 4:] = 0
    made[:, 0, 4:] = made[:, 1, 4:] = made[:, 2, 5] = 1
    masked = int((~made.any(axis=0)).sum())
    data = trace(graph((4, 6, 6), conv(8, 3), conv(2, 3)), [np.ones((4, 6, 6)), made])
    machine = accelerator(3, 3, **EXACT)
    dense, found = (build(data, machine, name) for name in ("dense", "gemm_column"))
    assert masked == 7
    assert found.tiles.macs_done[found.tiles.layer == 0].sum() == 4 * 8 * 9 * (36 - masked)
    first, second = found.tiles.layer == 0, found.tiles.layer == 1
    tiles = int(first.sum())
    busy = dense.tiles.busy_cycles[first].sum()
    assert busy * (36 - masked) / 36 <= found.tiles.busy_cycles[first].sum() < busy * (36 - masked) / 36 + tiles
    assert found.tiles.busy_cycles[second].tolist() == dense.tiles.busy_cycles[second].tolist()
    assert by_tensor(found, "bytes_wanted", FILTER, READ) == by_tensor(dense, "bytes_wanted", FILTER, READ)
    stores = (found.transfers.layer == 0) & (found.transfers.direction == WRITE)
    assert found.transfers.bytes_wanted[stores].sum() == 8 * (36 - masked) * 2
    assert found.notes == (
        "gemm_column: the positions that the trace shows to be zero count as known before the run, as if trained: an upper bound",
    )


@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["spatial", "ws"]), st.sampled_from([2, 64]))
@settings(max_examples=30, deadline=None)
def test_macs_of_masked_columns_vanish_in_any_tiling(seed, rows, cols, dataflow, size):
    rng = np.random.default_rng(seed)
    made = np.where(rng.random((1, 13, 9)) < 0.5, rng.random((6, 13, 9)), 0)
    data = trace(graph((4, 13, 9), conv(6, 3), conv(2, 3)), [np.ones((4, 13, 9)), made])
    machine = accelerator(rows, cols, dataflow, size=size * KIB)
    with searched():
        found, dense = (build(data, machine, name) for name in ("gemm_column", "dense"))
    first = found.tiles.layer == 0
    assert found.tiles.macs_done[first].sum() == 4 * 6 * 9 * int(made.any(axis=0).sum())
    assert (found.tiles.busy_cycles <= dense.tiles.busy_cycles).all()
    assert (found.tiles.fill_cycles <= dense.tiles.fill_cycles).all()


def test_blocks_that_are_zero_in_all_channels_need_no_work_but_all_weights():
    values = np.zeros((4, 16, 16))
    values[:, :8, :8] = 1
    values[1, 12, 12] = 1
    net = graph((2, 16, 16), conv(4), conv(4), maxpool(), conv(1))
    data = trace(net, [np.ones((2, 16, 16)), values])
    machine = accelerator(4, 4, **EXACT)
    dense, found = (build(data, machine, name) for name in ("dense", "sbnet:height=4,width=4"))
    second = found.tiles.layer == 1
    # 4 blocks and one that a single channel keeps alive, of 16: 1 x 1 windows touch no other.
    assert found.tiles.macs_done[second].sum() * 16 == dense.tiles.macs_done[second].sum() * 5
    assert found.tiles.busy_cycles[second].sum() * 16 == dense.tiles.busy_cycles[second].sum() * 5
    reads = (found.transfers.layer == 1) & (found.transfers.tensor == IFMAP)
    assert found.transfers.bytes_wanted[reads].sum() * 16 == found.transfers.bytes_dense[reads].sum() * 5
    filters = (found.transfers.layer == 1) & (found.transfers.tensor == FILTER)
    assert (found.transfers.bytes_wanted == found.transfers.bytes_dense)[filters].all()


def test_linear_parts_are_read_row_by_row_where_they_live():
    values = np.zeros((1, 6, 6))
    values[0, 2, 3] = 1
    data = trace(graph((1, 6, 6), conv(1), conv(1)), [np.ones((1, 6, 6)), values])
    schedule = build(data, accelerator(2, 4, **EXACT), "part_marker:parts=linear")
    # Runs of 8 elements: element 15 lies in the second, 8..15.
    reads = (schedule.transfers.layer == 1) & (schedule.transfers.tensor == IFMAP)
    assert schedule.transfers.bytes_wanted[reads].sum() == 16
    assert schedule.transfers.bytes_wanted[(schedule.transfers.layer == 0) & (schedule.transfers.direction == WRITE)].sum() == 16
