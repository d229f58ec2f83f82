"""The transfers of one layer in queue order: when each filling of the buffer is loaded and stored, and what it waits for.

Channels: filters on read channel 0, ifmaps on the next, partial sums and markers on the third, as far as there are so many; ofmaps on
write channel 0, markers on the last one. Queues are in tile order, and for one tile markers, filters, ifmap, partial sums. Whatever a
transfer waits for (a slot, the store that spilled its sums, markers, stores of earlier layers) belongs to an earlier tile or stands before
it in that order, so no queue can wait for itself.
A filter transfer that leaves slices out needs the ifmap's markers, so it waits for the producers as the ifmap does; one that loads
everything does not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from accelsim.hardware import Dma
from accelsim.schedule.coded import CodedFilters
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.memory import DENSE, HIGH, LOW, WANTED, FilterRegion, MapRegion
from accelsim.schedule.pieces import Pieces, Pool
from accelsim.schedule.plan import Plan
from accelsim.schedule.runs import Int, Rules, lines
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, NONE, OFMAP, READ, WRITE, Transfers
from accelsim.schedule.work import Source, Work, outside

MARKERS, FILTERS, MAPS, SUMS, STORES, MARKER_STORES = range(6)
"""Order of the transfers of one tile."""


@dataclass(frozen=True, eq=False)
class Job:
    """All that a layer's transfers follow from.

    `markers_in`: (address, bytes) of markers that must be read from DRAM; `marker_out`: those that must be written, or None.
    `wait_layer`: last of the layers that write what this one loads, or NONE. `sums`: address of spilled partial sums.
    `resident`: maps that are read from the buffer; `stored`: whether the ofmap is written (see `keep`).
    `pool`: the pooling layer that the ofmap passes on its way out, or None (see `pooling`).
    """

    plan: Plan
    sources: tuple[Source, ...]
    regions: dict[int, MapRegion]
    ofmap: MapRegion
    filters: FilterRegion | CodedFilters | None
    sums: int
    work: Work
    wait_layer: int
    markers_in: tuple[tuple[int, int], ...]
    marker_out: tuple[int, int] | None
    resident: frozenset[int] = frozenset()
    stored: bool = True
    pool: Geometry | None = None

    @property
    def loaded(self) -> tuple[Source, ...]:
        """What of the sources is loaded."""
        return outside(self.sources, self.resident)


@dataclass(frozen=True, eq=False)
class Traffic:
    """The transfers of one layer, as the queue numbers them.

    Shapes:  `load`, `store`: transfer of each filling of a class, or NONE
    `markers`: the transfer that brings the markers, or NONE
    """

    load: dict[int, Int]
    store: dict[int, Int]
    markers: int


COLUMNS = (*(field.name for field in fields(Transfers)), "rank")
_PLACE = {name: place for place, name in enumerate(COLUMNS)}


class Queue:
    """Transfers of all layers as they are thought of, by number; `ordered` puts them into queue order."""

    def __init__(self) -> None:
        self._tables: list[Int] = []
        self._count = 0
        self._layer, self._tile, self._blocks = NONE, 0, (0, 0, 0)

    def begin(self, layer: int, tile: int, blocks: tuple[int, int, int]) -> None:
        """What is added from now on belongs to a layer. `tile` and `blocks` (of each class): the numbers of its first ones."""
        self._layer, self._tile, self._blocks = layer, tile, blocks

    def add(self, pieces: Int, *, tensor: int, tile: Int | int, block: Int | int, **columns: Int | int) -> Int:
        """Add one transfer for each row of a table of pieces; tiles and blocks count from the layer's first. Returns their numbers."""
        count = len(pieces)
        table = np.empty((len(COLUMNS), count), dtype=np.int64)
        given = {"wait_transfer": NONE, "wait_layer": NONE, "layer": self._layer, "tensor": tensor, **columns}
        for name, value in given.items():
            table[_PLACE[name]] = value
        table[_PLACE["tile"]] = tile + self._tile
        table[_PLACE["block"]] = block if tensor == METADATA else block + self._blocks[tensor]
        table[_PLACE["descriptor_low"] : _PLACE["descriptor_high"] + 1] = pieces[:, LOW : HIGH + 1].T
        table[_PLACE["bytes_wanted"] : _PLACE["bytes_dense"] + 1] = pieces[:, WANTED : DENSE + 1].T
        self._tables.append(table)
        self._count += count
        return np.arange(self._count - count, self._count, dtype=np.int64)

    def ordered(self) -> tuple[Transfers, Int]:
        """Transfers in queue order, blocks numbered within their classes, and the place of each number (of NONE: NONE)."""
        table = np.concatenate(self._tables, axis=1)
        order = np.lexsort((table[_PLACE["rank"]], table[_PLACE["tile"]]))
        place = np.empty(self._count + 1, dtype=np.int64)
        place[order], place[NONE] = np.arange(self._count), NONE
        table = table[:, order]
        table[_PLACE["wait_transfer"]] = place[table[_PLACE["wait_transfer"]]]
        return Transfers(*table[: len(COLUMNS) - 1]), place


def traffic(job: Job, dma: Dma, rules: Rules, pool: Pool, queue: Queue) -> Traffic:
    """Make the transfers of a layer; their descriptors go into the pool."""
    plan = job.plan
    pieces = Pieces(plan, rules, pool)
    load, store = {}, {}
    map_channel, other_channel = min(1, dma.read_channels - 1), min(2, dma.read_channels - 1)
    markers = NONE
    if job.markers_in:
        row = _lines(job.markers_in, pool)
        ready = {"wait_layer": job.wait_layer, "channel": other_channel}
        markers = int(queue.add(row, rank=MARKERS, tensor=METADATA, direction=READ, tile=0, block=NONE, **ready)[0])
    if job.filters is not None:
        table, fillings = pieces.filters(job.filters, job.work.live), plan.filter
        waits: dict[str, Int | int] = {}
        whole = job.filters.pieces[fillings.key] if isinstance(job.filters, CodedFilters) else table[:, DENSE]
        skips = table[:, WANTED] < whole
        if skips.any():
            waits = {"wait_transfer": np.where(skips, markers, NONE), "wait_layer": np.where(skips, job.wait_layer, NONE)}
        which = {"tile": fillings.first, "block": fillings.numbers}
        load[FILTER] = queue.add(table, rank=FILTERS, tensor=FILTER, direction=READ, channel=0, **which, **waits)
    load[IFMAP] = np.full_like(plan.ifmap.first, NONE)
    if job.loaded:
        table, fillings = pieces.ifmap(job.loaded, job.regions)[plan.ifmap.key], plan.ifmap
        waits = {"wait_transfer": markers, "wait_layer": job.wait_layer}
        which = {"tile": fillings.first, "block": fillings.numbers}
        load[IFMAP] = queue.add(table, rank=MAPS, tensor=IFMAP, direction=READ, channel=map_channel, **which, **waits)
    load[OFMAP], store[OFMAP] = _results(job, pieces, queue, other_channel)
    if job.marker_out is not None:
        row = _lines((job.marker_out,), pool)
        end = {"tile": plan.at.shape[1] - 1, "channel": dma.write_channels - 1}
        queue.add(row, rank=MARKER_STORES, tensor=METADATA, direction=WRITE, block=NONE, **end)
    return Traffic(load, store, markers)


def _results(job: Job, pieces: Pieces, queue: Queue, channel: int) -> tuple[Int, Int]:
    """Stores of finished tiles and of partial sums, and the reads that bring those back. Returns loads and stores of all fillings."""
    plan, fillings = job.plan, job.plan.ofmap
    loads, stores = np.full((2, fillings.first.size), NONE, dtype=np.int64)
    unfinished = plan.visit < plan.visits - 1
    table = pieces.ofmap(job.ofmap, job.pool)[fillings.key] if job.stored else np.zeros((fillings.first.size, 4), dtype=np.int64)
    if plan.visits > 1:
        sums = pieces.sums(job.sums)
        table[unfinished] = sums[fillings.key[unfinished]]
    goes = fillings.numbers if job.stored else np.flatnonzero(unfinished)
    if goes.size:
        which = {"tile": fillings.last[goes], "block": goes}
        stores[goes] = queue.add(table[goes], rank=STORES, tensor=OFMAP, direction=WRITE, channel=0, **which)
    if plan.visits > 1:
        again = np.flatnonzero(plan.visit > 0)
        # Of the fillings of one ofmap tile in order of visits, each reads what the one before it stored.
        order = np.lexsort((plan.visit, fillings.key))
        earlier = np.empty_like(order)
        earlier[order[1:]] = order[:-1]
        which = {"tile": fillings.first[again], "block": again, "wait_transfer": stores[earlier[again]]}
        loads[again] = queue.add(sums[fillings.key[again]], rank=SUMS, tensor=OFMAP, direction=READ, channel=channel, **which)
    return loads, stores


def _lines(runs: tuple[tuple[int, int], ...], pool: Pool) -> Int:
    """One transfer of contiguous runs, which the dense scheme does not have. Shape: int64 [1, 4]."""
    both = np.array(runs, dtype=np.int64)
    return np.array([[*pool.add(lines(both[:, 0], both[:, 1])), int(both[:, 1].sum()), 0]], dtype=np.int64)
