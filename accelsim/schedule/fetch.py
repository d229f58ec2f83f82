"""The transfers of one layer in queue order: when each filling of the buffer is loaded and stored, and what it waits for.

Channels: filters on read channel 0, ifmaps on the next, partial sums and markers on the third, as far as there are so many; ofmaps on
write channel 0, markers on the last one. Queues are in tile order, and for one tile markers, filters, ifmap, partial sums. Whatever a
transfer waits for (a slot, the store that spilled its sums, markers, stores of earlier layers) belongs to an earlier tile or stands before
it in that order, so no queue can wait for itself.
A filter transfer that leaves slices out needs the ifmap's markers, so it waits for the producers as the ifmap does; one that loads
everything does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.hardware import Dma
from accelsim.schedule.memory import FilterRegion, MapRegion
from accelsim.schedule.pieces import DENSE, HIGH, LOW, WANTED, Pieces, Pool
from accelsim.schedule.plan import Plan
from accelsim.schedule.runs import Int, Rules, lines
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, NONE, OFMAP, READ, WRITE
from accelsim.schedule.work import Source, Work

MARKERS, FILTERS, MAPS, SUMS, STORES, MARKER_STORES = range(6)
"""Order of the transfers of one tile."""


@dataclass(frozen=True, eq=False)
class Job:
    """All that a layer's transfers follow from.

    `markers_in`: (address, bytes) of markers that must be read from DRAM; `marker_out`: those that must be written, or None.
    `wait_layer`: last of the layers that write what this one reads, or NONE. `sums`: address of spilled partial sums.
    """

    plan: Plan
    sources: tuple[Source, ...]
    regions: dict[int, MapRegion]
    ofmap: MapRegion
    filters: FilterRegion | None
    sums: int
    work: Work
    wait_layer: int
    markers_in: tuple[tuple[int, int], ...]
    marker_out: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Traffic:
    """The transfers of one layer. Tiles and transfers are counted from the layer's first, blocks within their class.

    Shapes:  `columns[name]` int64 [transfers]; `load`, `store`: transfer of each filling of a class, or NONE
    `markers`: the transfer that brings the markers, or NONE
    """

    columns: dict[str, Int]
    load: dict[int, Int]
    store: dict[int, Int]
    markers: int


class _Queue:
    """Transfers as they are thought of, by number; `ordered` puts them into queue order."""

    def __init__(self) -> None:
        self._groups: list[dict[str, Int]] = []
        self._count = 0

    def add(self, pieces: Int, **columns: Int | int) -> Int:
        """Add one transfer for each row of a table of pieces. Returns their numbers."""
        count = len(pieces)
        given = {"wait_transfer": NONE, "wait_layer": NONE, **columns}
        table = {name: np.broadcast_to(np.asarray(value, dtype=np.int64), (count,)) for name, value in given.items()}
        table |= {"descriptor_low": pieces[:, LOW], "descriptor_high": pieces[:, HIGH]}
        table |= {"bytes_wanted": pieces[:, WANTED], "bytes_dense": pieces[:, DENSE]}
        self._groups.append(table)
        self._count += count
        return np.arange(self._count - count, self._count, dtype=np.int64)

    def ordered(self) -> tuple[dict[str, Int], Int]:
        """Columns in queue order, and the place of each number (of NONE: NONE)."""
        columns = {name: np.concatenate([group[name] for group in self._groups]) for name in self._groups[0]}
        order = np.lexsort((columns.pop("rank"), columns["tile"]))
        place = np.empty(self._count + 1, dtype=np.int64)
        place[order], place[NONE] = np.arange(self._count), NONE
        columns = {name: column[order] for name, column in columns.items()}
        columns["wait_transfer"] = place[columns["wait_transfer"]]
        return columns, place


def traffic(job: Job, dma: Dma, rules: Rules, pool: Pool) -> Traffic:
    """Make the transfers of a layer; their descriptors go into the pool."""
    plan, queue = job.plan, _Queue()
    pieces = Pieces(plan, rules, pool)
    load, store = {}, {}
    map_channel, other_channel = min(1, dma.read_channels - 1), min(2, dma.read_channels - 1)
    markers: Int | int = NONE
    if job.markers_in:
        row = _lines(job.markers_in, pool)
        ready = {"wait_layer": job.wait_layer, "channel": other_channel}
        markers = queue.add(row, rank=MARKERS, tensor=METADATA, direction=READ, tile=0, block=NONE, **ready)[0]
    if job.filters is not None:
        table, fillings = pieces.filters(job.filters, job.work.live), plan.filter
        skips = table[:, WANTED] < table[:, DENSE]
        waits = {"wait_transfer": np.where(skips, markers, NONE), "wait_layer": np.where(skips, job.wait_layer, NONE)}
        which = {"tile": fillings.first, "block": np.arange(fillings.first.size)}
        load[FILTER] = queue.add(table, rank=FILTERS, tensor=FILTER, direction=READ, channel=0, **which, **waits)
    table, fillings = pieces.ifmap(job.sources, job.regions)[plan.ifmap.key], plan.ifmap
    waits = {"wait_transfer": np.asarray(markers), "wait_layer": np.asarray(job.wait_layer)}
    which = {"tile": fillings.first, "block": np.arange(fillings.first.size)}
    load[IFMAP] = queue.add(table, rank=MAPS, tensor=IFMAP, direction=READ, channel=map_channel, **which, **waits)
    load[OFMAP], store[OFMAP] = _results(job, pieces, queue, other_channel)
    if job.marker_out is not None:
        row = _lines((job.marker_out,), pool)
        end = {"tile": plan.at.shape[1] - 1, "channel": dma.write_channels - 1}
        queue.add(row, rank=MARKER_STORES, tensor=METADATA, direction=WRITE, block=NONE, **end)
    columns, place = queue.ordered()
    return Traffic(
        columns=columns,
        load={tensor: place[numbers] for tensor, numbers in load.items()},
        store={tensor: place[numbers] for tensor, numbers in store.items()},
        markers=int(place[markers]),
    )


def _results(job: Job, pieces: Pieces, queue: _Queue, channel: int) -> tuple[Int, Int]:
    """Stores of finished tiles and of partial sums, and the reads that bring those back. Returns loads and stores of all fillings."""
    plan, fillings = job.plan, job.plan.ofmap
    blocks = np.arange(fillings.first.size, dtype=np.int64)
    loads = np.full(blocks.size, NONE, dtype=np.int64)
    table = pieces.ofmap(job.ofmap)[fillings.key]
    sums = pieces.sums(job.sums) if plan.visits > 1 else table
    unfinished = plan.visit < plan.visits - 1
    table[unfinished] = sums[fillings.key[unfinished]]
    stores = queue.add(table, rank=STORES, tensor=OFMAP, direction=WRITE, channel=0, tile=fillings.last, block=blocks)
    again = np.flatnonzero(plan.visit > 0)
    if again.size:
        # Of the fillings of one ofmap tile in order of visits, each reads what the one before it stored.
        order = np.lexsort((plan.visit, fillings.key))
        earlier = np.empty_like(blocks)
        earlier[order[1:]] = order[:-1]
        which = {"tile": fillings.first[again], "block": again, "wait_transfer": stores[earlier[again]]}
        loads[again] = queue.add(sums[fillings.key[again]], rank=SUMS, tensor=OFMAP, direction=READ, channel=channel, **which)
    return loads, stores


def _lines(runs: tuple[tuple[int, int], ...], pool: Pool) -> Int:
    """One transfer of contiguous runs, which the dense scheme does not have. Shape: int64 [1, 4]."""
    both = np.array(runs, dtype=np.int64)
    return np.array([[*pool.add(lines(both[:, 0], both[:, 1])), int(both[:, 1].sum()), 0]], dtype=np.int64)
