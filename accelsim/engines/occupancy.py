"""Bytes held in the buffer over time, out of when its blocks were filled and released."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.schedule.tables import NONE, Schedule
from accelsim.timeline import Timeline

Int = NDArray[np.int64]
Numbers = NDArray[np.float64]

HELD = ("ifmap", "filter", "ofmap", "kept")
"""What holds bytes: blocks of the three classes, and maps that stay in the buffer as a whole for the next layer."""


def spans(schedule: Schedule, timeline: Timeline) -> tuple[Int, Int]:
    """When each block begins to fill (its load's first request, or its first tile) and when it is released, ps [blocks] both."""
    blocks = schedule.blocks
    begin, end = timeline.tile_start[blocks.first_tile], timeline.tile_end[blocks.last_tile]
    loaded, stored = blocks.load != NONE, blocks.store != NONE
    begin[loaded] = timeline.transfer_start[blocks.load[loaded]]
    end[stored] = timeline.transfer_end[blocks.store[stored]]
    return begin, end


@dataclass(frozen=True, eq=False)
class Occupancy:
    """A step series: `held[:, i]` from `times[i]` until the next one; what ends when another begins does not add.

    Shapes:  times int64 [n], ascending from 0; held int64 [4, n]: bytes by `HELD`; the last level is that at `end`, ps
    """

    times: Int
    held: Int
    end: int

    @classmethod
    def of(cls, schedule: Schedule, timeline: Timeline) -> Occupancy:
        """The series of one replay."""
        begin, end = spans(schedule, timeline)
        end = np.maximum(begin, end)
        what, size = schedule.blocks.tensor, schedule.blocks.bytes
        layers = schedule.layers
        for kept in schedule.kept:  # from the first tile of the layer that makes it to the last one of its reader
            begin = np.append(begin, timeline.tile_start[layers.tile_low[kept.layer]])
            end = np.append(end, timeline.tile_end[layers.tile_high[kept.reader] - 1])
            what, size = np.append(what, HELD.index("kept")), np.append(size, kept.room)
        times = np.sort(np.concatenate([[0], begin, end]))
        times = times[np.append(True, np.diff(times) > 0)]  # numpy's `unique` hashes: ten times slower on as many times as these
        held, row = np.zeros(len(HELD) * times.size, np.int64), what * times.size
        np.add.at(held, row + np.searchsorted(times, begin), size)
        np.subtract.at(held, row + np.searchsorted(times, end), size)
        return cls(times, np.cumsum(held.reshape(len(HELD), -1), axis=1), int(timeline.end))

    @cached_property
    def peak(self) -> dict[str, int]:
        """Most bytes held at once by each, and by `all` together."""
        most = [int(level.max(initial=0)) for level in self.held]
        return dict(zip(HELD, most, strict=True)) | {"all": int(self.held.sum(axis=0).max(initial=0))}

    @cached_property
    def mean(self) -> dict[str, float]:
        """Bytes held on average over the whole run by each, and by `all` together."""
        (means,) = self.windows(np.array([0, max(self.end, 1)])).T
        return dict(zip(HELD, means.tolist(), strict=True)) | {"all": float(means.sum())}

    def at(self, moments: Int) -> Int:
        """Bytes held right after each moment, [4, moments]; moments not before 0."""
        return self.held[:, np.searchsorted(self.times, moments, side="right") - 1]

    def windows(self, edges: Int) -> Numbers:
        """Mean bytes held between each edge and the next, [4, edges - 1]; edges ascending from 0."""
        passed = np.zeros(self.held.shape)
        held = self.held.astype(np.float64)
        np.cumsum(held[:, :-1] * np.diff(self.times), axis=1, out=passed[:, 1:])  # byte-picoseconds up to each change
        last = np.searchsorted(self.times, edges, side="right") - 1
        at_edges = passed[:, last] + held[:, last] * (edges - self.times[last])
        means: Numbers = np.diff(at_edges, axis=1) / np.diff(edges)
        return means
