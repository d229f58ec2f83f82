"""The replay loop over a flat DRAM: one grant of the DMA port after another.

Why no event queue is needed: every stage behind the port is first come first served, so the whole way of a request is known when it is
granted, and what follows from it (a transfer's end, the tiles that can then run, the slots they release) is worked out at once, in advance.
What is still unknown at a grant depends on requests not yet granted, which end later than this edge; so it cannot compete for this edge.
The one decision left is which channel gets the next edge: the smallest key (presentable since, read before write, tile, channel).
"""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram.front import Rows
from accelsim.kernels.replay.steps import count_drained, count_stored, end_transfer, occupy, open_descriptor, pass_on, round_up, settle
from accelsim.kernels.replay.tables import DOWN, DRAM, GRANTS, NEVER, NONE, READ, UNKNOWN, UP, WRITE, Machine, State


@inlined
def travel(machine: Machine, parts: Rows, cost: Rows, direction: int, grant: int) -> int:
    """When a request has ended: up the link, through the DRAM, and a read's data down the link."""
    arrival = occupy(parts[UP], grant, cost.up_time) + machine.latency_up
    served = occupy(parts[DRAM], arrival, cost.dram_time)
    if direction == WRITE:
        return served
    return occupy(parts[DOWN], served + machine.dram_latency, cost.down_time) + machine.latency_down


@kernel
def replay(machine: Machine, state: State) -> None:
    """Replay the whole schedule; times that stay UNKNOWN belong to work that can never start.

    Raises:  nothing; `admission.require_sound` has checked indices and sizes, `require_finished` looks for UNKNOWN afterwards
    """
    channels, read_end = state.channels, state.read_end
    count_stored(state.layers, state.counters)
    count_drained(state.layers, state.counters)
    edge, read_slot, read_limit, settled = 0, 0, 0, False
    while True:
        if not settled:
            settle(machine, state)
            settled = True
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
            transfer.start, transfer.first_end = edge, end
        transfer.bytes_moved += size * machine.access
        transfer.overhead_bytes += cost.overhead
        transfer.bursts += 1
        channel.grant = edge
        channel.ended = max(channel.ended, end)
        slot = channel.request_slot
        state.request_end[c, slot] = end
        slot = slot + 1 if slot + 1 < state.request_end.shape[1] else 0
        channel.request_slot = slot
        available = edge + machine.period
        if pass_on(machine, state, channel, size):
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
            end_transfer(state, c, channel.transfer, channel.ended)
            settled = False
