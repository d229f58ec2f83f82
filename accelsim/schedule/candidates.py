"""Tile sizes of a layer worth trying on a machine: what they need of the buffer, and what moving the tensors once in such tiles takes.

Sizes depend on the layer and the array alone, never on the buffer, so that a larger buffer has all choices of a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim import dataflows
from accelsim.dataflows.base import Grain
from accelsim.hardware import Accelerator, Data, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.hardware.tilings import FREE, FixedTiling, by_tensor
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.loops import ROWS, Lines, extents


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

    def least(self, lines: Int, size: Int, pitch: int, plane: int) -> Int:
        """Bytes that a piece of a plane moves at least, wherever it begins: the whole accesses of its lines, or of all that lies between.

        Shapes:  int64 arrays that broadcast
        Units:   bytes: `size` of each line, `pitch` of lines, `plane` of planes. Pieces of near planes may share accesses
        """
        far = max(self.min_skip, self.access)
        run = (lines - 1) * pitch + size
        apart, joined = (-(-size // self.access) * lines, -(-run // self.access))
        either = np.minimum(apart, joined) if pitch % self.access == 0 else joined
        return np.where(plane - run < far, lines * size, np.where(pitch - size < far, either, apart) * self.access)


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


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tile sizes, one candidate each.

    Shapes:  `tile` int64 [5, n]: groups, filters, channels, height, width; `tile_bytes` int64 [3, n]: ifmap, filter and ofmap tile in the
             buffer; `moved` int64 [3, n]: bytes that moving the whole ifmap (halo included), all filters and the ofmap once takes;
             `least` int64 [3, n]: what one live channel of the ifmap, of the filters (its weights) and of the ofmap takes at least;
             `at_once` int64 [n]: filters of a tile that are loaded at a time
    """

    tile: Int
    tile_bytes: Int
    moved: Int
    least: Int
    at_once: Int

    def beside(self, held: Held, planes: int) -> Candidates:
        """What is left to move where some of a layer's maps stay in the buffer. Units: `planes`: of all ifmaps of which some are loaded."""
        ifmap, weights, ofmap = self.moved
        ifmap = ifmap // max(planes, 1) * (planes - held.planes)
        return replace(self, moved=np.stack([ifmap, weights, ofmap if held.stored else np.zeros_like(ofmap)]))

    def take(self, chosen: NDArray[Any]) -> Candidates:
        """Those candidates only."""
        tile, tile_bytes, moved, least = (table[:, chosen] for table in (self.tile, self.tile_bytes, self.moved, self.least))
        return Candidates(tile, tile_bytes, moved, least, self.at_once[chosen])

    @property
    def pieces(self) -> Int:
        """Loads that the filters of a tile take."""
        return np.asarray(-(-self.tile[1] // self.at_once))


@cache
def _sizes(extent: int, grain: int, coarse: bool = False) -> tuple[int, ...]:
    """Tile sizes worth trying: the extent cut evenly, rounded up to the grain; cuts have three leading bits (one where `coarse`)."""
    cuts = {lead << shift for lead in ((1,) if coarse else (4, 5, 6, 7)) for shift in range(extent.bit_length() + 1)}
    cuts = {cut for cut in cuts | {1, 2, 3} if cut <= extent} | {extent}
    even = (-(-extent // cut) for cut in cuts)
    return tuple(sorted({min(extent, -(-size // grain) * grain) for size in even}))


def candidates(layer: Geometry, machine: Machine, fixed: FixedTiling = FREE) -> Candidates:
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
    filters = np.array([by_size[size] for size in cuts], dtype=np.int64).T
    one, other = (grid.ravel() for grid in np.indices((inner.shape[1], outer.shape[1])))
    tile = np.concatenate([inner[:, one], outer[:, other]])
    window, ifmap, ofmap, least_in, least_out = maps[:, other]
    wanted = layer.filters * (layer.taps * machine.data.filter_bits if layer.weights else 0) // 8
    weights, least = filters[0, one], np.where(at_once < inner[1], wanted, filters[1])[one]
    tile_bytes = _tile_bytes(layer, machine.data, tile, window, at_once[one])
    return Candidates(tile, tile_bytes, np.stack([ifmap, weights, ofmap]), np.stack([least_in, least, least_out]), at_once[one])


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
    """Elements of one map that the largest window has; bytes that loading all ifmap tiles and storing all ofmap tiles once moves; and what
    one channel of the ifmap and one of the ofmap take at least.

    Shapes:  int64 [5, heights * widths], heights outermost
    """
    bits = machine.data.ifmap_bits
    rows, cols = ([Lines.of(layer, axis, size) for size in sizes] for axis, sizes in enumerate((heights, widths)))

    def moved(down: list[tuple[Int, Int]], across: list[tuple[Int, Int]], lines: list[int], size: tuple[int, int]) -> tuple[Int, Int]:
        """Pieces of lines where tiles are narrower than the map; else pieces of planes; else whole planes. And at least."""
        pitch = -(-size[1] * bits // 8)
        parts = ((low * bits // 8, -(-high * bits // 8)) for low, high in across)
        narrow = [machine.moved(*part, pitch) if high[0] - low[0] < size[1] else 0 for part, (low, high) in zip(parts, across, strict=True)]
        plane = size[0] * pitch
        short = [machine.moved(low * pitch, high * pitch, plane) if high[0] - low[0] < size[0] else plane for low, high in down]
        found = np.where(np.array(narrow) > 0, np.multiply.outer(lines, narrow), np.array(short)[:, None])
        (tall, many_tall, of_rows), (wide, many_wide, of_cols) = _lengths(down), _lengths(across)
        each = machine.least(tall[:, None], -(-wide * bits // 8), pitch, plane) * np.multiply.outer(many_tall, many_wide)
        least = np.add.reduceat(np.add.reduceat(each, of_rows, axis=0), of_cols, axis=1)
        return found.ravel(), least.ravel()

    inside = [(one.low, one.high) for one in rows], [(one.low, one.high) for one in cols]
    outside = [(one.out_low, one.out_high) for one in rows], [(one.out_low, one.out_high) for one in cols]
    ifmap, least_in = moved(*inside, [one.count for one in rows], (layer.height, layer.width))
    ofmap, least_out = moved(*outside, [layer.out_height] * len(rows), (layer.out_height, layer.out_width))
    if layer.written:
        ofmap = ofmap * layer.written // (layer.out_height * layer.out_width)
    window = np.multiply.outer([one.most for one in rows], [one.most for one in cols]).ravel()
    ifmaps, ofmaps = layer.operands * layer.groups * layer.channels, layer.groups * layer.filters
    return np.stack([window, ifmaps * ifmap, ofmaps * ofmap, least_in, least_out])


def _lengths(spans: list[tuple[Int, Int]]) -> tuple[Int, Int, Int]:
    """The different lengths of each cut, how many of each it has, and where each cut begins among them. Shapes: int64 [n], [n], [cuts]."""
    every = [np.unique(high - low, return_counts=True) for low, high in spans]
    begins = np.cumsum([0, *(lengths.size for lengths, _ in every)])[:-1]
    return np.concatenate([lengths for lengths, _ in every]), np.concatenate([counts for _, counts in every]), begins


def _filter_bytes(layer: Geometry, machine: Machine, size: int) -> tuple[int, int]:
    """Bytes that loading all filters once moves, cut into tiles of `size` filters (`ckrs`) or channels (`kcrs`).

    And what the weights of one ifmap channel take at least.
    """
    if not layer.weights:
        return 0, 0
    sliced = machine.filter_layout == "ckrs"
    outer, inner = (layer.channels, layer.filters) if sliced else (layer.filters, layer.channels)
    element = layer.taps * machine.data.filter_bits
    pitch = -(-inner * element // 8)
    low = np.arange(0, inner, size, dtype=np.int64)
    high = np.minimum(low + size, inner)
    edges = low * element // 8, -(-high * element // 8)
    row = pitch if size >= inner else machine.moved(*edges, pitch)
    sizes = edges[1] - edges[0]
    least = int(machine.least(np.ones_like(sizes), sizes, pitch, pitch).sum()) if sliced else layer.filters * element // 8
    return layer.groups * outer * row, least


def _tile_bytes(layer: Geometry, data: Data, tile: Int, window: Int, at_once: Int) -> Int:
    """Bytes of the ifmap, filter and ofmap tile in the buffer. Shapes: int64 [3, n]. Units: `window`: elements of one map."""
    groups, filters, channels, height, width = tile
    ifmap = layer.operands * groups * channels * window * data.ifmap_room
    weights = groups * at_once * channels * (layer.taps * data.filter_room if layer.weights else 0)
    ofmap = groups * filters * height * width * np.where(channels < layer.channels, data.psum_bits, data.ifmap_room)
    return -(-np.stack([ifmap, weights, ofmap]) // 8)


def room_of(tile_bytes: Int, buffer: UnifiedBuffer | SplitBuffer) -> tuple[Int, Int]:
    """What tiles need of each memory of the buffer, all slots together, and what those have. Shapes: int64 [memories, n], [memories, 1]."""
    needed = tile_bytes * np.array(by_tensor(buffer.slots), dtype=np.int64)[:, None]
    if isinstance(buffer, UnifiedBuffer):
        return needed.sum(axis=0, keepdims=True), np.array([[buffer.size]], dtype=np.int64)
    return needed, np.array([[buffer.ifmap], [buffer.filter], [buffer.ofmap]], dtype=np.int64)


def trips_of(layer: Geometry, tile: Int) -> Int:
    """Trips of the five loops of each candidate; rows are cut image by image."""
    found = -(-np.array(extents(layer), dtype=np.int64)[:, None] // tile)
    one = layer.out_height // layer.images
    found[ROWS] = np.where(tile[ROWS] < one, layer.images * -(-one // tile[ROWS]), -(-layer.images // np.maximum(tile[ROWS] // one, 1)))
    return np.asarray(found)
