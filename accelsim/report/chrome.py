"""A replay as a timeline to look at: Chrome's trace event format, which Perfetto and chrome://tracing open.

Tracks: layers, tiles and stalls of the PE array; each DMA channel; the slots of each buffer class; as counters buffer occupancy, traffic on
the link each way and DRAM bandwidth. What overlaps on one channel or in one class lies on lanes below each other, for slices of a track
must not overlap.
Source:  Trace Event Format, document of the Chromium project; times are microseconds, here with picosecond digits
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.occupancy import HELD, Occupancy, spans
from accelsim.hardware import Accelerator, link_timing
from accelsim.hardware.link import LinkTiming
from accelsim.report.bandwidth import Bandwidth, LinkTraffic, Numbers
from accelsim.schedule.tables import FILTER, IFMAP, OFMAP, READ, TENSOR_NAMES, WRITE, Schedule
from accelsim.timeline import CAUSES, Timeline
from accelsim.trace import Trace

Int = NDArray[np.int64]
Event = dict[str, Any]

LIMIT = 100_000
"""Slices of a file: some 20 MB, which browsers open at once."""
ARRAY, DMA, BUFFER, LINK, DRAM = "PE array", "DMA", "buffer", "link", "DRAM"
GROUPS = (ARRAY, DMA, BUFFER, LINK, DRAM)
CLASSES = (IFMAP, FILTER, OFMAP)
GAP_CAUSES = ("start", "ifmap", "filter", "metadata", "output")
"""Causes of stalls in the gap before a tile, in the order in which they are drawn; fill, drain and conflicts lie inside the tile."""
MICRO = 10**6
"""Picoseconds of a microsecond."""
COUNTS = 2000
"""Most points of a counter that are drawn."""


def timeline(trace: Trace, schedule: Schedule, times: Timeline, accelerator: Accelerator, limit: int = LIMIT) -> bytes:
    """The timeline of one replay as JSON.

    `limit`: most slices; where there are more, each layer keeps those of its first tiles, and `otherData` says what was left out. Layers
    are always whole.
    """
    return side_by_side(trace, [(schedule, times)], accelerator, limit)


def side_by_side(trace: Trace, replays: Sequence[tuple[Schedule, Timeline]], accelerator: Accelerator, limit: int = LIMIT) -> bytes:
    """The timelines of several schemes on one trace and machine in one file, each with its own tracks; `limit` is shared out evenly."""
    events: list[Event] = []
    left_out: dict[str, dict[str, int]] = {}
    for number, (schedule, times) in enumerate(replays):
        shown = _shown(schedule, times, limit // len(replays))
        run = _Run(schedule, times, accelerator.period, link_timing(accelerator), shown)
        prefix = f"{schedule.scheme}: " if len(replays) > 1 else ""
        events += _rendered([track for track in run.tracks() if track.slices], len(GROUPS) * number, prefix)
        events += run.counters(len(GROUPS) * number)
        left_out[schedule.scheme] = {
            "tiles": int((~shown).sum()),
            "transfers": int((~shown)[schedule.transfers.tile].sum()),
            "blocks": int((~shown)[schedule.blocks.first_tile].sum()),
        }
    about = {
        "network": trace.graph.name,
        "image": trace.image,
        "source": trace.source,
        "accelerator": accelerator.name,
        "clock_hz": accelerator.clock,
        "schemes": [schedule.scheme for schedule, _ in replays],
        "left_out": left_out,
        "notes": [
            "ts and dur are microseconds; within a gap the start stall is drawn first; fill and drain of a tile are drawn at its start, "
            "conflicts in the buffer at its end",
            "where slices were left out, each layer shows its first tiles; layers, occupancy and rates are whole",
            "a block is drawn from the first request of its load (or its first tile) to its release",
            "rates spread the bytes of a transfer evenly over its time (report/bandwidth.py); link: headers and read requests included",
            *dict.fromkeys(note for schedule, _ in replays for note in schedule.notes),
        ],
    }
    whole = {"traceEvents": events, "displayTimeUnit": "ns", "otherData": about}
    return (json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _Slice:
    """One piece of a track. Units: picoseconds."""

    name: str
    begin: int
    end: int
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Track:
    """One line of the picture; its slices do not overlap, unless one lies wholly inside another."""

    group: str
    name: str
    slices: list[_Slice]


@dataclass(frozen=True, eq=False)
class _Run:
    """One replay. `shown`: tiles that are drawn, with their stalls, transfers and blocks. Units: `period` picoseconds."""

    schedule: Schedule
    times: Timeline
    period: int
    link: LinkTiming
    shown: NDArray[np.bool_]

    def tracks(self) -> Iterator[_Track]:
        """Every track, from top to bottom."""
        yield _Track(ARRAY, "layers", list(self.layers()))
        yield _Track(ARRAY, "tiles", list(self.tiles()))
        yield _Track(ARRAY, "stalls", list(self.stalls()))
        transfers = self.schedule.transfers
        for direction, name in ((READ, "read"), (WRITE, "write")):
            for channel in np.unique(transfers.channel[transfers.direction == direction]).tolist():
                mine = (transfers.direction == direction) & (transfers.channel == channel) & self.shown[transfers.tile]
                yield from _lanes(DMA, f"{name} channel {channel}", self.transfers(np.flatnonzero(mine)))
        for tensor in CLASSES:
            mine = (self.schedule.blocks.tensor == tensor) & self.shown[self.schedule.blocks.first_tile]
            yield from _lanes(BUFFER, f"{TENSOR_NAMES[tensor]} slot", self.blocks(np.flatnonzero(mine)))

    def layers(self) -> Iterator[_Slice]:
        """Windows of all layers, as in `layers.csv`: from the end of the previous layer's last tile to the end of its own."""
        schedule, ends = self.schedule, np.zeros(len(self.schedule.layers.node), np.int64)
        np.maximum.at(ends, schedule.tiles.layer, self.times.tile_end)
        ends = np.maximum.accumulate(ends)
        if len(ends):
            ends[-1] = max(int(ends[-1]), self.times.end)
        begin = 0
        for index, (name, kind, end) in enumerate(zip(schedule.names, schedule.kinds, ends.tolist(), strict=True)):
            args: dict[str, Any] = {"kind": kind, "tiles": int(schedule.layers.tile_high[index] - schedule.layers.tile_low[index])}
            if schedule.tilings:
                args["tiling"] = schedule.tilings[index]
            yield _Slice(name, begin, end, args)
            begin = end

    def tiles(self) -> Iterator[_Slice]:
        """Tiles, and inside them fill, work and conflicts in the buffer, where more than one takes time."""
        tiles, names = self.schedule.tiles, self.schedule.names
        conflicts = self.times.stall_cycles[:, CAUSES.index("conflict")].tolist()
        for t in np.flatnonzero(self.shown).tolist():
            begin, end = int(self.times.tile_start[t]), int(self.times.tile_end[t])
            layer, fill, busy = (int(column[t]) for column in (tiles.layer, tiles.fill_cycles, tiles.busy_cycles))
            done, skipped = int(tiles.macs_done[t]), int(tiles.macs_skipped[t])
            number = t - int(self.schedule.layers.tile_low[layer])
            args = {"tile": t, "busy_cycles": busy, "fill_cycles": fill, "macs_done": done, "macs_skipped": skipped}
            yield _Slice(f"{names[layer]} tile {number}", begin, end, args)
            held = conflicts[t] * self.period
            if held or (fill and busy):
                parts = {"fill and drain": fill * self.period, "work": busy * self.period, "wait: conflict": held}
                for name, time in parts.items():
                    if time:
                        yield _Slice(name, begin, begin + time, {})
                    begin += time

    def stalls(self) -> Iterator[_Slice]:
        """Gaps before tiles by cause, and the wait for the last stores."""
        previous = np.concatenate([[0], self.times.tile_end[:-1]])
        gaps = self.times.stall_cycles.tolist()
        for t in np.flatnonzero(self.shown).tolist():
            begin = int(previous[t])
            for cause in GAP_CAUSES:
                cycles = gaps[t][CAUSES.index(cause)]
                if cycles:
                    yield _Slice(f"wait: {cause}", begin, begin + cycles * self.period, {"cycles": cycles, "before_tile": t})
                    begin += cycles * self.period
        if self.times.drain_cycles:
            last = int(self.times.tile_end[-1]) if len(self.times.tile_end) else 0
            yield _Slice("wait: output", last, self.times.end, {"cycles": self.times.drain_cycles, "after_the_last_tile": True})

    def transfers(self, chosen: Int) -> Iterator[_Slice]:
        """Transfers with what they wanted and what they moved."""
        transfers, times, names = self.schedule.transfers, self.times, self.schedule.names
        for x in chosen.tolist():
            layer, tensor = names[int(transfers.layer[x])], TENSOR_NAMES[int(transfers.tensor[x])]
            args = {
                "layer": layer,
                "tensor": tensor,
                "transfer": x,
                "tile": int(transfers.tile[x]),
                "bytes_wanted": int(transfers.bytes_wanted[x]),
                "bytes_dense": int(transfers.bytes_dense[x]),
                "bytes_moved": int(times.bytes_moved[x]),
                "overhead_bytes": int(times.overhead_bytes[x]),
                "bursts": int(times.bursts[x]),
                "descriptors": int(transfers.descriptor_high[x] - transfers.descriptor_low[x]),
            }
            yield _Slice(f"{tensor} of {layer}", int(times.transfer_start[x]), int(times.transfer_end[x]), args)

    def blocks(self, chosen: Int) -> Iterator[_Slice]:
        """Blocks from their first byte to their release."""
        blocks, names = self.schedule.blocks, self.schedule.names
        begin, end = spans(self.schedule, self.times)
        end = np.maximum(begin, end)
        for b in chosen.tolist():
            layer, tensor = names[int(blocks.layer[b])], TENSOR_NAMES[int(blocks.tensor[b])]
            tiles = f"{int(blocks.first_tile[b])} to {int(blocks.last_tile[b])}"
            yield _Slice(f"{tensor} of {layer}", int(begin[b]), int(end[b]), {"bytes": int(blocks.bytes[b]), "block": b, "tiles": tiles})

    def counters(self, first_group: int) -> Iterator[Event]:
        """Buffer occupancy by class, traffic on the link and DRAM bandwidth; all over the whole run."""
        occupancy = Occupancy.of(self.schedule, self.times)
        changes = occupancy.times
        if len(changes) > COUNTS:  # the level at evenly spread moments
            changes = np.linspace(0, self.times.end, COUNTS).astype(np.int64)
        for time, levels in zip(changes.tolist(), occupancy.at(changes).T.tolist(), strict=True):
            held = {name: level for name, level in zip(HELD, levels, strict=True) if name != "kept" or self.schedule.kept}
            yield {**_counter("buffer bytes", time, first_group + GROUPS.index(BUFFER) + 1), "args": held}
        link = LinkTraffic.of(self.schedule, self.times, self.link, COUNTS)
        yield from self.rates(LINK, first_group, link.edges, {"down": link.down, "up": link.up})
        dram = Bandwidth.of(self.schedule, self.times, COUNTS)
        yield from self.rates(DRAM, first_group, dram.edges, {"read": dram.read, "write": dram.write})

    def rates(self, group: str, first_group: int, edges: Int, rates: Mapping[str, Numbers]) -> Iterator[Event]:
        """Rates by name as one counter of a group, which ends with nothing."""
        place = first_group + GROUPS.index(group) + 1
        columns = [values.round(6).tolist() for values in rates.values()]
        for time, *values in zip(edges[:-1].tolist(), *columns, strict=True):
            yield {**_counter(f"{group} GB/s", time, place), "args": dict(zip(rates, values, strict=True))}
        yield {**_counter(f"{group} GB/s", self.times.end, place), "args": dict.fromkeys(rates, 0)}


def _shown(schedule: Schedule, times: Timeline, limit: int) -> NDArray[np.bool_]:
    """The tiles that are drawn: the first ones of each layer, as many for each as the limit allows."""
    tiles, layers = schedule.tiles, schedule.layers
    gaps = [column for column, cause in enumerate(CAUSES) if cause in GAP_CAUSES]
    conflicts = times.stall_cycles[:, CAUSES.index("conflict")]
    slices = 1 + 2 * (tiles.fill_cycles > 0) + 2 * (conflicts > 0) + (times.stall_cycles[:, gaps] > 0).sum(axis=1)
    np.add.at(slices, schedule.transfers.tile, 1)
    np.add.at(slices, schedule.blocks.first_tile, 1)
    rank = np.arange(len(tiles.layer)) - layers.tile_low[tiles.layer]
    up_to_rank = np.cumsum(np.bincount(rank, weights=slices)) + len(layers.node)
    shown: NDArray[np.bool_] = rank < np.searchsorted(up_to_rank, limit, side="right")
    return shown


def _lanes(group: str, name: str, slices: Iterable[_Slice]) -> Iterator[_Track]:
    """Lay slices that overlap on lanes below each other, each on the one that has been free for longest."""
    lanes: list[list[_Slice]] = []
    free: list[tuple[int, int]] = []
    for piece in sorted(slices, key=lambda piece: piece.begin):
        lane = heappop(free)[1] if free and free[0][0] <= piece.begin else len(lanes)
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(piece)
        heappush(free, (piece.end, lane))
    yield from (_Track(group, f"{name}, lane {number}" if len(lanes) > 1 else name, lane) for number, lane in enumerate(lanes))


def _rendered(tracks: Sequence[_Track], first_group: int, prefix: str) -> Iterator[Event]:
    """Names, order and slices of tracks as trace events; groups are processes there, tracks are threads."""
    for number, group in enumerate(GROUPS, first_group + 1):
        yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": prefix + group}}
        yield {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}
    for thread, track in enumerate(tracks, 1):
        place = {"pid": first_group + GROUPS.index(track.group) + 1, "tid": thread}
        yield {"ph": "M", "name": "thread_name", **place, "args": {"name": track.name}}
        yield {"ph": "M", "name": "thread_sort_index", **place, "args": {"sort_index": thread}}
        for piece in track.slices:
            times = {"ts": piece.begin / MICRO, "dur": (piece.end - piece.begin) / MICRO}
            yield {"ph": "X", "cat": track.group, "name": piece.name, **times, **place, "args": piece.args}


def _counter(name: str, time: int, group: int) -> Event:
    return {"ph": "C", "name": name, "ts": time / MICRO, "pid": group, "tid": 0}
