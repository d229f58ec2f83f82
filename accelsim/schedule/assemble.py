"""The tables of all layers put together, with everything renumbered."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from accelsim.hardware import Dma
from accelsim.schedule.codecs import codecs
from accelsim.schedule.fetch import Job, Queue, Traffic, traffic
from accelsim.schedule.pieces import Pool
from accelsim.schedule.plan import Fillings
from accelsim.schedule.runs import NO_JOBS, Int, Rules
from accelsim.schedule.tables import FILTER, IFMAP, NONE, OFMAP, Blocks, Descriptors, Kept, Layers, Schedule, Tiles

CLASSES = (IFMAP, FILTER, OFMAP)


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer: its node, what it moves, its fillings by class, the numbers of its first tile and of its first block of each class."""

    node: int
    job: Job
    moved: Traffic
    fillings: dict[int, Fillings]
    tile: int
    block: tuple[int, int, int]


@dataclass(eq=False)
class Assembly:
    """Collects the tables of layers in order. `drains`: whether the buffer is carved anew for each layer."""

    dma: Dma
    rules: Rules
    drains: bool
    pool: Pool = field(default_factory=Pool)
    queue: Queue = field(default_factory=Queue)
    _layers: list[_Layer] = field(default_factory=list)
    _tile: int = 0
    _block: tuple[int, int, int] = (0, 0, 0)

    def add(self, node: int, job: Job) -> None:
        """Append a layer."""
        plan = job.plan
        fillings = {IFMAP: plan.ifmap, OFMAP: plan.ofmap} | ({FILTER: plan.filter} if job.filters is not None else {})
        self.queue.begin(len(self._layers), self._tile, self._block)
        moved = traffic(job, self.dma, self.rules, self.pool, self.queue)
        self._layers.append(_Layer(node, job, moved, fillings, self._tile, self._block))
        self._tile += plan.at.shape[1]
        ifmaps, filters, ofmaps = (fillings[tensor].first.size if tensor in fillings else 0 for tensor in CLASSES)
        self._block = (self._block[IFMAP] + ifmaps, self._block[FILTER] + filters, self._block[OFMAP] + ofmaps)

    def schedule(
        self,
        *,
        scheme: str,
        names: tuple[str, ...],
        kinds: tuple[str, ...],
        slots: tuple[int, int, int],
        fused: dict[str, str],
        notes: tuple[str, ...],
        tilings: tuple[str, ...],
        kept: tuple[Kept, ...] = (),
    ) -> Schedule:
        """All layers in one. Blocks are numbered class by class."""
        transfers, place = self.queue.ordered()
        # a block of no class, NONE, stays NONE
        first = np.array([0, self._block[IFMAP], self._block[IFMAP] + self._block[FILTER], 0], dtype=np.int64)
        transfers.block[:] += first[transfers.tensor]
        low = np.array([layer.tile for layer in self._layers], dtype=np.int64)
        high = np.append(low[1:], self._tile)
        number = np.arange(low.size, dtype=np.int64)
        drain = np.where(number > 0, int(self.drains), 0)
        layers = Layers(
            node=np.array([layer.node for layer in self._layers], dtype=np.int64),
            tile_low=low,
            tile_high=high,
            drain=drain,
            macs=np.array([layer.job.plan.layer.macs for layer in self._layers], dtype=np.int64),
        )
        return Schedule(
            scheme=scheme,
            names=names,
            kinds=kinds,
            layers=layers,
            tiles=self._tiles(np.repeat(number, high - low), first, place),
            blocks=_together([self._blocks(tensor, place) for tensor in CLASSES]),
            transfers=transfers,
            descriptors=Descriptors(*np.concatenate([NO_JOBS, *self.pool.jobs]).T.copy()),
            slots=slots,
            fused=fused,
            notes=notes,
            tilings=tilings,
            kept=kept,
            codecs=codecs(transfers, [layer.job for layer in self._layers]),
        )

    def _tiles(self, layer: Int, first: Int, place: Int) -> Tiles:
        works = [found.job.work for found in self._layers]
        macs = np.concatenate([work.macs for work in works])

        def block(tensor: int) -> Int:
            base = np.array([found.block[tensor] + first[tensor] if tensor in found.fillings else NONE for found in self._layers])
            missing = np.zeros(int(np.bincount(layer).max()), dtype=np.int64)
            each = [
                found.fillings[tensor].of_tile if tensor in found.fillings else missing[: found.job.work.busy.size]
                for found in self._layers
            ]
            return np.asarray(np.concatenate(each) + base[layer])

        return Tiles(
            layer=layer,
            busy_cycles=np.concatenate([work.busy for work in works]),
            fill_cycles=np.concatenate([work.fill for work in works]),
            ifmap_block=block(IFMAP),
            filter_block=block(FILTER),
            ofmap_block=block(OFMAP),
            metadata=place[np.array([found.moved.markers for found in self._layers])][layer],
            macs_done=macs,
            macs_skipped=np.concatenate([found.job.plan.tile_macs for found in self._layers]) - macs,
        )

    def _blocks(self, tensor: int, place: Int) -> Blocks:
        mine = [(number, found, found.fillings[tensor]) for number, found in enumerate(self._layers) if tensor in found.fillings]
        many = [of.first.size for _, _, of in mine]
        count = sum(many)
        tile = np.repeat(np.array([found.tile for _, found, _ in mine], dtype=np.int64), many)
        stored = tensor == OFMAP

        def column(parts: list[Int]) -> Int:
            return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

        return Blocks(
            tensor=np.full(count, tensor, dtype=np.int64),
            order=np.arange(count, dtype=np.int64),
            layer=np.repeat(np.array([number for number, _, _ in mine], dtype=np.int64), many),
            bytes=column([of.size for _, _, of in mine]),
            load=place[column([found.moved.load[tensor] for _, found, _ in mine])],
            store=place[column([found.moved.store[tensor] for _, found, _ in mine])] if stored else np.full(count, NONE, dtype=np.int64),
            first_tile=column([of.first for _, _, of in mine]) + tile,
            last_tile=column([of.last for _, _, of in mine]) + tile,
        )


def _together(tables: list[Blocks]) -> Blocks:
    columns = ([getattr(table, each.name) for table in tables] for each in fields(Blocks))
    return Blocks(*map(np.concatenate, columns))
