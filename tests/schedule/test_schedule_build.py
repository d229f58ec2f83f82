"""A whole schedule: what every one must keep, and what schemes change in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schedule_samples import (
    KIB,
    accelerator,
    accelerators,
    addresses,
    by_tensor,
    conv,
    covered,
    graph,
    graphs,
    maxpool,
    searched,
    structure,
    trace,
)
from scheme_samples import LABELS

from accelsim import engines, layers, schemes
from accelsim.engines.machine import resolve
from accelsim.errors import ConfigError, ModelError, TraceError
from accelsim.graph import Graph, Node
from accelsim.hardware import UnifiedBuffer
from accelsim.hardware.tilings import ORDERS
from accelsim.schedule import build
from accelsim.schedule.geometry import geometry
from accelsim.schedule.loops import Tiling, extents
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, NONE, OFMAP, READ, TENSOR_NAMES, WRITE
from accelsim.schedule.tiling import dense_bits, search

SCHEMES = st.sampled_from(LABELS)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def leaves_full_maps_alone(label):
    """Whether a map without zeros lies in the raster."""
    options = schemes.load(label).options
    return getattr(options, "fallback", False) or getattr(options, "layout", "raster") == "raster"


def compiled(data, machine, scheme):
    """Build, or pass over machines whose buffer is too small."""
    try:
        return build(data, machine, scheme)
    except ConfigError:
        assume(False)


def any_tiling(seed):
    """In place of the search: whatever tile sizes and loop order come up, so that every order and every spill is seen."""

    def pick(prices, number):
        layer, rng = prices.nests[number].layer, np.random.default_rng([seed, number])
        size = [int(rng.integers(1, extent + 1)) for extent in extents(layer)]
        size[1:3] = (layer.filters, layer.channels) if size[0] > 1 else size[1:3]
        return Tiling(*size, order=ORDERS[int(rng.integers(len(ORDERS)))])

    return pick


@given(graphs(), accelerators(), SCHEMES, st.integers(0, 99))
@SLOW
def test_any_tiling_in_any_order_runs_to_the_end_and_moves_everything(net, machine, scheme, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.schedule.keep.choose", any_tiling(seed))
        schedule, dense = (build(trace(net, seed=seed), machine, name) for name in (scheme, "dense"))
    assert structure(schedule) == structure(dense)
    timeline = engines.run(schedule, resolve(machine), "reference")
    assert (timeline.tile_end >= 0).all()
    table, blocks = schedule.transfers, schedule.blocks
    for transfer in np.flatnonzero((table.tensor == OFMAP) & (table.direction == READ)):
        store = table.wait_transfer[transfer]
        assert addresses(schedule, transfer).tolist() == addresses(schedule, store).tolist()
        assert timeline.transfer_start[transfer] >= timeline.transfer_end[store]
    for number, index in enumerate(schedule.layers.node.tolist()):
        tiles = schedule.tiles.layer == number
        macs = layers.layer(net.nodes[index].kind).macs(net.nodes[index], net.input_shapes(index))
        assert (schedule.tiles.macs_done + schedule.tiles.macs_skipped)[tiles].sum() == macs
        psum = np.isin(blocks.load, np.flatnonzero(table.tensor == OFMAP)) & (blocks.layer == number)
        finished = (table.layer == number) & (table.tensor == OFMAP) & (table.direction == WRITE)
        finished[table.wait_transfer[blocks.load[psum]]] = False
        assert table.bytes_dense[finished].sum() == net.nodes[index].elements * machine.data.ifmap_bits // 8


@given(graphs(), accelerators(), SCHEMES, st.integers(0, 9))
@SLOW
def test_every_mac_is_done_or_skipped_and_layers_agree_on_how_many(net, machine, scheme, seed):
    schedule = compiled(trace(net, seed=seed), machine, scheme)
    for number, node in enumerate(net.nodes[index] for index in schedule.layers.node.tolist()):
        tiles = slice(schedule.layers.tile_low[number], schedule.layers.tile_high[number])
        done, skipped = schedule.tiles.macs_done[tiles], schedule.tiles.macs_skipped[tiles]
        assert (skipped >= 0).all()
        assert (scheme != "dense") or not skipped.any()
        macs = layers.layer(node.kind).macs(node, net.input_shapes(node.index))
        assert done.sum() + skipped.sum() == macs == schedule.layers.macs[number]


@given(graphs(), accelerators(), SCHEMES, st.integers(0, 9))
@SLOW
def test_tensors_want_what_the_closed_forms_say_and_schemes_change_only_what_is_skipped(net, machine, scheme, seed):
    data = trace(net, seed=seed)
    with searched():
        dense, schedule = compiled(data, machine, "dense"), build(data, machine, scheme)
    bits = np.zeros(3, dtype=np.int64)
    plain = [net.nodes[index] for index in dense.layers.node.tolist()]
    for node in plain:
        layer = geometry(node, net.input_shapes(node.index))
        bits += dense_bits(layer, machine.data, search(layer, machine, node.name))
    for tensor in (IFMAP, FILTER, OFMAP):
        directions = (READ, WRITE) if tensor == OFMAP else (READ,)
        assert sum(by_tensor(dense, "bytes_wanted", tensor, way) for way in directions) == bits[tensor] // 8, TENSOR_NAMES[tensor]
        for way in directions:
            assert by_tensor(schedule, "bytes_dense", tensor, way) == by_tensor(dense, "bytes_dense", tensor, way)
    table = schedule.transfers
    reads = (table.direction == READ) & (table.tensor != METADATA)
    assert (table.bytes_wanted <= table.bytes_dense)[reads].all()
    # A unit is written by the tile that completes it, so only the stores of a whole layer are no more than dense.
    for layer in range(len(schedule.names)):
        writes = (table.direction == WRITE) & (table.tensor == OFMAP) & (table.layer == layer)
        assert table.bytes_wanted[writes].sum() <= table.bytes_dense[writes].sum()
    assert structure(schedule) == structure(dense)


@given(graphs(), accelerators(), SCHEMES)
@SLOW
def test_buffers_are_never_overfilled(net, machine, scheme):
    schedule = compiled(trace(net), machine, scheme)
    blocks = schedule.blocks
    for layer in range(len(schedule.names)):
        most = [max(blocks.bytes[(blocks.layer == layer) & (blocks.tensor == tensor)], default=0) for tensor in (IFMAP, FILTER, OFMAP)]
        if isinstance(machine.buffer, UnifiedBuffer):
            assert sum(most) * machine.buffer.slots <= machine.buffer.size
            assert schedule.layers.drain[layer] == (layer > 0)
        else:
            rooms = (machine.buffer.ifmap, machine.buffer.filter, machine.buffer.ofmap)
            assert all(size * machine.buffer.slots <= room for size, room in zip(most, rooms, strict=True))
            assert not schedule.layers.drain[layer]


@given(graphs(), accelerators(), SCHEMES, st.integers(0, 9))
@SLOW
def test_an_engine_runs_it_to_the_end_and_every_identity_holds(net, machine, scheme, seed):
    schedule = compiled(trace(net, seed=seed), machine, scheme)
    timeline = engines.replay(schedule, machine, "reference")
    assert (timeline.tile_end >= 0).all()
    assert timeline.bytes_moved.sum() >= schedule.transfers.bytes_wanted.sum()


@given(graphs(), accelerators(), SCHEMES, st.integers(0, 9))
@SLOW
def test_stores_of_a_layer_write_its_live_elements_once(net, machine, scheme, seed):
    data = trace(net, seed=seed)
    schedule = compiled(data, machine, scheme)
    table = schedule.transfers
    read = {index for node in net.nodes for index in node.inputs}
    for number, index in enumerate(schedule.layers.node.tolist()):
        size = machine.data.ifmap_bits // 8
        chosen = "dense" if index not in read else scheme
        encoded = schemes.load(chosen).encode(data, index, machine)
        mine = (table.layer == number) & (table.tensor == OFMAP) & (table.direction == WRITE)
        spilled = mine & np.isin(np.arange(mine.size), table.wait_transfer[(table.tensor == OFMAP) & (table.direction == READ)])
        finished = np.flatnonzero(mine & ~spilled)
        assert table.bytes_wanted[finished].sum() == encoded.payload_bytes
        assert table.bytes_dense[finished].sum() == net.nodes[index].elements * size
        if machine.dma.min_skip == machine.dma.access == 1:
            moved = np.concatenate([addresses(schedule, transfer) for transfer in finished])
            assert moved.size == np.unique(moved).size == encoded.payload_bytes


@given(graphs(), accelerators(), st.sampled_from([label for label in LABELS if leaves_full_maps_alone(label)]))
@SLOW
def test_a_network_without_zeros_is_scheduled_as_dense_but_for_its_markers(net, machine, scheme):
    full = [1 + np.arange(node.elements).reshape(node.shape) for node in net.nodes]
    dense, schedule = (compiled(trace(net, full), machine, name) for name in ("dense", scheme))
    others = schedule.transfers.tensor != METADATA
    for name in ("tensor", "direction", "layer", "channel", "tile", "bytes_wanted", "bytes_dense"):
        assert getattr(schedule.transfers, name)[others].tolist() == getattr(dense.transfers, name).tolist()
    for ours, theirs in zip(np.flatnonzero(others), range(dense.transfers.tile.size), strict=True):
        assert addresses(schedule, ours).tolist() == addresses(dense, theirs).tolist()
    assert schedule.tiles.busy_cycles.tolist() == dense.tiles.busy_cycles.tolist()


@given(graphs(), accelerators(), st.integers(0, 9))
@SLOW
def test_markers_never_want_more_than_dense_nor_parts_more_than_channels(net, machine, seed):
    data = trace(net, seed=seed)
    with searched():
        found = [compiled(data, machine, scheme) for scheme in ("part_marker", "channel_marker", "dense")]
    wanted = [schedule.transfers.bytes_wanted[schedule.transfers.tensor != METADATA].sum() for schedule in found]
    cycles = [schedule.tiles.busy_cycles.sum() + schedule.tiles.fill_cycles.sum() for schedule in found]
    assert wanted == sorted(wanted)
    assert cycles == sorted(cycles)


def naive_part_macs(net, data, index, machine, scheme):
    """MACs that remain, by asking for each output part and channel whether its window holds a live unit. Array 'spatial' only."""
    node = net.nodes[index]
    channels, height, width = net.nodes[node.inputs[0]].shape
    encoded = schemes.load(scheme if node.inputs[0] else "dense").encode(data, node.inputs[0], machine)
    rows, cols = machine.pe_array.rows, machine.pe_array.cols
    needed = encoded.unit_bytes > 0 if encoded.saves.macs else np.ones((channels, height, width), dtype=bool)
    done = 0
    for top in range(0, node.shape[1], rows):
        for left in range(0, node.shape[2], cols):
            bottom, right = min(top + rows, node.shape[1]), min(left + cols, node.shape[2])
            touched = set()
            for row in range(
                max(top * node.stride[0] - node.pad[0], 0), min((bottom - 1) * node.stride[0] - node.pad[0] + node.kernel[0], height)
            ):
                for col in range(
                    max(left * node.stride[1] - node.pad[1], 0), min((right - 1) * node.stride[1] - node.pad[1] + node.kernel[1], width)
                ):
                    touched.add((row // encoded.unit_height, col // encoded.unit_width))
            live = sum(any(needed[c, y, x] for y, x in touched) for c in range(channels))
            done += live * (bottom - top) * (right - left) * node.kernel[0] * node.kernel[1] * node.shape[0] // node.groups
    return done


@pytest.mark.parametrize(
    "scheme", ["dense", "channel_marker", "part_marker", "part_marker:parts=linear", "sbnet:height=3,width=2", "zero_block", "zvc"]
)
@pytest.mark.parametrize(("groups", "kernel", "stride"), [(1, 3, 1), (1, 1, 1), (1, 3, 2), (2, 3, 1), (6, 3, 1), (6, 5, 2)])
@pytest.mark.parametrize("size", [2, 64])
def test_macs_equal_a_walk_over_parts_and_channels(scheme, groups, kernel, stride, size):
    net = graph((6, 13, 11), conv(6, 3), conv(6, kernel, stride, groups=groups), conv(2))
    machine = accelerator(3, 2, size=size * KIB)
    data = trace(net, zeros=0.85, seed=5)
    schedule = build(data, machine, scheme)
    assert schedule.tiles.macs_done[schedule.tiles.layer == 1].sum() == naive_part_macs(net, data, 2, machine, scheme)


def test_a_zero_channel_of_a_depthwise_layer_removes_filter_and_macs_but_not_its_constant_output():
    net = graph((4, 6, 6), conv(4), conv(4, 3, groups=4), conv(1))
    dead = np.ones((4, 6, 6))
    dead[1] = 0
    data = trace(net, [np.ones((4, 6, 6)), dead, np.ones((4, 6, 6)), np.ones((1, 6, 6))])
    for layout in ("kcrs", "ckrs"):
        schedule = build(data, accelerator(filter_layout=layout), "channel_marker")
        mine, table = schedule.tiles.layer == 1, schedule.transfers
        assert schedule.tiles.macs_skipped[mine].sum() == 9 * 36
        filters = (table.layer == 1) & (table.tensor == FILTER)
        assert table.bytes_dense[filters].sum() - table.bytes_wanted[filters].sum() == 9 * 2
        stores = (table.layer == 1) & (table.direction == WRITE)
        assert table.bytes_wanted[stores].sum() == 4 * 36 * 2


def test_a_zero_channel_before_a_fully_connected_layer_removes_its_columns():
    net = graph((3, 4, 4), conv(5), {"kind": "fc", "filters": 10})
    dead = np.ones((5, 4, 4))
    dead[2] = 0
    schedule = build(trace(net, [np.ones((3, 4, 4)), dead]), accelerator(), "channel_marker")
    mine, table = schedule.tiles.layer == 1, schedule.transfers
    filters = (table.layer == 1) & (table.tensor == FILTER)
    assert table.bytes_dense[filters].sum() - table.bytes_wanted[filters].sum() == 16 * 10 * 2
    assert schedule.tiles.macs_skipped[mine].sum() == 16 * 10


def test_a_pool_loads_and_computes_nothing_for_a_zero_channel():
    net = graph((2, 8, 8), conv(4), maxpool(), conv(1))
    dead = np.ones((4, 8, 8))
    dead[0] = 0
    pooled = dead[:, ::2, ::2]
    schedule = build(trace(net, [np.ones((2, 8, 8)), dead, pooled]), accelerator(4, 4), "channel_marker")
    table = schedule.transfers
    pool = (table.layer == 1) & (table.tensor != METADATA)
    assert (table.bytes_dense - table.bytes_wanted)[pool & (table.direction == READ)].sum() == 64 * 2
    assert (table.bytes_dense - table.bytes_wanted)[pool & (table.direction == WRITE)].sum() == 16 * 2
    # 3 live channels of 16 outputs, 4 taps each, on 16 lanes.
    assert schedule.tiles.busy_cycles[schedule.tiles.layer == 1].sum() == 3 * 4


def test_an_add_skips_the_zero_operand_and_works_where_one_lives():
    net = graph((2, 4, 4), conv(2), conv(2), {"kind": "add", "inputs": (1, 2)}, conv(1))
    first, second = np.ones((2, 4, 4)), np.ones((2, 4, 4))
    first[0] = second[:] = 0
    schedule = build(trace(net, [np.ones((2, 4, 4)), first, second, first]), accelerator(4, 4), "channel_marker")
    table = schedule.transfers
    reads = (table.layer == 2) & (table.direction == READ)
    assert (table.bytes_dense[reads].sum(), table.bytes_wanted[reads].sum()) == (4 * 32, 32)
    assert schedule.tiles.busy_cycles[schedule.tiles.layer == 2].sum() == 1


def test_a_concat_costs_nothing_and_its_consumers_read_its_sources():
    net = graph((2, 4, 4), conv(3), conv(2, inputs=(0,)), {"kind": "concat", "inputs": (1, 2)}, conv(1))
    data = trace(net, [np.ones(node.shape) for node in net.nodes])
    schedule = build(data, accelerator(min_skip=1, access=1, burst=64), "dense")
    table = schedule.transfers

    def bytes_of(layer, tensor, direction):
        chosen = np.flatnonzero((table.layer == layer) & (table.tensor == tensor) & (table.direction == direction))
        return set(np.concatenate([addresses(schedule, transfer) for transfer in chosen]).tolist())

    assert schedule.fused["003_concat"] == "its producers write into it"
    assert bytes_of(2, IFMAP, READ) == bytes_of(0, OFMAP, WRITE) | bytes_of(1, OFMAP, WRITE)
    assert table.wait_layer[(table.layer == 2) & (table.tensor == IFMAP)].tolist() == [1]


def test_each_node_is_scheduled_or_fused_with_a_reason():
    net = graph((3, 9, 9), {"kind": "crop"} | {"filters": 3}, conv(2))
    cropped = Node(1, "000_crop", "crop", (0,), (3, 7, 7))
    net = Graph(
        "cropped", (net.nodes[0], cropped, Node(2, "001_conv", "conv", (1,), (2, 7, 7)), Node(3, "002_cost", "cost", (2,), (2, 7, 7)))
    )
    schedule = build(trace(net), accelerator(), "dense")
    assert {*schedule.names, *schedule.fused} == {node.name for node in net.nodes}
    assert schedule.fused["000_crop"] == "the host crops the image before it stores it"
    assert len(schedule.tilings) == len(schedule.names) == 1
    reads = (schedule.transfers.tensor == IFMAP) & (schedule.transfers.direction == READ)
    assert schedule.transfers.wait_layer[reads].tolist() == [NONE]
    assert schedule.transfers.bytes_dense[reads].sum() == 3 * 7 * 7 * 2


def test_a_network_without_costed_layers_is_refused():
    with pytest.raises(ModelError, match="small: nothing to schedule"):
        build(trace(graph((1, 2, 2), {"kind": "dropout"})), accelerator(), "dense")


def test_part_marker_refuses_a_trace_without_masks(shared):
    from accelsim.networks import published

    table = shared / "golden/authors/drfmp_dog_eps0.csv"
    with pytest.raises(TraceError, match="holds only counts of zero channels"):
        build(published.from_table(table, "tiny"), accelerator(16, 16), "part_marker")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_queues_are_in_tile_order_and_tensors_have_their_channels(channels):
    net = graph((64, 4, 4), conv(64, 3), conv(16, 3), conv(4))
    machine = accelerator(size=1 * KIB, slots=1, filter_layout="kcrs", marker_bytes=1, read_channels=channels, write_channels=2)
    schedule = build(trace(net), machine, "channel_marker")
    table = schedule.transfers
    assert (np.diff(table.tile) >= 0).all()
    reads = table.direction == READ
    expected = {FILTER: 0, IFMAP: min(1, channels - 1), OFMAP: min(2, channels - 1), METADATA: min(2, channels - 1)}
    for tensor, channel in expected.items():
        mine = table.channel[reads & (table.tensor == tensor)]
        assert mine.size
        assert set(mine.tolist()) == {channel}
    assert set(table.channel[~reads & (table.tensor == OFMAP)].tolist()) == {0}
    assert set(table.channel[~reads & (table.tensor == METADATA)].tolist()) == {1}


def test_spilled_sums_are_read_back_from_where_they_were_stored():
    schedule = build(trace(graph((64, 4, 4), conv(64, 3))), accelerator(size=1 * KIB, slots=1, filter_layout="kcrs"), "dense")
    table = schedule.transfers
    back = np.flatnonzero((table.tensor == OFMAP) & (table.direction == READ))
    assert back.size
    for transfer in back:
        store = table.wait_transfer[transfer]
        assert (table.direction[store], table.tile[store] < table.tile[transfer]) == (WRITE, True)
        assert addresses(schedule, transfer).tolist() == addresses(schedule, store).tolist()
        assert table.bytes_wanted[transfer] == schedule.blocks.bytes[table.block[transfer]]


def test_markers_that_do_not_fit_are_written_once_and_read_once_by_each_consumer():
    net = graph((4, 6, 6), conv(16), conv(3), conv(3, inputs=(1,)), conv(1))
    schedule = build(trace(net), accelerator(marker_bytes=1), "channel_marker")
    table = schedule.transfers
    marks = [
        (table.layer[x], table.direction[x], table.bytes_wanted[x], table.bytes_dense[x]) for x in np.flatnonzero(table.tensor == METADATA)
    ]
    # 16 channels are 2 bytes; 3 channels are one byte, which fits; the last map goes to the host without markers.
    assert marks == [(0, WRITE, 2, 0), (1, READ, 2, 0), (2, READ, 2, 0)]
    for transfer in np.flatnonzero((table.layer > 0) & (table.layer < 3) & (table.tensor == IFMAP)):
        marker = table.wait_transfer[transfer]
        assert (table.tensor[marker], table.layer[marker]) == (METADATA, table.layer[transfer])
        assert marker < transfer
    assert (schedule.tiles.metadata[schedule.tiles.layer == 0] == NONE).all()
    assert (table.tensor[schedule.tiles.metadata[schedule.tiles.layer == 1]] == METADATA).all()


def test_markers_that_fit_are_no_traffic():
    net = graph((4, 6, 6), conv(16), conv(3), conv(1))
    schedule = build(trace(net), accelerator(), "channel_marker")
    assert METADATA not in schedule.transfers.tensor


def test_filters_wait_for_markers_only_where_they_leave_something_out():
    net = graph((4, 6, 6), conv(4), conv(3), conv(1))
    some, every = np.ones((4, 6, 6)), np.ones((4, 6, 6))
    some[2] = 0
    for values, waits in ((some, 0), (every, NONE)):
        schedule = build(trace(net, [np.ones((4, 6, 6)), values]), accelerator(), "channel_marker")
        table = schedule.transfers
        assert table.wait_layer[(table.layer == 1) & (table.tensor == FILTER)].tolist() == [waits]


def test_a_resident_map_is_not_loaded_again():
    net = graph((8, 8, 8), conv(64, 3))
    machine = accelerator(8, 8, size=10 * KIB)
    schedule = build(trace(net), machine, "dense")
    assert schedule.tiles.layer.size > 1
    assert by_tensor(schedule, "bytes_wanted", IFMAP, READ) == 8 * 8 * 8 * 2


def test_statistics_are_noted(shared):
    from accelsim.networks import published

    data = published.from_table(shared / "golden/authors/drfmp_dog_eps0.csv", "tiny")
    assert build(data, accelerator(16, 16), "dense").notes == ("zero-channel positions are assumed evenly spread (published statistics)",)
    assert build(trace(graph((1, 4, 4), conv(1))), accelerator(), "dense").notes == ()


def test_descriptors_name_only_bytes_of_the_map_they_move():
    net = graph((3, 10, 10), conv(4, 3), conv(2, 3))
    schedule = build(trace(net), accelerator(size=2 * KIB), "part_marker")
    table = schedule.descriptors
    jobs = np.array([getattr(table, name) for name in table.__dataclass_fields__]).T
    assert covered(jobs).min() >= 0
    assert (jobs[:, 1:3] >= 1).all()
