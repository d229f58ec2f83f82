"""Maps that stay in the buffer: what is not moved, what room it takes, and that the best of all ways to keep is taken."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, by_tensor, conv, graph, graphs, moved, trace

from accelsim import engines, simulate
from accelsim.engines.check import check
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data
from accelsim.schedule import build, keep
from accelsim.schedule.tables import IFMAP, METADATA, NONE, OFMAP, READ, WRITE

SCHEMES = st.sampled_from(["dense", "channel_marker", "part_marker", "zvc"])


def keeping(machine: Accelerator, keep_on_chip: bool = True) -> Accelerator:
    return machine.model_copy(update={"buffer": machine.buffer.model_copy(update={"keep_on_chip": keep_on_chip})})


@st.composite
def machines(draw):
    """Machines with one buffer, whose search counts exactly what is wanted."""
    return accelerator(
        rows=draw(st.integers(1, 4)),
        cols=draw(st.integers(1, 4)),
        dataflow=draw(st.sampled_from(["spatial", "ws"])),
        size=draw(st.sampled_from([2 * KIB, 3 * KIB, 5 * KIB, 16 * KIB, 256 * KIB])),
        slots=draw(st.integers(1, 3)),
        data=Data(ifmap_bits=draw(st.sampled_from([8, 16])), filter_bits=8),
        marker_bytes=draw(st.sampled_from([1, 2, 4096])),
        read_channels=draw(st.integers(1, 3)),
        access=1,
        burst=64,
        min_skip=1,
    )


def built(net, machine, scheme="dense", seed=0):
    try:
        return build(trace(net, seed=seed), keeping(machine), scheme), build(trace(net, seed=seed), keeping(machine, False), scheme)
    except ConfigError:
        return None


def test_a_map_between_two_layers_is_neither_written_nor_read():
    net = graph((3, 8, 8), conv(4, 3), conv(5, 3))
    machine = accelerator(size=64 * KIB)
    schedule, plain = built(net, machine)
    middle = 4 * 8 * 8 * 2
    assert [(one.layer, one.reader, one.room, one.read, one.unwritten) for one in schedule.kept] == [(0, 1, middle, middle, middle)]
    assert by_tensor(plain, "bytes_wanted", IFMAP, READ) - by_tensor(schedule, "bytes_wanted", IFMAP, READ) == middle
    assert by_tensor(plain, "bytes_wanted", OFMAP, WRITE) - by_tensor(schedule, "bytes_wanted", OFMAP, WRITE) == middle
    first, second = (schedule.blocks.layer == layer for layer in (0, 1))
    assert (schedule.blocks.store[first & (schedule.blocks.tensor == OFMAP)] == NONE).all()
    mine = second & (schedule.blocks.tensor == IFMAP)
    assert (schedule.blocks.load[mine] == NONE).all()
    assert not schedule.blocks.bytes[mine].any(), "its tiles are views of the map"


def test_the_report_says_what_was_kept_and_spends_no_energy_on_the_way_to_dram():
    data = trace(graph((3, 8, 8), conv(4, 3), conv(5, 3)), dead=0.5, seed=3)
    machine = accelerator(size=64 * KIB)
    kept, plain = (simulate.replay(data, keeping(machine, on), "channel_marker") for on in (True, False))
    live = 4 - int(data.maps[1].zero_channels.sum())
    assert 0 < live < 4
    assert [row.kept_bytes for row in kept.layers] == [live * 8 * 8 * 2] * 2
    assert [row.kept_bytes for row in plain.layers] == [0, 0]
    assert kept.totals["bytes_wanted"] + kept.totals["kept_bytes"] == plain.totals["bytes_wanted"]
    assert kept.totals["macs_skipped"] == plain.totals["macs_skipped"] > 0, "zero channels of a kept map are skipped, too"
    for part in ("link", "dram", "buffer"):
        assert kept.energy_uj[part] < plain.energy_uj[part]
    assert kept.energy_uj["mac"] == plain.energy_uj["mac"]


def test_a_map_that_a_later_layer_reads_is_written_all_the_same():
    net = graph((4, 8, 8), conv(4), conv(4, 3), conv(4), {"kind": "add", "inputs": (3, 1)})
    schedule, _ = built(net, accelerator(size=64 * KIB))
    size = 4 * 8 * 8 * 2
    assert [(one.layer, one.read, one.unwritten) for one in schedule.kept] == [(0, size, 0), (1, size, size), (2, size, size)]
    table = schedule.transfers
    loads = (table.tensor == IFMAP) & (table.direction == READ)
    assert [int(table.bytes_wanted[loads & (table.layer == layer)].sum()) for layer in range(4)] == [size, 0, 0, size]
    assert set(table.wait_layer[loads & (table.layer == 3)].tolist()) == {0}, "the add waits for the operand that it loads"


def test_of_joined_maps_only_the_last_one_made_is_in_the_buffer():
    net = graph((4, 8, 8), conv(4), conv(6, inputs=(0,)), {"kind": "concat", "inputs": (1, 2)}, conv(3))
    schedule, _ = built(net, accelerator(size=64 * KIB))
    assert [(one.layer, one.reader, one.read, one.unwritten) for one in schedule.kept] == [(1, 2, 6 * 8 * 8 * 2, 6 * 8 * 8 * 2)]
    table = schedule.transfers
    assert table.bytes_wanted[(table.layer == 2) & (table.tensor == IFMAP)].sum() == 4 * 8 * 8 * 2


def test_what_the_host_reads_is_written():
    net = graph((3, 8, 8), conv(4), {"kind": "yolo"}, conv(2, inputs=(1,)))
    schedule, _ = built(net, accelerator(size=64 * KIB))
    assert [(one.layer, one.unwritten) for one in schedule.kept] == [(0, 0)]
    table = schedule.transfers
    assert table.bytes_wanted[(table.layer == 0) & (table.direction == WRITE)].sum() == 4 * 8 * 8 * 2


def test_a_reshaped_map_is_read_from_the_buffer():
    net = graph((3, 4, 4), conv(4), {"kind": "reshape", "filters": 64}, {"kind": "fc", "filters": 5})
    schedule, _ = built(net, accelerator(size=64 * KIB))
    assert [(one.layer, one.reader, one.read) for one in schedule.kept] == [(0, 1, 4 * 4 * 4 * 2)]


def test_nothing_is_kept_where_the_room_would_cost_more_than_it_saves():
    # Both maps together are larger than the buffer.
    schedule, plain = built(graph((2, 32, 32), conv(2), conv(2)), accelerator(size=2 * KIB))
    assert schedule.kept == ()
    assert schedule.transfers.bytes_wanted.tolist() == plain.transfers.bytes_wanted.tolist()


def test_codes_of_a_map_that_never_leaves_the_buffer_are_not_moved():
    net = graph((3, 8, 8), conv(4, 3), conv(5, 3))
    machine = accelerator(size=64 * KIB, marker_bytes=1)
    codes, markers = (
        [int((made.transfers.tensor == METADATA).sum()) for made in built(net, machine, name)]
        for name in ("zvc:layout=packed", "part_marker")
    )
    assert codes == [0, 2]
    assert markers == [2, 2], "the reader skips by them, so markers that find no room on the chip are moved as ever"


def test_a_split_buffer_has_no_such_key(tmp_path):
    file = tmp_path / "machine.yaml"
    file.write_text(
        "accelerator:\n  name: x\n  clock: 1 GHz\n  pe_array: {rows: 4, cols: 4}\n"
        "  buffer: {organisation: split, ifmap: 4 KiB, filter: 4 KiB, ofmap: 4 KiB, keep_on_chip: true}\n"
        "  link: {kind: bus}\n  dram: {kind: flat, rate: 1 GB/s, latency: 50 ns}\n",
        "utf-8",
    )
    with pytest.raises(ConfigError, match="unknown key 'keep_on_chip'"):
        simulate.load_accelerator(file)


@given(graphs(), machines(), SCHEMES, st.integers(0, 9))
@settings(max_examples=60)
def test_both_engines_replay_kept_maps_alike_and_within_the_buffer(net, machine, scheme, seed):
    found = built(net, machine, scheme, seed)
    if found is None:
        return
    timelines = [engines.replay(found[0], keeping(machine), name) for name in ("reference", "fast")]
    for timeline in timelines:
        check(found[0], timeline, keeping(machine))
    for name, column in vars(timelines[0]).items():
        np.testing.assert_array_equal(column, getattr(timelines[1], name), err_msg=name)


@given(graphs(), machines(), st.integers(0, 9))
@settings(max_examples=60)
def test_keeping_never_costs_dense_traffic_and_changes_no_work(net, machine, seed):
    found = built(net, machine, "dense", seed)
    if found is None:
        return
    kept, plain = found
    assert kept.transfers.bytes_wanted.sum() <= plain.transfers.bytes_wanted.sum()
    assert kept.tiles.macs_done.sum() == plain.tiles.macs_done.sum()
    assert kept.layers.macs.tolist() == plain.layers.macs.tolist()
    if not kept.kept:
        assert kept.transfers.bytes_wanted.tolist() == plain.transfers.bytes_wanted.tolist()


@given(graphs(), machines(), SCHEMES)
@settings(max_examples=40)
def test_of_all_ways_to_keep_the_one_that_moves_least_is_taken(net, machine, scheme):
    made = []

    class Seen(keep.Chain):
        def cut(self):
            made.append(self)
            return super().cut()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.schedule.builder.Chain", Seen)
        found = built(net, machine, scheme)
        if found is None:
            return
    schedule, chain = found[0], made[0]
    can = [number for number in range(len(chain.nests)) if chain._next_reads(number)]
    costs = []
    for ways in product((False, True), repeat=len(can)):
        keeps = dict(zip(can, ways, strict=True))
        cuts = [chain._cut(number, keeps.get(number - 1, False), keeps.get(number, False)) for number in range(len(chain.nests))]
        if None not in cuts:
            costs.append(sum(moved for _, moved in cuts))
    kept = {number: cut.keeps for number, cut in enumerate(chain.cut())}
    assert sum(chain._cut(number, kept.get(number - 1, False), keeps)[1] for number, keeps in kept.items()) == min(costs)
    payload = moved(schedule, machine.dma.access, METADATA).sum()
    assert payload + sum(chain.prices.codes(number) for number, cut in enumerate(chain.cut()) if cut.held.stored) == min(costs)
