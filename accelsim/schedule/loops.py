"""Loop orders: which tile comes after which, and how often each tensor's tile is filled into the buffer.

Loops, outermost first: groups, then filters (K), channels (C) and output positions (P: rows, and columns inside them) in any order.
A tensor's tile stays in the buffer while consecutive tiles use the same one. So a loop that a tensor does not depend on repeats its fills
only if a loop inside it, with two trips or more, changes the tensor's tile.

The ofmap tile may hold more filters than are loaded at a time (`Tiling.filters_at_once`): an innermost loop then takes the filters of the
tile piece by piece, while its ifmap tile and all its partial sums stay.
Rows of a batch are cut image by image: a tile holds some rows of one image, or whole images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from accelsim.schedule.geometry import Geometry, Int

_NAMES = {"K": "filters", "C": "channels", "P": "positions"}
IFMAP_LOOPS, FILTER_LOOPS, OFMAP_LOOPS = "CP", "KC", "KP"
FILTERS, ROWS = 1, 3
"""Places among the five loops."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tile sizes of a layer and the order of its loops, outermost first.

    Units:   elements of the output for `height` and `width`; `filters` and `channels` of one group. `filters_at_once`: filters of the
             tile that are loaded at a time, 0 for all of them
    """

    groups: int
    filters: int
    channels: int
    height: int
    width: int
    order: str
    filters_at_once: int = 0

    def sizes(self) -> tuple[int, int, int, int, int]:
        """Groups, filters, channels, height, width."""
        return self.groups, self.filters, self.channels, self.height, self.width

    @property
    def pieces(self) -> int:
        """How many loads the filters of a whole tile take."""
        return -(-self.filters // self.filters_at_once) if self.filters_at_once else 1

    def text(self, layer: Geometry) -> str:
        """For reports: `groups 1/1, filters 64/256, channels 32/32, rows 16/56, columns 56/56; loops filters > positions > channels`."""
        names = ("groups", "filters", "channels", "rows", "columns")
        sizes = ", ".join(f"{name} {size}/{whole}" for name, size, whole in zip(names, self.sizes(), extents(layer), strict=True))
        loops = " > ".join(_NAMES[loop] for loop in self.order)
        return f"{sizes}; loops {loops}" + (f"; {self.filters_at_once} filters at once" if self.pieces > 1 else "")


def extents(layer: Geometry) -> tuple[int, int, int, int, int]:
    """Groups, filters, channels, output height and width of a layer."""
    return layer.groups, layer.filters, layer.channels, layer.out_height, layer.out_width


def cut(layer: Geometry, axis: int, size: int) -> tuple[Int, Int]:
    """Cut a loop into tiles of `size`, low and high (exclusive): 0 groups, 1 filters, 2 channels, 3 rows, 4 columns.

    Shapes:  int64 [tiles] both
    """
    whole, many = extents(layer)[axis], layer.images if axis == ROWS else 1
    one = whole // many
    if size >= one:
        low = np.arange(0, whole, size // one * one, dtype=np.int64)
        return low, np.minimum(low + size // one * one, whole)
    inside = np.arange(0, one, size, dtype=np.int64)
    low = np.add.outer(np.arange(many, dtype=np.int64) * one, inside)
    return low.ravel(), (low + np.minimum(size, one - inside)).ravel()


@dataclass(frozen=True, eq=False)
class Lines:
    """Ifmap rows or columns that the tiles of one output size read, and the output's own.

    Shapes:  int64 [tiles]. `count`: ifmap lines over all tiles, halo included, padding not; `most`: of one tile
    """

    low: Int
    high: Int
    out_low: Int
    out_high: Int
    count: int
    most: int

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(layer: Geometry, axis: int, size: int) -> Lines:
        """Cut one axis (0 rows, 1 columns) of the output into tiles of `size`."""
        start, end = cut(layer, ROWS + axis, size)
        low, high = layer.window(axis, start, end)
        return Lines(low, high, start, end, int((high - low).sum()), int((high - low).max()))


def filter_pieces(layer: Geometry, tiling: Tiling) -> tuple[Int, Int]:
    """Cut the filters into what is loaded at a time; no piece belongs to two tiles. Shapes: as `cut`."""
    low, high = cut(layer, FILTERS, tiling.filters)
    if tiling.pieces == 1:
        return low, high
    start = np.add.outer(low, np.arange(tiling.pieces, dtype=np.int64) * tiling.filters_at_once)
    end = np.minimum(start + tiling.filters_at_once, high[:, None])
    return start[start < end], end[start < end]


def trips(layer: Geometry, tiling: Tiling) -> tuple[int, int, int, int, int]:
    """Trips of the five loops: groups, filters (pieces), channels, rows, columns."""
    groups, _, channels, rows, cols = (cut(layer, axis, size)[0].size for axis, size in enumerate(tiling.sizes()))
    return groups, filter_pieces(layer, tiling)[0].size, channels, rows, cols


def repeats(order: str, filters: Any, channels: Any, positions: Any, where: Callable[..., Any] = np.where) -> tuple[Any, Any, Any]:
    """How often each ifmap, filter and ofmap tile is filled.

    Shapes:  trips of the three loops, integers or arrays that broadcast; so are the results
    A tensor depends on two of the three loops; the third repeats it if one of the two runs inside it and has two trips or more.
    """
    counts = {"K": filters, "C": channels, "P": positions}

    def of(loops: str) -> Any:
        (other,) = set(order) - set(loops)
        changes = False
        for loop in order[order.index(other) + 1 :]:
            changes = changes | (counts[loop] > 1)
        return where(changes, counts[other], 1)

    return of(IFMAP_LOOPS), of(FILTER_LOOPS), of(OFMAP_LOOPS)


def walk(layer: Geometry, tiling: Tiling) -> Int:
    """Tile coordinates in the order in which tiles run. Shape: int64 [5, tiles], rows groups, filters, channels, rows, columns."""
    groups, filters, channels, rows, cols = trips(layer, tiling)
    pieces = tiling.pieces
    nest = [(0, groups)]
    for loop in tiling.order:
        nest += {"K": [(1, -(-filters // pieces))], "C": [(2, channels)], "P": [(3, rows), (4, cols)]}[loop]
    grid = np.indices([*(count for _, count in nest), pieces], dtype=np.int64).reshape(len(nest) + 1, -1)
    coordinates = np.empty((5, grid.shape[1]), dtype=np.int64)
    for (axis, _), row in zip(nest, grid, strict=False):
        coordinates[axis] = row
    if pieces > 1:
        coordinates[1] = coordinates[1] * pieces + grid[-1]
        # The last tile may have fewer filters, so fewer pieces.
        coordinates = coordinates[:, coordinates[1] < filters]
    return coordinates


def fillings(keys: Int) -> tuple[Int, Int, Int]:
    """Cut a sequence of tiles into runs of equal key: (filling of each tile, first tile of each filling, last tile of each filling)."""
    change = np.ones(keys.size, dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=change[1:])
    first = np.flatnonzero(change)
    last = np.append(first[1:], keys.size) - 1
    return np.cumsum(change) - 1, first, last
