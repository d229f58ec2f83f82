"""The tiles of one layer in order, and which filling of each buffer class they use: what all schemes share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from accelsim.hardware import Data
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import FILTERS, Tiling, cut, fillings, filter_pieces, walk

EVERYWHERE = -1
"""Position of a filter filling that serves all positions."""


@dataclass(frozen=True, eq=False)
class Fillings:
    """The fillings of one class of buffer slots by one layer.

    Shapes:  `of_tile` int64 [tiles]; the others int64 [fillings]: `first`, `last` tile, `key` (which piece of the tensor), `size` in bytes
    """

    of_tile: Int
    first: Int
    last: Int
    key: Int
    size: Int

    @cached_property
    def numbers(self) -> Int:
        """0, 1, ... of the fillings."""
        return np.arange(self.first.size, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Plan:
    """A layer cut into tiles.

    Shapes:  `at` int64 [5, tiles], coordinates in the order groups, filters, channels, rows, columns; `low`, `high`: for each of the
             five loops int64 [trips], elements; `rows`, `cols`: ifmap windows of the tile rows and columns, low and high int64 [trips];
             `position` int64 [filter fillings]: the position that a filter filling serves, or EVERYWHERE; `visit` int64 [ofmap fillings]:
             how often the ofmap tile was in the buffer before; `ofmap_filters`: filters of the ofmap tiles, low and high int64 [tiles]
             (coordinates count what is loaded at a time, which may be less)
    `visits`: fillings of each ofmap tile; more than one means that partial sums are spilled.
    """

    layer: Geometry
    tiling: Tiling
    trips: tuple[int, int, int, int, int]
    at: Int
    low: tuple[Int, ...]
    high: tuple[Int, ...]
    rows: tuple[Int, Int]
    cols: tuple[Int, Int]
    ifmap: Fillings
    filter: Fillings
    ofmap: Fillings
    ofmap_filters: tuple[Int, Int]
    position: Int
    visit: Int
    visits: int

    def span(self, axis: int, index: int) -> tuple[int, int]:
        """Elements low..high of one loop's tile."""
        return int(self.low[axis][index]), int(self.high[axis][index])

    def length(self, axis: int) -> Int:
        """Elements of each of one loop's tiles."""
        return self.high[axis] - self.low[axis]

    def kinds(self, axis: int) -> tuple[Int, Int]:
        """The different lengths of one loop's tiles, and which of them each tile has."""
        return self._kinds[axis]

    @cached_property
    def _kinds(self) -> list[tuple[Int, Int]]:
        return [np.unique(self.length(axis), return_inverse=True) for axis in range(5)]

    @cached_property
    def ifmap_channels(self) -> Int:
        """Map channels of the tiles of each group and channel trip, low and high. Shape: int64 [groups * channel trips, 2]."""
        return self._in_map(self.layer.channels, self.low[2], self.high[2])

    @cached_property
    def ofmap_channels(self) -> Int:
        """Map channels of the ofmap tiles of each group. Shape: int64 [groups * ofmap tiles, 2]."""
        return self._in_map(self.layer.filters, *self.ofmap_filters)

    def _in_map(self, size: int, low: Int, high: Int) -> Int:
        if self.tiling.groups > 1:
            return np.stack([self.low[0], self.high[0]], axis=1) * size
        first = self.low[0] * size
        return np.stack([np.add.outer(first, low).ravel(), np.add.outer(first, high).ravel()], axis=1)

    @cached_property
    def filter_once(self) -> tuple[Int, Int]:
        """`once` of the filter fillings, where position makes no difference."""
        return once(self.filter.key)

    @cached_property
    def tile_macs(self) -> Int:
        """Dense multiply-accumulates of each tile. Shape: int64 [tiles]."""
        product = self.length(0)[self.at[0]]
        for axis in range(1, 5):
            product = product * self.length(axis)[self.at[axis]]
        return np.asarray(product * (self.layer.taps if self.layer.weights else 0))

    def spill_pitch(self, access: int) -> int:
        """Distance of the places of two spilled ofmap tiles, each at an access. Units: bytes."""
        return -(-int(self.ofmap.size.max()) // access) * access

    def spill_bytes(self, access: int) -> int:
        """Bytes of all spilled partial sums of the layer."""
        groups, _, _, rows, cols = self.trips
        return groups * self.ofmap_filters[0].size * rows * cols * self.spill_pitch(access) if self.visits > 1 else 0


@lru_cache(maxsize=256)
def plan(layer: Geometry, tiling: Tiling, data: Data) -> Plan:
    """Lay out the tiles of a layer."""
    edges = [cut(layer, axis, size) for axis, size in enumerate(tiling.sizes())]
    ofmap_filters = edges[FILTERS]
    edges[FILTERS] = filter_pieces(layer, tiling)
    low, high = tuple(start for start, _ in edges), tuple(end for _, end in edges)
    counts = (low[0].size, low[1].size, low[2].size, low[3].size, low[4].size)
    rows, cols = layer.window(0, low[3], high[3]), layer.window(1, low[4], high[4])
    at = walk(layer, tiling)
    groups, filters, channels, row, col = at
    length = [end - start for start, end in zip(low, high, strict=True)]
    height, width = (rows[1] - rows[0])[row], (cols[1] - cols[0])[col]
    inputs = length[0][groups] * length[2][channels] * height * width * (layer.operands * data.ifmap_room)
    weights = length[0][groups] * length[1][filters] * length[2][channels] * (layer.taps * data.filter_room)
    ofmap_bits = data.psum_bits if counts[2] > 1 else data.ifmap_room
    block, blocks = filters // tiling.pieces, ofmap_filters[0].size
    outputs = length[0][groups] * (ofmap_filters[1] - ofmap_filters[0])[block] * length[3][row] * length[4][col] * ofmap_bits
    position = row * counts[4] + col
    filter_fillings = _fillings((groups * counts[1] + filters) * counts[2] + channels, weights)
    of_ofmap = _fillings(((groups * blocks + block) * counts[3] + row) * counts[4] + col, outputs)
    first, last = filter_fillings.first, filter_fillings.last
    visits = of_ofmap.key.size // (counts[0] * blocks * counts[3] * counts[4])
    return Plan(
        layer=layer,
        tiling=tiling,
        trips=counts,
        at=at,
        low=low,
        high=high,
        rows=rows,
        cols=cols,
        ifmap=_fillings(((groups * counts[2] + channels) * counts[3] + row) * counts[4] + col, inputs),
        filter=filter_fillings,
        ofmap=of_ofmap,
        ofmap_filters=ofmap_filters,
        position=np.where(first == last, position[first], EVERYWHERE),
        visit=channels[of_ofmap.first] if visits > 1 else np.zeros_like(of_ofmap.key),
        visits=visits,
    )


def _fillings(keys: Int, bits: Int) -> Fillings:
    of_tile, first, last = fillings(keys)
    return Fillings(of_tile, first, last, keys[first], -(-bits[first] // 8))


def once(names: Int) -> tuple[Int, Int]:
    """Of several things with names: where each name stands first, in this order, and which of those each thing is."""
    _, first, which = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return first[order], place[which]
