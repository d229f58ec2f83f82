"""Pooling as the tiles of a convolution leave the array: only the pooled map is moved, each element of it once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, accelerators, addresses, by_tensor, conv, graph, maxpool, trace

from accelsim import batch, engines, simulate
from accelsim.engines.check import check
from accelsim.errors import ConfigError
from accelsim.hardware import Data
from accelsim.hardware.tilings import FixedTiling, Tilings
from accelsim.schedule import build
from accelsim.schedule.geometry import Geometry, geometry
from accelsim.schedule.pooling import completed, fusions
from accelsim.schedule.tables import IFMAP, METADATA, OFMAP, READ, WRITE


def fusing(machine, fuse: bool = True):
    return machine.model_copy(update={"fuse_pooling": fuse})


@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("scheme", ["dense", "channel_marker", "zvc"])
def test_tiles_that_complete_nothing_store_nothing(scheme: str, bits: int) -> None:
    net = graph((3, 8, 8), conv(4, 3), maxpool(), conv(2))
    machine = fusing(accelerator(size=64 * KIB, data=Data(ifmap_bits=bits), access=1))

    def stored(columns: int) -> int:
        tiling = Tilings(layers={"001_conv": FixedTiling(columns=columns)})
        schedule = build(trace(net, zeros=0, dead=0), machine.model_copy(update={"tiling": tiling}), scheme)
        return int(schedule.transfers.bytes_wanted[(schedule.transfers.layer == 0) & (schedule.transfers.direction == WRITE)].sum())

    assert stored(1) == stored(2)  # of two columns one completes a pooled one


@st.composite
def pooled_networks(draw):
    """A convolution, a pooling layer of it, and a reader of that."""
    size, kernel = draw(st.integers(4, 13)), draw(st.integers(1, 3))
    pool = {"kind": draw(st.sampled_from(["maxpool", "avgpool"]))}
    if pool["kind"] == "maxpool":
        pool |= {"kernel": (kernel,) * 2, "stride": (draw(st.integers(1, 3)),) * 2, "pad": (draw(st.integers(0, kernel // 2)),) * 4}
    first = conv(draw(st.integers(1, 6)), draw(st.sampled_from([1, 3])))
    return graph((draw(st.integers(1, 4)), size, draw(st.integers(4, 13))), first, pool, conv(draw(st.integers(1, 4))))


def test_only_the_pooled_map_is_written_and_read():
    net = graph((3, 8, 8), conv(4, 3), maxpool(), conv(2))
    data, machine = trace(net, zeros=0, dead=0), accelerator(size=64 * KIB)
    fused, plain = (build(data, fusing(machine, fuse), "dense") for fuse in (True, False))
    assert fused.names == ("001_conv", "003_conv")
    assert fused.fused["002_maxpool"] == "computed as the tiles of 001_conv leave the array"
    whole, pooled = 4 * 8 * 8 * 2, 4 * 4 * 4 * 2
    assert by_tensor(plain, "bytes_wanted", OFMAP, WRITE) - by_tensor(fused, "bytes_wanted", OFMAP, WRITE) == whole
    assert by_tensor(plain, "bytes_wanted", IFMAP, READ) - by_tensor(fused, "bytes_wanted", IFMAP, READ) == whole
    first = (fused.transfers.layer == 0) & (fused.transfers.direction == WRITE)
    assert fused.transfers.bytes_wanted[first].sum() == pooled
    assert fused.layers.macs.tolist() == [layer for layer in plain.layers.macs.tolist() if layer]


def test_zero_channels_and_markers_are_those_of_the_pooled_map():
    net = graph((3, 8, 8), conv(4, 3), maxpool(), conv(2))
    values = [np.ones((3, 8, 8)), np.ones((4, 8, 8)), np.ones((4, 4, 4)), np.ones((2, 4, 4))]
    values[1][:3] = 0
    values[2][:3] = 0
    values[1][2, 7, 7] = -1  # a channel of the unpooled map that lives, and of which the pooling leaves nothing
    machine = accelerator(size=64 * KIB, marker_bytes=1, access=1, min_skip=1, burst=64)
    found = build(trace(net, values), fusing(machine), "channel_marker").transfers
    assert found.bytes_wanted[(found.layer == 0) & (found.tensor == OFMAP)].sum() == 1 * 4 * 4 * 2
    assert found.bytes_wanted[(found.layer == 1) & (found.tensor == IFMAP)].sum() == 1 * 4 * 4 * 2
    few = build(trace(net, values), fusing(accelerator(size=64 * KIB, marker_bytes=1, rows=1, cols=1)), "channel_marker:printed=true")
    markers = few.transfers.tensor == METADATA
    assert few.transfers.bytes_wanted[markers].tolist() == [-(-4 * (4 * 4 + 1) // 8)] * 2, "parts of the pooled map"


def test_a_map_that_others_read_or_that_is_joined_before_it_is_pooled_stays_as_it_is():
    both = graph((3, 8, 8), conv(4, 3), maxpool(), conv(4, 3, inputs=(1,)))
    joined = graph((3, 8, 8), conv(4, 3), conv(4, 3, inputs=(0,)), {"kind": "concat", "inputs": (1, 2)}, maxpool())
    twice = graph((3, 8, 8), conv(4, 3), maxpool(), maxpool())
    assert fusions(both) == fusions(joined) == {}
    assert fusions(twice) == {2: 1}, "a pooling layer of a pooling layer has tiles of its own"
    schedule = build(trace(twice), fusing(accelerator(size=64 * KIB)), "dense")
    assert schedule.kinds == ("conv", "maxpool")


def test_a_window_is_written_by_the_tile_that_completes_it():
    pool = Geometry(1, 1, 1, 9, 9, 4, 4, kernel=(3, 3), stride=(2, 2), weights=False)
    low, high = completed(pool, 0, np.array([0, 2, 4, 6, 8]), np.array([2, 4, 6, 8, 9]))
    assert low.tolist() == [0, 0, 1, 2, 3]
    assert high.tolist() == [0, 1, 2, 3, 4]


@given(pooled_networks(), accelerators(), st.integers(1, 3))
@settings(max_examples=60)
def test_each_element_of_the_pooled_map_is_written_once(net, machine, images):
    data = batch.repeat(trace(net, zeros=0, dead=0), images)
    machine = fusing(machine)
    try:
        schedule = build(data, machine, "dense")
    except ConfigError:
        assume(False)
    table, fmap = schedule.transfers, data.graph.nodes[2]
    size = fmap.elements * machine.data.ifmap_bits // 8
    refilled = set(table.wait_transfer[(table.tensor == OFMAP) & (table.direction == READ)].tolist())
    stores = [x for x in np.flatnonzero((table.layer == 0) & (table.tensor == OFMAP) & (table.direction == WRITE)) if x not in refilled]
    assert table.bytes_wanted[stores].sum() == size
    loaded = np.concatenate([addresses(schedule, x) for x in np.flatnonzero((table.layer == 1) & (table.tensor == IFMAP))])
    stored = np.concatenate([addresses(schedule, x) for x in stores])
    assert set(loaded.tolist()) <= set(stored.tolist())
    if machine.dma.access == machine.dma.min_skip == 1:
        assert len(stored) == len(set(stored.tolist())) == size


@given(pooled_networks(), accelerators(), st.sampled_from(["channel_marker", "part_marker", "zvc", "zvc:layout=packed"]), st.booleans())
@settings(max_examples=60)
def test_both_engines_replay_fused_pooling_alike_and_every_identity_holds(net, machine, scheme, keep):
    machine = fusing(machine)
    if keep and machine.buffer.organisation == "unified":
        machine = machine.model_copy(update={"buffer": machine.buffer.model_copy(update={"keep_on_chip": True})})
    data = trace(net, seed=3)
    try:
        schedule = build(data, machine, scheme)
    except ConfigError:
        assume(False)
    timelines = [engines.replay(schedule, machine, name) for name in ("reference", "fast")]
    check(schedule, timelines[0], machine)
    for name, column in vars(timelines[0]).items():
        np.testing.assert_array_equal(column, getattr(timelines[1], name), err_msg=name)
    plain = build(data, fusing(machine, False), scheme)
    assert schedule.tiles.macs_done.sum() == plain.tiles.macs_done.sum()
    assert schedule.layers.macs.sum() == plain.layers.macs.sum()


@pytest.mark.parametrize("scheme", ["dense", "channel_marker"])
def test_a_report_shows_what_fusing_saves(scheme):
    data = trace(graph((3, 16, 16), conv(4, 3), maxpool(3), conv(2)), seed=1)
    fused, plain = (simulate.replay(data, fusing(accelerator(size=64 * KIB), fuse), scheme) for fuse in (True, False))
    assert [row.layer for row in fused.layers] == ["001_conv", "003_conv"]
    assert "002_maxpool" in fused.fused
    assert fused.totals["bytes_moved"] < plain.totals["bytes_moved"]
    assert fused.totals["total_cycles"] < plain.totals["total_cycles"]
    assert fused.paper == plain.paper


def test_geometry_of_a_fused_layer_counts_what_is_written():
    net = graph((3, 8, 8), conv(4, 3), maxpool(), conv(2))
    nest = geometry(net.nodes[1], [net.nodes[0].shape])
    assert nest.written_share == 1
    assert Geometry(**{**{name: getattr(nest, name) for name in Geometry.__dataclass_fields__}, "written": 16}).written_share == 16 / 64
