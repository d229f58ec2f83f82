"""Which maps stay in the buffer for the next layer (`buffer.keep_on_chip`), and what that leaves to each layer's tiles.

A map can stay if the layer that runs next reads it. It then has a place of its own for all of its elements (zero or not: the machine is
planned before the data is known) while both layers run, all images of a batch; tiles of both find the buffer so much smaller, and the
maker also has the map that was kept for it. Its reader takes it from there: it has no ifmap slots for it and loads nothing of it; other
operands (of an add) and other channels (of a concat) are loaded as ever. Results still pass through an ofmap slot, where partial sums
are collected. A map that a later layer or the host reads, too, is written all the same; those load it from DRAM.
Of all ways to keep or not to keep, the one that moves the fewest bytes under the run's scheme is taken, over the whole network: a dynamic
program over the layers, whose state is whether the map before is kept. So more room never costs traffic.
A split buffer has no place that one layer writes and the next one reads, so it keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from accelsim.hardware import Accelerator, UnifiedBuffer
from accelsim.schedule.candidates import NOTHING_HELD, Held
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Tiling
from accelsim.schedule.memory import MapRegion
from accelsim.schedule.nest import Nest
from accelsim.schedule.prices import Prices
from accelsim.schedule.runs import Rules
from accelsim.schedule.tables import Kept
from accelsim.schedule.tiling import search
from accelsim.schedule.work import Source


@dataclass(frozen=True, slots=True)
class Cut:
    """How a layer is cut into tiles. `resident`: maps (and aliases of them) that it reads from the buffer; `keeps`: its own map stays."""

    tiling: Tiling
    held: Held = NOTHING_HELD
    resident: frozenset[int] = frozenset()
    keeps: bool = False


@dataclass(frozen=True, eq=False)
class Chain:
    """The layers in the order in which they run. `plain`: the maps that each alias means; `host`: maps that the host reads."""

    nests: Sequence[Nest]
    plain: Mapping[int, frozenset[int]]
    host: frozenset[int]
    prices: Prices

    def cut(self) -> list[Cut]:
        """Tilings of all layers. Raises `ConfigError` where the buffer cannot hold the smallest tile of one."""
        buffer = self.accelerator.buffer
        plain = [choose(self.prices, number) for number in range(len(self.nests))]
        if not (isinstance(buffer, UnifiedBuffer) and buffer.keep_on_chip):
            return [Cut(tiling) for tiling in plain]
        # whether the last map is kept -> bytes so far, maps kept, cuts
        ways: dict[bool, tuple[int, int, tuple[Cut, ...]]] = {False: (0, 0, ())}
        for number in range(len(self.nests)):
            further: dict[bool, tuple[int, int, tuple[Cut, ...]]] = {}
            for keeps in (False, True) if self._next_reads(number) else (False,):
                for before, (moved, kept, cuts) in ways.items():
                    found = self._cut(number, before, keeps)
                    if found is None:
                        continue
                    way = (moved + found[1], kept + keeps, (*cuts, found[0]))
                    further[keeps] = min(further.get(keeps, way), way, key=lambda one: one[:2])
            ways = further
        return list(ways[False][2])

    def _cut(self, number: int, before: bool, keeps: bool) -> tuple[Cut, int] | None:
        """A layer with the map before it in the buffer, or its own; the bytes that it moves then. None where no tile fits beside them."""
        held, resident = self._held(number, before, keeps)
        found = self.prices.cheapest(number, held, resident)
        if found is None:
            return None
        tiling, moved = found
        return Cut(tiling, held, resident, keeps), moved + (self.prices.codes(number) if held.stored else 0)

    @property
    def accelerator(self) -> Accelerator:
        """The machine."""
        return self.prices.coder.accelerator

    def _next_reads(self, number: int) -> bool:
        """Whether the layer that runs next reads the map, or an alias of it alone."""
        return number + 1 < len(self.nests) and bool(self._resident(number + 1))

    def _resident(self, number: int) -> frozenset[int]:
        """What a layer reads of the map before it, under all of its numbers."""
        before = frozenset({self.nests[number - 1].made.index})
        read = {part.node for segments, _ in self.nests[number].sources for part in segments}
        return frozenset(node for node in read if (self.plain[node] if node < 0 else {node}) == before)

    def _size(self, number: int) -> int:
        """Bytes of a layer's map."""
        channels, height, width = self.nests[number].made.shape
        return channels * height * width * self.accelerator.data.ifmap_room // 8

    def _held(self, number: int, before: bool, keeps: bool) -> tuple[Held, frozenset[int]]:
        nest = self.nests[number]
        resident = self._resident(number) if before else frozenset()
        operands = planes = 0
        for segments, (_, height, width) in nest.sources:
            inside = [part for part in segments if part.node in resident]
            if len(inside) == len(segments):
                operands += -(-height * width // (nest.layer.height * nest.layer.width)) if not nest.layer.weights else 1
            else:
                planes += sum(part.high - part.low for part in inside)
        room = (self._size(number - 1) if before else 0) + (self._size(number) if keeps else 0)
        return Held(room, operands, planes, stored=not keeps or self._read_later(number)), resident

    def _read_later(self, number: int) -> bool:
        """Whether anyone but the next layer reads a layer's map, or sees it as part of several maps that are joined."""
        index = self.nests[number].made.index
        after = self.nests[number + 1]
        under = {part.node for segments, _ in after.sources for part in segments} - self._resident(number + 1)
        joined = any(index in self.plain[node] for node in under if node < 0)
        return joined or index in self.host or any(index in later.reads for later in self.nests[number + 2 :])


def choose(prices: Prices, number: int) -> Tiling:
    """The tiling of a layer beside nothing else in the buffer.

    Raises:  `ConfigError` where the buffer cannot hold the smallest tile
    """
    found, nest = prices.cheapest(number), prices.nests[number]
    return search(nest.layer, prices.coder.accelerator, nest.label, nest.fixed) if found is None else found[0]


def loaded(sources: Sequence[Source], cut: Cut, plain: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Stored maps that a layer loads, those that its aliases mean among them."""
    read = {part.node for segments, _ in sources for part in segments} - cut.resident
    return frozenset(read).union(*(plain[index] for index in read if index < 0))


def kept(layers: Sequence[tuple[Geometry, Sequence[Source], Cut, MapRegion]], regions: Mapping[int, MapRegion]) -> tuple[Kept, ...]:
    """What stays in the buffer, of layers with their loops, sources and own maps. Units: bytes under the scheme, but for `room`."""
    found = []
    for number, ((_, _, cut, own), (nest, sources, after, _)) in enumerate(pairwise(layers)):
        if cut.keeps:
            read = 0
            for segments, _ in sources:
                for part in segments:
                    if part.node in after.resident:
                        region, high = regions[part.node], part.first + min(part.high, nest.groups * nest.channels) - part.low
                        read += region.piece((part.first, high), (0, region.shape[1]), (0, region.shape[2]), Rules(1, 1, 3))[1]
            unwritten = 0 if cut.held.stored else own.encoded.payload_bytes
            found.append(Kept(number, number + 1, own.shape[0] * own.plane_bytes, read, unwritten))
    return tuple(found)
