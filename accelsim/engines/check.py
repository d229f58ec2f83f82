"""The accounting identities of a replay: what must hold whatever the machine, the schedule and the engine. Checked on every run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.contention import conflict_cycles
from accelsim.engines.machine import SECOND, Machine, duration, resolve
from accelsim.engines.occupancy import Occupancy, spans
from accelsim.errors import EngineError
from accelsim.kernels.recount import Descriptors, Limits, recount
from accelsim.schedule.tables import NONE, READ, TENSOR_NAMES, WRITE, Schedule
from accelsim.timeline import CAUSES, DRAM_COUNTS, Timeline

if TYPE_CHECKING:
    from accelsim.hardware import Accelerator

Int = NDArray[np.int64]

ACTIVATES, REFRESHES, HITS, CONFLICTS, LAST_DATA = map(DRAM_COUNTS.index, ("activates", "refreshes", "hits", "conflicts", "last_data"))


def check(schedule: Schedule, timeline: Timeline, accelerator: Accelerator) -> None:
    """Check every identity of one run, and that the buffer was never over-filled.

    Raises:  EngineError naming the broken identity with its numbers
    """
    check_timeline(schedule, timeline, resolve(accelerator))
    buffer, peak = accelerator.buffer, Occupancy.of(schedule, timeline).peak
    if buffer.organisation == "unified":
        same("buffer never over-filled", peak["all"] <= buffer.size, f"{peak['all']} bytes in a buffer of {buffer.size}")
        return
    for name, size in (("ifmap", buffer.ifmap), ("filter", buffer.filter), ("ofmap", buffer.ofmap)):
        same("buffer never over-filled", peak[name] <= size, f"{peak[name]} {name} bytes in a buffer of {size}")


def check_timeline(schedule: Schedule, timeline: Timeline, machine: Machine) -> None:
    """Check every identity that needs no knowledge of the buffer's bytes.

    Raises:  EngineError naming the broken identity with its numbers
    """
    run = Run(schedule, timeline, machine)
    for identity in (cycles_add_up, bytes_add_up, macs_add_up, parts_fit, banks_add_up, order_is_kept, slots_are_kept, ends_agree):
        identity(run)


def same(identity: str, holds: bool | np.bool_, numbers: str) -> None:
    """Raise EngineError unless the identity holds."""
    if not holds:
        raise EngineError(f"broken identity '{identity}': {numbers}")


def each(identity: str, what: str, holds: NDArray[np.bool_], **numbers: Int) -> None:
    """Raise EngineError for the first row of `what` in which the identity does not hold."""
    if not holds.all():
        row = int(np.argmin(holds))
        raise EngineError(
            f"broken identity '{identity}': {what} {row}: {', '.join(f'{name} {column[row]}' for name, column in numbers.items())}"
        )


@dataclass(frozen=True)
class Run:
    """One run, and what several identities derive from it."""

    schedule: Schedule
    timeline: Timeline
    machine: Machine

    @property
    def total_cycles(self) -> int:
        """Cycles of the whole run, the last one rounded up."""
        return -(-self.timeline.end // self.machine.period)

    @cached_property
    def conflicts(self) -> Int:
        """Cycles for which the buffer's banks hold up each tile [tiles]."""
        return conflict_cycles(self.schedule, self.machine)

    @cached_property
    def spans(self) -> tuple[Int, Int]:
        """When each block had begun to fill at the latest, and when it was released, ps [blocks] both."""
        return spans(self.schedule, self.timeline)

    @cached_property
    def counted(self) -> Int:
        """Requests, moved bytes and link packets of each transfer, counted anew [transfers, 3]."""
        transfers, descriptors, machine = self.schedule.transfers, self.schedule.descriptors, self.machine
        table = Descriptors(**{name: np.require(column, np.int64, ["C", "W"]) for name, column in vars(descriptors).items()})
        counted = np.zeros((transfers.tile.size, 3), np.int64)
        for direction, burst in ((READ, machine.read_burst), (WRITE, machine.write_burst)):
            mine = np.flatnonzero(transfers.direction == direction)
            jobs = np.stack([mine, transfers.descriptor_low[mine], transfers.descriptor_high[mine]], axis=1)
            limits = Limits(machine.access, burst, machine.boundary, machine.packet(direction))
            recount(table, limits, jobs, counted)
        return counted


def cycles_add_up(run: Run) -> None:
    """Array cycles and stalls fill the time from 0 to the end, tile by tile."""
    tiles, timeline, period = run.schedule.tiles, run.timeline, run.machine.period
    stalls = {cause: timeline.stall_cycles[:, column] for column, cause in enumerate(CAUSES)}
    least = np.asarray(timeline.stall_cycles.min(axis=1))
    each("stalls are not negative", "tile", least >= 0, cycles=least)
    each(
        "fill and drain as scheduled",
        "tile",
        stalls["fill_drain"] == tiles.fill_cycles,
        stalled=stalls["fill_drain"],
        fill=tiles.fill_cycles,
    )
    later = np.diff(tiles.layer, prepend=NONE) == 0
    each("only a layer's first tile waits for its start", "tile", stalls["start"] * later == 0, start=stalls["start"])
    conflicts = run.conflicts
    each("conflicts as the banks make them", "tile", stalls["conflict"] == conflicts, stalled=stalls["conflict"], conflicts=conflicts)
    previous = np.concatenate([[0], timeline.tile_end])[:-1]
    gap = (timeline.stall_cycles.sum(axis=1) - tiles.fill_cycles - conflicts) * period
    each(
        "start = end before + stalls", "tile", timeline.tile_start == previous + gap, start=timeline.tile_start, previous=previous, gap=gap
    )
    work = (tiles.busy_cycles + tiles.fill_cycles + conflicts) * period
    each(
        "end = start + cycles",
        "tile",
        timeline.tile_end == timeline.tile_start + work,
        start=timeline.tile_start,
        end=timeline.tile_end,
        ps=work,
    )
    busy, stalled = int(tiles.busy_cycles.sum()), int(timeline.stall_cycles.sum())
    numbers = f"{busy} + {stalled} + {timeline.drain_cycles} after the last tile, total {run.total_cycles}"
    same("busy + stalls = total", busy + stalled + timeline.drain_cycles == run.total_cycles, numbers)


def bytes_add_up(run: Run) -> None:
    """Every request's bytes are counted once, and a transfer moves at least what its descriptors say, which is at least what is wanted."""
    transfers, descriptors, timeline, machine = run.schedule.transfers, run.schedule.descriptors, run.timeline, run.machine
    sums = np.concatenate([[0], np.cumsum(descriptors.row_bytes * descriptors.rows * descriptors.planes)])
    described = sums[transfers.descriptor_high] - sums[transfers.descriptor_low]
    wanted, moved = transfers.bytes_wanted, timeline.bytes_moved
    each("bytes wanted <= described", "transfer", wanted <= described, wanted=wanted, described=described)
    each("bytes described <= moved", "transfer", described <= moved, described=described, moved=moved)
    requests, recounted, packets = run.counted.T
    each("bytes moved = sum over bursts", "transfer", moved == recounted, moved=moved, recounted=recounted)
    each("bursts as descriptors cut", "transfer", timeline.bursts == requests, bursts=timeline.bursts, recounted=requests)
    read = packets * machine.read_overhead + requests * machine.request_overhead
    overhead = np.where(transfers.direction == READ, read, packets * machine.write_overhead)
    each(
        "link overhead = sum over packets",
        "transfer",
        timeline.overhead_bytes == overhead,
        overhead=timeline.overhead_bytes,
        recounted=overhead,
    )


def macs_add_up(run: Run) -> None:
    """MACs done and skipped are the layer's."""
    tiles, layers = run.schedule.tiles, run.schedule.layers
    sums = np.concatenate([[0], np.cumsum(tiles.macs_done + tiles.macs_skipped)])
    counted = sums[layers.tile_high] - sums[layers.tile_low]
    each("MACs done + skipped = layer MACs", "layer", counted == layers.macs, counted=counted, layer=layers.macs)


def parts_fit(run: Run) -> None:
    """Each part was occupied for the bytes it carried; none longer than the run, and the run no longer than all phases one by one."""
    transfers, timeline, machine = run.schedule.transfers, run.timeline, run.machine
    requests, moved, packets = run.counted.T
    read = transfers.direction == READ
    reads, writes = int(requests[read].sum()), int(requests[~read].sum())
    down = int((moved + packets * machine.read_overhead)[read].sum())
    up = int((moved + packets * machine.write_overhead)[~read].sum())
    asked = reads * duration(machine.request_overhead, machine.up_rate)
    carriers = [
        ("link down", timeline.link_down_busy, down, machine.down_rate, reads),
        ("link up", timeline.link_up_busy - asked, up, machine.up_rate, writes),
    ]
    if machine.banks is None:
        carriers.append(("DRAM", timeline.dram_busy, int(moved.sum()), machine.dram_rate, reads + writes))
    for part, busy, carried, rate, count in carriers:
        # Each request's time was rounded up on its own, by less than a picosecond.
        least = carried * SECOND // rate
        numbers = f"{part} busy {busy} ps for {count} requests of {carried} bytes at {rate} B/s"
        same("busy = bytes / rate", least <= busy <= least + count, numbers)
    same(
        "port busy = one cycle a burst",
        timeline.port_busy == (reads + writes) * machine.period,
        f"{timeline.port_busy} ps, {reads + writes} bursts",
    )
    array = int((run.schedule.tiles.busy_cycles + run.schedule.tiles.fill_cycles + run.conflicts).sum()) * machine.period
    total = run.total_cycles * machine.period
    parts = {
        "port": timeline.port_busy,
        "link down": timeline.link_down_busy,
        "link up": timeline.link_up_busy,
        "DRAM": timeline.dram_busy,
        "array": array,
    }
    if machine.banks is not None:
        del parts["DRAM"]  # it may write on after the end
    for part, busy in parts.items():
        same("busy of any part <= total", busy <= total, f"{part} {busy} ps, total {total} ps")
    # Nothing waits but for a part at work, a latency, a set-up or a clock edge (two a request: its own and the cycle after the one before).
    descriptors = int((transfers.descriptor_high - transfers.descriptor_low).sum())
    edges = transfers.tile.size + run.schedule.tiles.layer.size + 2 * (reads + writes)
    setup = max(machine.setup_cycles, machine.next_descriptor_cycles) * descriptors
    latency = reads * (machine.latency_up + machine.latency_down) + writes * machine.latency_up
    dram = timeline.dram_busy + reads * machine.dram_latency
    if machine.banks is not None:
        dram = machine.banks.longest(int(moved.sum()) // machine.banks.burst, reads + writes, int(timeline.dram_counts[:, REFRESHES].sum()))
    codecs = run.schedule.codecs
    coding = int((codecs.cycles + codecs.latency).sum()) if codecs is not None else 0
    cycles = (coding + edges + setup) * machine.period
    serial = array + timeline.link_down_busy + timeline.link_up_busy + dram + cycles + latency
    same("total <= sum of all phases", timeline.end <= serial, f"total {timeline.end} ps, phases one by one {serial} ps")


def banks_add_up(run: Run) -> None:
    """Every access found its row open, its bank closed or another row open, and the data buses were occupied by all accesses."""
    banks, timeline, read = run.machine.banks, run.timeline, run.schedule.transfers.direction == READ
    counts = timeline.dram_counts
    if banks is None:
        same("a flat DRAM has no rows", not counts.size, f"{counts.shape[0]} channels counted")
        return
    moved = [int(timeline.bytes_moved[way].sum()) // banks.burst for way in (read, ~read)]
    counted = counts[:, :2].sum(axis=0).tolist()
    same("DRAM accesses = bytes / burst", counted == moved, f"reads and writes {counted}, bytes moved make {moved}")
    found = counts[:, HITS : CONFLICTS + 1].sum(axis=1)
    accesses = counts[:, :2].sum(axis=1)
    each("hits + misses + conflicts = accesses", "DRAM channel", found == accesses, found=found, accesses=accesses)
    needed = counts[:, HITS + 1 : CONFLICTS + 1].sum(axis=1)
    each(
        "a row that is not open is activated", "DRAM channel", counts[:, ACTIVATES] >= needed, activates=counts[:, ACTIVATES], needed=needed
    )
    busy = banks.bus_time(sum(moved))
    same("DRAM busy = accesses x burst time", timeline.dram_busy == busy, f"{timeline.dram_busy} ps, {sum(moved)} accesses take {busy}")
    data, last = accesses * banks.burst_time, counts[:, LAST_DATA]
    each("one access at a time on a data bus", "DRAM channel", last >= data, last=last, data=data)


def order_is_kept(run: Run) -> None:
    """Nothing happens before what it waits for."""
    tiles, blocks, transfers, timeline = run.schedule.tiles, run.schedule.blocks, run.schedule.transfers, run.timeline
    previous = np.concatenate([[0], timeline.tile_end])[:-1]
    each("tiles run in order", "tile", timeline.tile_start >= previous, start=timeline.tile_start, previous=previous)
    for name, block in (("ifmap", tiles.ifmap_block), ("filter", tiles.filter_block), ("ofmap", tiles.ofmap_block)):
        load = np.where(block == NONE, NONE, blocks.load[block]) if blocks.load.size else block
        loaded = at(timeline.transfer_end, load)
        each(f"no tile before its {name} load", "tile", timeline.tile_start >= loaded, start=timeline.tile_start, loaded=loaded)
    known = at(timeline.transfer_end, tiles.metadata)
    each("no tile before its metadata", "tile", timeline.tile_start >= known, start=timeline.tile_start, known=known)
    moving = timeline.bursts > 0
    ordered = np.where(moving, timeline.transfer_end > timeline.transfer_start, timeline.transfer_end == timeline.transfer_start)
    each("a transfer ends after its start", "transfer", ordered, start=timeline.transfer_start, end=timeline.transfer_end)
    if run.schedule.codecs is not None:
        coded = run.schedule.codecs.cycles * run.machine.period * (transfers.direction == READ) * moving
        took = timeline.transfer_end - timeline.transfer_start
        each("a coded read takes as long as its decoder", "transfer", took >= coded, took=took, decoder=coded)
    waited = at(timeline.transfer_end, transfers.wait_transfer)
    each("a transfer waits for its transfer", "transfer", timeline.transfer_start >= waited, start=timeline.transfer_start, waited=waited)
    stored = at(timeline.layer_stored, transfers.wait_layer)
    each("a transfer waits for earlier layers", "transfer", timeline.transfer_start >= stored, start=timeline.transfer_start, stored=stored)
    computed = at(timeline.tile_end, np.where(transfers.direction == WRITE, transfers.tile, NONE))
    each("no store before its tile", "transfer", timeline.transfer_start >= computed, start=timeline.transfer_start, computed=computed)


def slots_are_kept(run: Run) -> None:
    """No class holds more blocks than slots, no load more than its block; a drained layer finds the buffer empty."""
    blocks, layers, transfers, timeline = run.schedule.blocks, run.schedule.layers, run.schedule.transfers, run.timeline
    slots = np.array(run.schedule.slots, np.int64)[blocks.tensor]
    filling, released = run.spans
    free = at(released, np.where(blocks.order >= slots, np.arange(blocks.order.size) - slots, NONE))
    each("occupancy never above slots", "block", filling >= free, filling=filling, free=free)
    last = np.zeros(layers.drain.size + 1, np.int64)
    np.maximum.at(last, blocks.layer + 1, released)
    drained = np.where(layers.drain == 1, np.maximum.accumulate(last)[:-1], 0)[blocks.layer]
    each("a drained buffer is empty", "block", filling >= drained, filling=filling, drained=drained)
    loaded = blocks.load != NONE
    wanted = np.zeros(blocks.order.size, np.int64)
    wanted[loaded] = transfers.bytes_wanted[blocks.load[loaded]]
    each("blocks never over-filled", "block", wanted <= blocks.bytes, wanted=wanted, bytes=blocks.bytes)
    held = Occupancy.of(run.schedule, timeline).peak
    for tensor, peak in enumerate(timeline.peak_bytes.tolist()):
        size = np.sort(blocks.bytes[blocks.tensor == tensor])
        least, most = held[TENSOR_NAMES[tensor]], int(size[-run.schedule.slots[tensor] :].sum())
        same("peak between what was held and what slots hold", least <= peak <= most, f"peak {peak}, held {least}, slots hold {most}")


def ends_agree(run: Run) -> None:
    """The sums over the timeline's own columns."""
    transfers, timeline = run.schedule.transfers, run.timeline
    stored = np.zeros(timeline.layer_stored.size, np.int64)
    writes = transfers.direction == WRITE
    np.maximum.at(stored, transfers.layer[writes], timeline.transfer_end[writes])
    stored = np.maximum.accumulate(stored)
    each("layer stored = end of its stores", "layer", timeline.layer_stored == stored, stored=timeline.layer_stored, stores=stored)
    end = max(int(timeline.tile_end.max(initial=0)), int(timeline.transfer_end.max(initial=0)))
    same("end = last event", timeline.end == end, f"end {timeline.end}, last event {end}")


def at(times: Int, numbers: Int) -> Int:
    """`times[numbers]`, with 0 for NONE."""
    return np.concatenate([times, [0]])[numbers]
