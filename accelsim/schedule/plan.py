"""The tiles of one layer in order, and which filling of each buffer class they use: what all schemes share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from accelsim.hardware import Data
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import FILTERS, Lines, Tiling, cut, fillings, filter_pieces, walk

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
    """A layer cut into tiles. What follows the order in which tiles run is laid out when it is asked for.

    Shapes:  `low`, `high`: for each of the five loops (groups, filters, channels, rows, columns) int64 [trips], elements; `rows`, `cols`:
             ifmap windows of the tile rows and columns, low and high int64 [trips]; `ofmap_filters`: filters of the ofmap tiles, low and
             high int64 [tiles] (filters of the loops count what is loaded at a time, which may be less)
    """

    layer: Geometry
    tiling: Tiling
    data: Data
    low: tuple[Int, ...]
    high: tuple[Int, ...]
    rows: tuple[Int, Int]
    cols: tuple[Int, Int]
    ofmap_filters: tuple[Int, Int]

    @cached_property
    def trips(self) -> tuple[int, int, int, int, int]:
        """Trips of the five loops."""
        groups, filters, channels, rows, cols = (low.size for low in self.low)
        return groups, filters, channels, rows, cols

    @cached_property
    def at(self) -> Int:
        """Coordinates of the tiles in the order in which they run. Shape: int64 [5, tiles]."""
        return walk(self.layer, self.tiling)

    @cached_property
    def ifmap(self) -> Fillings:
        """Fillings of the ifmap slots."""
        groups, _, channels, row, col = self.at
        height, width = (self.rows[1] - self.rows[0])[row], (self.cols[1] - self.cols[0])[col]
        elements = self.length(0)[groups] * self.length(2)[channels] * height * width * self.layer.operands
        keys = ((groups * self.trips[2] + channels) * self.trips[3] + row) * self.trips[4] + col
        return _fillings(keys, elements * self.data.ifmap_room)

    @cached_property
    def filter(self) -> Fillings:
        """Fillings of the filter slots."""
        groups, filters, channels, _, _ = self.at
        elements = self.length(0)[groups] * self.length(1)[filters] * self.length(2)[channels] * self.layer.taps
        return _fillings((groups * self.trips[1] + filters) * self.trips[2] + channels, elements * self.data.filter_room)

    @cached_property
    def ofmap(self) -> Fillings:
        """Fillings of the ofmap slots."""
        groups, filters, _, row, col = self.at
        block, blocks = filters // self.tiling.pieces, self.ofmap_filters[0].size
        elements = (
            self.length(0)[groups] * (self.ofmap_filters[1] - self.ofmap_filters[0])[block] * self.length(3)[row] * self.length(4)[col]
        )
        keys = ((groups * blocks + block) * self.trips[3] + row) * self.trips[4] + col
        return _fillings(keys, elements * (self.data.psum_bits if self.trips[2] > 1 else self.data.ifmap_room))

    @cached_property
    def position(self) -> Int:
        """The position that a filter filling serves, or EVERYWHERE. Shape: int64 [filter fillings]."""
        first, last = self.filter.first, self.filter.last
        return np.where(first == last, (self.at[3] * self.trips[4] + self.at[4])[first], EVERYWHERE)

    @cached_property
    def visits(self) -> int:
        """Fillings of each ofmap tile; more than one means that partial sums are spilled."""
        groups, _, _, rows, cols = self.trips
        return int(self.ofmap.key.size // (groups * self.ofmap_filters[0].size * rows * cols))

    @cached_property
    def visit(self) -> Int:
        """How often the ofmap tile was in the buffer before. Shape: int64 [ofmap fillings]."""
        return self.at[2][self.ofmap.first] if self.visits > 1 else np.zeros_like(self.ofmap.key)

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
    return cut_up(layer, tiling, data)


def cut_up(layer: Geometry, tiling: Tiling, data: Data) -> Plan:
    """As `plan`, for one that is only looked at."""
    edges = [cut(layer, axis, size) for axis, size in enumerate(tiling.sizes()[:3])]
    ofmap_filters = edges[FILTERS]
    edges[FILTERS] = filter_pieces(layer, tiling)
    rows, cols = Lines.of(layer, 0, tiling.height), Lines.of(layer, 1, tiling.width)
    edges += [(rows.out_low, rows.out_high), (cols.out_low, cols.out_high)]
    low, high = zip(*edges, strict=True)
    return Plan(layer, tiling, data, low, high, (rows.low, rows.high), (cols.low, cols.high), ofmap_filters)


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
