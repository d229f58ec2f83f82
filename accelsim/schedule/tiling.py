"""Tile sizes and loop order of a layer on a machine: the search.

Least dense DRAM traffic wins, counted in the whole accesses that it moves: a narrow tile whose rows each touch an access of their own costs
what it moves, not what it wants. Then fewest array cycles; then least of what double buffering cannot hide (the first loads, the last
store, and a fixed cost a tile); then the earlier order and the larger tiles. A scheme never changes the tiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim import dataflows
from accelsim.dataflows.base import Grain
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, Data, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import ORDERS, Tiling, extents, repeats, trips
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


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Tile sizes, one candidate each.

    Shapes:  `tile` int64 [5, n]: groups, filters, channels, height, width; `tile_bytes` int64 [3, n]: ifmap, filter and ofmap tile in the
             buffer; `moved` int64 [3, n]: bytes that moving the whole ifmap (halo included), all filters and the ofmap once takes
    """

    tile: Int
    tile_bytes: Int
    moved: Int

    def take(self, chosen: NDArray[Any]) -> _Candidates:
        """Those candidates only."""
        return _Candidates(self.tile[:, chosen], self.tile_bytes[:, chosen], self.moved[:, chosen])


def search(layer: Geometry, accelerator: Accelerator, name: str) -> Tiling:
    """Find the tiling of a layer; equal layers on equal machines are searched once.

    Units:   `name`: the layer, as error messages call it
    Raises:  `ConfigError` where the buffer cannot hold the smallest tile
    """
    machine = Machine.of(accelerator)
    found = _search(layer, machine)
    if found is None:
        raise ConfigError(*_too_small(layer, machine, name, accelerator.place))
    return found


def dense_bits(layer: Geometry, data: Data, tiling: Tiling) -> tuple[int, int, int]:
    """Dense DRAM traffic that a tiling wants: ifmap, filter and ofmap (spilled partial sums both ways included). Units: bits."""
    _, filters, channels, rows, cols = trips(layer, tiling)
    of_ifmap, of_filter, of_ofmap = repeats(tiling.order, filters, channels, rows * cols, where=lambda test, yes, no: yes if test else no)
    swept = _Lines.of(layer, 0, tiling.height).count * _Lines.of(layer, 1, tiling.width).count
    outputs = layer.groups * layer.filters * layer.out_height * layer.out_width
    return (
        of_ifmap * swept * layer.operands * layer.groups * layer.channels * data.ifmap_bits,
        of_filter * layer.weight_elements * data.filter_bits,
        outputs * (data.ifmap_bits + (of_ofmap - 1) * 2 * data.psum_bits),
    )


@lru_cache(maxsize=4096)
def _search(layer: Geometry, machine: Machine) -> Tiling | None:
    every = _candidates(layer, machine)
    fits = _fits(every.tile_bytes, machine.buffer)
    return _best(layer, machine, every.take(fits)) if fits.any() else None


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
        extent = (layer.out_height, layer.out_width)[axis]
        start = np.arange(0, extent, size, dtype=np.int64)
        end = np.minimum(start + size, extent)
        low, high = layer.window(axis, start, end)
        return _Lines(low, high, start, end, int((high - low).sum()), int((high - low).max()))


def _candidates(layer: Geometry, machine: Machine) -> _Candidates:
    """All tile sizes worth trying, whether they fit or not."""
    grain = dataflows.load(machine.array.dataflow).grain(machine.array, layer.taps) if layer.weights else Grain()
    heights = _sizes(layer.out_height, grain.height)
    widths = _sizes(layer.out_width, grain.width, coarse=grain.width == 1)
    within = [(1, k, c) for k, c in product(_sizes(layer.filters, grain.filters), _sizes(layer.channels, grain.channels))]
    across = [(groups, layer.filters, layer.channels) for groups in _sizes(layer.groups, 1) if groups > 1]
    inner = np.array(within + across, dtype=np.int64).T
    outer = np.array(list(product(heights, widths)), dtype=np.int64).T
    maps = np.array([_map_bytes(layer, machine, height, width) for height, width in outer.T.tolist()], dtype=np.int64).T
    size = 1 if machine.filter_layout == "ckrs" else 2
    by_size = {cut: _filter_bytes(layer, machine, cut) for cut in {sizes[size] for sizes in within + across}}
    filters = np.array([by_size[sizes[size]] for sizes in within + across], dtype=np.int64)
    one, other = (grid.ravel() for grid in np.indices((inner.shape[1], outer.shape[1])))
    tile = np.concatenate([inner[:, one], outer[:, other]])
    window, ifmap, ofmap = maps[:, other]
    return _Candidates(tile, _tile_bytes(layer, machine.data, tile, window), np.stack([ifmap, filters[one], ofmap]))


def _map_bytes(layer: Geometry, machine: Machine, height: int, width: int) -> tuple[int, int, int]:
    """Elements of one map that the largest window has; bytes that loading all ifmap tiles and storing all ofmap tiles once moves."""
    rows, cols = _Lines.of(layer, 0, height), _Lines.of(layer, 1, width)
    bits = machine.data.ifmap_bits

    def moved(low: tuple[Int, Int], high: tuple[Int, Int], lines: int, size: tuple[int, int]) -> int:
        pitch = -(-size[1] * bits // 8)
        if int(high[1][0] - low[1][0]) < size[1]:
            return lines * machine.moved(low[1] * bits // 8, -(-high[1] * bits // 8), pitch)
        if int(high[0][0] - low[0][0]) < size[0]:
            return machine.moved(low[0] * pitch, high[0] * pitch, size[0] * pitch)
        return size[0] * pitch

    ifmap = moved((rows.low, cols.low), (rows.high, cols.high), rows.count, (layer.height, layer.width))
    ofmap = moved((rows.out_low, cols.out_low), (rows.out_high, cols.out_high), layer.out_height, (layer.out_height, layer.out_width))
    return rows.most * cols.most, layer.operands * layer.groups * layer.channels * ifmap, layer.groups * layer.filters * ofmap


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


def _tile_bytes(layer: Geometry, data: Data, tile: Int, window: Int) -> Int:
    """Bytes of the ifmap, filter and ofmap tile in the buffer. Shapes: int64 [3, n]. Units: `window`: elements of one map."""
    groups, filters, channels, height, width = tile
    ifmap = layer.operands * groups * channels * window * data.ifmap_bits
    weights = groups * filters * channels * (layer.taps * data.filter_bits if layer.weights else 0)
    ofmap = groups * filters * height * width * np.where(channels < layer.channels, data.psum_bits, data.ifmap_bits)
    return -(-np.stack([ifmap, weights, ofmap]) // 8)


def _fits(tile_bytes: Int, buffer: UnifiedBuffer | SplitBuffer) -> NDArray[np.bool_]:
    needed = tile_bytes * buffer.slots
    if isinstance(buffer, UnifiedBuffer):
        return np.asarray(needed.sum(axis=0) <= buffer.size)
    return np.asarray((needed <= np.array([[buffer.ifmap], [buffer.filter], [buffer.ofmap]], dtype=np.int64)).all(axis=0))


def _traffic(layer: Geometry, data: Data, candidates: _Candidates, order: str) -> Int:
    """Dense DRAM bytes that each candidate moves under one loop order; spilled sums lie tile by tile, so they move what they want."""
    _, filters, channels, rows, cols = _trips(layer, candidates.tile)
    of_ifmap, of_filter, of_ofmap = repeats(order, filters, channels, rows * cols)
    sums = layer.groups * layer.filters * layer.out_height * layer.out_width * data.psum_bits // 8
    ifmap, weights, ofmap = candidates.moved
    return np.asarray(of_ifmap * ifmap + of_filter * weights + ofmap + (of_ofmap - 1) * (2 * sums))


def _trips(layer: Geometry, tile: Int) -> Int:
    return -(-np.array(extents(layer), dtype=np.int64)[:, None] // tile)


def _best(layer: Geometry, machine: Machine, candidates: _Candidates) -> Tiling:
    orders = ORDERS if layer.weights else ORDERS[:1]
    traffic = np.stack([_traffic(layer, machine.data, candidates, order) for order in orders])
    order, chosen = np.nonzero(traffic == traffic.min())
    candidates = candidates.take(chosen)
    cycles = _cycles(layer, machine.array, candidates.tile)
    fewest = cycles == cycles.min()
    order, candidates = order[fewest], candidates.take(fewest)
    exposed = TILE_COST * _trips(layer, candidates.tile).prod(axis=0)
    if machine.buffer.slots > 1:
        exposed = exposed + candidates.tile_bytes.sum(axis=0)
    # The last key of lexsort counts most.
    winner = np.lexsort((*-candidates.tile[::-1], order, exposed))[0]
    groups, filters, channels, height, width = candidates.tile[:, winner].tolist()
    return Tiling(groups, filters, channels, height, width, orders[int(order[winner])])


def _cycles(layer: Geometry, array: PeArray, tile: Int) -> Int:
    """Array cycles of the dense layer: whole tiles and ragged last ones of each loop, counted apart."""
    flow = dataflows.load(array.dataflow)
    many_tiles = _trips(layer, tile)
    if not layer.weights:
        groups, _, _, height, width = tile
        return np.asarray(many_tiles.prod(axis=0) * -(-groups * height * width // flow.lanes(array)) * layer.passes)
    last = np.array(extents(layer), dtype=np.int64)[:, None] - (many_tiles - 1) * tile
    total = np.zeros(tile.shape[1], dtype=np.int64)
    for ragged in product((False, True), repeat=len(tile)):
        sizes = [last[axis] if end else tile[axis] for axis, end in enumerate(ragged)]
        many = [np.ones_like(total) if end else many_tiles[axis] - 1 for axis, end in enumerate(ragged)]
        total += np.prod(many, axis=0) * flow.dense_cycles(sizes[0], sizes[1], sizes[2], layer.taps, sizes[3], sizes[4], array)
    return total


def _too_small(layer: Geometry, machine: Machine, name: str, place: Callable[[str], str]) -> list[str]:
    """Say what the smallest tile needs and how large the buffer must be."""
    tiles = _candidates(layer, machine).tile_bytes
    smallest = tiles[:, tiles.sum(axis=0).argmin()].tolist()
    buffer, tensors = machine.buffer, ("ifmap", "filter", "ofmap")
    slots = f"{buffer.slots} slot" + "s" * (buffer.slots > 1)
    parts = ", ".join(f"{tensor} {size:,}" for tensor, size in zip(tensors, smallest, strict=True))
    rooms = (
        {"size": (f"one tile needs {sum(smallest):,} bytes ({parts})", sum(smallest), buffer.size)}
        if isinstance(buffer, UnifiedBuffer)
        else {
            tensor: (f"one {tensor} tile needs {size:,} bytes", size, getattr(buffer, tensor))
            for tensor, size in zip(tensors, smallest, strict=True)
        }
    )
    return [
        f"{name}: {what}, in {slots} {size * buffer.slots:,}; buffer.{key} is {room:,} ({place(f'buffer.{key}')})\n"
        f"    enlarge buffer.{key} to {_whole_kib(size * buffer.slots)}, or make pe_array or buffer.slots smaller"
        for key, (what, size, room) in rooms.items()
        if size * buffer.slots > room
    ]


def _whole_kib(size: int) -> str:
    """A size that people write."""
    return format_bytes(-(-size // 1024) * 1024)
