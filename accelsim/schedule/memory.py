"""Where tensors lie in DRAM, and which jobs move a piece of one.

Every stored map and every filter has a region of its own, which starts at a page. Maps lie channel by channel, row by row, each row from a
byte on, unless their scheme puts fetch units elsewhere: such a unit is read whole by each tile that needs some of it, and written by the
tile that completes it. What a reader wants of it is its share; the rest is moved in vain, like the rest of a burst. Filters lie filter by
filter (`kcrs`) or ifmap channel by ifmap channel (`ckrs`); each of those starts on a byte. Spilled partial sums lie tile by tile,
contiguous, in a region that all layers share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Shape
from accelsim.kernels.schedule.parts import part_jobs
from accelsim.kernels.schedule.planes import map_requests, strided_jobs, strided_moved
from accelsim.kernels.schedule.units import unit_jobs
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Lines
from accelsim.schedule.runs import ROWS, Bool, Int, Rules, join, plane_jobs, row_jobs
from accelsim.schemes.base import EncodedMap

PAGE = 4096

Span = tuple[int, int]
"""Low and high (exclusive)."""
Piece = tuple[Int, int, int]
"""Jobs, bytes wanted, bytes that the dense scheme wants."""
LOW, HIGH, WANTED, DENSE = range(4)
"""Columns of a table of pieces: jobs low and high (exclusive), bytes wanted, bytes that the dense scheme wants."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of a map: the products of channel spans, windows of rows and windows of columns, in that order.

    Shapes:  `channels` int64 [n, 2], `rows` int64 [2, R], `cols` int64 [2, X]: low and high (exclusive), equal where there is nothing
    `computed`: the blocks for which these are moved, where those are others: what the dense scheme would move
    """

    channels: Int
    rows: Int
    cols: Int
    computed: Blocks | None = None

    @classmethod
    def one(cls, channels: Span, rows: Span, cols: Span) -> Blocks:
        """A single block."""
        down, across = (np.array([[low], [high]], dtype=np.int64) for low, high in (rows, cols))
        return cls(np.array([channels], dtype=np.int64), down, across)

    @property
    def count(self) -> int:
        """How many."""
        return int(len(self.channels) * self.rows.shape[1] * self.cols.shape[1])


class Allocator:
    """Hands out regions one after the other, each at a page, and at an access where those are longer. Units: bytes."""

    def __init__(self, access: int) -> None:
        self._next, self._pitch = 0, max(PAGE, access)

    def take(self, size: int) -> int:
        """Address of a fresh region."""
        address = self._next
        self._next += -(-size // self._pitch) * self._pitch
        return address


@dataclass(frozen=True, eq=False)
class MapRegion:
    """One stored feature map.

    Units:   bytes; `bits` of an element
    """

    address: int
    shape: Shape
    bits: int
    encoded: EncodedMap

    @property
    def row_bytes(self) -> int:
        """Distance of the starts of two rows."""
        return -(-self.shape[2] * self.bits // 8)

    @property
    def plane_bytes(self) -> int:
        """Distance of the starts of two channels."""
        return self.shape[1] * self.row_bytes

    @property
    def size(self) -> int:
        """Bytes of the map's room."""
        return self.shape[0] * self.plane_bytes if self.encoded.offsets is None else self.encoded.extent

    @cached_property
    def flags(self) -> Bool | None:
        """Which channels are stored, where whole ones lie in the raster; None for finer units, and for those that lie elsewhere."""
        units = self.encoded.unit_bytes
        return units[:, 0, 0] > 0 if self.encoded.offsets is None and units.shape[1:] == (1, 1) else None

    def piece(self, channels: Span, rows: Span, cols: Span, rules: Rules) -> Piece:
        """What reads one block of the map, or writes it in the raster."""
        jobs, table = self.jobs(Blocks.one(channels, rows, cols), rules)
        return jobs, int(table[0, WANTED]), int(table[0, DENSE])

    def jobs(self, blocks: Blocks, rules: Rules) -> tuple[Int, Int]:
        """What reads blocks of the map, or writes them in the raster: live units as far as they lie in a block, those elsewhere whole.

        Of each of the latter is wanted as much as the block's share of its elements.
        Shapes:  jobs int64 [., 6]; table of pieces int64 [blocks, 4]
        """
        table = np.empty((blocks.count, 4), dtype=np.int64)
        if self.flags is not None:
            return strided_jobs(*self._requests(blocks), self.flags, rules.key, 0, table), table
        jobs = self._unit_jobs(blocks, rules, True, table)
        table[:, DENSE] = self._dense(blocks)
        if self._places is None:
            np.minimum(table[:, WANTED], table[:, DENSE], out=table[:, WANTED])
        return jobs, table

    def moved(self, blocks: Blocks, rules: Rules) -> Int:
        """Bytes that those jobs move. Shape: int64 [blocks]."""
        table = np.zeros((blocks.count, 4), dtype=np.int64)
        if self.flags is not None:
            strided_moved(*self._requests(blocks), self.flags, rules.key, table[:, HIGH])
        else:
            self._unit_jobs(blocks, rules, False, table)
        return table[:, HIGH]

    def completed(self, blocks: Blocks) -> Blocks:
        """What the tiles that compute blocks write: of units that do not lie in the raster those of which they compute the last element.

        Tiles of the same channels run in order of rows and columns, so then the others have been computed.
        """
        if self.encoded.offsets is None:
            return blocks
        sides = zip((blocks.channels.T, blocks.rows, blocks.cols), self._unit, self.shape, strict=True)
        channels, rows, cols = (np.where(edges == extent, extent, edges // size * size) for edges, size, extent in sides)
        return Blocks(np.ascontiguousarray(channels.T), rows, cols, computed=blocks)

    def least(self, channels: Span, down: Sequence[Lines], across: Sequence[Lines], rules: Rules) -> Int:
        """What loading some channels in tiles moves at least, for cuts of the rows and of the columns: whole units, or live lines of parts.

        Shapes:  int64 [cuts of the rows, cuts of the columns]
        """
        group, height, width = self._unit
        last = -(-channels[1] // group) if channels[1] == self.shape[0] else channels[1] // group
        units = self.encoded.unit_bytes[-(-channels[0] // group) : last]
        lines, cols = (
            np.array([_overlap(cut.low, cut.high, size, many, self.encoded.offsets is not None) for cut in cuts])
            for cuts, size, many in ((down, height, units.shape[1]), (across, width, units.shape[2]))
        )
        if self.encoded.offsets is not None:
            if not (self.encoded.offsets % rules.access).any():
                units = -(-units // rules.access) * rules.access  # no two share an access
            return np.asarray(lines @ units.sum(axis=0) @ cols.T)
        live = units > 0
        least = lines @ live.sum(axis=0) @ cols.T * self.bits // 8
        far = max(rules.min_skip, rules.access)
        before = np.concatenate([np.zeros((*live.shape[:2], 1), dtype=np.int64), live.cumsum(axis=2)], axis=2)
        tall = np.array([(cut.most - 1) * self.row_bytes for cut in down])
        for number, cut in enumerate(across):
            piece = -(-cut.most * self.bits // 8) + 1
            if self.row_bytes - piece >= far:  # each line is a run of its own, and so is each plane where those lie apart
                touched = before[:, :, -(-cut.high // width)] > before[:, :, cut.low // width]
                runs = lines @ touched.sum(axis=(0, 2)) * rules.access
                least[:, number] = np.where(self.plane_bytes - tall - piece >= far, np.maximum(least[:, number], runs), least[:, number])
        return np.asarray(least)

    @property
    def _unit(self) -> tuple[int, int, int]:
        return self.encoded.unit_channels, self.encoded.unit_height, self.encoded.unit_width

    @property
    def _raster(self) -> tuple[int, int, int, int, int, int]:
        """As `kernels.schedule.parts` takes it."""
        return self.address, self.plane_bytes, self.row_bytes, self.bits, self.encoded.unit_height, self.encoded.unit_width

    @cached_property
    def _places(self) -> Int | None:
        """Addresses of units that do not lie in the raster. Shape as `unit_bytes`."""
        return None if self.encoded.offsets is None else self.address + self.encoded.offsets

    @cached_property
    def _live(self) -> Bool:
        """Units that are stored. Shape as `unit_bytes`."""
        return self.encoded.unit_bytes > 0

    def _unit_jobs(self, blocks: Blocks, rules: Rules, kept: bool, table: Int) -> Int:
        """What moves units that are not whole channels in the raster, as kernels give it."""
        spans = blocks.channels, blocks.rows, blocks.cols
        if self._places is None:
            return part_jobs(*spans, self._raster, self._live, rules.key, kept, table)
        return unit_jobs(*spans, self._unit, self.shape, self.encoded.unit_bytes, self._places, rules.key, kept, table)

    def _dense(self, blocks: Blocks) -> Int:
        """What the dense scheme wants of each block. Shape: int64 [blocks]."""
        blocks = blocks.computed or blocks
        channels, rows = (np.maximum(high - low, 0) for low, high in (blocks.channels.T, blocks.rows))
        low, high = in_bytes(blocks.cols, self.bits)
        return np.asarray(np.multiply.outer(np.multiply.outer(channels, rows), high - low)).ravel()

    def _requests(self, blocks: Blocks) -> tuple[Int, Int]:
        """As `kernels.schedule.planes` takes blocks of whole channels in the raster."""
        part = np.array([[0, self.shape[0], 0, self.address, self.plane_bytes, self.row_bytes, 0, 0]], dtype=np.int64)
        return map_requests(blocks.channels, part, blocks.rows[None], in_bytes(blocks.cols, self.bits)[None])


def in_bytes(cols: Int, bits: int) -> Int:
    """Columns as bytes from the start of a line; no columns are no bytes. Shape: int64 [2, X]."""
    low, high = cols[0] * bits // 8, -(-cols[1] * bits // 8)
    return np.stack([low, np.where(cols[0] < cols[1], high, low)])


def _overlap(low: Int, high: Int, size: int, units: int, whole: bool) -> Int:
    """Lines of each unit of `size` in all windows together; or how many windows touch it, where it is taken `whole`. Shape: [units]."""
    begin = np.arange(units, dtype=np.int64) * size
    shared = np.minimum(high[:, None], begin + size) - np.maximum(low[:, None], begin)
    return np.asarray((shared > 0).sum(axis=0) if whole else np.maximum(shared, 0).sum(axis=0))


@dataclass(frozen=True, eq=False)
class FilterRegion:
    """The filters of one layer. Units: bytes; `bits` of an element."""

    address: int
    layer: Geometry
    bits: int
    layout: str

    @property
    def size(self) -> int:
        """Bytes of all filters."""
        outer = self.layer.channels if self.layout == "ckrs" else self.layer.filters
        return self.layer.groups * outer * self.pitch

    @property
    def pitch(self) -> int:
        """Distance of the slices of two ifmap channels (`ckrs`), or of two filters (`kcrs`)."""
        inner = self.layer.filters if self.layout == "ckrs" else self.layer.channels
        return -(-inner * self.layer.taps * self.bits // 8)

    @property
    def sliced(self) -> bool:
        """Whether the weights of an ifmap channel lie together."""
        return self.layout == "ckrs" or self.layer.filters == self.layer.channels == 1

    def piece(self, groups: Span, filters: Span, channels: Span, live: Bool, rules: Rules) -> Piece:
        """What moves the filters of a tile, those of skipped ifmap channels left out.

        Shapes:  `live` bool [groups of the tile, channels of the tile]
        Units:   `filters` and `channels` of one group
        """
        element = self.layer.taps * self.bits
        if self.sliced:
            offset = filters[0] * element // 8
            width = -(-filters[1] * element // 8) - offset
            # a tile of several groups has all their channels
            first = groups[0] * self.layer.channels + channels[0]
            jobs = plane_jobs(self.address + offset, self.pitch, first, live.ravel(), 1, width, width, rules)
            return jobs, int(np.count_nonzero(live)) * width, live.size * width
        runs: list[Int] = []
        wanted, count = 0, filters[1] - filters[0]
        for number, mask in zip(range(*groups), live, strict=True):
            steps = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
            begin = (channels[0] + np.flatnonzero(steps == 1)) * element // 8
            end = -(-(channels[0] + np.flatnonzero(steps == -1)) * element // 8)
            start = self.address + (number * self.layer.filters + filters[0]) * self.pitch
            runs.append(row_jobs(start, self.pitch, count, begin, end, rules))
            wanted += count * int((end - begin).sum())
        width = -(-channels[1] * element // 8) - channels[0] * element // 8
        return self._together(runs, rules), wanted, len(live) * count * width

    @staticmethod
    def _together(runs: list[Int], rules: Rules) -> Int:
        """Runs that continue from one group to the next are one."""
        every = np.concatenate(runs)
        if len(runs) == 1 or any(len(run) > 1 for run in runs) or (every[:, ROWS] > 1).any():
            return every
        return join(every[:, 0], every[:, 0] + every[:, 1], rules)


@dataclass(frozen=True, slots=True)
class Segment:
    """Successive channels of a map that lie in one region: channels low..high of the map are `first`.. of the stored map of `node`."""

    low: int
    high: int
    node: int
    first: int


def live_windows(encoded: EncodedMap, first: int, count: int, rows: tuple[Int, Int], cols: tuple[Int, Int]) -> NDArray[np.bool_]:
    """Which windows need the array: those that touch a live unit, or all where the scheme skips no work.

    Shapes:  `rows`, `cols`: low and high (exclusive) of p and q windows -> bool [count, p, q]
    """
    shape = (count, rows[0].size, cols[0].size)
    if not encoded.saves.macs:
        return np.broadcast_to(np.True_, shape)
    units = encoded.worked[first : first + count]
    if units.shape[1:] == (1, 1):
        return np.broadcast_to(units, shape)
    if units.all():
        return np.ones(shape, dtype=np.bool_)
    # Sums over all units above and to the left: four of them count the live units of any rectangle.
    sums = np.zeros((count, units.shape[1] + 1, units.shape[2] + 1), dtype=np.int32)
    sums[:, 1:, 1:] = units.cumsum(axis=1, dtype=np.int32).cumsum(axis=2, dtype=np.int32)
    top, bottom = rows[0] // encoded.unit_height, -(-rows[1] // encoded.unit_height)
    left, right = cols[0] // encoded.unit_width, -(-cols[1] // encoded.unit_width)
    bands = sums[:, bottom] - sums[:, top]
    return np.asarray(bands[:, :, right] > bands[:, :, left])
