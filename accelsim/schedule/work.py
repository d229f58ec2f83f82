"""What is left to compute: live channels of each tile, its array cycles and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim import dataflows
from accelsim.dataflows.base import Dataflow, TileWork
from accelsim.hardware import PeArray
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.memory import MapRegion, Segment, live_windows
from accelsim.schedule.plan import Plan
from accelsim.schemes.base import EncodedMap

Bool = NDArray[np.bool_]
Source = tuple[tuple[Segment, ...], tuple[int, int, int]]
"""One map that a layer reads: its segments and its shape."""
Sources = Sequence[Source]
"""All maps that a layer reads."""
Windows = tuple[tuple[Int, Int], tuple[Int, Int]]
"""Low and high (exclusive) of windows of rows, and of columns."""
_ANYWHERE: Windows = ((np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)),) * 2
"""One window, which stands for all where they are alike."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The pieces of a layer's output that the array takes at once, along one axis.

    Shapes:  `low`, `high` int64 [parts]; `tile` int64 [trips + 1]: first part of each tile, and the end
    """

    low: Int
    high: Int
    tile: Int

    @classmethod
    def whole(cls, low: Int, high: Int) -> Parts:
        """Each tile is one part."""
        return cls(low, high, np.arange(low.size + 1))

    @classmethod
    def cut(cls, low: Int, high: Int, size: int) -> Parts:
        """Cut each tile into parts of `size`, the last one ragged."""
        counts = -(-(high - low) // size)
        step = np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        start = np.repeat(low, counts) + step * size
        return cls(start, np.minimum(start + size, np.repeat(high, counts)), np.concatenate(([0], np.cumsum(counts))))


@dataclass(frozen=True, eq=False)
class Work:
    """The live work of a layer.

    Shapes:  `busy`, `fill`, `macs` int64 [tiles]; `live` bool [C, rows, columns]: ifmap channels whose weights a tile at that position
             needs
    """

    busy: Int
    fill: Int
    macs: Int
    live: Bool


def measure(
    plan: Plan,
    sources: Sources,
    regions: Mapping[int, MapRegion],
    array: PeArray,
    computed: Bool | None = None,
    alive: Bool | None = None,
) -> Work:
    """Count live channels and turn them into cycles and multiply-accumulates.

    Shapes:  `computed` bool [Ho, Wo]: positions of the ofmap that are computed, None for all. The array gathers them, so that the cycles of
             a tile shrink by the share of the others, rounded up; pooling and the like compute all positions.
             `alive` bool [G, K]: filters that are computed, None for all
    """
    layer = plan.layer
    computed = computed if layer.weights else None
    flow: Dataflow = dataflows.load(array.dataflow, layer.kernel)
    alike = computed is None and same_everywhere(sources, regions)
    down, across = (Parts.whole(plan.low[axis], plan.high[axis]) for axis in (3, 4)) if alike else _parts(plan, flow, array)
    live = _live(layer, sources, regions, _ANYWHERE if alike else _windows(layer, down, across), alive)
    kept = None if alive is None else np.add.reduceat(alive, plan.low[1], axis=1, dtype=np.int64)
    counts = _per_group(plan, live)
    outputs = counts * _positions(down, across, computed)
    if not alike:
        outputs = np.add.reduceat(np.add.reduceat(outputs, down.tile[:-1], axis=1), across.tile[:-1], axis=2)
        live = _in_tiles(live, down, across)
    if plan.tiling.groups > 1:
        outputs = np.add.reduceat(outputs if kept is None else outputs * kept[:, :, None], plan.low[0], axis=0)
    needed = _needed(live, sources, regions)
    needed = np.broadcast_to(needed, (len(needed), *plan.trips[3:]))
    groups, filters, channels, row, col = plan.at
    live_outputs = outputs[groups * plan.trips[2] + channels, row, col]
    if not layer.weights:
        busy = -(-live_outputs // flow.lanes(array)) * layer.passes
        return Work(busy, np.zeros_like(busy), np.zeros_like(busy), needed)
    busy, fill = _cycles(plan, counts, (down, across), flow, array, kept)
    if computed is not None:
        whole = plan.length(3)[row] * plan.length(4)[col]
        share = np.add.reduceat(np.add.reduceat(computed, plan.low[3], axis=0, dtype=np.int64), plan.low[4], axis=1)[row, col]
        busy, fill = -(-busy * share // whole), np.where(share > 0, fill, 0)
    if kept is None:
        macs = live_outputs * plan.length(1)[filters] * layer.taps
    else:
        macs = live_outputs * (1 if plan.tiling.groups > 1 else kept[groups, filters]) * layer.taps
    return Work(busy, fill, macs, needed)


def weights_needed(layer: Geometry, sources: Sources, regions: Mapping[int, MapRegion]) -> Bool:
    """Ifmap channels whose weights a tile that reads all of the ifmap needs. Shape: bool [C]."""
    begin, height, width = (np.full(1, size, dtype=np.int64) for size in (0, layer.height, layer.width))
    return _needed(_live(layer, sources, regions, ((begin, height), (begin, width)), None), sources, regions)[:, 0, 0]


def weights_by_position(plan: Plan, sources: Sources, regions: Mapping[int, MapRegion], array: PeArray) -> Bool:
    """Ifmap channels whose weights the tiles at each position need: `Work.live`, without the cost of the rest."""
    down, across = _parts(plan, dataflows.load(array.dataflow, plan.layer.kernel), array)
    live = _live(plan.layer, sources, regions, _windows(plan.layer, down, across), None)
    return _needed(_in_tiles(live, down, across), sources, regions)


def same_everywhere(sources: Sources, regions: Mapping[int, MapRegion]) -> bool:
    """Whether each channel is live in all windows or in none."""
    return all(_whole_channels(encoded) for encoded in _encodings(sources, regions))


def same_weights_everywhere(sources: Sources, regions: Mapping[int, MapRegion]) -> bool:
    """Whether the weights of each ifmap channel are needed in all windows or in none."""
    return all(not encoded.saves.weights or _whole_channels(encoded) for encoded in _encodings(sources, regions))


def _encodings(sources: Sources, regions: Mapping[int, MapRegion]) -> Iterator[EncodedMap]:
    return (regions[segment.node].encoded for segments, _ in sources for segment in segments)


def _whole_channels(encoded: EncodedMap) -> bool:
    """Whether no window makes less work than another."""
    return not encoded.saves.macs or encoded.unit_bytes.shape[1:] == (1, 1) or bool((encoded.unit_bytes > 0).all())


def outside(sources: Sources, resident: frozenset[int]) -> tuple[Source, ...]:
    """What of the sources does not lie in the buffer already. Units: `resident`: maps that do."""
    if not resident:
        return tuple(sources)
    rest = ((tuple(part for part in segments if part.node not in resident), shape) for segments, shape in sources)
    return tuple((segments, shape) for segments, shape in rest if segments)


def _parts(plan: Plan, flow: Dataflow, array: PeArray) -> tuple[Parts, Parts]:
    """What the array takes at once of each tile, down and across."""
    sizes = flow.part(array, plan.tiling.height, plan.tiling.width)
    down, across = (Parts.cut(plan.low[axis], plan.high[axis], size) for axis, size in zip((3, 4), sizes, strict=True))
    return down, across


def _windows(layer: Geometry, down: Parts, across: Parts) -> Windows:
    """What parts read."""
    return layer.window(0, down.low, down.high), layer.window(1, across.low, across.high)


def _in_tiles(live: Bool, down: Parts, across: Parts) -> Bool:
    """Which channels are live in any part of each tile. Shapes: bool [C, parts down, parts across] -> [C, rows, columns]."""
    rows = np.logical_or.reduceat(live, down.tile[:-1], axis=1)
    return np.asarray(np.logical_or.reduceat(rows, across.tile[:-1], axis=2))


def _live(layer: Geometry, sources: Sources, regions: Mapping[int, MapRegion], windows: Windows, alive: Bool | None) -> Bool:
    """Live channels in each window; a depthwise channel whose only filter is not computed is none."""
    live = live_channels(layer.groups * layer.channels, sources, regions, windows, (layer.height, layer.width))
    if alive is not None and layer.filters == 1:
        return live & np.repeat(alive[:, 0], layer.channels)[:, None, None]
    return live


def _needed(live: Bool, sources: Sources, regions: Mapping[int, MapRegion]) -> Bool:
    """Channels whose weights are needed, of those that are live, and of all maps whose scheme saves no weights. Shape as `live`."""
    kept = _keeps_weights(len(live), sources, regions)
    return live | kept[:, None, None] if kept.any() else live


def live_channels(
    channels: int,
    sources: Sources,
    regions: Mapping[int, MapRegion],
    windows: Windows,
    size: tuple[int, int],
) -> Bool:
    """Which windows of which ifmap channels touch anything that is stored; of several operands one is enough.

    Shapes:  windows of p rows and q columns of a map of `size` -> bool [channels, p, q]
    """
    found: Bool | None = None
    for segments, shape in sources:
        rows, cols = (scaled(window, shape[axis + 1], size[axis]) for axis, window in enumerate(windows))
        pieces, low = [], 0
        for part in segments:
            count = min(part.high, channels) - part.low
            if part.low > low:
                # channels that a border adds are stored nowhere
                pieces.append(np.zeros((part.low - low, rows[0].size, cols[0].size), dtype=np.bool_))
            if count > 0:
                pieces.append(live_windows(regions[part.node].encoded, part.first, count, rows, cols))
            low = part.high
        live = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        if len(live) < channels:
            live = np.concatenate([live, np.zeros((channels - len(live), *live.shape[1:]), dtype=np.bool_)])
        found = live if found is None else found | live
    if found is None:
        raise ValueError("a layer reads one map at least")
    return found


def _positions(down: Parts, across: Parts, computed: Bool | None = None) -> Int:
    """Positions of each part that are computed. Shape: int64 [parts down, parts across]."""
    if computed is None:
        return np.asarray(np.multiply.outer(down.high - down.low, across.high - across.low))
    return np.asarray(np.add.reduceat(np.add.reduceat(computed, down.low, axis=0, dtype=np.int64), across.low, axis=1))


def _keeps_weights(channels: int, sources: Sources, regions: Mapping[int, MapRegion]) -> Bool:
    """Ifmap channels whose weights are loaded whatever is zero. Shape: bool [channels]."""
    kept = np.zeros(channels, dtype=np.bool_)
    for segments, _ in sources:
        for part in segments:
            if not regions[part.node].encoded.saves.weights:
                kept[part.low : part.high] = True
    return kept


def scaled(window: tuple[Int, Int], size: int, reference: int) -> tuple[Int, Int]:
    """The same window on an operand of another height or width."""
    if size == reference:
        return window
    return window[0] * size // reference, np.maximum(-(-window[1] * size // reference), window[0] * size // reference + 1)


def _per_group(plan: Plan, live: Bool) -> Int:
    """Live channels of each group, cut into channel tiles where a tile holds one group. Shapes: int64 [groups * trips, parts, parts]."""
    starts = (np.arange(plan.layer.groups, dtype=np.int64)[:, None] * plan.layer.channels + plan.low[2]).ravel()
    if len(starts) == len(live):
        return live.astype(np.int64)
    return np.asarray(np.add.reduceat(live, starts, axis=0, dtype=np.int64))


def _cycles(
    plan: Plan, counts: Int, parts: tuple[Parts, Parts], flow: Dataflow, array: PeArray, kept: Int | None = None
) -> tuple[Int, Int]:
    """Cycles of each tile; tiles of equal work are asked for once.

    Shapes:  `counts` as `_per_group` gives them; its last axes have length 1 where all positions are alike; `kept` int64 [G, filter tiles]:
             filters that are computed, None for all. A tile of several groups takes as long as if all had as many as the one with most.
    """
    known: dict[tuple[int, int, int, bytes], tuple[int, int]] = {}
    groups, filters, channels, row, col = plan.at
    (sizes, size_of), alike = _filter_sizes(plan, kept), counts.shape[1:] == (1, 1)
    (heights, row_of), (widths, col_of) = (
        plan.kinds(axis) if alike else (plan.length(axis), np.arange(plan.trips[axis])) for axis in (3, 4)
    )
    height, width = flow.part(array, plan.tiling.height, plan.tiling.width)
    tops, lefts = parts[0].tile.tolist(), parts[1].tile.tolist()
    if plan.tiling.groups == 1:
        tiles = [counts[one : one + 1] for one in range(len(counts))]
    else:
        tiles = [counts[low:high] for low, high in zip(plan.low[0].tolist(), plan.high[0].tolist(), strict=True)]
    positions = [(y, x, tall, wide) for y, tall in enumerate(heights.tolist()) for x, wide in enumerate(widths.tolist())]
    table = []
    for mine in tiles:
        for y, x, tall, wide in positions:
            live = mine if alike else mine[:, tops[y] : tops[y + 1], lefts[x] : lefts[x + 1]]
            text = live.tobytes()
            for size in sizes.tolist():
                key = (size, tall, wide, text)
                if key not in known and size == 0:
                    known[key] = (0, 0)
                if key not in known:
                    shape = (len(mine), -(-tall // height), -(-wide // width))
                    found = flow.tile_cycles(TileWork(size, plan.layer.taps, tall, wide, np.broadcast_to(live, shape)), array)
                    known[key] = (found.busy, found.fill)
                table.append(known[key])
    both = np.array(table, dtype=np.int64).reshape(len(tiles), heights.size, widths.size, sizes.size, 2)
    found = both[
        groups * plan.trips[2] + channels, row_of[row], col_of[col], size_of[filters] if kept is None else size_of[groups, filters]
    ]
    return found[:, 0], found[:, 1]


def _filter_sizes(plan: Plan, kept: Int | None) -> tuple[Int, Int]:
    """The different numbers of filters that tiles compute; which of them each filter tile has, or each tile of groups and filters."""
    if kept is None:
        return plan.kinds(1)
    most = np.maximum.reduceat(kept, plan.low[0], axis=0)
    sizes, which = np.unique(most, return_inverse=True)
    return sizes, which.reshape(most.shape)
