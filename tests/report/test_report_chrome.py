"""Timelines to look at: what a viewer needs, and that they show what the replay did."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import schedule_samples as samples
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import engines
from accelsim.hardware import Accelerator, link_timing
from accelsim.hardware.links import BusLink, PcieLink
from accelsim.report import Result, chrome
from accelsim.schedule import build
from accelsim.schedule.tables import READ, Schedule
from accelsim.timeline import Timeline
from accelsim.trace import Trace

Event = dict[str, Any]
NETWORK = samples.graph((3, 16, 16), samples.conv(8, 3), samples.maxpool(), samples.conv(6, 1), samples.conv(4, 3))


def replayed(dataflow: str = "ws", scheme: str = "channel_marker", **machine: Any) -> tuple[Trace, Schedule, Timeline, Accelerator]:
    trace = samples.trace(NETWORK)
    accelerator = samples.accelerator(dataflow=dataflow, size=2048, marker_bytes=1, **machine)
    schedule = build(trace, accelerator, scheme)
    return trace, schedule, engines.replay(schedule, accelerator), accelerator


@pytest.fixture(scope="module")
def run() -> tuple[Trace, Schedule, Timeline, Accelerator]:
    return replayed()


def read(content: bytes) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(content)
    return whole


def by_track(events: list[Event]) -> dict[tuple[str, str], list[Event]]:
    """Slices by names of process and thread, in order of time; an outer slice comes before what lies inside it."""
    groups = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    found: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[groups[event["pid"]], names[event["pid"], event["tid"]]].append(event)
    return {name: sorted(slices, key=lambda event: (event["ts"], -event["dur"])) for name, slices in found.items()}


def ps(microseconds: float) -> int:
    return round(microseconds * 10**6)


def end(event: Event) -> int:
    return ps(event["ts"]) + ps(event["dur"])


def assert_drawable(whole: dict[str, Any]) -> None:
    """What the trace event format asks of a file."""
    assert whole["displayTimeUnit"] == "ns"
    for event in whole["traceEvents"]:
        assert {"ph", "name", "pid", "tid"} <= event.keys()
        assert event["ph"] in "XMC"
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert isinstance(event["args"], dict)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) and value >= 0 for value in event["args"].values())
    assert len({(event["pid"], event["tid"]) for event in whole["traceEvents"] if event["name"] == "thread_name"}) == len(
        by_track(whole["traceEvents"])
    )
    for slices in by_track(whole["traceEvents"]).values():
        open_until: list[int] = []
        for event in slices:
            while open_until and open_until[-1] <= ps(event["ts"]):
                open_until.pop()
            assert not open_until or end(event) <= open_until[-1], f"{event['name']} overlaps the slice before it"
            open_until.append(end(event))


def test_a_timeline_is_a_sound_trace_event_file(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    whole = read(chrome.timeline(*run))
    assert_drawable(whole)
    assert whole["otherData"]["network"] == "small"
    assert whole["otherData"]["source"] == "synthetic"
    assert whole["otherData"]["schemes"] == ["channel_marker"]
    assert whole["otherData"]["left_out"] == {"channel_marker": {"tiles": 0, "transfers": 0, "blocks": 0}}


@settings(max_examples=15, deadline=None)
@given(samples.graphs(), st.sampled_from(["spatial", "ws"]), st.sampled_from(["dense", "channel_marker"]), st.integers(0, 60))
def test_any_replay_can_be_drawn_whatever_is_left_out(network: Any, dataflow: str, scheme: str, limit: int) -> None:
    trace, machine = samples.trace(network), samples.accelerator(dataflow=dataflow)
    schedule = build(trace, machine, scheme)
    times = engines.replay(schedule, machine)
    for most in (limit, chrome.LIMIT):
        whole = read(chrome.timeline(trace, schedule, times, machine, most))
        assert_drawable(whole)
        slices = sum(event["ph"] == "X" for event in whole["traceEvents"])
        # Layers are whole whatever the limit, and so is the wait for the last store.
        assert slices <= max(most, len(schedule.names)) + 1


def test_layers_fill_the_run_and_equal_the_report(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    trace, schedule, times, machine = run
    layers = by_track(read(chrome.timeline(*run))["traceEvents"])["PE array", "layers"]
    rows = Result.of(trace, machine, schedule, times).layers
    assert [event["name"] for event in layers] == [row.layer for row in rows]
    assert all(end(left) == ps(right["ts"]) for left, right in pairwise(layers))
    assert (ps(layers[0]["ts"]), end(layers[-1])) == (0, times.end)
    assert [ps(event["dur"]) for event in layers[:-1]] == [row.total_cycles * machine.period for row in rows[:-1]]


def test_tiles_and_stalls_fill_the_run_to_the_picosecond(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    _, schedule, times, machine = run
    tracks = by_track(read(chrome.timeline(*run))["traceEvents"])
    tiles = [event for event in tracks["PE array", "tiles"] if "tile" in event["args"]]
    assert [ps(event["ts"]) for event in tiles] == times.tile_start.tolist()
    assert [end(event) for event in tiles] == times.tile_end.tolist()
    stalls = tracks["PE array", "stalls"]
    pieces = sorted([*tiles, *stalls], key=lambda event: event["ts"])
    assert all(end(left) == ps(right["ts"]) for left, right in pairwise(pieces))
    assert end(pieces[-1]) == times.end
    outside = times.stall_cycles.sum() - schedule.tiles.fill_cycles.sum()
    assert sum(event["args"]["cycles"] for event in stalls) == outside + times.drain_cycles
    inside = [event for event in tracks["PE array", "tiles"] if event["name"] == "fill and drain"]
    assert sum(ps(event["dur"]) for event in inside) == schedule.tiles.fill_cycles[schedule.tiles.busy_cycles > 0].sum() * machine.period


def test_transfers_stand_on_their_channel_with_their_bytes(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    _, schedule, times, _ = run
    tracks = by_track(read(chrome.timeline(*run))["traceEvents"])
    drawn = {event["args"]["transfer"]: (name, event) for (group, name), slices in tracks.items() if group == "DMA" for event in slices}
    assert len(drawn) == len(schedule.transfers.tile)
    for number, (name, event) in drawn.items():
        way = "read" if schedule.transfers.direction[number] == READ else "write"
        assert name.startswith(f"{way} channel {schedule.transfers.channel[number]}")
        assert (ps(event["ts"]), end(event)) == (times.transfer_start[number], times.transfer_end[number])
        assert event["args"]["bytes_wanted"] == schedule.transfers.bytes_wanted[number]
    for key, column in (("bytes_moved", times.bytes_moved), ("bursts", times.bursts), ("overhead_bytes", times.overhead_bytes)):
        assert sum(event["args"][key] for _, event in drawn.values()) == column.sum()


def test_no_class_holds_more_blocks_than_it_has_slots(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    _, schedule, _, _ = run
    tracks = by_track(read(chrome.timeline(*run))["traceEvents"])
    for name, slots in zip(("ifmap", "filter", "ofmap"), schedule.slots, strict=True):
        lanes = [lane for group, lane in tracks if group == "buffer" and lane.startswith(name)]
        assert 1 <= len(lanes) <= slots
    blocks = [event for (group, _), slices in tracks.items() if group == "buffer" for event in slices]
    assert sorted(event["args"]["block"] for event in blocks) == list(range(len(schedule.blocks.order)))


def test_counters_tell_occupancy_and_bandwidth(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    _, _, times, machine = run
    counters = [event for event in read(chrome.timeline(*run))["traceEvents"] if event["ph"] == "C"]
    held = [event["args"] for event in counters if event["name"] == "buffer bytes"]
    for position, name in enumerate(("ifmap", "filter", "ofmap")):
        # A slot is taken a little before the first request that the picture begins with.
        assert 0 < max(level[name] for level in held) <= times.peak_bytes[position]
    assert set(held[-1].values()) == {0}
    assert max(sum(level.values()) for level in held) <= machine.buffer.size
    rates = [event for event in counters if event["name"] == "DRAM GB/s"]
    seconds = np.diff([event["ts"] for event in rates]) / 1e6
    moved = sum((event["args"]["read"] + event["args"]["write"]) * 1e9 * part for event, part in zip(rates[:-1], seconds, strict=True))
    assert moved == pytest.approx(times.bytes_moved.sum(), rel=1e-3)


@pytest.mark.parametrize("link", [BusLink(kind="bus"), PcieLink(kind="pcie", generation=1, lanes=4)], ids=lambda link: link.kind)
def test_the_link_carries_what_the_engine_counted_each_way(link: BusLink | PcieLink) -> None:
    trace, schedule, _, plain = replayed()
    machine = plain.model_copy(update={"link": link})
    times = engines.replay(schedule, machine)
    whole = read(chrome.timeline(trace, schedule, times, machine))
    counters = [event for event in whole["traceEvents"] if event["name"] == "link GB/s"]
    seconds = np.diff([event["ts"] for event in counters]) / 1e6
    ways = ("down", "up")
    down, up = (sum(event["args"][way] * 1e9 * part for event, part in zip(counters[:-1], seconds, strict=True)) for way in ways)
    timing = link_timing(machine)
    # What a wire carried is its busy time at its rate; requests are rounded up to a picosecond each.
    assert down == pytest.approx(times.link_down_busy * timing.down_rate / 1e12, rel=1e-3)
    assert up == pytest.approx(times.link_up_busy * timing.up_rate / 1e12, rel=1e-3)
    assert down + up == pytest.approx((times.bytes_moved + times.overhead_bytes).sum(), rel=1e-3)
    groups = {event["args"]["name"] for event in whole["traceEvents"] if event["name"] == "process_name"}
    assert groups == {"PE array", "DMA", "buffer", "link", "DRAM"}


def test_a_limit_keeps_layers_whole_and_says_what_is_gone(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    trace, schedule, times, machine = run
    whole = read(chrome.timeline(trace, schedule, times, machine, limit=60))
    tracks = by_track(whole["traceEvents"])
    assert len(tracks["PE array", "layers"]) == len(schedule.names)
    tiles = [event["args"]["tile"] for event in tracks["PE array", "tiles"] if "tile" in event["args"]]
    left_out = whole["otherData"]["left_out"]["channel_marker"]
    assert left_out["tiles"] == len(schedule.tiles.layer) - len(tiles) > 0
    assert sum(map(len, tracks.values())) <= 60 + 1
    ranks = [tile - schedule.layers.tile_low[schedule.tiles.layer[tile]] for tile in tiles]
    assert set(ranks) == set(range(max(ranks) + 1))
    transfers = sum(len(slices) for (group, _), slices in tracks.items() if group == "DMA")
    assert left_out["transfers"] == len(schedule.transfers.tile) - transfers


def test_several_schemes_stand_side_by_side_under_their_names() -> None:
    trace, dense, first, machine = replayed(scheme="dense")
    _, marked, second, _ = replayed()
    whole = read(chrome.side_by_side(trace, [(dense, first), (marked, second)], machine))
    assert_drawable(whole)
    groups = {group for group, _ in by_track(whole["traceEvents"])}
    assert groups == {f"{scheme}: {part}" for scheme in ("dense", "channel_marker") for part in ("PE array", "DMA", "buffer")}
    assert list(whole["otherData"]["left_out"]) == ["dense", "channel_marker"]


def test_the_same_replay_gives_the_same_bytes(run: tuple[Trace, Schedule, Timeline, Accelerator]) -> None:
    assert chrome.timeline(*run) == chrome.timeline(*run)
