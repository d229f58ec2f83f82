"""What each tile of a layer moves: its pieces of the tensors as descriptors, with the bytes it wants.

A table of pieces has one row a tile of the tensor: descriptors low and high (exclusive), bytes wanted, bytes that the dense scheme wants.
Whole channels of maps in the raster, and filters whose weights of an ifmap channel lie together, are pieces of planes at one distance:
those of all tiles are made at once, and so are those of the finer units of a map. Other filters are made one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from accelsim.kernels.schedule.planes import map_requests, strided_jobs
from accelsim.schedule.coded import CodedFilters
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.memory import HIGH, LOW, Blocks, FilterRegion, MapRegion, Piece, in_bytes
from accelsim.schedule.plan import EVERYWHERE, Plan, once
from accelsim.schedule.pooling import completed
from accelsim.schedule.runs import NO_JOBS, Bool, Int, Rules, lines
from accelsim.schedule.work import Source, Windows, scaled


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

    def strided(self, requests: Int, tiles: Int, count: int, live: Bool, rules: Rules) -> Int:
        """Append the jobs of many pieces (see `kernels.schedule`). Returns the table of `count` pieces. Shape: int64 [count, 4]."""
        table = np.empty((count, 4), dtype=np.int64)
        self.add(strided_jobs(requests, tiles, live, rules.key, self.size, table))
        return table

    def blocks(self, maps: Sequence[tuple[MapRegion, Blocks]], rules: Rules) -> Int:
        """Append the jobs of blocks; the first blocks of all maps are one piece, and so on. Returns its table. Shape: int64 [blocks, 4]."""
        made = [region.jobs(blocks, rules) for region, blocks in maps]
        jobs, tables = np.concatenate([jobs for jobs, _ in made]), np.stack([table for _, table in made])
        if len(made) > 1:
            piece = [np.repeat(np.arange(len(table)), table[:, HIGH] - table[:, LOW]) for table in tables]
            jobs = jobs[np.argsort(np.concatenate(piece), kind="stable")]
        table = np.asarray(tables.sum(axis=0))
        table[:, LOW : HIGH + 1] += self.add(jobs)[0]
        return table


@dataclass(frozen=True, eq=False)
class Pieces:
    """Makes the tables of one layer."""

    plan: Plan
    rules: Rules
    pool: Pool

    def ifmap(self, sources: Sequence[Source], regions: Mapping[int, MapRegion]) -> Int:
        """What each ifmap tile loads, of all maps that the layer reads. Shape: int64 [ifmap tiles, 4]."""
        plan, layer = self.plan, self.plan.layer
        windows = [(scaled(plan.rows, shape[1], layer.height), scaled(plan.cols, shape[2], layer.width)) for _, shape in sources]
        nodes = {part.node for segments, _ in sources for part in segments}
        flags = {node: found for node in nodes if (found := regions[node].flags) is not None}
        if len(flags) < len(nodes):
            return self._ifmap_units(sources, regions, windows)
        first = dict(zip(flags, accumulate(map(len, flags.values()), initial=0), strict=False))
        parts: list[tuple[int, ...]] = []
        for number, (segments, _) in enumerate(sources):
            for part in segments:
                region = regions[part.node]
                pitches = region.plane_bytes, region.row_bytes
                parts.append((part.low, part.high, part.first, region.address, *pitches, first[part.node], number))
        return self._planes(plan.ifmap_channels, parts, windows, region.bits, np.concatenate(list(flags.values())))

    def _planes(self, spans: Int, parts: Sequence[tuple[int, ...]], windows: Sequence[Windows], bits: int, live: Bool) -> Int:
        rows = np.array([down for down, _ in windows], dtype=np.int64)
        cols = np.array([in_bytes(np.array(across, dtype=np.int64), bits) for _, across in windows])
        requests, tiles = map_requests(spans, np.array(parts, dtype=np.int64), rows, cols)
        return self.pool.strided(requests, tiles, len(spans) * rows.shape[2] * cols.shape[2], live, self.rules)

    def _ifmap_units(self, sources: Sequence[Source], regions: Mapping[int, MapRegion], windows: Sequence[Windows]) -> Int:
        spans = self.plan.ifmap_channels
        maps = [
            (regions[part.node], Blocks(np.clip(spans, part.low, part.high) + (part.first - part.low), np.array(rows), np.array(cols)))
            for (segments, _), (rows, cols) in zip(sources, windows, strict=True)
            for part in segments
        ]
        return self.pool.blocks(maps, self.rules)

    def filters(self, region: FilterRegion | CodedFilters, live: Bool) -> Int:
        """What each filling of the filter slots loads: filters of the channels that any tile of it needs.

        Shapes:  live bool [C, rows, columns], by position of the tile -> int64 [fillings, 4]
        """
        plan = self.plan
        if (live == live[:, :1, :1]).all():
            needed, column = live[None, :, 0, 0], np.zeros_like(plan.position)
            found, which = plan.filter_once
        else:
            # the last row is what any position needs
            needed = np.concatenate([live.reshape(len(live), -1).T, np.asarray(live.any(axis=(1, 2)))[None]])
            column = np.where(plan.position == EVERYWHERE, len(needed) - 1, plan.position)
            found, which = once(plan.filter.key * len(needed) + column)
        return self.filter_pieces(region, needed, plan.filter.key[found], column[found])[which]

    def filter_pieces(self, region: FilterRegion | CodedFilters, needed: Bool, keys: Int, column: Int) -> Int:
        """What loading pieces of the filters moves, each under a row of `needed`.

        Shapes:  needed bool [rows, C]; keys int64 [n], as `Plan.filter` has them; column int64 [n], the row of each -> int64 [n, 4]
        """
        plan = self.plan
        outer, channel = np.divmod(keys, plan.trips[2])
        group, k = np.divmod(outer, plan.trips[1])
        low, high = plan.ifmap_channels[group * plan.trips[2] + channel].T
        if isinstance(region, CodedFilters):
            return self._filter_codes(region, needed, keys, np.stack([column, low, high]).T)
        if not region.sliced:
            return self._filter_rows(region, needed, np.stack([group, k, channel, column, low, high]).T)
        element = region.layer.taps * region.bits
        offset = (plan.low[1] * element // 8)[k]
        width = -(-plan.high[1] * element // 8)[k] - offset
        planes = np.full_like(k, region.pitch), low, high - low, column * needed.shape[1] + low
        requests = np.stack([region.address + offset, *planes, np.ones_like(k), width, width], axis=1)
        return self.pool.strided(requests, np.arange(k.size), k.size, needed.ravel(), self.rules)

    def _filter_codes(self, region: CodedFilters, needed: Bool, keys: Int, tiles: Int) -> Int:
        pieces = [
            region.piece(number, needed[column, low:high], low, self.rules)
            for number, (column, low, high) in zip(keys.tolist(), tiles.tolist(), strict=True)
        ]
        return np.array([self.pool.keep([piece]) for piece in pieces], dtype=np.int64)

    def _filter_rows(self, region: FilterRegion, needed: Bool, tiles: Int) -> Int:
        table = []
        for group, k, channel, column, low, high in tiles.tolist():
            groups = self.plan.span(0, group)
            mask = needed[column, low:high].reshape(groups[1] - groups[0], -1)
            table.append(self.pool.keep([region.piece(groups, self.plan.span(1, k), self.plan.span(2, channel), mask, self.rules)]))
        return np.array(table, dtype=np.int64)

    def ofmap(self, region: MapRegion, pool: Geometry | None = None) -> Int:
        """What each finished ofmap tile stores, of the pooled map where there is a pooling layer. Shape: int64 [ofmap tiles, 4]."""
        plan = self.plan
        rows, cols = ((plan.low[axis], plan.high[axis]) for axis in (3, 4))
        windows = (rows, cols) if pool is None else (completed(pool, 0, *rows), completed(pool, 1, *cols))
        if region.flags is not None:
            part = 0, region.shape[0], 0, region.address, region.plane_bytes, region.row_bytes, 0, 0
            return self._planes(plan.ofmap_channels, [part], [windows], region.bits, region.flags)
        blocks = region.completed(Blocks(plan.ofmap_channels, np.array(windows[0]), np.array(windows[1])))
        return self.pool.blocks([(region, blocks)], self.rules)

    def sums(self, address: int) -> Int:
        """What each unfinished ofmap tile stores and reads back: partial sums, one tile after the other. Shape: int64 [ofmap tiles, 4]."""
        fillings = self.plan.ofmap
        sizes = np.zeros(int(fillings.key.max()) + 1, dtype=np.int64)
        sizes[fillings.key] = fillings.size
        pitch = self.plan.spill_pitch(self.rules.access)
        numbers = np.arange(sizes.size, dtype=np.int64)
        low, _ = self.pool.add(lines(address + numbers * pitch, sizes))
        return np.stack([low + numbers, low + numbers + 1, sizes, sizes], axis=1)
