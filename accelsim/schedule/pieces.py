"""What each tile of a layer moves: its pieces of the tensors as descriptors, with the bytes it wants.

A table of pieces has one row a tile of the tensor: descriptors low and high (exclusive), bytes wanted, bytes that the dense scheme wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from accelsim.schedule.memory import FilterRegion, MapRegion, Piece, Span
from accelsim.schedule.plan import EVERYWHERE, Plan
from accelsim.schedule.runs import NO_JOBS, Bool, Int, Rules, lines
from accelsim.schedule.work import Source, scaled

LOW, HIGH, WANTED, DENSE = range(4)


class Pool:
    """The descriptor table as it grows; transfers that move the same piece share its descriptors."""

    def __init__(self) -> None:
        self.jobs: list[Int] = []
        self.size = 0

    def add(self, jobs: Int) -> tuple[int, int]:
        """Append jobs. Returns their numbers, low and high (exclusive)."""
        low = self.size
        if len(jobs):
            self.jobs.append(jobs)
            self.size += len(jobs)
        return low, self.size

    def keep(self, pieces: Sequence[Piece]) -> tuple[int, int, int, int]:
        """Append the jobs of one transfer. Returns its row of a table of pieces."""
        jobs = pieces[0][0] if len(pieces) == 1 else np.concatenate([NO_JOBS, *(jobs for jobs, _, _ in pieces)])
        return (*self.add(jobs), sum(wanted for _, wanted, _ in pieces), sum(dense for _, _, dense in pieces))


@dataclass(frozen=True, eq=False)
class Pieces:
    """Makes the tables of one layer."""

    plan: Plan
    rules: Rules
    pool: Pool

    def ifmap(self, sources: Sequence[Source], regions: dict[int, MapRegion]) -> Int:
        """What each ifmap tile loads, of all maps that the layer reads. Shape: int64 [ifmap tiles, 4]."""
        plan, layer = self.plan, self.plan.layer
        groups, _, channels, rows, cols = plan.trips
        windows = [
            (_spans(scaled(plan.rows, shape[1], layer.height)), _spans(scaled(plan.cols, shape[2], layer.width))) for _, shape in sources
        ]
        table = []
        for group, channel in product(range(groups), range(channels)):
            low, high = plan.channels(group, channel, 2)
            parts = [
                (regions[part.node], (part.first + max(low - part.low, 0), part.first + min(high, part.high) - part.low), window)
                for (segments, _), window in zip(sources, windows, strict=True)
                for part in segments
                if max(low, part.low) < min(high, part.high)
            ]
            for y, x in product(range(rows), range(cols)):
                table.append(self.pool.keep([region.piece(span, down[y], across[x], self.rules) for region, span, (down, across) in parts]))
        return np.array(table, dtype=np.int64)

    def filters(self, region: FilterRegion, live: Bool) -> Int:
        """What each filling of the filter slots loads: filters of the channels that any tile of it needs.

        Shapes:  live bool [C, rows, columns], by position of the tile -> int64 [fillings, 4]
        """
        plan = self.plan
        flat = live.reshape(len(live), -1)
        anywhere = np.asarray(flat.any(axis=1))
        alike = bool((flat == anywhere[:, None]).all())
        _, filters, channels = plan.trips[:3]
        known: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        table = []
        for key, position in zip(plan.filter.key.tolist(), plan.position.tolist(), strict=True):
            name = (key, EVERYWHERE if alike else position)
            row = known.get(name)
            if row is None:
                (group, k), channel = divmod(key // channels, filters), key % channels
                low, high = plan.channels(group, channel, 2)
                mask = anywhere[low:high] if name[1] == EVERYWHERE else flat[low:high, position]
                groups = plan.span(0, group)
                piece = region.piece(groups, plan.span(1, k), plan.span(2, channel), mask.reshape(groups[1] - groups[0], -1), self.rules)
                row = known[name] = self.pool.keep([piece])
            table.append(row)
        return np.array(table, dtype=np.int64)

    def ofmap(self, region: MapRegion) -> Int:
        """What each finished ofmap tile stores. Shape: int64 [ofmap tiles, 4]."""
        plan = self.plan
        groups, _, _, rows, cols = plan.trips
        table = []
        for group, k in product(range(groups), range(plan.ofmap_filters[0].size)):
            channels = plan.ofmap_channels(group, k)
            for y, x in product(range(rows), range(cols)):
                table.append(self.pool.keep([region.store(channels, plan.span(3, y), plan.span(4, x), self.rules)]))
        return np.array(table, dtype=np.int64)

    def sums(self, address: int) -> Int:
        """What each unfinished ofmap tile stores and reads back: partial sums, one tile after the other. Shape: int64 [ofmap tiles, 4]."""
        fillings = self.plan.ofmap
        sizes = np.zeros(int(fillings.key.max()) + 1, dtype=np.int64)
        sizes[fillings.key] = fillings.size
        pitch = self.plan.spill_pitch(self.rules.access)
        numbers = np.arange(sizes.size, dtype=np.int64)
        low, _ = self.pool.add(lines(address + numbers * pitch, sizes))
        return np.stack([low + numbers, low + numbers + 1, sizes, sizes], axis=1)


def _spans(edges: tuple[Int, Int]) -> list[Span]:
    return list(zip(edges[0].tolist(), edges[1].tolist(), strict=True))
