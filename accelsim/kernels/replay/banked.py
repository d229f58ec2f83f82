"""The replay loop over a DRAM of banks, whose ends come out of order and are not known when a request is granted.

Before a grant at an edge, the DRAM does all clocks before that edge, and reads whose data is there by then take their place on the way
down. That is safe: what is granted later arrives later. It is enough: whatever ends by that edge follows from clocks before it. An end is
booked as soon as it is known; it may let another channel present a request, so the edge is then chosen anew.
The DRAM runs ahead of the edges while accesses wait before it, for what is granted later comes behind those, and as long as the way of an
end down the link and of a request up takes; what it has done by then waits here, in order, until its time has come.

Credits (requests, descriptors, reads in flight) are counted, so their rings of ends are in the order of the ends, not of the grants.
"""

from __future__ import annotations

from typing import NamedTuple

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram.front import Rows, arrive, due, run
from accelsim.kernels.dram.state import NEVER as NO_CLOCK
from accelsim.kernels.dram.vectors import rarely
from accelsim.kernels.replay.steps import (
    count_drained,
    count_stored,
    end_transfer,
    occupy,
    open_descriptor,
    pass_on,
    round_up,
    settle,
)
from accelsim.kernels.replay.tables import (
    BLOCKED,
    DOWN,
    GRANTS,
    NEVER,
    NONE,
    READ,
    UNKNOWN,
    UP,
    WRITE,
    Int,
    Machine,
    State,
)

REQUEST = "transfer channel direction left when number job down_time"
"""A request in flight: accesses still to end, and the latest end of those that have (clock * DRAM channels + channel; of reads that are
done: ps); `number`: of its grant."""
FLYING, READ_SLOT, READ_END_SLOT, FREE, UNSETTLED, FIRST, COUNT = 0, 1, 2, 3, 4, 5, 7
"""Requests whose end is not booked; ring of reads' ends: its oldest entry, and where the next end goes; free request records; whether there
may be something that follows without a further grant; FIRST, COUNT + direction: the ring of requests that the DRAM is done with."""


class Dram(NamedTuple):
    """The DRAM beside the tables.

    Units:   `clock`, `latency` ps (`latency`: of a read in the controller); `bursts` of an access of the DMA engine
    Shapes:  `states`, `fronts` int64 [channels, ...]; `pieces` int64 [pieces, 3]: shift, mask and place of the bits of the channel number;
             `requests` [in flight]; `free` int64 [in flight]: a stack of their numbers; `done` int64 [in flight]: as of `run`;
             `waiting` int64 [READ WRITE, in flight]: rings of requests that the DRAM is done with, in the order of `when`, then grant;
             `left` int64 [transfers]: requests to end, and 1 until all are granted; `job_left` int64 [dma channels, outstanding
             descriptors]: likewise; `job_free`: stacks of those, their heights in column 0; `counters` int64 [9]
    """

    clock: int
    latency: int
    bursts: int
    states: Int
    fronts: Int
    pieces: Int
    requests: Rows
    free: Int
    done: Int
    waiting: Int
    left: Int
    job_left: Int
    job_free: Int
    counters: Int


@inlined
def following(slot: int, size: int) -> int:
    """The next place in a ring."""
    return slot + 1 if slot + 1 < size else 0


@inlined
def present_since(machine: Machine, state: State, dram: Dram, c: int) -> int:
    """Since when channel `c` presents its next request; BLOCKED while that depends on an end not yet known."""
    channel = state.channels[c]
    time = max(channel.earliest, state.request_end[c, channel.request_slot])
    if rarely(channel.fresh != 0):
        time = max(time, state.descriptor_end[c, channel.descriptor_slot])
        if channel.chained and not machine.pipelined:
            time = BLOCKED if dram.left[channel.transfer] > 1 else max(time, channel.ended + machine.setup)
    return int(min(time, BLOCKED))


@inlined
def next_size(machine: Machine, channel: Rows) -> int:
    """Accesses of the next request of a channel."""
    burst = machine.read_burst if channel.direction == READ else machine.write_burst
    return int(min(channel.stop - channel.cursor, burst, channel.fence - channel.cursor))


@inlined
def send(machine: Machine, state: State, dram: Dram, c: int, size: int, edge: int) -> None:
    """Grant a request of channel `c`: up the link, and its bursts to their DRAM channels."""
    channel, counters = state.channels[c], dram.counters
    cost = state.sizes[channel.direction, size]
    clock = -(-(occupy(state.parts[UP], edge, cost.up_time) + machine.latency_up) // dram.clock)
    counters[FREE] -= 1
    r = dram.free[counters[FREE]]
    request = dram.requests[r]
    request.transfer, request.channel, request.direction, request.job = channel.transfer, c, channel.direction, channel.job
    request.left, request.when, request.number, request.down_time = size * dram.bursts, 0, state.counters[GRANTS], cost.down_time
    counters[FLYING] += 1
    low = channel.cursor * dram.bursts
    if not rarely(dram.fronts.shape[0] > 1):
        arrive(dram.states[0], dram.fronts[0], clock, low, size * dram.bursts, channel.direction, r)
        return
    for burst in range(low, low + size * dram.bursts):
        k = 0
        for piece in range(dram.pieces.shape[0]):
            k |= ((burst >> dram.pieces[piece, 0]) & dram.pieces[piece, 1]) << dram.pieces[piece, 2]
        arrive(dram.states[k], dram.fronts[k], clock, burst, 1, channel.direction, r)


@inlined
def line_up(dram: Dram, r: int, direction: int) -> None:
    """The DRAM is done with request `r`: give it its place among those."""
    counters, waiting, request = dram.counters, dram.waiting, dram.requests[r]
    size = waiting.shape[1]
    place = counters[FIRST + direction] + counters[COUNT + direction]
    if place >= size:
        place -= size
    for _ in range(counters[COUNT + direction]):
        sooner = place - 1 if place > 0 else size - 1
        before = dram.requests[waiting[direction, sooner]]
        if before.when < request.when or (before.when == request.when and before.number < request.number):
            break
        waiting[direction, place] = waiting[direction, sooner]
        place = sooner
    waiting[direction, place] = r
    counters[COUNT + direction] += 1


@inlined
def step_up(dram: Dram, direction: int) -> int:
    """Take the first of the requests that the DRAM is done with."""
    r = dram.waiting[direction, dram.counters[FIRST + direction]]
    dram.counters[FIRST + direction] = following(dram.counters[FIRST + direction], dram.waiting.shape[1])
    dram.counters[COUNT + direction] -= 1
    return int(r)


@inlined
def work(machine: Machine, dram: Dram, k: int, until: int) -> None:
    """Let DRAM channel `k` work up to `until`, or as far ahead as is known; what it has done waits for its time."""
    channels = dram.fronts.shape[0]
    read, write = dram.latency + machine.latency_down + machine.latency_up, dram.clock + machine.latency_up
    for i in range(run(dram.states[k], dram.fronts[k], until, dram.clock, read, write, dram.requests, dram.done, channels, k)):
        r = dram.done[i]
        request = dram.requests[r]
        if request.direction == READ:
            request.when = (request.when if channels == 1 else request.when // channels) * dram.clock + dram.latency
        line_up(dram, r, request.direction)


@inlined
def book(machine: Machine, state: State, dram: Dram, r: int, end: int) -> None:
    """Note that request `r` ends at `end`, and what follows."""
    request, counters = dram.requests[r], dram.counters
    c, x = request.channel, request.transfer
    channel = state.channels[c]
    state.request_end[c, channel.request_end_slot] = end
    channel.request_end_slot = following(channel.request_end_slot, state.request_end.shape[1])
    if request.direction == READ and state.read_end.size > 0:
        state.read_end[counters[READ_END_SLOT]] = end
        counters[READ_END_SLOT] = following(counters[READ_END_SLOT], state.read_end.size)
    if channel.transfer == x:
        channel.ended = end
    state.transfers[x].first_end = min(state.transfers[x].first_end, end)
    dram.job_left[c, request.job] -= 1
    if rarely(dram.job_left[c, request.job] == 0):
        state.descriptor_end[c, channel.descriptor_end_slot] = end
        channel.descriptor_end_slot = following(channel.descriptor_end_slot, state.descriptor_end.shape[1])
        dram.job_free[c, 0] += 1
        dram.job_free[c, dram.job_free[c, 0]] = request.job
    dram.free[counters[FREE]] = r
    counters[FREE] += 1
    counters[FLYING] -= 1
    dram.left[x] -= 1
    if rarely(dram.left[x] == 0):
        end_transfer(state, c, x, end)
        counters[UNSETTLED] = 1
    if BLOCKED <= channel.present < NEVER:
        channel.present = present_since(machine, state, dram, c)


@inlined
def advance(machine: Machine, state: State, dram: Dram, until: int) -> bool:
    """Let the DRAM work up to the edge at `until`, or to the first end that is booked on the way; whether there was one."""
    counters, waiting, channels = dram.counters, dram.waiting, dram.fronts.shape[0]
    while True:
        k, clock, others = 0, NO_CLOCK, NO_CLOCK
        for channel in range(channels):
            time = due(dram.fronts[channel])
            if time < clock:
                k, clock, others = channel, time, clock
            else:
                others = min(others, time)
        time = clock * dram.clock if clock < NO_CLOCK else NEVER
        written = taken = NEVER
        if counters[COUNT + WRITE] > 0:
            written = dram.requests[waiting[WRITE, counters[FIRST + WRITE]]].when
            taken = (written // channels if channels > 1 else written) * dram.clock
        when = NEVER
        if counters[COUNT] > 0:
            when = dram.requests[waiting[READ, counters[FIRST]]].when
            if when <= min(time, taken):
                if when > until:
                    return False
                r = step_up(dram, READ)
                book(machine, state, dram, r, occupy(state.parts[DOWN], when, dram.requests[r].down_time) + machine.latency_down)
                return True
        if min(time, taken) >= until:
            return False
        if taken < time or (taken == time and written < clock * channels + k):
            book(machine, state, dram, step_up(dram, WRITE), taken + dram.clock)
            return True
        elsewhere = others * dram.clock if others < NO_CLOCK else NEVER
        soonest = min(until, when + machine.latency_down, min(taken, elsewhere) + min(dram.clock, dram.latency + machine.latency_down))
        work(machine, dram, k, soonest + machine.latency_up)


@inlined
def choose(state: State, dram: Dram) -> int:
    """The channel with the smallest key, as far as it is known, or NONE; its time goes into its register."""
    c, since, limit, direction, tile = NONE, BLOCKED, 0, READ, 0
    if state.read_end.size > 0:
        limit = state.read_end[dram.counters[READ_SLOT]]
    for k in range(state.channels.size):
        channel = state.channels[k]
        present = max(channel.present, limit) if channel.direction == READ else channel.present
        # Channels are sorted by direction, then number: an equal key of a later one wins by its tile only.
        if present < since or (present == since and c != NONE and channel.direction == direction and channel.tile < tile):
            c, since, direction, tile = k, present, channel.direction, channel.tile
    if c != NONE:
        state.channels[c].since = since
    return c


@kernel
def replay_banked(machine: Machine, state: State, dram: Dram) -> None:
    """Replay the whole schedule; times that stay UNKNOWN belong to work that can never start.

    Raises:  nothing; `admission.require_sound` has checked indices and sizes, `require_finished` looks for UNKNOWN afterwards
    """
    counters = dram.counters
    count_stored(state.layers, state.counters)
    count_drained(state.layers, state.counters)
    counters[UNSETTLED] = 1
    free = 0
    while True:
        if rarely(counters[UNSETTLED] == 1):
            counters[UNSETTLED] = 0
            settle(machine, state)
        c = choose(state, dram)
        edge = free
        if c == NONE:
            edge = NEVER
        elif state.channels[c].since > free:
            edge = round_up(state.channels[c].since, machine.period)
        if counters[FLYING] > 0 and advance(machine, state, dram, edge):
            continue
        if c == NONE:
            break
        channel = state.channels[c]
        size = next_size(machine, channel)
        x = channel.transfer
        transfer = state.transfers[x]
        if rarely(channel.job == NONE):
            channel.job = dram.job_free[c, dram.job_free[c, 0]]
            dram.job_free[c, 0] -= 1
            dram.job_left[c, channel.job] = 1
        send(machine, state, dram, c, size, edge)
        dram.job_left[c, channel.job] += 1
        dram.left[x] += 1
        if channel.direction == READ and state.read_end.size > 0:
            state.read_end[counters[READ_SLOT]] = BLOCKED
            counters[READ_SLOT] = following(counters[READ_SLOT], state.read_end.size)
        if rarely(transfer.start == UNKNOWN):
            transfer.start = edge
        transfer.bytes_moved += size * machine.access
        transfer.overhead_bytes += state.sizes[channel.direction, size].overhead
        transfer.bursts += 1
        channel.grant = edge
        state.request_end[c, channel.request_slot] = BLOCKED
        channel.request_slot = following(channel.request_slot, state.request_end.shape[1])
        free = edge + machine.period
        channel.earliest, channel.fresh = free, 0
        state.counters[GRANTS] += 1
        if rarely(pass_on(machine, state, channel, size)):
            dram.job_left[c, channel.job] -= 1
            channel.job = NONE
            state.descriptor_end[c, channel.descriptor_slot] = BLOCKED
            channel.descriptor_slot = following(channel.descriptor_slot, state.descriptor_end.shape[1])
            channel.descriptor += 1
            if channel.descriptor == transfer.descriptor_high:
                dram.left[x] -= 1
                channel.present = NEVER
                channel.issued = channel.grant
                channel.position += 1
                counters[UNSETTLED] = 1
                continue
            open_descriptor(machine, state.descriptors[channel.descriptor], channel)
            channel.fresh = channel.chained = 1
            if machine.pipelined:
                channel.earliest = max(free, edge + machine.next_descriptor)
        channel.present = present_since(machine, state, dram, c)
