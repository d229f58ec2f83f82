"""Loop orders: which tile comes after which, and how often each tensor's tile is filled into the buffer.

Loops, outermost first: groups, then filters (K), channels (C) and output positions (P: rows, and columns inside them) in any order.
A tensor's tile stays in the buffer while consecutive tiles use the same one. So a loop that a tensor does not depend on repeats its fills
only if a loop inside it, with two trips or more, changes the tensor's tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from accelsim.schedule.geometry import Geometry, Int

ORDERS = tuple("".join(order) for order in permutations("KCP"))
_NAMES = {"K": "filters", "C": "channels", "P": "positions"}
IFMAP_LOOPS, FILTER_LOOPS, OFMAP_LOOPS = "CP", "KC", "KP"


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tile sizes of a layer and the order of its loops, outermost first.

    Units:   elements of the output for `height` and `width`; `filters` and `channels` of one group
    """

    groups: int
    filters: int
    channels: int
    height: int
    width: int
    order: str

    def sizes(self) -> tuple[int, int, int, int, int]:
        """Groups, filters, channels, height, width."""
        return self.groups, self.filters, self.channels, self.height, self.width

    def text(self, layer: Geometry) -> str:
        """For reports: `groups 1/1, filters 64/256, channels 32/32, rows 16/56, columns 56/56; loops filters > positions > channels`."""
        names = ("groups", "filters", "channels", "rows", "columns")
        sizes = ", ".join(f"{name} {size}/{whole}" for name, size, whole in zip(names, self.sizes(), extents(layer), strict=True))
        return f"{sizes}; loops {' > '.join(_NAMES[loop] for loop in self.order)}"


def extents(layer: Geometry) -> tuple[int, int, int, int, int]:
    """Groups, filters, channels, output height and width of a layer."""
    return layer.groups, layer.filters, layer.channels, layer.out_height, layer.out_width


def trips(layer: Geometry, tiling: Tiling) -> tuple[int, int, int, int, int]:
    """Trips of the five loops: groups, filters, channels, rows, columns."""
    groups, filters, channels, rows, cols = (-(-whole // size) for whole, size in zip(extents(layer), tiling.sizes(), strict=True))
    return groups, filters, channels, rows, cols


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
    nest = [(0, groups)]
    for loop in tiling.order:
        nest += {"K": [(1, filters)], "C": [(2, channels)], "P": [(3, rows), (4, cols)]}[loop]
    grid = np.indices([count for _, count in nest], dtype=np.int64).reshape(len(nest), -1)
    coordinates = np.empty_like(grid)
    for (axis, _), row in zip(nest, grid, strict=True):
        coordinates[axis] = row
    return coordinates


def fillings(keys: Int) -> tuple[Int, Int, Int]:
    """Cut a sequence of tiles into runs of equal key: (filling of each tile, first tile of each filling, last tile of each filling)."""
    change = np.ones(keys.size, dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=change[1:])
    first = np.flatnonzero(change)
    last = np.append(first[1:], keys.size) - 1
    return np.cumsum(change) - 1, first, last
