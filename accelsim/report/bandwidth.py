"""Bytes per second over time, out of when transfers began and ended; the table of what is known over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.occupancy import HELD, Occupancy
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
        end = max(int(timeline.end), 1)
        edges = np.unique(np.linspace(0, end, min(windows, end) + 1).round().astype(np.int64))
        reads = schedule.transfers.direction == READ
        return cls(edges, _rates(schedule, timeline, reads, edges), _rates(schedule, timeline, ~reads, edges))


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


def _rates(schedule: Schedule, timeline: Timeline, chosen: NDArray[np.bool_], edges: Int) -> Numbers:
    """Rate of the chosen transfers in each window. What had passed up to an edge is exact, so the windows add up to all bytes."""
    chosen = chosen & (timeline.bytes_moved > 0)
    start, end, moved = timeline.transfer_start[chosen], timeline.transfer_end[chosen], timeline.bytes_moved[chosen]
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
