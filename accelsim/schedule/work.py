"""What is left to compute: live channels of each tile, its array cycles and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.hardware import PeArray
from accelsim.schedule.geometry import Int
from accelsim.schedule.memory import MapRegion, Segment, live_windows
from accelsim.schedule.plan import Plan

Bool = NDArray[np.bool_]
Source = tuple[tuple[Segment, ...], tuple[int, int, int]]
"""One map that a layer reads: its segments and its shape."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The pieces of a layer's output that the array takes at once, along one axis.

    Shapes:  `low`, `high` int64 [parts]; `tile` int64 [trips + 1]: first part of each tile, and the end
    """

    low: Int
    high: Int
    tile: Int

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


def measure(plan: Plan, sources: Sequence[Source], regions: dict[int, MapRegion], array: PeArray, computed: Bool | None = None) -> Work:
    """Count live channels and turn them into cycles and multiply-accumulates.

    Shapes:  `computed` bool [Ho, Wo]: positions of the ofmap that are computed, None for all. The array gathers them, so that the cycles of
             a tile shrink by the share of the others, rounded up; pooling and the like compute all positions.
    """
    tiling, layer = plan.tiling, plan.layer
    flow = dataflows.load(array.dataflow, layer.kernel)
    part_height, part_width = flow.part(array, tiling.height, tiling.width)
    down = Parts.cut(plan.low[3], plan.high[3], part_height)
    across = Parts.cut(plan.low[4], plan.high[4], part_width)
    windows = layer.window(0, down.low, down.high), layer.window(1, across.low, across.high)
    live = live_channels(layer.groups * layer.channels, sources, regions, windows, (layer.height, layer.width))
    counts = _per_group(plan, live)
    computed = computed if layer.weights else None
    outputs = counts * _positions(down, across, computed)
    outputs = np.add.reduceat(np.add.reduceat(outputs, down.tile[:-1], axis=1), across.tile[:-1], axis=2)
    if tiling.groups > 1:
        outputs = np.add.reduceat(outputs, plan.low[0], axis=0)
    needed = np.logical_or.reduceat(np.logical_or.reduceat(live, down.tile[:-1], axis=1), across.tile[:-1], axis=2)
    needed |= _keeps_weights(layer.groups * layer.channels, sources, regions)[:, None, None]
    groups, filters, channels, row, col = plan.at
    live_outputs = outputs[groups * plan.trips[2] + channels, row, col]
    if not layer.weights:
        busy = -(-live_outputs // flow.lanes(array)) * layer.passes
        return Work(busy, np.zeros_like(busy), np.zeros_like(busy), needed)
    busy, fill = _cycles(plan, counts, down, across, array)
    if computed is not None:
        whole = plan.length(3)[row] * plan.length(4)[col]
        part = np.add.reduceat(np.add.reduceat(computed, plan.low[3], axis=0, dtype=np.int64), plan.low[4], axis=1)[row, col]
        busy, fill = -(-busy * part // whole), np.where(part > 0, fill, 0)
    return Work(busy, fill, live_outputs * plan.length(1)[filters] * layer.taps, needed)


def live_channels(
    channels: int,
    sources: Sequence[Source],
    regions: dict[int, MapRegion],
    windows: tuple[tuple[Int, Int], tuple[Int, Int]],
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


def _keeps_weights(channels: int, sources: Sequence[Source], regions: dict[int, MapRegion]) -> Bool:
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


def _cycles(plan: Plan, counts: Int, down: Parts, across: Parts, array: PeArray) -> tuple[Int, Int]:
    """Cycles of each tile; tiles of equal work are asked for once."""
    flow = dataflows.load(array.dataflow, plan.layer.kernel)
    known: dict[tuple[int, int, int, int, bytes], tuple[int, int]] = {}
    groups, filters, channels, row, col = plan.at
    sizes, size_of = np.unique(plan.length(1), return_inverse=True)
    _, trips_c, trips_y, trips_x = plan.trips[1:]
    place = ((groups * trips_c + channels) * trips_y + row) * trips_x + col
    table = np.zeros((len(sizes), plan.trips[0] * trips_c * trips_y * trips_x, 2), dtype=np.int64)
    heights, widths = plan.length(3).tolist(), plan.length(4).tolist()
    tops, lefts = down.tile.tolist(), across.tile.tolist()
    at = 0
    for group in range(plan.trips[0]):
        for channel in range(trips_c):
            one = group * trips_c + channel
            mine = counts[one : one + 1] if plan.tiling.groups == 1 else counts[slice(*plan.span(0, group))]
            for y in range(trips_y):
                band = mine[:, tops[y] : tops[y + 1]]
                for x in range(trips_x):
                    parts = band[:, :, lefts[x] : lefts[x + 1]]
                    for index, size in enumerate(sizes.tolist()):
                        key = (size, heights[y], widths[x], len(parts), parts.tobytes())
                        cycles = known.get(key)
                        if cycles is None:
                            found = flow.tile_cycles(TileWork(size, plan.layer.taps, heights[y], widths[x], parts), array)
                            cycles = known[key] = (found.busy, found.fill)
                        table[index, at] = cycles
                    at += 1
    both = table[size_of[filters], place]
    return both[:, 0], both[:, 1]
