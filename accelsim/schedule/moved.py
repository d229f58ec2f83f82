"""What a tiling really moves under the scheme of a run, and which rung of a ladder moves least.

Counted are the very descriptors that the schedule will have: the pieces of each tensor are made once, and the accesses that they touch are
multiplied by how often each is filled. So the bytes are those of the report. Markers are not among them: all tilings have the same.
A dense run takes the rung that moves least. Any other run is offered the tilings that dense runs take, in this buffer and in smaller ones,
and keeps that of this one unless an earlier one moves fewer of its own bytes. Since a larger buffer has all that a smaller one has, no
layer moves more bytes in it, under any scheme of maps. Weights count as they lie dense: to code them anew for every tiling would take
longer than the run, so of coded weights that is not promised; nor is it of schemes where `dma.min_skip` is longer than an access: fewer
bytes would there be bought with many short transfers.
Tilings that cut a tensor alike share its count, and one that is beaten by what it must move at least is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from accelsim.hardware import Data, PeArray
from accelsim.kernels.schedule.jobs import moved_bytes
from accelsim.kernels.schedule.planes import strided_moved
from accelsim.schedule.candidates import Candidates
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Lines, Tiling, repeats
from accelsim.schedule.memory import HIGH, Blocks, FilterRegion, MapRegion, Segment, Span
from accelsim.schedule.pieces import Pieces, Pool
from accelsim.schedule.plan import Plan, cut_up
from accelsim.schedule.runs import Bool, Int, Rules
from accelsim.schedule.tiling import Ladder
from accelsim.schedule.work import Source, Sources, outside, same_weights_everywhere, weights_by_position, weights_needed

Known = TypeVar("Known")


class Tally(Pool):
    """Counts what pieces move instead of keeping their descriptors: in tables, 0 and bytes stand for the first and the last."""

    def __init__(self, access: int) -> None:
        super().__init__()
        self._access = access

    def add(self, jobs: Int) -> tuple[int, int]:
        """0, and the bytes that some jobs move."""
        return 0, int(moved_bytes(jobs, self._access).sum()) if len(jobs) else 0

    def strided(self, requests: Int, tiles: Int, count: int, live: Bool, rules: Rules) -> Int:
        """What the jobs of many pieces move. Shape: int64 [count, 4]."""
        table = np.zeros((count, 4), dtype=np.int64)
        strided_moved(requests, tiles, live, rules.key, table[:, HIGH])
        return table

    def blocks(self, maps: Sequence[tuple[MapRegion, Blocks]], rules: Rules) -> Int:
        """What the jobs of blocks move. Shape: int64 [blocks, 4]."""
        table = np.zeros((maps[0][1].count, 4), dtype=np.int64)
        for region, blocks in maps:
            table[:, HIGH] += region.moved(blocks, rules)
        return table


@dataclass(frozen=True, eq=False)
class Moves:
    """One layer of a run, without its tiling. All regions lie at an access.

    `layer`: its loops; `sources`: all that it reads, of which `resident` lies in the buffer already. `ofmap`: what it writes, None where
    nothing is; `pool`: the pooling layer before that. `filters`: the weights as they lie dense; None for a layer without.
    """

    layer: Geometry
    data: Data
    array: PeArray
    rules: Rules
    sources: Sources
    regions: Mapping[int, MapRegion]
    resident: frozenset[int]
    ofmap: MapRegion | None
    pool: Geometry | None
    filters: FilterRegion | None
    _known: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def bytes(self, tiling: Tiling, least: Sequence[int] | Int = (0, 0, 0), most: int | None = None) -> int:
        """DRAM bytes that all tiles of a tiling move; or, where they are more than `most`, any number that is more, too.

        Units:   bytes; `least`: what ifmap, filters and ofmap are known to move at least
        """
        plan = cut_up(self.layer, tiling, self.data)
        positions = plan.trips[3] * plan.trips[4]
        filters, (_, _, channels, _, _) = plan.ofmap_filters[0].size, plan.trips
        of_ifmap, of_filter, of_ofmap = repeats(tiling.order, filters, channels, positions, where=_either)
        _, weights, results = map(int, least)
        ifmap = of_ifmap * self._ifmap(plan)
        if most is None or ifmap + weights + results <= most:
            results = self._results(plan) + (2 * (of_ofmap - 1) * self._sums(plan) if of_ofmap > 1 else 0)
        if most is None or ifmap + weights + results <= most:
            weights = self._weights(plan, of_filter, positions)
        return int(ifmap + weights + results)

    def least(self, ladder: Ladder) -> Int:
        """What ifmap, filters and ofmap (partial sums among it) move at least on each rung. Shape: int64 [3, n].

        Every access that holds something wanted is moved each time that the tensor is gone through, and every piece is whole accesses.
        """
        fills, rungs, layer = ladder.fills, ladder.rungs, self.layer
        found = np.zeros_like(fills)
        found[0] = fills[0] * np.maximum(rungs.least[0] * self._live_planes, np.maximum(self._read_once, self._by_units(rungs)))
        if self.filters is not None and (self._alike or self._all_read):
            whole = (0, layer.groups), (0, layer.filters), (0, layer.channels), self._needed.reshape(layer.groups, layer.channels)
            jobs, _, _ = self.filters.piece(*whole, self._apart)
            once = np.maximum(rungs.least[1] * np.count_nonzero(self._needed), moved_bytes(jobs, self.rules.access).sum())
            found[1] = np.where((rungs.pieces == 1) & self._alike, fills[1], 1) * once
        if self.ofmap is not None:
            flags = self.ofmap.flags if self.pool is None else None
            found[2] = self._distinct(self.ofmap, (0, self.ofmap.shape[0]))
            found[2] = np.maximum(found[2], rungs.least[2] * (0 if flags is None else np.count_nonzero(flags)))
        sums = layer.groups * layer.filters * layer.out_height * layer.out_width * self.data.psum_bits // 8
        found[2] += 2 * (fills[2] - 1) * sums
        return found

    @cached_property
    def _apart(self) -> Rules:
        """Rules under which nothing is moved beside the accesses that hold something wanted."""
        return Rules(1, self.rules.access, 3)

    def _distinct(self, region: MapRegion, channels: Span) -> int:
        """Bytes of the accesses that hold something of some channels."""
        _, rows, cols = region.shape
        return int(region.moved(Blocks.one(channels, (0, rows), (0, cols)), self._apart)[0])

    @cached_property
    def _loaded(self) -> tuple[Source, ...]:
        return outside(self.sources, self.resident)

    @cached_property
    def _alike(self) -> bool:
        """Whether the weights that a tile needs are the same at all positions."""
        return same_weights_everywhere(self.sources, self.regions)

    @cached_property
    def _needed(self) -> Bool:
        """Ifmap channels whose weights are loaded: at all positions where those are alike, else at one of them if every line is read."""
        return weights_needed(self.layer, self.sources, self.regions)

    @cached_property
    def _all_read(self) -> bool:
        """Whether each line of the ifmap is read by some output."""
        for axis, size in enumerate((self.layer.height, self.layer.width)):
            one = Lines.of(self.layer, axis, 1)
            if one.low[0] > 0 or one.high[-1] < size or (one.low[1:] > one.high[:-1]).any():
                return False
        return True

    @property
    def _live_planes(self) -> int:
        """Channels that are loaded, where only whole ones are skipped and all maps are as large as the one that is walked; else 0."""
        found = 0
        for segments, shape in self._loaded:
            for node, first, count in self._spans(segments):
                flags = self.regions[node].flags
                if flags is None or shape[1:] != (self.layer.height, self.layer.width):
                    return 0
                found += int(np.count_nonzero(flags[first : first + count]))
        return found

    @property
    def _read_once(self) -> int:
        """Bytes of the accesses that hold something of what is loaded; 0 where some lines are read by no output."""
        found = 0
        if not self._all_read:
            return found
        for segments, _ in self._loaded:
            for node, first, count in self._spans(segments):
                found += self._distinct(self.regions[node], (first, first + count))
        return found

    def _by_units(self, rungs: Candidates) -> Int:
        """What loading the maps whose units are not whole channels takes at least on each rung. Shape: int64 [n]."""
        (heights, height), (widths, width) = (np.unique(rungs.tile[axis], return_inverse=True) for axis in (3, 4))
        down, across = ([Lines.of(self.layer, axis, size) for size in sizes.tolist()] for axis, sizes in enumerate((heights, widths)))
        found = np.zeros((heights.size, widths.size), dtype=np.int64)
        for segments, shape in self._loaded:
            for node, first, count in self._spans(segments):
                region = self.regions[node]
                if region.flags is None and shape[1:] == region.shape[1:] == (self.layer.height, self.layer.width):
                    found += region.least((first, first + count), down, across, self.rules)
        return found[height, width]

    def _spans(self, segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
        """Maps that are loaded, first channel and number of channels of each."""
        channels = self.layer.groups * self.layer.channels
        return [(part.node, part.first, min(part.high, channels) - part.low) for part in segments if part.low < channels]

    def _once(self, key: tuple[object, ...], make: Callable[[], Known]) -> Known:
        """What is known under a key, or is then."""
        if key not in self._known:
            self._known[key] = make()
        known: Known = self._known[key]
        return known

    def _tally(self, plan: Plan) -> Pieces:
        return Pieces(plan, self.rules, Tally(self.rules.access))

    def _ifmap(self, plan: Plan) -> int:
        """All ifmap tiles once."""
        groups, _, channels, height, width = plan.tiling.sizes()
        pieces = self._tally(plan)
        key = ("ifmap", groups, channels, height, width)
        return self._once(key, lambda: _bytes(pieces.ifmap(self._loaded, self.regions))) if self._loaded else 0

    def _results(self, plan: Plan) -> int:
        """All finished ofmap tiles."""
        groups, filters, _, height, width = plan.tiling.sizes()
        pieces, ofmap = self._tally(plan), self.ofmap
        key = ("ofmap", groups, filters, height, width)
        return 0 if ofmap is None else self._once(key, lambda: _bytes(pieces.ofmap(ofmap, self.pool)))

    def _sums(self, plan: Plan) -> int:
        """The partial sums of all ofmap tiles once; each tile's lie at an access."""
        blocks = plan.ofmap_filters[1] - plan.ofmap_filters[0]
        sizes, counts = np.array([self.data.psum_bits], dtype=np.int64), np.ones(1, dtype=np.int64)
        for lengths in (plan.length(0), blocks, plan.length(3), plan.length(4)):
            some, many = np.unique(lengths, return_counts=True)
            sizes, counts = np.multiply.outer(sizes, some).ravel(), np.multiply.outer(counts, many).ravel()
        access = self.rules.access
        return int((-(-sizes // (8 * access)) * access * counts).sum())

    def _weights(self, plan: Plan, repeated: int, positions: int) -> int:
        """All fillings of the filter slots. Units: `repeated`: fillings of filters that are loaded whole with their tile."""
        region = self.filters
        if region is None:
            return 0
        sizes, by_piece = plan.tiling.sizes()[:3], plan.tiling.pieces > 1
        if not self._alike:
            return self._once(("filter", plan.tiling), lambda: self._weights_by_position(plan, region))
        if by_piece:
            return self._once(("filter", plan.tiling), lambda: self._weights_by_piece(plan, region, repeated, positions))
        return repeated * self._once(("filter", sizes), lambda: self._weights_by_piece(plan, region, 1, 1))

    def _weights_by_piece(self, plan: Plan, region: FilterRegion, repeated: int, positions: int) -> int:
        """A tile that takes its filters piece by piece loads each of them at every position."""
        keys = np.arange(plan.trips[0] * plan.trips[1] * plan.trips[2])
        table = self._tally(plan).filter_pieces(region, self._needed[None], keys, np.zeros_like(keys))
        tile = np.arange(plan.trips[1]) // plan.tiling.pieces
        fills = np.where(np.bincount(tile)[tile] > 1, positions, repeated)
        return int((table[:, HIGH].reshape(plan.trips[:3]) * fills[:, None]).sum())

    def _weights_by_position(self, plan: Plan, region: FilterRegion) -> int:
        """Which weights are needed differs from filling to filling."""
        key = ("live", plan.tiling.height, plan.tiling.width)
        live = self._once(key, lambda: weights_by_position(plan, self.sources, self.regions, self.array))
        return _bytes(self._tally(plan).filters(region, live))


@dataclass(frozen=True, eq=False)
class Climb:
    """The rungs of a layer as a dense run takes them. `moves`: of the layer with all maps and weights dense."""

    ladder: Ladder
    moves: Moves
    _wins: dict[int, bool] = field(default_factory=dict)

    @cached_property
    def top(self) -> tuple[int, int]:
        """The rung that a dense run takes, and its bytes."""
        return self._fewest(np.arange(self.ladder.order.size))

    def wins(self, rung: int) -> bool:
        """Whether a dense run takes a rung in the smallest buffer that it fits into."""
        if rung not in self._wins:
            needed = self.ladder.needed
            inside = np.flatnonzero((needed <= needed[:, rung : rung + 1]).all(axis=0))
            self._wins[rung] = self._fewest(inside)[0] == rung
        return self._wins[rung]

    def best(self, moves: Moves) -> tuple[Tiling, int]:
        """The rung that a run takes whose layer moves as given, and its bytes: the dense run's, or an earlier one of it that moves less.

        Where the DMA engine loads holes along on purpose, bytes are not what it saves: there the dense run's is kept.
        """
        top, ladder = self.top[0], self.ladder
        if moves.rules.min_skip > moves.rules.access:
            return ladder.tiling(top), moves.bytes(ladder.tiling(top))
        least = moves.least(ladder)
        floor = least.sum(axis=0)
        chosen, fewest = top, moves.bytes(ladder.tiling(top))
        for rung in np.argsort(floor, kind="stable").tolist():
            if floor[rung] >= fewest:
                break
            if rung != top and self.wins(rung):
                found = moves.bytes(ladder.tiling(rung), least[:, rung], fewest)
                chosen, fewest = (rung, found) if found < fewest else (chosen, fewest)
        return ladder.tiling(chosen), fewest

    @cached_property
    def _least(self) -> Int:
        return self.moves.least(self.ladder)

    def _fewest(self, rungs: Int) -> tuple[int, int]:
        """Of some rungs the one that moves the fewest bytes, of equal ones the better as the search ranks them; and its bytes."""
        floor = self._least.sum(axis=0)
        chosen = int(rungs[0])
        fewest = self.moves.bytes(self.ladder.tiling(chosen))
        for rung in rungs[np.argsort(floor[rungs], kind="stable")].tolist():
            if floor[rung] > fewest:
                break
            if floor[rung] < fewest or rung < chosen:
                found = self.moves.bytes(self.ladder.tiling(rung), self._least[:, rung], fewest)
                chosen, fewest = (rung, found) if (found, rung) < (fewest, chosen) else (chosen, fewest)
        return chosen, fewest


def _either(test: bool, yes: int, no: int) -> int:
    return yes if test else no


def _bytes(table: Int) -> int:
    return int(table[:, HIGH].sum())
