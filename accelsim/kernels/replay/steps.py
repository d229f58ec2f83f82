"""What follows from what, whatever the memory: descriptors are opened, transfers begin and end, tiles run, slots are released.

All is worked out as soon as it is known, in advance of its time; what is not yet known is UNKNOWN.
"""

from __future__ import annotations

from accelsim.kernels.compile import inlined
from accelsim.kernels.dram.front import Rows
from accelsim.kernels.replay.tables import (
    CONFLICT,
    DRAINED,
    FILL_DRAIN,
    FILTER,
    IFMAP,
    METADATA,
    NEVER,
    NEXT_TILE,
    NONE,
    OUTPUT,
    READ,
    START,
    STORED,
    UNKNOWN,
    WRITE,
    Int,
    Machine,
    State,
)


@inlined
def round_up(time: int, period: int) -> int:
    """The first clock edge at or after `time`."""
    return (time + period - 1) // period * period


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
def occupy(part: Rows, arrival: int, time: int) -> int:
    """Use a first-come-first-served part for `time` from `arrival` on; when it is done."""
    part.free = max(arrival, part.free) + time
    part.busy += time
    return int(part.free)


@inlined
def pass_on(machine: Machine, state: State, channel: Rows, size: int) -> bool:
    """Move the cursor over a request of `size` accesses; whether it was the last of its descriptor."""
    channel.cursor += size
    if channel.cursor < channel.stop:
        if channel.cursor == channel.fence:
            channel.fence += machine.boundary
        return False
    channel.row += 1
    if channel.row == channel.rows:
        channel.row = 0
        channel.plane += 1
    if channel.plane == channel.planes:
        return True
    open_run(machine, state.descriptors[channel.descriptor], channel)
    return False


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
def end_transfer(state: State, c: int, x: int, end: int) -> None:
    """Note that the last request of transfer `x` of channel `c` ends at `end`, when its codec is done, and what a store sets free."""
    transfer = state.transfers[x]
    if transfer.direction == WRITE:
        end = max(end, transfer.encoded)
    elif transfer.codec_time + transfer.codec_latency > 0 and transfer.first_end < NEVER:
        channel = state.channels[c]
        channel.codec_free = max(end, max(transfer.first_end, channel.codec_free) + transfer.codec_time)
        end = channel.codec_free + transfer.codec_latency
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
        end_transfer(state, c, x, transfer.start)
        return True
    if transfer.direction == WRITE and transfer.codec_time + transfer.codec_latency > 0:
        begun = max(ready, channel.codec_free)
        channel.codec_free = begun + transfer.codec_time
        ready, transfer.encoded = begun + transfer.codec_latency, begun + transfer.codec_time + transfer.codec_latency
    channel.transfer, channel.tile, channel.ended = x, transfer.tile, 0
    channel.descriptor = transfer.descriptor_low
    open_descriptor(machine, state.descriptors[channel.descriptor], channel)
    channel.earliest, channel.fresh, channel.chained = max(ready + machine.setup, channel.grant + machine.period), 1, 0
    channel.present = max(channel.earliest, state.descriptor_end[c, channel.descriptor_slot], state.request_end[c, channel.request_slot])
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
    state.stalls[t, FILL_DRAIN], state.stalls[t, CONFLICT] = tile.fill_cycles, tile.conflict_cycles
    tile.end = tile.start + (tile.busy_cycles + tile.fill_cycles + tile.conflict_cycles) * machine.period
    for b in (tile.ifmap, tile.filters, tile.ofmap):
        if b != NONE:
            if state.blocks[b].first_tile == t and state.blocks[b].load == NONE:
                state.blocks[b].allocated = tile.start
            if state.blocks[b].last_tile == t and state.blocks[b].store == NONE:
                release(state, b, tile.end)
    return True


@inlined
def settle(machine: Machine, state: State) -> None:
    """Work out all that follows without a further grant. Called in one place of a loop, for it is long."""
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
