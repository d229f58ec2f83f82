"""What physics guarantees: more buffer never moves more bytes, bytes moved are at least those wanted, and no run beats the roofline.

A run takes, of all tilings that dense runs take in a buffer as large or smaller, the one that moves the fewest of its own bytes; what a
smaller buffer offers, a larger one offers too. So the bytes moved that reports tell never rise with the buffer: of any layer, under any
scheme, dataflow and organisation of the buffer (but for schemes on machines whose DMA engine loads long holes along); where maps are kept
on the chip, of the run, because layers then share the room.
Bytes wanted follow where accesses are single bytes. Else a layer may want more to move less: a wide tile that is loaded twice can touch
fewer accesses than a narrow one that is loaded once. But never does it want more than it moved in a smaller buffer.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, accelerators, graphs, moved, trace

from accelsim import batch, simulate
from accelsim.configfile import families
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data, Dma, SplitBuffer, UnifiedBuffer, link_timing
from accelsim.hardware.tilings import ORDERS, FixedTiling
from accelsim.networks import synthetic, zoo
from accelsim.report import Result
from accelsim.schedule import build
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.tables import Schedule
from accelsim.schedule.tiling import find
from accelsim.trace import Trace

CONFIGS = Path(__file__).parents[1] / "configs" / "accelerator"
DDR4, EDGE = CONFIGS / "ddr4.yaml", CONFIGS / "edge.yaml"
DATAFLOWS = families.members("dataflows")
SCHEMES = [name for name in families.members("schemes") if name not in ("ebpc", "csr")]
"""All that need no values, but for one of the compressors."""
RASTER = ["dense", "channel_marker", "part_marker", "constant_marker"]
"""Schemes under which every element lies at its place, so that nothing is moved in vain where accesses are single bytes."""
SIZES = [1 * KIB, 2 * KIB, 3 * KIB, 5 * KIB, 8 * KIB, 24 * KIB, 100 * KIB]
NETWORKS = ("squeezenet_1.1", "mobilenet_v2", "resnet50")
"""Their synthetic traces; the first two sizes below are those between which SqueezeNet under `ws` once moved 4.4 % more."""
LADDER, LONG_LADDER = (256, 384, 1024), (24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096)
"""KiB."""


@st.composite
def layers(draw: st.DrawFn) -> Geometry:
    """Convolutions, grouped and depthwise ones among them."""
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    out_height, out_width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    return Geometry(
        groups=draw(st.sampled_from([1, 1, 2, 8])),
        filters=draw(st.integers(1, 24)),
        channels=draw(st.integers(1, 24)),
        height=(out_height - 1) * stride + kernel,
        width=(out_width - 1) * stride + kernel,
        out_height=out_height,
        out_width=out_width,
        kernel=(kernel, kernel),
        stride=(stride, stride),
    )


@st.composite
def growing(draw: st.DrawFn, bytewise: bool = False, keep: bool = False) -> tuple[Accelerator, Accelerator]:
    """A machine, and the same with a larger buffer; `bytewise`: its accesses are single bytes; `keep`: with one buffer that keeps maps."""
    machine = draw(accelerators())
    dma = machine.dma.model_copy(update={"access": 1, "min_skip": 1} if bytewise else {})
    array = machine.pe_array.model_copy(update={"dataflow": draw(st.sampled_from(DATAFLOWS))})
    slots = machine.buffer.slots
    if keep or isinstance(machine.buffer, UnifiedBuffer):
        sizes = sorted(draw(st.lists(st.sampled_from(SIZES), min_size=2, max_size=2)))
        buffers = [UnifiedBuffer(organisation="unified", size=size, slots=slots, keep_on_chip=keep) for size in sizes]
    else:
        parts = [sorted(draw(st.lists(st.sampled_from(SIZES), min_size=2, max_size=2))) for _ in range(3)]
        rooms = [dict(zip(("ifmap", "filter", "ofmap"), sizes, strict=True)) for sizes in zip(*parts, strict=True)]
        buffers = [SplitBuffer(organisation="split", slots=slots, **sizes) for sizes in rooms]
    update = {"dma": dma, "pe_array": array, "fuse_pooling": draw(st.booleans())}
    small, large = (machine.model_copy(update={**update, "buffer": made}) for made in buffers)
    return small, large


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Made-up data of small networks, of one image or two."""
    return batch.repeat(trace(draw(graphs()), seed=draw(st.integers(0, 9))), draw(st.sampled_from([1, 1, 2])))


def both(data: Trace, machines: tuple[Accelerator, Accelerator], scheme: str) -> tuple[Result, Result]:
    """Results behind a small and behind a larger buffer; but for dense runs, of machines that load no hole longer than an access along."""
    if scheme != "dense":
        small, large = (each.model_copy(update={"dma": _without_holes(each.dma)}) for each in machines)
        machines = small, large
    try:
        less = simulate.replay(data, machines[0], scheme)
    except ConfigError:  # not one tile fits
        assume(False)
    return less, simulate.replay(data, machines[1], scheme)


def _without_holes(dma: Dma) -> Dma:
    return dma.model_copy(update={"min_skip": min(dma.min_skip, dma.access)})


def rises(less: list[int], more: list[int]) -> list[tuple[int, int, int]]:
    """Places at which there is more behind the larger buffer, and both counts."""
    return [(number, few, many) for number, (few, many) in enumerate(zip(less, more, strict=True)) if many > few]


@given(traces(), growing(), st.sampled_from(SCHEMES))
@settings(max_examples=60)
def test_no_layer_moves_more_bytes_behind_a_larger_buffer(data, machines, scheme):
    less, more = both(data, machines, scheme)
    assert rises([row.bytes_moved for row in less.layers], [row.bytes_moved for row in more.layers]) == []
    assert more.totals["bytes_moved"] <= less.totals["bytes_moved"]
    assert rises([row.bytes_moved for row in less.layers], [row.bytes_wanted for row in more.layers]) == []


@given(traces(), growing(bytewise=True), st.sampled_from(RASTER))
@settings(max_examples=30)
def test_nor_does_one_want_more_where_accesses_are_single_bytes(data, machines, scheme):
    less, more = both(data, machines, scheme)
    assert rises([row.bytes_wanted for row in less.layers], [row.bytes_wanted for row in more.layers]) == []
    for result in (less, more):
        assert [row.bytes_moved for row in result.layers] == [row.bytes_wanted for row in result.layers]


@given(traces(), growing(keep=True), st.sampled_from(SCHEMES))
@settings(max_examples=30)
def test_nor_does_a_run_that_keeps_maps_on_the_chip(data, machines, scheme):
    less, more = both(data, machines, scheme)
    assert more.totals["bytes_moved"] <= less.totals["bytes_moved"]


@given(traces(), accelerators(), st.sampled_from(SCHEMES))
@settings(max_examples=25)
def test_nor_does_keeping_maps_on_the_chip_cost_any(data, machine, scheme):
    assume(isinstance(machine.buffer, UnifiedBuffer))
    keeps = machine.model_copy(update={"buffer": machine.buffer.model_copy(update={"keep_on_chip": True})})
    plain, kept = both(data, (machine, keeps), scheme)
    assert kept.totals["bytes_moved"] <= plain.totals["bytes_moved"]


def climbed(name: str, dataflow: str, scheme: str, ladder: tuple[int, ...]) -> list[Schedule]:
    """Schedules of a network behind larger and larger buffers."""
    keys = [(f"accelerator.buffer.size={size} KiB", f"accelerator.pe_array.dataflow={dataflow}") for size in ladder]
    data = synthetic.trace(zoo.load(name).graph)
    return [build(data, simulate.load_accelerator(EDGE, both), scheme) for both in keys]


def check_ladder(name: str, dataflow: str, scheme: str, ladder: tuple[int, ...]) -> None:
    """No layer of a network moves more as its buffer grows, or wants more than it moved."""
    found = climbed(name, dataflow, scheme, ladder)
    for less, more in pairwise(found):
        before, after = (moved(schedule, 64).tolist() for schedule in (less, more))
        assert rises(before, after) == []
        wanted = np.bincount(more.transfers.layer, more.transfers.bytes_wanted, len(more.names)).astype(np.int64)
        assert rises(before, wanted.tolist()) == []
    assert moved(found[-1], 64).sum() < moved(found[0], 64).sum()


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_of_a_network_moves_more_bytes_behind_a_larger_buffer(name, dataflow):
    for scheme in ("dense", "channel_marker"):
        check_ladder(name, dataflow, scheme, LADDER)


@pytest.mark.benchmark
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", NETWORKS)
def test_nor_does_one_at_any_step_of_a_long_ladder(name, dataflow):
    for scheme in ("dense", "channel_marker"):
        check_ladder(name, dataflow, scheme, LONG_LADDER)


@given(layers(), growing(), st.sampled_from([None, *ORDERS]))
@settings(max_examples=100)
def test_what_the_search_counts_never_rises_with_the_buffer_under_any_loop_order(layer, machines, order):
    less, more = (find(layer, machine, FixedTiling(order=order)) for machine in machines)
    assume(less is not None)
    assert more is not None
    assert more.moved[0] <= less.moved[0]


def test_a_larger_buffer_does_save_traffic_until_all_that_is_needed_fits():
    found = {}
    layer = Geometry(1, 64, 64, 30, 30, 28, 28, (3, 3))
    for size in (8, 32, 128, 512, 2048):
        machine = accelerator(size=size * KIB, data=Data(ifmap_bits=8, filter_bits=8), access=1, min_skip=1)
        found[size] = int(find(layer, machine).moved[0])
    once = 64 * 30 * 30 + 64 * 64 * 9 + 64 * 28 * 28
    assert sorted(found.values(), reverse=True) == list(found.values())
    assert found[8] > found[32] > found[512] == found[2048] == once


def faster_than_the_roofline(result: Result, machine: Accelerator) -> list[str]:
    """Which limits a run beats: those of the array, of each way of the link, of the DRAM."""
    totals, period, link = result.totals, machine.period, link_timing(machine)
    time = totals["total_cycles"] * period
    limits = {
        "cycles of tiles": (totals["busy_cycles"] + totals["stall_fill_drain_cycles"]) * period,
        "MACs": totals["macs_done"] * period // (machine.pe_array.rows * machine.pe_array.cols),
        "DMA port": totals["bursts"] * period,
        "link": max(0, totals["bytes_moved"] * 10**12 // (link.down_rate + link.up_rate)),
    }
    if machine.dram.kind == "flat":
        limits["DRAM"] = totals["bytes_moved"] * 10**12 // machine.dram.rate
    return [f"{name}: {least} ps, took {time} ps" for name, least in limits.items() if time < least]


@given(graphs(), accelerators(), st.sampled_from(["dense", "channel_marker", "part_marker"]), st.integers(0, 9))
@settings(max_examples=80)
def test_no_run_moves_less_than_it_wants_or_beats_the_roofline(net, machine, scheme, seed):
    try:
        result = simulate.replay(trace(net, seed=seed), machine, scheme)
    except ConfigError:
        assume(False)
    assert faster_than_the_roofline(result, machine) == []
    for row in result.layers:
        assert row.bytes_moved >= row.bytes_wanted
        assert row.total_cycles >= row.busy_cycles + row.stall_fill_drain_cycles


@given(graphs(), st.integers(0, 9))
@settings(max_examples=15)
def test_nor_does_one_beside_a_real_dram(net, seed):
    machine = simulate.load_accelerator(DDR4)
    result = simulate.replay(trace(net, seed=seed), machine, "channel_marker")
    assert faster_than_the_roofline(result, machine) == []
    assert result.totals["bytes_moved"] >= result.totals["bytes_wanted"]
