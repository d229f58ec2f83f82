"""What physics guarantees: more buffer never costs traffic, bytes moved are at least those wanted, and no run beats the roofline.

More buffer holds every tile that less buffer holds, so the least that the search finds cannot rise. What it minimises are the dense bytes
that whole accesses move, as if every piece began at an access; where accesses are single bytes that is what the dense scheme wants,
exactly. Not guaranteed is what a scheme wants: tiles are chosen before the data is known, and another tile may load more of what lives.
But whatever a scheme leaves of the dense bytes on the larger buffer is no more than the dense bytes on the smaller one.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, accelerators, graphs, trace

from accelsim import simulate
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data, SplitBuffer, UnifiedBuffer, link_timing
from accelsim.hardware.tilings import ORDERS, FixedTiling
from accelsim.report import Result
from accelsim.schedule import build
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.tables import METADATA, Schedule
from accelsim.schedule.tiling import find

DDR4 = Path(__file__).parents[1] / "configs" / "accelerator" / "ddr4.yaml"
SCHEMES = st.sampled_from(["channel_marker", "part_marker", "zvc", "gemm_column"])
SIZES = [1 * KIB, 2 * KIB, 3 * KIB, 5 * KIB, 8 * KIB, 24 * KIB, 100 * KIB]


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
def growing(draw: st.DrawFn, bytewise: bool = False) -> tuple[Accelerator, Accelerator]:
    """A machine, and the same with a larger buffer; with `bytewise` accesses the search counts exactly what is wanted."""
    machine = draw(accelerators())
    dma = machine.dma.model_copy(update={"access": 1, "min_skip": 1} if bytewise else {})
    buffer = machine.buffer
    if isinstance(buffer, UnifiedBuffer):
        sizes = sorted(draw(st.lists(st.sampled_from(SIZES), min_size=2, max_size=2)))
        keep = draw(st.booleans())
        buffers = [buffer.model_copy(update={"size": size, "keep_on_chip": keep}) for size in sizes]
    else:
        parts = [sorted(draw(st.lists(st.sampled_from(SIZES), min_size=2, max_size=2))) for _ in range(3)]
        rooms = [dict(zip(("ifmap", "filter", "ofmap"), sizes, strict=True)) for sizes in zip(*parts, strict=True)]
        buffers = [SplitBuffer(organisation="split", slots=buffer.slots, **sizes) for sizes in rooms]
    small, large = (machine.model_copy(update={"buffer": made, "dma": dma}) for made in buffers)
    return small, large


def scheduled(net, machine: Accelerator, scheme: str, seed: int) -> Schedule | None:
    try:
        return build(trace(net, seed=seed), machine, scheme)
    except ConfigError:  # not one tile fits
        return None


def wanted(schedule: Schedule) -> int:
    return int(schedule.transfers.bytes_wanted.sum())


@given(layers(), growing(), st.sampled_from([None, *ORDERS]))
@settings(max_examples=150)
def test_the_dense_traffic_of_a_layer_never_rises_with_the_buffer_under_any_loop_order(layer, machines, order):
    less, more = (find(layer, machine, FixedTiling(order=order)) for machine in machines)
    assume(less is not None)
    assert more is not None
    assert more.moved <= less.moved


@given(graphs(), growing(bytewise=True), st.integers(0, 9))
@settings(max_examples=80)
def test_dense_bytes_of_a_network_never_rise_with_the_buffer(net, machines, seed):
    less, more = (scheduled(net, machine, "dense", seed) for machine in machines)
    assume(less is not None)
    assert more is not None
    assert wanted(more) <= wanted(less)


@given(graphs(), growing(bytewise=True), SCHEMES, st.integers(0, 9))
@settings(max_examples=60)
def test_what_a_scheme_wants_on_a_larger_buffer_is_no_more_than_the_dense_bytes_on_a_smaller_one(net, machines, scheme, seed):
    dense, marked = scheduled(net, machines[0], "dense", seed), scheduled(net, machines[1], scheme, seed)
    assume(dense is not None)
    assert marked is not None
    payload = marked.transfers.tensor != METADATA
    assert marked.transfers.bytes_wanted[payload].sum() <= wanted(dense)


def test_a_larger_buffer_does_save_traffic_until_all_that_is_needed_fits():
    found = {}
    layer = Geometry(1, 64, 64, 30, 30, 28, 28, (3, 3))
    for size in (8, 32, 128, 512, 2048):
        found[size] = find(layer, accelerator(size=size * KIB, data=Data(ifmap_bits=8, filter_bits=8), access=1, min_skip=1)).moved
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
