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
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Lines
from accelsim.schedule.runs import ROWS, Bool, Int, Rules, in_order, join, part_jobs, plane_jobs, rejoin, row_jobs
from accelsim.schemes.base import EncodedMap

PAGE = 4096

Span = tuple[int, int]
"""Low and high (exclusive)."""
Piece = tuple[Int, int, int]
"""Jobs, bytes wanted, bytes that the dense scheme wants."""


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
        """What reads a block of the map, or writes it in the raster: its live units, as far as they lie in the block."""
        if self.encoded.offsets is not None:
            return self._units(self.encoded.offsets, (channels, rows, cols), rules)
        low, high = cols[0] * self.bits // 8, -(-cols[1] * self.bits // 8)
        count, width = rows[1] - rows[0], high - low
        start = self.address + rows[0] * self.row_bytes + low
        dense = (channels[1] - channels[0]) * count * width
        if self.flags is not None:
            live = self.flags[channels[0] : channels[1]]
            jobs = plane_jobs(start, self.plane_bytes, channels[0], live, count, width, self.row_bytes, rules)
            return jobs, int(np.count_nonzero(live)) * count * width, dense
        return self._parts(channels, rows, cols, rules, dense)

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

    def store(self, channels: Span, rows: Span, cols: Span, rules: Rules) -> Piece:
        """What writes a block of the map: of units that do not lie in the raster those of which it holds the last element.

        Tiles of the same channels run in order of rows and columns, so then the others have been computed.
        """
        if self.encoded.offsets is None:
            return self.piece(channels, rows, cols, rules)
        spans = (channels, rows, cols)
        done = tuple(
            slice(low // size, -(-extent // size) if high == extent else high // size)
            for (low, high), size, extent in zip(spans, self._unit, self.shape, strict=True)
        )
        sizes = self.encoded.unit_bytes[done]
        return self._stored(sizes, self.encoded.offsets[done], rules), int(sizes.sum()), self._dense(spans)

    @property
    def _unit(self) -> tuple[int, int, int]:
        return self.encoded.unit_channels, self.encoded.unit_height, self.encoded.unit_width

    def _dense(self, spans: tuple[Span, Span, Span]) -> int:
        channels, rows = (high - low for low, high in spans[:2])
        low, high = spans[2]
        return channels * rows * (-(-high * self.bits // 8) - low * self.bits // 8)

    def _stored(self, sizes: Int, offsets: Int, rules: Rules) -> Int:
        """Whole units, near ones joined."""
        live = sizes > 0
        starts = self.address + offsets[live]
        return join(starts, starts + sizes[live], rules)

    def _units(self, offsets: Int, spans: tuple[Span, Span, Span], rules: Rules) -> Piece:
        """Whole units that a block touches; of each is wanted as much as the block's share of its elements."""
        touched, shares = [], []
        for (low, high), size, extent in zip(spans, self._unit, self.shape, strict=True):
            units = np.arange(low // size, -(-high // size), dtype=np.int64)
            first, end = units * size, np.minimum((units + 1) * size, extent)
            touched.append(slice(int(units[0]), int(units[-1]) + 1))
            shares.append((np.minimum(end, high) - np.maximum(first, low), end - first))
        sizes = self.encoded.unit_bytes[tuple(touched)]
        part, whole = (np.multiply.outer(np.multiply.outer(c, y), x) for c, y, x in zip(*shares, strict=True))
        wanted = int((-(-sizes * part // whole)).sum())
        return self._stored(sizes, offsets[tuple(touched)], rules), wanted, self._dense(spans)

    def _parts(self, channels: Span, rows: Span, cols: Span, rules: Rules, dense: int) -> Piece:
        units, tall, wide = self.encoded.unit_bytes, self.encoded.unit_height, self.encoded.unit_width
        bands = np.arange(rows[0] // tall, -(-rows[1] // tall), dtype=np.int64)
        parts = np.arange(cols[0] // wide, -(-cols[1] // wide), dtype=np.int64)
        tops = np.maximum(bands * tall, rows[0])
        counts = np.minimum((bands + 1) * tall, rows[1]) - tops
        low = np.maximum(parts * wide, cols[0]) * self.bits // 8
        high = -(-np.minimum((parts + 1) * wide, cols[1]) * self.bits // 8)
        live = units[channels[0] : channels[1], bands[0] : bands[-1] + 1, parts[0] : parts[-1] + 1] > 0
        wanted = int((live.sum(axis=0) * np.multiply.outer(counts, high - low)).sum())
        if self.bits % 8:  # a byte that two live neighbours share is wanted once
            wanted -= int(((live[:, :, :-1] & live[:, :, 1:]).sum(axis=0) * np.multiply.outer(counts, high[:-1] - low[1:])).sum())
        count, width = rows[1] - rows[0], int(high[-1] - low[0])
        some, whole = live.any(axis=(1, 2)), live.all(axis=(1, 2))
        start = self.address + rows[0] * self.row_bytes + int(low[0])
        jobs = plane_jobs(start, self.plane_bytes, channels[0], np.asarray(whole), count, width, self.row_bytes, rules)
        broken = np.flatnonzero(some & ~whole)
        if broken.size:
            planes = self.address + (channels[0] + broken) * self.plane_bytes
            pieces = part_jobs(planes, low, high, tops, counts, self.row_bytes, live[broken], rules)
            jobs = in_order(np.concatenate([jobs, pieces]))
            if rules.small((count - 1) * self.row_bytes + width) or (jobs[:, ROWS] == 1).all():
                jobs = rejoin(jobs, rules)
        return jobs, min(wanted, dense), dense


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
