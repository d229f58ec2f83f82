"""The replay loop of the fast engine: one grant of the DMA port after another.

Why no event queue is needed: every stage behind the port is first come first served, so the whole way of a request is known when it is
granted, and what follows from it (a transfer's end, the tiles that can then run, the slots they release) is worked out at once, in advance.
What is still unknown at a grant depends on requests not yet granted, which end later than this edge; so it cannot compete for this edge.
The one decision left is which channel gets the next edge: the smallest key (presentable since, read before write, tile, channel).

Tables are record arrays of int64 (columns below), one row a thing: few arrays to pass about, and what is used together lies together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel

Int = NDArray[np.int64]
Rows = Any
"""A numpy record array; mypy does not know the fields of records."""

NONE = -1
UNKNOWN = -1
NEVER = 1 << 62
READ, WRITE = 0, 1
UP, DRAM, DOWN = 0, 1, 2
NEXT_TILE, STORED, DRAINED, GRANTS = 0, 1, 2, 3
IFMAP, FILTER, METADATA, OUTPUT, FILL_DRAIN, START = 0, 1, 2, 3, 4, 5

TILE = "layer busy_cycles fill_cycles ifmap filters ofmap metadata start end"
BLOCK = "layer load store first_tile last_tile before allocated released"
"""`before`: the block that must be released before this one may be filled, or NONE."""
TRANSFER = "direction layer tile block descriptor_low descriptor_high wait_transfer wait_layer start end bytes_moved overhead_bytes bursts"
DESCRIPTOR = "address row_bytes rows row_pitch planes plane_pitch"
LAYER = "first_tile drain stores_left blocks_left stored released drained"
"""`stored`, `drained`: final once STORED, DRAINED have passed; `released`: the last release among its own blocks so far."""
CHANNEL = (
    "direction position stop_position present tile transfer descriptor row rows plane planes run_bytes cursor stop fence "
    "grant issued ended request_slot descriptor_slot"
)
"""Registers of a DMA channel. Its transfers are `queue[position:stop_position]`. `present`: since when its first request competes.
`cursor`, `stop`, `fence`: what is left of the run, and the next boundary, in accesses. `*_slot`: the oldest entry of a ring of ends."""
PART = "free busy"
SIZE = "up_time dram_time down_time overhead"
"""What a request of so many accesses costs, [direction, accesses]: ps, and bytes of link overhead both ways."""


class Machine(NamedTuple):
    """Scalars: ps, except `access` (bytes), `read_burst`, `write_burst`, `boundary` (accesses) and `pipelined` (0 or 1)."""

    period: int
    setup: int
    next_descriptor: int
    pipelined: int
    access: int
    read_burst: int
    write_burst: int
    boundary: int
    latency_up: int
    latency_down: int
    dram_latency: int


class State(NamedTuple):
    """All that the loop reads and writes.

    Shapes:  `queue` int64 [transfers], sorted by channel; `request_end`, `descriptor_end` int64 [channels, outstanding]: rings of ends;
             `read_end` int64 [outstanding_reads]: ring over all channels in grant order, empty for no limit; `parts` [UP, DRAM, DOWN];
             `stalls` int64 [tiles, 6]; `counters` int64 [4]
    """

    tiles: Rows
    blocks: Rows
    transfers: Rows
    descriptors: Rows
    layers: Rows
    channels: Rows
    sizes: Rows
    parts: Rows
    queue: Int
    request_end: Int
    descriptor_end: Int
    read_end: Int
    stalls: Int
    counters: Int


@inlined
def round_up(time: int, period: int) -> int:
    """The first clock edge at or after `time`."""
    return (time + period - 1) // period * period


@inlined
def occupy(part: Rows, arrival: int, time: int) -> int:
    """Use a first-come-first-served part for `time` from `arrival` on; when it is done."""
    part.free = max(arrival, part.free) + time
    part.busy += time
    return int(part.free)


@inlined
def travel(machine: Machine, parts: Rows, cost: Rows, direction: int, grant: int) -> int:
    """When a request has ended: up the link, through the DRAM, and a read's data down the link."""
    arrival = occupy(parts[UP], grant, cost.up_time) + machine.latency_up
    served = occupy(parts[DRAM], arrival, cost.dram_time)
    if direction == WRITE:
        return served
    return occupy(parts[DOWN], served + machine.dram_latency, cost.down_time) + machine.latency_down


@inlined
def open_run(machine: Machine, job: Rows, channel: Rows) -> None:
    """Point the cursor at the present row of the descriptor, widened to whole accesses."""
    low = job.address + channel.plane * job.plane_pitch + channel.row * job.row_pitch
    channel.cursor = low // machine.access
    channel.stop = (low + channel.run_bytes - 1) // machine.access + 1
    channel.fence = (channel.cursor // machine.boundary + 1) * machine.boundary


@inlined
def open_descriptor(machine: Machine, job: Rows, channel: Rows) -> None:
    """Take a descriptor, merging contiguous rows and planes into one run."""
    run, rows, planes = job.row_bytes, job.rows, job.planes
    if rows == 1 or run == job.row_pitch:
        run, rows = run * rows, 1
        if planes == 1 or run == job.plane_pitch:
            run, planes = run * planes, 1
    channel.row, channel.rows = 0, rows
    channel.plane, channel.planes = 0, planes
    channel.run_bytes = run
    open_run(machine, job, channel)


@inlined
def count_drained(layers: Rows, counters: Int) -> None:
    """Move DRAINED to the first layer that still holds blocks; `drained` is final up to and including it."""
    i = counters[DRAINED]
    while i < layers.size and layers[i].blocks_left == 0:
        if i + 1 < layers.size:
            layers[i + 1].drained = max(layers[i].drained, layers[i].released)
        i += 1
    counters[DRAINED] = i


@inlined
def count_stored(layers: Rows, counters: Int) -> None:
    """Move STORED to the first layer with stores to come; `stored` is final below it."""
    i = counters[STORED]
    while i < layers.size and layers[i].stores_left == 0:
        if i > 0:
            layers[i].stored = max(layers[i].stored, layers[i - 1].stored)
        i += 1
    counters[STORED] = i


@inlined
def release(state: State, b: int, time: int) -> None:
    """Free the slot of block `b`; see which layers are drained by it."""
    block = state.blocks[b]
    block.released = time
    layer = state.layers[block.layer]
    layer.blocks_left -= 1
    layer.released = max(layer.released, time)
    if layer.blocks_left == 0:
        count_drained(state.layers, state.counters)


@inlined
def end_transfer(state: State, x: int, end: int) -> None:
    """Note that transfer `x` ends at `end`, and what a store sets free."""
    transfer = state.transfers[x]
    transfer.end = end
    if transfer.direction == WRITE:
        layer = state.layers[transfer.layer]
        layer.stores_left -= 1
        layer.stored = max(layer.stored, end)
        if layer.stores_left == 0:
            count_stored(state.layers, state.counters)
        if transfer.block != NONE:
            release(state, transfer.block, end)


@inlined
def slot_free(blocks: Rows, b: int) -> int:
    """When the slot of block `b` is free, or UNKNOWN."""
    before = blocks[b].before
    return 0 if before == NONE else int(blocks[before].released)


@inlined
def block_ready(state: State, b: int) -> int:
    """When block `b` holds what a tile needs (0 for no block), or UNKNOWN."""
    if b == NONE:
        return 0
    load = state.blocks[b].load
    return slot_free(state.blocks, b) if load == NONE else int(state.transfers[load].end)


@inlined
def ready_time(state: State, x: int, ready: int) -> int:
    """When transfer `x` may use its channel, which is free from `ready` on; or UNKNOWN."""
    transfer = state.transfers[x]
    if transfer.wait_transfer != NONE:
        ended = state.transfers[transfer.wait_transfer].end
        if ended == UNKNOWN:
            return UNKNOWN
        ready = max(ready, ended)
    if transfer.wait_layer != NONE:
        if transfer.wait_layer >= state.counters[STORED]:
            return UNKNOWN
        ready = max(ready, state.layers[transfer.wait_layer].stored)
    if transfer.direction == WRITE:
        computed = state.tiles[transfer.tile].end
        return UNKNOWN if computed == UNKNOWN else max(ready, computed)
    if transfer.block != NONE:
        free = slot_free(state.blocks, transfer.block)
        i = state.blocks[transfer.block].layer
        if free == UNKNOWN:
            return UNKNOWN
        ready = max(ready, free)
        if state.layers[i].drain:
            if i > state.counters[DRAINED]:
                return UNKNOWN
            ready = max(ready, state.layers[i].drained)
    return ready


@inlined
def begin_transfer(machine: Machine, state: State, c: int) -> bool:
    """Try to begin the next transfer of an idle channel; an empty one ends at once."""
    channel = state.channels[c]
    x = state.queue[channel.position]
    transfer = state.transfers[x]
    ready = ready_time(state, x, channel.issued)
    if ready == UNKNOWN:
        return False
    if transfer.block != NONE and transfer.direction == READ:
        state.blocks[transfer.block].allocated = ready
    if transfer.descriptor_low == transfer.descriptor_high:
        transfer.start = round_up(ready, machine.period)
        channel.issued = transfer.start
        channel.position += 1
        end_transfer(state, x, transfer.start)
        return True
    channel.transfer, channel.tile, channel.ended = x, transfer.tile, 0
    channel.descriptor = transfer.descriptor_low
    open_descriptor(machine, state.descriptors[channel.descriptor], channel)
    available = max(ready + machine.setup, state.descriptor_end[c, channel.descriptor_slot])
    channel.present = max(available, channel.grant + machine.period, state.request_end[c, channel.request_slot])
    return True


@inlined
def producers_stored(state: State, x: int) -> int:
    """When the layers that transfer `x` waits for had been stored; 0 for none."""
    if x == NONE or state.transfers[x].wait_layer == NONE:
        return 0
    return int(state.layers[state.transfers[x].wait_layer].stored)


@inlined
def run_tile(machine: Machine, state: State, t: int) -> bool:
    """Try to run tile `t`, and say what the array waited for."""
    tile = state.tiles[t]
    layer = state.layers[tile.layer]
    ifmap, filters, output = block_ready(state, tile.ifmap), block_ready(state, tile.filters), block_ready(state, tile.ofmap)
    metadata = 0 if tile.metadata == NONE else state.transfers[tile.metadata].end
    if UNKNOWN in (ifmap, filters, metadata, output):
        return False
    if layer.drain and tile.layer > state.counters[DRAINED]:
        return False
    began = layer.drained if layer.drain else 0
    cause, last = IFMAP, ifmap
    if filters > last:
        cause, last = FILTER, filters
    if metadata > last:
        cause, last = METADATA, metadata
    if output > last:
        cause, last = OUTPUT, output
    previous = state.tiles[t - 1].end if t > 0 else 0
    tile.start = round_up(max(previous, last, began), machine.period)
    before = 0
    if t == layer.first_tile:
        if tile.ifmap != NONE:
            began = max(began, producers_stored(state, state.blocks[tile.ifmap].load))
        began = max(began, producers_stored(state, tile.metadata))
        before = max(0, round_up(began, machine.period) - previous)
    state.stalls[t, cause] = (tile.start - previous - before) // machine.period
    state.stalls[t, START] = before // machine.period
    state.stalls[t, FILL_DRAIN] = tile.fill_cycles
    tile.end = tile.start + (tile.busy_cycles + tile.fill_cycles) * machine.period
    for b in (tile.ifmap, tile.filters, tile.ofmap):
        if b != NONE:
            if state.blocks[b].first_tile == t and state.blocks[b].load == NONE:
                state.blocks[b].allocated = tile.start
            if state.blocks[b].last_tile == t and state.blocks[b].store == NONE:
                release(state, b, tile.end)
    return True


@kernel
def settle(machine: Machine, state: State) -> None:
    """Work out all that follows without a further grant."""
    moved = True
    while moved:
        moved = False
        t = state.counters[NEXT_TILE]
        while t < state.tiles.size and run_tile(machine, state, t):
            t += 1
            moved = True
        state.counters[NEXT_TILE] = t
        for c in range(state.channels.size):
            channel = state.channels[c]
            while channel.present == NEVER and channel.position < channel.stop_position and begin_transfer(machine, state, c):
                moved = True


@kernel
def replay(machine: Machine, state: State) -> None:
    """Replay the whole schedule; times that stay UNKNOWN belong to work that can never start.

    Raises:  nothing; `admission.require_sound` has checked indices and sizes, `require_finished` looks for UNKNOWN afterwards
    """
    channels, read_end = state.channels, state.read_end
    count_stored(state.layers, state.counters)
    count_drained(state.layers, state.counters)
    settle(machine, state)
    edge, read_slot, read_limit = 0, 0, 0
    while True:
        c, since = NONE, NEVER
        for k in range(channels.size):
            present = channels[k].present
            if channels[k].direction == READ:
                present = max(present, read_limit)
            # Channels are sorted by direction, then number: an equal key of a later one wins by its tile only.
            tied = c != NONE and present == since and channels[k].direction == channels[c].direction
            if present < since or (tied and channels[k].tile < channels[c].tile):
                c, since = k, present
        if c == NONE:
            break
        if since > edge:
            edge = round_up(since, machine.period)
        channel = channels[c]
        burst = machine.read_burst if channel.direction == READ else machine.write_burst
        size = min(channel.stop - channel.cursor, burst, channel.fence - channel.cursor)
        cost = state.sizes[channel.direction, size]
        end = travel(machine, state.parts, cost, channel.direction, edge)
        if channel.direction == READ and read_end.size > 0:
            read_end[read_slot] = end
            read_slot = read_slot + 1 if read_slot + 1 < read_end.size else 0
            read_limit = read_end[read_slot]
        transfer = state.transfers[channel.transfer]
        if transfer.start == UNKNOWN:
            transfer.start = edge
        transfer.bytes_moved += size * machine.access
        transfer.overhead_bytes += cost.overhead
        transfer.bursts += 1
        channel.grant = edge
        channel.ended = max(channel.ended, end)
        slot = channel.request_slot
        state.request_end[c, slot] = end
        slot = slot + 1 if slot + 1 < state.request_end.shape[1] else 0
        channel.request_slot = slot
        channel.cursor += size
        available = edge + machine.period
        if channel.cursor < channel.stop:
            if channel.cursor == channel.fence:
                channel.fence += machine.boundary
        else:
            channel.row += 1
            if channel.row == channel.rows:
                channel.row = 0
                channel.plane += 1
            if channel.plane < channel.planes:
                open_run(machine, state.descriptors[channel.descriptor], channel)
            else:
                ring = channel.descriptor_slot
                state.descriptor_end[c, ring] = channel.ended
                ring = ring + 1 if ring + 1 < state.descriptor_end.shape[1] else 0
                channel.descriptor_slot = ring
                channel.descriptor += 1
                if channel.descriptor < transfer.descriptor_high:
                    open_descriptor(machine, state.descriptors[channel.descriptor], channel)
                    # Fetched ahead, or set up anew after the data of the one before.
                    fetched = edge + machine.next_descriptor if machine.pipelined else channel.ended + machine.setup
                    available = max(available, fetched, state.descriptor_end[c, ring])
                else:
                    available = NEVER
        edge += machine.period
        state.counters[GRANTS] += 1
        channel.present = max(available, state.request_end[c, slot])
        if available == NEVER:
            channel.issued = channel.grant
            channel.position += 1
            end_transfer(state, channel.transfer, channel.ended)
            settle(machine, state)
