"""Bytes per second over time, out of when transfers began and ended; the table of what is known over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.occupancy import HELD, Occupancy
from accelsim.hardware.link import LinkTiming
from accelsim.schedule.tables import READ, Schedule
from accelsim.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd

Int = NDArray[np.int64]
Numbers = NDArray[np.float64]

WINDOWS = 240
"""Windows of a run: as many as a figure at paper width can show."""


@dataclass(frozen=True, eq=False)
class Bandwidth:
    """Bytes moved in windows of equal length.

    When each byte moved is not known; a transfer's bytes are spread evenly from its first request, or from the end of its channel's
    transfer before (a channel's data come in order), to its last byte. All bytes are there; a short peak may be off by some per cent.

    Shapes:  edges int64 [windows + 1] ps; read, write float64 [windows] 10^9 bytes a second
    """

    edges: Int
    read: Numbers
    write: Numbers

    @classmethod
    def of(cls, schedule: Schedule, timeline: Timeline, windows: int = WINDOWS) -> Bandwidth:
        """Cut a replay into windows; fewer where it is shorter than one picosecond a window."""
        edges = _edges(timeline, windows)
        reads, moved = schedule.transfers.direction == READ, timeline.bytes_moved
        return cls(edges, *(_rates(schedule, timeline, np.where(chosen, moved, 0), edges) for chosen in (reads, ~reads)))


@dataclass(frozen=True, eq=False)
class LinkTraffic:
    """Bytes on the wires of the link in windows of equal length, headers and read requests included, spread as in `Bandwidth`.

    Shapes:  edges int64 [windows + 1] ps; down (to the accelerator), up float64 [windows] 10^9 bytes a second
    """

    edges: Int
    down: Numbers
    up: Numbers

    @classmethod
    def of(cls, schedule: Schedule, timeline: Timeline, link: LinkTiming, windows: int = WINDOWS) -> LinkTraffic:
        """Cut a replay into windows; fewer where it is shorter than one picosecond a window."""
        edges = _edges(timeline, windows)
        whole = timeline.bytes_moved + timeline.overhead_bytes
        up = np.where(schedule.transfers.direction == READ, timeline.bursts * link.request_overhead, whole)
        return cls(edges, *(_rates(schedule, timeline, carried, edges) for carried in (whole - up, up)))


def _edges(timeline: Timeline, windows: int) -> Int:
    """The edges of windows that cut a replay evenly."""
    end = max(int(timeline.end), 1)
    return np.unique(np.linspace(0, end, min(windows, end) + 1).round().astype(np.int64))


def over_time(bandwidth: Bandwidth, occupancy: Occupancy) -> pd.DataFrame:
    """One row per window of a run, the columns of `bandwidth.csv` that are numbers.

    Units:   microseconds (begin and end of the window), 10^9 bytes a second, mean bytes in the buffer by what holds them
    """
    import pandas as pd

    held = dict(zip(HELD, occupancy.windows(bandwidth.edges).round(3), strict=True))
    return pd.DataFrame(
        {
            "time_us": bandwidth.edges[:-1] / 1e6,
            "until_us": bandwidth.edges[1:] / 1e6,
            "read_gb_per_s": bandwidth.read.round(6),
            "write_gb_per_s": bandwidth.write.round(6),
            **{f"held_{name}_bytes": means for name, means in held.items()},
        }
    )


def _rates(schedule: Schedule, timeline: Timeline, carried: Int, edges: Int) -> Numbers:
    """Rate in each window of what each transfer carried. What had passed up to an edge is exact, so the windows add up to all bytes."""
    chosen = carried > 0
    start, end, moved = timeline.transfer_start[chosen], timeline.transfer_end[chosen], carried[chosen]
    channel = schedule.transfers.channel[chosen]
    for number in np.unique(channel):
        mine = channel == number
        before = np.concatenate([[0], np.maximum.accumulate(end[mine])[:-1]])
        start[mine] = np.where(before < end[mine], np.maximum(start[mine], before), start[mine])
    slope = moved / np.maximum(end - start, 1)
    # The sum of all ramps is piecewise linear: it bends up where a transfer starts and down where it ends.
    times = np.concatenate([start, np.maximum(end, start + 1)])
    order = np.argsort(times, kind="stable")
    times, bends = times[order], np.concatenate([slope, -slope])[order]
    slopes = np.cumsum(bends)
    passed = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(times))]) if len(times) else np.zeros(0)
    at_edges = np.interp(edges, times, passed, left=0.0) if len(times) else np.zeros(len(edges))
    rates: Numbers = np.maximum(np.diff(at_edges), 0) / np.diff(edges) * 1000
    return rates
