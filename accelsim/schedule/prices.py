"""What the layers of a run cost in DRAM bytes under its scheme, with its maps as they are coded, and the tilings that cost least.

Equal layers on equal machines are weighed once as long as they are dense, whatever the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from accelsim import schemes
from accelsim.graph import Shape
from accelsim.hardware.tilings import FixedTiling
from accelsim.schedule.candidates import NOTHING_HELD, Held, Machine
from accelsim.schedule.coded import Coder
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Tiling
from accelsim.schedule.memory import FilterRegion, MapRegion
from accelsim.schedule.moved import Climb, Moves
from accelsim.schedule.nest import Nest
from accelsim.schedule.runs import Rules
from accelsim.schedule.tiling import Ladder, find
from accelsim.schemes.base import EncodedMap

Read = tuple[tuple[tuple[int, int, int, Shape, bool], ...], Shape]
"""One operand: of each part its channels low and high, the first one in the map under it, that map's shape, whether it is resident."""


@dataclass(frozen=True)
class _Dense:
    """A layer as all schemes see it: what its bytes follow from, and how they are counted."""

    layer: Geometry
    machine: Machine
    rules: Rules
    fixed: FixedTiling
    held: Held
    reads: tuple[Read, ...]
    writes: Shape
    pool: Geometry | None
    rungs: Ladder = field(compare=False, repr=False)
    moves: Moves = field(compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Prices:
    """All layers of a run. `encoded`: how each stored map lies; `spilled`: maps whose markers go through DRAM."""

    nests: Sequence[Nest]
    encoded: Mapping[int, EncodedMap]
    spilled: frozenset[int]
    coder: Coder

    def cheapest(self, number: int, held: Held = NOTHING_HELD, resident: frozenset[int] = frozenset()) -> tuple[Tiling, int] | None:
        """The tiling of a layer that moves least beside what is held, with some of the maps that it reads in the buffer; and its bytes.

        None where the buffer cannot hold the smallest tile.
        """
        nest = self.nests[number]
        found = find(nest.layer, self.coder.accelerator, nest.fixed, held)
        if found is None:
            return None
        climb = _climb(self._dense(number, held, resident, found))
        if self.coder.scheme.name == "dense":
            return climb.ladder.tiling(climb.top[0]), climb.top[1]
        return climb.best(self.moves(number, held, resident))

    def moves(self, number: int, held: Held = NOTHING_HELD, resident: frozenset[int] = frozenset()) -> Moves:
        """What a layer moves under the scheme, whatever its tiling."""
        return self._moves(number, held, resident, self._regions)

    def codes(self, number: int) -> int:
        """Bytes of metadata that go through DRAM because the map of a layer is written: none where readers skip work by it all the same."""
        index, access = self.nests[number].made.index, self.coder.accelerator.dma.access
        if self.coder.scheme.saves.macs or index not in self.spilled:
            return 0
        readers = sum(index in nest.reads for nest in self.nests)
        return -(-self.encoded[index].metadata_bytes // access) * access * (1 + readers)

    @cached_property
    def _regions(self) -> dict[int, MapRegion]:
        """Where maps would lie: what they move does not depend on it, because each begins at an access."""
        return self._placed(self.encoded)

    @cached_property
    def _dense_regions(self) -> dict[int, MapRegion]:
        dense, coder = schemes.load("dense"), self.coder
        return self._placed({index: dense.encode(coder.trace, abs(index), coder.accelerator) for index in self.encoded})

    def _placed(self, encoded: Mapping[int, EncodedMap]) -> dict[int, MapRegion]:
        graph, bits = self.coder.trace.graph, self.coder.accelerator.data.ifmap_bits
        return {index: MapRegion(0, graph.nodes[abs(index)].shape, bits, fmap) for index, fmap in encoded.items()}

    def _moves(self, number: int, held: Held, resident: frozenset[int], regions: Mapping[int, MapRegion]) -> Moves:
        nest, machine = self.nests[number], self.coder.accelerator
        layer = held.loads(nest.layer)
        return Moves(
            layer=layer,
            data=machine.data,
            array=machine.pe_array,
            rules=Rules(machine.dma.min_skip, machine.dma.access, machine.dma.dims),
            sources=nest.sources,
            regions=regions,
            resident=resident,
            ofmap=regions[nest.made.index] if held.stored else None,
            pool=nest.pool,
            filters=FilterRegion(0, layer, machine.data.filter_bits, machine.layout.filter) if layer.weights else None,
        )

    def _dense(self, number: int, held: Held, resident: frozenset[int], rungs: Ladder) -> _Dense:
        """The layer with all maps and weights dense; nothing of the run's data is held by it."""
        nest, machine = self.nests[number], self.coder.accelerator
        nodes = {part.node for segments, _ in nest.sources for part in segments} | {nest.node.index, nest.made.index}
        regions = {index: self._dense_regions[index] for index in nodes if index in self._dense_regions}
        moves = self._moves(number, held, resident, regions)
        reads = tuple(
            (tuple((part.low, part.high, part.first, regions[part.node].shape, part.node in resident) for part in segments), shape)
            for segments, shape in nest.sources
        )
        known = Machine.of(machine)
        return _Dense(moves.layer, known, moves.rules, nest.fixed, held, reads, nest.made.shape, nest.pool, rungs, moves)


@lru_cache(maxsize=4096)
def _climb(case: _Dense) -> Climb:
    return Climb(case.rungs, case.moves)
