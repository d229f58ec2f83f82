"""Tile sizes and loop order of a layer on a machine: the search.

Least dense DRAM traffic wins, counted in the whole accesses that it moves: a narrow tile whose rows each touch an access of their own costs
what it moves, not what it wants. Then fewest array cycles; then least of what double buffering cannot hide (the first loads, the last
store, and a fixed cost a tile); then the earlier order and the larger tiles.
That count takes pieces to begin at an access and all channels to live, so what a run really moves may differ. The search therefore gives
not only its winner but all tilings that win in some smaller buffer, a `Ladder`: each of its rungs is there in every larger buffer. Which of
them a run takes is settled by what they really move (see `moved`).
What the user fixes (`accelerator.tiling`) is kept, the rest is searched around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from accelsim import dataflows
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data, PeArray, UnifiedBuffer
from accelsim.hardware.tilings import FREE, ORDERS, FixedTiling, by_tensor
from accelsim.kernels.schedule.ladder import undominated
from accelsim.schedule.candidates import NOTHING_HELD, Candidates, Held, Machine, candidates, room_of, trips_of
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import FILTERS, ROWS, Lines, Tiling, cut, extents, repeats, trips
from accelsim.units import format_bytes

TILE_COST = 1024
"""Bytes of traffic that a tile's fixed costs (DMA set-up, latency) are taken to be worth: about 64 cycles of 16 bytes."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """Tilings of a layer that win in this buffer or in a smaller one (for a split buffer: with any of its memories smaller), best first.

    Shapes:  `order` int64 [n], into ORDERS; `needed` int64 [memories, n]: bytes of each memory of the buffer, all slots; `moved` int64 [n]:
             dense bytes as the search counts them
    """

    layer: Geometry
    rungs: Candidates
    order: Int
    needed: Int
    moved: Int

    def tiling(self, rung: int) -> Tiling:
        """One of them."""
        groups, filters, channels, height, width = self.rungs.tile[:, rung].tolist()
        at_once = int(self.rungs.at_once[rung]) if self.rungs.pieces[rung] > 1 else 0
        return Tiling(groups, filters, channels, height, width, ORDERS[int(self.order[rung])], at_once)

    @cached_property
    def fills(self) -> Int:
        """How often each ifmap, filter and ofmap tile is filled; filters that are loaded piece by piece oftener. Shape: int64 [3, n]."""
        _, filters, channels, rows, cols = trips_of(self.layer, self.rungs.tile)
        each = np.array([repeats(order, filters, channels, rows * cols) for order in ORDERS])
        return np.asarray(each[self.order, :, np.arange(self.order.size)].T)


def search(layer: Geometry, accelerator: Accelerator, name: str, fixed: FixedTiling = FREE) -> Tiling:
    """Find the best tiling of a layer, as the search counts; equal layers on equal machines are searched once.

    Units:   `name`: the layer, as error messages call it; `fixed`: what `fixed.fixed_tiling` says of it
    Raises:  `ConfigError` where the buffer cannot hold the smallest tile
    """
    found = find(layer, accelerator, fixed)
    if found is None:
        raise ConfigError(*_too_small(layer, Machine.of(accelerator), name, accelerator.place, fixed))
    return found.tiling(0)


def find(layer: Geometry, accelerator: Accelerator, fixed: FixedTiling = FREE, held: Held = NOTHING_HELD) -> Ladder | None:
    """All tilings of a layer that win in some buffer as large or smaller, beside maps that are held there; None where no tile fits."""
    return _search(layer, Machine.of(accelerator), fixed, held)


def dense_bits(layer: Geometry, data: Data, tiling: Tiling) -> tuple[int, int, int]:
    """Dense DRAM traffic that a tiling wants: ifmap, filter and ofmap (spilled partial sums both ways included). Units: bits."""
    _, _, channels, rows, cols = trips(layer, tiling)
    filters = cut(layer, FILTERS, tiling.filters)[0].size
    of_ifmap, of_filter, of_ofmap = repeats(tiling.order, filters, channels, rows * cols, where=lambda test, yes, no: yes if test else no)
    swept = Lines.of(layer, 0, tiling.height).count * Lines.of(layer, 1, tiling.width).count
    outputs = layer.groups * layer.filters * layer.out_height * layer.out_width
    return (
        of_ifmap * swept * layer.operands * layer.groups * layer.channels * data.ifmap_bits,
        _filter_loads(layer, tiling, of_filter, rows * cols) * data.filter_bits,
        int(outputs * layer.written_share) * data.ifmap_bits + outputs * (of_ofmap - 1) * 2 * data.psum_bits,
    )


def _filter_loads(layer: Geometry, tiling: Tiling, once: int, positions: int) -> int:
    """Weights loaded in all: those of tiles that take them piece by piece at every position, the others `once` each."""
    if tiling.pieces == 1:
        return once * layer.weight_elements
    of_filter = layer.weight_elements // layer.filters
    rest = (layer.filters - 1) % tiling.filters + 1
    last = once if rest <= tiling.filters_at_once else positions
    return of_filter * ((layer.filters - rest) * positions + rest * last)


@lru_cache(maxsize=4096)
def _search(layer: Geometry, machine: Machine, fixed: FixedTiling, held: Held) -> Ladder | None:
    layer = held.loads(layer)
    every = candidates(layer, machine, fixed)
    if held != NOTHING_HELD:
        every = every.beside(held, layer.operands * layer.groups * layer.channels)
    needed, room = room_of(every.tile_bytes, machine.buffer)
    fits = np.asarray((needed <= room - held.room).all(axis=0))
    return _ladder(layer, machine, every.take(fits), fixed) if fits.any() else None


def _traffic(layer: Geometry, data: Data, tried: Candidates, order: str, loops: Int) -> Int:
    """Dense DRAM bytes that each candidate moves under one loop order; spilled sums lie tile by tile, so they move what they want."""
    _, filters, channels, rows, cols = loops
    of_ifmap, of_filter, of_ofmap = repeats(order, filters, channels, rows * cols)
    of_filter = np.where(tried.pieces > 1, rows * cols, of_filter)
    sums = layer.groups * layer.filters * layer.out_height * layer.out_width * data.psum_bits // 8
    ifmap, weights, ofmap = tried.moved
    return np.asarray(of_ifmap * ifmap + of_filter * weights + ofmap + (of_ofmap - 1) * (2 * sums))


def _ladder(layer: Geometry, machine: Machine, tried: Candidates, fixed: FixedTiling) -> Ladder:
    orders = ORDERS if layer.weights else ORDERS[:1]
    orders = orders if fixed.order is None else (fixed.order,)
    loops = trips_of(layer, tried.tile)
    each = np.stack([_traffic(layer, machine.data, tried, order, loops) for order in orders])
    # Orders differ in traffic alone, and of equal ones the earlier wins.
    order, traffic = each.argmin(axis=0), each.min(axis=0)
    needed = room_of(tried.tile_bytes, machine.buffer)[0]
    # First by traffic alone, because cycles cost more to find.
    least = _cheapest(needed, traffic, np.lexsort((needed.sum(axis=0), traffic)))
    tried, order, traffic, needed = tried.take(least), order[least], traffic[least], needed[:, least]
    overlapped = np.array([slots > 1 for slots in by_tensor(machine.buffer.slots)])
    exposed = TILE_COST * trips_of(layer, tried.tile).prod(axis=0) * tried.pieces + tried.tile_bytes[overlapped].sum(axis=0)
    # The last key of lexsort counts most.
    by_merit = np.lexsort((*-tried.tile[::-1], order, exposed, _cycles(layer, machine.array, tried), traffic))
    merit = np.empty_like(by_merit)
    merit[by_merit] = np.arange(by_merit.size)
    rungs = _cheapest(needed, merit, by_merit)
    number = np.array([ORDERS.index(name) for name in orders], dtype=np.int64)
    return Ladder(layer, tried.take(rungs), number[order[rungs]], needed[:, rungs], traffic[rungs])


def _cheapest(needed: Int, cost: Int, by_cost: Int) -> Int:
    """Choices than which no other is both cheaper and as small, by ascending cost. Shapes: int64 [memories, n]; [n]; [n] -> [m]."""
    return np.asarray(by_cost[undominated(needed[:, by_cost], cost[by_cost])])


def _cycles(layer: Geometry, array: PeArray, tried: Candidates) -> Int:
    """Array cycles of the dense layer: whole tiles and ragged last ones of each loop, counted apart (filters cut by what is loaded)."""
    flow = dataflows.load(array.dataflow, layer.kernel)
    tile = tried.tile.copy()
    if not layer.weights:
        groups, _, _, height, width = tile
        return np.asarray(trips_of(layer, tile).prod(axis=0) * -(-groups * height * width // flow.lanes(array)) * layer.passes)
    tile[1] = tried.at_once
    many_tiles = trips_of(layer, tile)
    last = np.array(extents(layer), dtype=np.int64)[:, None] - (many_tiles - 1) * tile
    last_tiles = np.ones_like(last)
    # Where a tile holds some rows of an image, every image has a last tile.
    one = layer.out_height // layer.images
    some = tile[ROWS] < one
    last_tiles[ROWS] = np.where(some, layer.images, 1)
    last[ROWS] = np.where(some, (one - 1) % tile[ROWS] + 1, last[ROWS])
    total = np.zeros(tile.shape[1], dtype=np.int64)
    # where all tiles of a loop are alike, none is the last one
    uneven = (last != tile).any(axis=1)
    last_tiles[~uneven] = 0
    for ragged in product(*((False, True) if some else (False,) for some in uneven)):
        sizes = [last[axis] if end else tile[axis] for axis, end in enumerate(ragged)]
        many = [last_tiles[axis] if end else many_tiles[axis] - last_tiles[axis] for axis, end in enumerate(ragged)]
        total += np.prod(many, axis=0) * flow.dense_cycles(sizes[0], sizes[1], sizes[2], layer.taps, sizes[3], sizes[4], array)
    return total


def _too_small(layer: Geometry, machine: Machine, name: str, place: Callable[[str], str], fixed: FixedTiling) -> list[str]:
    """Say what the smallest tile needs and how large the buffer must be."""
    tiles = candidates(layer, machine, fixed).tile_bytes
    buffer, tensors = machine.buffer, ("ifmap", "filter", "ofmap")
    slots = by_tensor(buffer.slots)
    needed = tiles * np.array(slots, dtype=np.int64)[:, None]
    smallest = tiles[:, needed.sum(axis=0).argmin()].tolist()
    parts = ", ".join(f"{tensor} {size:,}" for tensor, size in zip(tensors, smallest, strict=True))
    in_slots = [size * many for size, many in zip(smallest, slots, strict=True)]
    rooms = (
        {"size": (f"one tile needs {sum(smallest):,} bytes ({parts})", _slots_text(slots), sum(in_slots), buffer.size)}
        if isinstance(buffer, UnifiedBuffer)
        else {
            tensor: (f"one {tensor} tile needs {size:,} bytes", _slots_text((many,)), size * many, getattr(buffer, tensor))
            for tensor, size, many in zip(tensors, smallest, slots, strict=True)
        }
    )
    smaller = f"the fixed tile ({place('tiling')})" if fixed != FREE else "pe_array"
    return [
        f"{name}: {what}, in {many} {size:,}; buffer.{key} is {room:,} ({place(f'buffer.{key}')})\n"
        f"    enlarge buffer.{key} to {_whole_kib(size)}, or make {smaller} or buffer.slots smaller"
        for key, (what, many, size, room) in rooms.items()
        if size > room
    ]


def _slots_text(slots: tuple[int, ...]) -> str:
    """`2 slots`, or `1, 2 and 1 slots` of ifmap, filter and ofmap."""
    if len(set(slots)) == 1:
        return f"{slots[0]} slot" + "s" * (slots[0] > 1)
    return f"{', '.join(map(str, slots[:-1]))} and {slots[-1]} slots"


def _whole_kib(size: int) -> str:
    """A size that people write."""
    return format_bytes(-(-size // 1024) * 1024)
