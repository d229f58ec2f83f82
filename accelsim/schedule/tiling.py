"""Tile sizes and loop order of a layer on a machine: the search.

Least dense DRAM traffic wins, counted in the whole accesses that it moves: a narrow tile whose rows each touch an access of their own costs
what it moves, not what it wants. Then fewest array cycles; then least of what double buffering cannot hide (the first loads, the last
store, and a fixed cost a tile); then the earlier order and the larger tiles. A scheme never changes the tiling.
What the user fixes (`accelerator.tiling`) is kept, the rest is searched around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim import dataflows
from accelsim.dataflows.base import Grain
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.hardware.tilings import FREE, ORDERS, FixedTiling, by_tensor
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import FILTERS, ROWS, Tiling, cut, extents, repeats, trips
from accelsim.units import format_bytes

TILE_COST = 1024
"""Bytes of traffic that a tile's fixed costs (DMA set-up, latency) are taken to be worth: about 64 cycles of 16 bytes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the search needs to know of an accelerator. Units: bytes; `filter_layout` as `Layout.filter`."""

    array: PeArray
    data: Data
    buffer: UnifiedBuffer | SplitBuffer
    access: int
    min_skip: int
    filter_layout: str

    @classmethod
    def of(cls, accelerator: Accelerator) -> Machine:
        """Take the parts that matter."""
        dma = accelerator.dma
        return cls(accelerator.pe_array, accelerator.data, accelerator.buffer, dma.access, dma.min_skip, accelerator.layout.filter)

    def moved(self, low: Int, high: Int, pitch: int) -> int:
        """Bytes that pieces low..high of each row of `pitch` bytes move, as if rows began at an access. Near rows are moved whole."""
        accesses = (-(-high // self.access) - low // self.access) * self.access
        return int(np.where(pitch - (high - low) < max(self.min_skip, self.access), np.maximum(accesses, pitch), accesses).sum())


@dataclass(frozen=True, slots=True)
class Held:
    """What of a layer's maps lies in the buffer as a whole, while its tiles come and go.

    Units:   `room`: bytes that tiles cannot have; `operands`: ifmaps that lie there, all of them; `planes`: channels of the other ifmaps
             that lie there. `stored`: whether the ofmap goes to DRAM
    """

    room: int = 0
    operands: int = 0
    planes: int = 0
    stored: bool = True

    def loads(self, layer: Geometry) -> Geometry:
        """The layer with those ifmaps only of which something is loaded."""
        return replace(layer, operands=layer.operands - self.operands) if self.operands else layer


NOTHING_HELD = Held()


@dataclass(frozen=True, slots=True)
class Found:
    """A tiling, and the dense bytes that it moves."""

    tiling: Tiling
    moved: int


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Tile sizes, one candidate each.

    Shapes:  `tile` int64 [5, n]: groups, filters, channels, height, width; `tile_bytes` int64 [3, n]: ifmap, filter and ofmap tile in the
             buffer; `moved` int64 [3, n]: bytes that moving the whole ifmap (halo included), all filters and the ofmap once takes;
             `at_once` int64 [n]: filters of a tile that are loaded at a time
    """

    tile: Int
    tile_bytes: Int
    moved: Int
    at_once: Int

    def beside(self, held: Held, planes: int) -> _Candidates:
        """What is left to move where some of a layer's maps stay in the buffer. Units: `planes`: of all ifmaps of which some are loaded."""
        ifmap, weights, ofmap = self.moved
        ifmap = ifmap // max(planes, 1) * (planes - held.planes)
        return replace(self, moved=np.stack([ifmap, weights, ofmap if held.stored else np.zeros_like(ofmap)]))

    def take(self, chosen: NDArray[Any]) -> _Candidates:
        """Those candidates only."""
        return _Candidates(self.tile[:, chosen], self.tile_bytes[:, chosen], self.moved[:, chosen], self.at_once[chosen])

    @property
    def pieces(self) -> Int:
        """Loads that the filters of a tile take."""
        return np.asarray(-(-self.tile[1] // self.at_once))


def search(layer: Geometry, accelerator: Accelerator, name: str, fixed: FixedTiling = FREE) -> Tiling:
    """Find the tiling of a layer; equal layers on equal machines are searched once.

    Units:   `name`: the layer, as error messages call it; `fixed`: what `fixed.fixed_tiling` says of it
    Raises:  `ConfigError` where the buffer cannot hold the smallest tile
    """
    found = find(layer, accelerator, fixed)
    if found is None:
        raise ConfigError(*_too_small(layer, Machine.of(accelerator), name, accelerator.place, fixed))
    return found.tiling


def find(layer: Geometry, accelerator: Accelerator, fixed: FixedTiling = FREE, held: Held = NOTHING_HELD) -> Found | None:
    """As `search`, beside maps that are held in the buffer; None where the smallest tile does not fit."""
    return _search(layer, Machine.of(accelerator), fixed, held)


def dense_bits(layer: Geometry, data: Data, tiling: Tiling) -> tuple[int, int, int]:
    """Dense DRAM traffic that a tiling wants: ifmap, filter and ofmap (spilled partial sums both ways included). Units: bits."""
    _, _, channels, rows, cols = trips(layer, tiling)
    filters = cut(layer, FILTERS, tiling.filters)[0].size
    of_ifmap, of_filter, of_ofmap = repeats(tiling.order, filters, channels, rows * cols, where=lambda test, yes, no: yes if test else no)
    swept = _Lines.of(layer, 0, tiling.height).count * _Lines.of(layer, 1, tiling.width).count
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
def _search(layer: Geometry, machine: Machine, fixed: FixedTiling, held: Held) -> Found | None:
    layer = held.loads(layer)
    every = _candidates(layer, machine, fixed)
    if held != NOTHING_HELD:
        every = every.beside(held, layer.operands * layer.groups * layer.channels)
    fits = _fits(every.tile_bytes, machine.buffer, held.room)
    return _best(layer, machine, every.take(fits), fixed) if fits.any() else None


@cache
def _sizes(extent: int, grain: int, coarse: bool = False) -> tuple[int, ...]:
    """Tile sizes worth trying: the extent cut evenly, rounded up to the grain; cuts have three leading bits (one where `coarse`)."""
    cuts = {lead << shift for lead in ((1,) if coarse else (4, 5, 6, 7)) for shift in range(extent.bit_length() + 1)}
    cuts = {cut for cut in cuts | {1, 2, 3} if cut <= extent} | {extent}
    even = (-(-extent // cut) for cut in cuts)
    return tuple(sorted({min(extent, -(-size // grain) * grain) for size in even}))


@dataclass(frozen=True, eq=False)
class _Lines:
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
    def of(layer: Geometry, axis: int, size: int) -> _Lines:
        """Cut one axis (0 rows, 1 columns) of the output into tiles of `size`."""
        start, end = cut(layer, ROWS + axis, size)
        low, high = layer.window(axis, start, end)
        return _Lines(low, high, start, end, int((high - low).sum()), int((high - low).max()))


def _candidates(layer: Geometry, machine: Machine, fixed: FixedTiling = FREE) -> _Candidates:
    """All tile sizes worth trying, whether they fit or not."""
    flow = dataflows.load(machine.array.dataflow, layer.kernel)
    grain = flow.grain(machine.array, layer.taps) if layer.weights else Grain()
    heights = _heights(layer, grain.height, fixed)
    widths = _one(fixed.columns) or _sizes(layer.out_width, grain.width, coarse=grain.width == 1)
    of_filters = _one(fixed.filters) or _sizes(layer.filters, grain.filters)
    of_channels = _one(fixed.channels) or _sizes(layer.channels, grain.channels)
    within = [(1, k, c) for k, c in product(of_filters, of_channels)] if fixed.groups in (None, 1) else []
    whole = (layer.filters, layer.channels)
    many = [groups for groups in _one(fixed.groups) or _sizes(layer.groups, 1) if groups > 1]
    across = [(groups, *whole) for groups in many if whole[0] in of_filters and whole[1] in of_channels]
    inner = np.array(within + across, dtype=np.int64).T
    outer = np.array(list(product(heights, widths)), dtype=np.int64).T
    maps = _map_bytes(layer, machine, tuple(heights), tuple(widths))
    at_once = np.minimum(inner[1], fixed.filters_at_once or layer.filters)
    cuts = (at_once if machine.filter_layout == "ckrs" else inner[2]).tolist()
    by_size = {size: _filter_bytes(layer, machine, size) for size in set(cuts)}
    filters = np.array([by_size[size] for size in cuts], dtype=np.int64)
    one, other = (grid.ravel() for grid in np.indices((inner.shape[1], outer.shape[1])))
    tile = np.concatenate([inner[:, one], outer[:, other]])
    window, ifmap, ofmap = maps[:, other]
    tile_bytes = _tile_bytes(layer, machine.data, tile, window, at_once[one])
    return _Candidates(tile, tile_bytes, np.stack([ifmap, filters[one], ofmap]), at_once[one])


def _heights(layer: Geometry, grain: int, fixed: FixedTiling) -> tuple[int, ...]:
    """Heights of tiles: rows of one image, or whole images."""
    one = layer.out_height // layer.images
    if fixed.rows is not None:
        return (fixed.rows,)
    whole = tuple(many * one for many in _one(fixed.images) or _sizes(layer.images, 1))
    return whole if (fixed.images or 1) > 1 else tuple(sorted({*_sizes(one, grain), *whole}))


def _one(size: int | None) -> tuple[int, ...]:
    return () if size is None else (size,)


def _map_bytes(layer: Geometry, machine: Machine, heights: tuple[int, ...], widths: tuple[int, ...]) -> Int:
    """Elements of one map that the largest window has; bytes that loading all ifmap tiles and storing all ofmap tiles once moves.

    Shapes:  int64 [3, heights * widths], heights outermost
    """
    bits = machine.data.ifmap_bits
    rows, cols = ([_Lines.of(layer, axis, size) for size in sizes] for axis, sizes in enumerate((heights, widths)))

    def moved(down: list[tuple[Int, Int]], across: list[tuple[Int, Int]], lines: list[int], size: tuple[int, int]) -> Int:
        """Pieces of lines where tiles are narrower than the map; else pieces of planes; else whole planes."""
        pitch = -(-size[1] * bits // 8)
        narrow = [machine.moved(low * bits // 8, -(-high * bits // 8), pitch) if high[0] - low[0] < size[1] else 0 for low, high in across]
        plane = size[0] * pitch
        short = [machine.moved(low * pitch, high * pitch, plane) if high[0] - low[0] < size[0] else plane for low, high in down]
        return np.asarray(np.where(np.array(narrow) > 0, np.multiply.outer(lines, narrow), np.array(short)[:, None]).ravel())

    inside = [(one.low, one.high) for one in rows], [(one.low, one.high) for one in cols]
    outside = [(one.out_low, one.out_high) for one in rows], [(one.out_low, one.out_high) for one in cols]
    ifmap = moved(*inside, [one.count for one in rows], (layer.height, layer.width))
    ofmap = moved(*outside, [layer.out_height] * len(rows), (layer.out_height, layer.out_width))
    if layer.written:
        ofmap = ofmap * layer.written // (layer.out_height * layer.out_width)
    window = np.multiply.outer([one.most for one in rows], [one.most for one in cols]).ravel()
    return np.stack([window, layer.operands * layer.groups * layer.channels * ifmap, layer.groups * layer.filters * ofmap])


def _filter_bytes(layer: Geometry, machine: Machine, size: int) -> int:
    """Bytes that loading all filters once moves, cut into tiles of `size` filters (`ckrs`) or channels (`kcrs`)."""
    if not layer.weights:
        return 0
    outer, inner = (layer.channels, layer.filters) if machine.filter_layout == "ckrs" else (layer.filters, layer.channels)
    element = layer.taps * machine.data.filter_bits
    pitch = -(-inner * element // 8)
    low = np.arange(0, inner, size, dtype=np.int64)
    high = np.minimum(low + size, inner)
    row = pitch if size >= inner else machine.moved(low * element // 8, -(-high * element // 8), pitch)
    return layer.groups * outer * row


def _tile_bytes(layer: Geometry, data: Data, tile: Int, window: Int, at_once: Int) -> Int:
    """Bytes of the ifmap, filter and ofmap tile in the buffer. Shapes: int64 [3, n]. Units: `window`: elements of one map."""
    groups, filters, channels, height, width = tile
    ifmap = layer.operands * groups * channels * window * data.ifmap_room
    weights = groups * at_once * channels * (layer.taps * data.filter_room if layer.weights else 0)
    ofmap = groups * filters * height * width * np.where(channels < layer.channels, data.psum_bits, data.ifmap_room)
    return -(-np.stack([ifmap, weights, ofmap]) // 8)


def _fits(tile_bytes: Int, buffer: UnifiedBuffer | SplitBuffer, taken: int = 0) -> NDArray[np.bool_]:
    needed = tile_bytes * np.array(by_tensor(buffer.slots), dtype=np.int64)[:, None]
    if isinstance(buffer, UnifiedBuffer):
        return np.asarray(needed.sum(axis=0) <= buffer.size - taken)
    return np.asarray((needed <= np.array([[buffer.ifmap], [buffer.filter], [buffer.ofmap]], dtype=np.int64)).all(axis=0))


def _traffic(layer: Geometry, data: Data, candidates: _Candidates, order: str, trips_of: Int) -> Int:
    """Dense DRAM bytes that each candidate moves under one loop order; spilled sums lie tile by tile, so they move what they want."""
    _, filters, channels, rows, cols = trips_of
    of_ifmap, of_filter, of_ofmap = repeats(order, filters, channels, rows * cols)
    of_filter = np.where(candidates.pieces > 1, rows * cols, of_filter)
    sums = layer.groups * layer.filters * layer.out_height * layer.out_width * data.psum_bits // 8
    ifmap, weights, ofmap = candidates.moved
    return np.asarray(of_ifmap * ifmap + of_filter * weights + ofmap + (of_ofmap - 1) * (2 * sums))


def _trips(layer: Geometry, tile: Int) -> Int:
    """Trips of the five loops of each candidate; rows are cut image by image."""
    found = -(-np.array(extents(layer), dtype=np.int64)[:, None] // tile)
    one = layer.out_height // layer.images
    found[ROWS] = np.where(tile[ROWS] < one, layer.images * -(-one // tile[ROWS]), -(-layer.images // np.maximum(tile[ROWS] // one, 1)))
    return np.asarray(found)


def _best(layer: Geometry, machine: Machine, candidates: _Candidates, fixed: FixedTiling) -> Found:
    orders = ORDERS if layer.weights else ORDERS[:1]
    orders = orders if fixed.order is None else (fixed.order,)
    trips_of = _trips(layer, candidates.tile)
    traffic = np.stack([_traffic(layer, machine.data, candidates, order, trips_of) for order in orders])
    least = int(traffic.min())
    order, chosen = np.nonzero(traffic == least)
    candidates = candidates.take(chosen)
    cycles = _cycles(layer, machine.array, candidates)
    fewest = cycles == cycles.min()
    order, candidates = order[fewest], candidates.take(fewest)
    overlapped = np.array([slots > 1 for slots in by_tensor(machine.buffer.slots)])
    exposed = TILE_COST * _trips(layer, candidates.tile).prod(axis=0) * candidates.pieces + candidates.tile_bytes[overlapped].sum(axis=0)
    # The last key of lexsort counts most.
    winner = np.lexsort((*-candidates.tile[::-1], order, exposed))[0]
    groups, filters, channels, height, width = candidates.tile[:, winner].tolist()
    at_once = int(candidates.at_once[winner]) if candidates.pieces[winner] > 1 else 0
    return Found(Tiling(groups, filters, channels, height, width, orders[int(order[winner])], at_once), least)


def _cycles(layer: Geometry, array: PeArray, candidates: _Candidates) -> Int:
    """Array cycles of the dense layer: whole tiles and ragged last ones of each loop, counted apart (filters cut by what is loaded)."""
    flow = dataflows.load(array.dataflow, layer.kernel)
    tile = candidates.tile.copy()
    if not layer.weights:
        groups, _, _, height, width = tile
        return np.asarray(_trips(layer, tile).prod(axis=0) * -(-groups * height * width // flow.lanes(array)) * layer.passes)
    tile[1] = candidates.at_once
    many_tiles = _trips(layer, tile)
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
    tiles = _candidates(layer, machine, fixed).tile_bytes
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
