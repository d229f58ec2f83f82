"""The speed: the same model as `reference.py`, in one compiled loop over the schedule's integers."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.banks import Banks, pieces
from accelsim.engines.contention import conflict_cycles
from accelsim.engines.machine import Machine, duration
from accelsim.kernels import replay as loop
from accelsim.schedule.tables import NONE, READ, WRITE, Schedule
from accelsim.timeline import CAUSES, Timeline, no_channels

Int = NDArray[np.int64]


def run(schedule: Schedule, machine: Machine) -> Timeline:
    """Replay a schedule whose tables `admission.require_sound` has accepted.

    Units:   times in the timeline are -1 where work could never start: `admission.require_finished` names it
    """
    state = pack(schedule, machine)
    dram = None
    if machine.banks is None:
        loop.replay(scalars(machine), state)
    else:
        dram = pack_dram(machine, machine.banks, schedule.transfers.tile.size)
        loop.replay_banked(scalars(machine), state, dram)
    tile_end, transfer_end = state.tiles["end"].copy(), state.transfers["end"].copy()
    last_tile_end = int(tile_end[-1]) if tile_end.size else 0
    end = max(last_tile_end, int(transfer_end.max(initial=0)))
    counts, accesses = no_channels(), 0
    if machine.banks is not None and dram is not None:
        counts = machine.banks.close(dram.states, dram.fronts, end)
        accesses = int(counts[:, :2].sum())
    return Timeline(
        tile_start=state.tiles["start"].copy(),
        tile_end=tile_end,
        stall_cycles=state.stalls,
        transfer_start=state.transfers["start"].copy(),
        transfer_end=transfer_end,
        bytes_moved=state.transfers["bytes_moved"].copy(),
        overhead_bytes=state.transfers["overhead_bytes"].copy(),
        bursts=state.transfers["bursts"].copy(),
        layer_stored=state.layers["stored"].copy(),
        peak_bytes=peak_bytes(schedule, state.blocks["allocated"], state.blocks["released"]),
        end=end,
        drain_cycles=-(-(end - last_tile_end) // machine.period),
        port_busy=int(state.counters[loop.GRANTS]) * machine.period,
        link_down_busy=int(state.parts["busy"][loop.DOWN]),
        link_up_busy=int(state.parts["busy"][loop.UP]),
        dram_busy=int(state.parts["busy"][loop.DRAM]) if machine.banks is None else machine.banks.bus_time(accesses),
        dram_counts=counts,
    )


def scalars(machine: Machine) -> loop.Machine:
    """The machine in picoseconds and accesses."""
    return loop.Machine(
        period=machine.period,
        setup=machine.setup_cycles * machine.period,
        next_descriptor=machine.next_descriptor_cycles * machine.period,
        pipelined=int(machine.outstanding_descriptors > 1),
        access=machine.access,
        read_burst=machine.read_burst // machine.access,
        write_burst=machine.write_burst // machine.access,
        boundary=machine.boundary // machine.access,
        latency_up=machine.latency_up,
        latency_down=machine.latency_down,
        dram_latency=machine.dram_latency,
    )


def pack(schedule: Schedule, machine: Machine) -> loop.State:
    """The schedule's columns and empty registers as the loop's rows."""
    tiles, blocks, transfers, layers = schedule.tiles, schedule.blocks, schedule.transfers, schedule.layers
    slots = np.array(schedule.slots, np.int64)[blocks.tensor]
    write = transfers.direction == WRITE
    channel = np.where(write, machine.read_channels, 0) + transfers.channel
    channels = machine.read_channels + machine.write_channels
    stop = np.cumsum(np.bincount(channel, minlength=channels))
    count = layers.drain.size
    codecs = schedule.codecs
    return loop.State(
        tiles=rows(
            loop.TILE,
            tiles.layer.size,
            layer=tiles.layer,
            busy_cycles=tiles.busy_cycles,
            fill_cycles=tiles.fill_cycles,
            conflict_cycles=conflict_cycles(schedule, machine),
            ifmap=tiles.ifmap_block,
            filters=tiles.filter_block,
            ofmap=tiles.ofmap_block,
            metadata=tiles.metadata,
            start=loop.UNKNOWN,
            end=loop.UNKNOWN,
        ),
        blocks=rows(
            loop.BLOCK,
            blocks.order.size,
            layer=blocks.layer,
            load=blocks.load,
            store=blocks.store,
            first_tile=blocks.first_tile,
            last_tile=blocks.last_tile,
            before=np.where(blocks.order >= slots, np.arange(blocks.order.size) - slots, NONE),
            allocated=loop.UNKNOWN,
            released=loop.UNKNOWN,
        ),
        transfers=rows(
            loop.TRANSFER,
            transfers.tile.size,
            direction=transfers.direction,
            layer=transfers.layer,
            tile=transfers.tile,
            block=transfers.block,
            descriptor_low=transfers.descriptor_low,
            descriptor_high=transfers.descriptor_high,
            wait_transfer=transfers.wait_transfer,
            wait_layer=transfers.wait_layer,
            start=loop.UNKNOWN,
            end=loop.UNKNOWN,
            first_end=loop.NEVER,
            **({"codec_time": codecs.cycles * machine.period, "codec_latency": codecs.latency * machine.period} if codecs else {}),
        ),
        descriptors=rows(loop.DESCRIPTOR, schedule.descriptors.rows.size, **vars(schedule.descriptors)),
        layers=rows(
            loop.LAYER,
            count,
            first_tile=layers.tile_low,
            drain=layers.drain,
            stores_left=np.bincount(transfers.layer[write], minlength=count),
            blocks_left=np.bincount(blocks.layer, minlength=count),
        ),
        channels=rows(
            loop.CHANNEL,
            channels,
            direction=np.repeat([READ, WRITE], [machine.read_channels, machine.write_channels]),
            position=np.concatenate([[0], stop[:-1]]),
            stop_position=stop,
            present=loop.NEVER,
            grant=-machine.period,
            job=NONE,
        ),
        sizes=costs(machine),
        parts=rows(loop.PART, 3),
        queue=np.concatenate([np.flatnonzero(channel == number) for number in range(channels)]).astype(np.int64, copy=False),
        request_end=np.zeros((channels, machine.outstanding_requests), np.int64),
        descriptor_end=np.zeros((channels, machine.outstanding_descriptors), np.int64),
        read_end=np.zeros(machine.outstanding_reads, np.int64),
        stalls=np.zeros((tiles.layer.size, len(CAUSES)), np.int64),
        counters=np.zeros(4, np.int64),
    )


def pack_dram(machine: Machine, banks: Banks, transfers: int) -> loop.Dram:
    """An idle DRAM, and nothing in flight."""
    channels, requests = machine.read_channels + machine.write_channels, machine.requests_in_flight
    runs = requests if banks.channels == 1 else machine.bursts_in_flight  # one channel gets a request as one run
    states, fronts = banks.new_channels(runs)
    counters = np.zeros(9, np.int64)
    counters[loop.FREE] = requests
    jobs = np.tile(np.arange(-1, machine.outstanding_descriptors, dtype=np.int64), (channels, 1))
    jobs[:, 0] = machine.outstanding_descriptors
    return loop.Dram(
        clock=banks.clock,
        latency=banks.latency,
        bursts=machine.access // banks.burst,
        states=states,
        fronts=fronts,
        pieces=pieces(banks.channel_pieces),
        requests=rows(loop.REQUEST, requests),
        free=np.arange(requests, dtype=np.int64),
        done=np.zeros(requests, np.int64),
        waiting=np.zeros((2, requests), np.int64),
        left=np.ones(transfers, np.int64),
        job_left=np.zeros((channels, machine.outstanding_descriptors), np.int64),
        job_free=jobs,
        counters=counters,
    )


@cache
def fields(columns: str) -> np.dtype[Any]:
    """Records of int64 columns."""
    return np.dtype((np.record, [(name, np.int64) for name in columns.split()]))


def rows(kind: str, count: int, **columns: Int | int) -> loop.Rows:
    """An array of records, zeros but for the given columns."""
    dtype = fields(kind)
    table = np.zeros(count, dtype) if len(columns) < len(kind.split()) else np.empty(count, dtype)
    for name, column in columns.items():
        table[name] = column
    return table


@lru_cache(64)
def costs(machine: Machine) -> loop.Rows:
    """What requests of every size cost, once, so that the loop never divides by a rate."""
    table = np.zeros((2, max(machine.read_burst, machine.write_burst) // machine.access + 1), fields(loop.SIZE))
    for direction in (READ, WRITE):
        for accesses in range(table.shape[1]):
            size = accesses * machine.access
            up, down = machine.up_bytes(direction, size), machine.down_bytes(direction, size)
            times = (duration(up, machine.up_rate), duration(size, machine.dram_rate), duration(down, machine.down_rate))
            table[direction, accesses] = (*times, machine.overhead(direction, size))
    return table


def peak_bytes(schedule: Schedule, allocated: Int, released: Int) -> Int:
    """Most bytes that the blocks of each class hold at once; a release and an allocation at the same instant do not add."""
    bounds = np.searchsorted(schedule.blocks.tensor, np.arange(len(schedule.slots) + 1))  # blocks of a class lie side by side
    peaks = np.zeros(len(schedule.slots), np.int64)
    for k in range(peaks.size):
        mine = slice(bounds[k], bounds[k + 1])
        begin, end, size = allocated[mine], released[mine], schedule.blocks.bytes[mine]
        size = np.where((begin == loop.UNKNOWN) | (end == loop.UNKNOWN), 0, size)
        order = np.argsort(np.concatenate([end, begin]), kind="stable")  # two runs in order, or nearly so
        peaks[k] = np.cumsum(np.concatenate([-size, size])[order]).max(initial=0)
    return peaks
