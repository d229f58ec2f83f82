"""What waits before a DRAM channel: how an engine puts accesses in and gets their ends out, clock by clock.

What arrives are runs of neighbouring accesses. They enter the controller in the order of their arrival, at most one a clock, after the
controller's own work of that clock; one that finds no room holds up those behind it. Which controller stands behind is a number in the
front: the full one, or the in-order recurrence.
A channel that nobody waits for is left alone, and catches up when the next access arrives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import called, inlined, kernel
from accelsim.kernels.dram import inorder, state
from accelsim.kernels.dram.controller import accept, flush, proceed, step
from accelsim.kernels.dram.state import NEVER, NONE, READ, WRITE, event, hold, idle, later, next_event, planned, room
from accelsim.kernels.dram.vectors import rarely

Int = NDArray[np.int64]
Rows = Any
"""An array of records; mypy does not know their fields."""

FULL, IN_ORDER = 0, 1
CONTROLLER, HEAD, COUNT, AFTER, OPEN, WAKE = range(6)
"""Which controller; the ring of what waits; the first clock that is not yet done; accesses whose end is not yet known; the next clock."""
RING = 8
CLOCK, BURST, KIND, TAG, LEFT = range(5)
SIZE = 8
"""Of what waits: when it arrived; its next access, READ or WRITE, whose it is; how many accesses are left."""


@kernel
def new_front(controller: int, capacity: int) -> Int:
    """An empty front of a FULL or IN_ORDER channel, for at most so many runs at once."""
    f = np.zeros(RING + SIZE * capacity, np.int64)
    f[CONTROLLER], f[HEAD], f[WAKE] = controller, RING, NEVER
    return f


@inlined
def due(f: Int) -> int:
    """The next clock at which something happens that somebody waits for; NEVER if nobody waits."""
    return int(f[WAKE] if f[OPEN] > 0 else NEVER)


@inlined
def look(s: Int, f: Int) -> None:
    """Find the next clock."""
    time, head = NEVER, f[HEAD]
    if f[CONTROLLER] == FULL:
        time = next_event(s)
        if f[COUNT] > 0 and room(s, f[head + KIND]):
            time = min(time, f[head + CLOCK])
    elif f[COUNT] > 0:
        time = f[head + CLOCK]
        if f[head + KIND] == WRITE:
            time = max(time, inorder.write_room(s))
    f[WAKE] = max(time, f[AFTER])


@called
def work(s: Int, now: int) -> None:
    """One clock of the controller, whose ends nobody waits for."""
    step(s, now)


@called
def rest(s: Int, f: Int, clock: int) -> None:
    """Come up to `clock`, at most: write what is being written, pass long times with nothing but refresh (the first closes all banks)."""
    if f[CONTROLLER] == FULL:
        while not idle(s) and max(next_event(s), f[AFTER]) < clock:
            now = max(next_event(s), f[AFTER])
            work(s, now)
            f[AFTER] = now + 1
        if idle(s) and clock - s[state.REFRESH_DUE] > 2 * s[state.REFRESH_INTERVAL]:
            now = max(f[AFTER], s[state.REFRESH_DUE])
            work(s, now)
            f[AFTER] = now + 1
            more = max(0, (clock - s[state.REFRESH_DUE]) // s[state.REFRESH_INTERVAL] - 1)
            s[state.REFRESH_DUE] += more * s[state.REFRESH_INTERVAL]
            s[state.REFRESHES] += more
    elif clock - s[inorder.REFRESH_DUE] > 2 * s[inorder.REFRESH_INTERVAL]:
        inorder.refresh(s)
        more = max(0, (clock - s[inorder.REFRESH_DUE]) // s[inorder.REFRESH_INTERVAL] - 1)
        s[inorder.REFRESH_DUE] += more * s[inorder.REFRESH_INTERVAL]
        s[inorder.REFRESHES] += more


@inlined
def arrive(s: Int, f: Int, clock: int, burst: int, count: int, kind: int, tag: int) -> None:
    """Accesses from `burst` on arrive at `clock`, which is not yet done; the caller has seen that there is room in the ring."""
    if rarely(f[OPEN] == 0):
        rest(s, f, clock)
    last = f[HEAD] + SIZE * f[COUNT]
    if rarely(last >= f.size):
        last -= f.size - RING
    f[last + CLOCK], f[last + BURST], f[last + KIND], f[last + TAG], f[last + LEFT] = clock, burst, kind, tag, count
    f[COUNT] += 1
    f[OPEN] += count
    if f[COUNT] == 1 or f[OPEN] == count:
        look(s, f)


@inlined
def following(f: Int, head: int) -> int:
    """The next place in the ring."""
    return head + SIZE if head + SIZE < f.size else RING


@inlined
def leave(f: Int) -> None:
    """Take the first access out of the ring."""
    head = f[HEAD]
    f[head + BURST] += 1
    f[head + LEFT] -= 1
    if f[head + LEFT] == 0:
        f[HEAD] = following(f, head)
        f[COUNT] -= 1


@inlined
def pass_one(s: Int, f: Int) -> tuple[int, int, int]:
    """Serve the first access in the ring of an in-order channel at the clock that is due.

    Returns READ or WRITE, its tag, and when it had its data or was taken.
    """
    now, head = f[WAKE], f[HEAD]
    kind, tag, end = f[head + KIND], f[head + TAG], now
    if kind == WRITE:
        inorder.write(s, now, f[head + BURST])
    else:
        end = inorder.read(s, now, f[head + BURST])
    leave(f)
    f[OPEN] -= 1
    f[AFTER] = now + 1
    look(s, f)
    return kind, tag, end


@inlined
def ended(requests: Rows, r: int, when: int, done: Int, count: int) -> int:
    """An access of request `r` ends; how many requests are done now."""
    request = requests[r]
    request.when = max(request.when, when)
    request.left -= 1
    done[count] = r
    return count + 1 if request.left == 0 else count


@inlined
def sooner(until: int, time: int, counts: bool) -> int:
    """The sooner of two times, if the second counts."""
    return int(min(until, time) if counts else until)


@called
def run(
    s: Int, f: Int, until: int, period: int, after_read: int, after_write: int, requests: Rows, done: Int, channels: int, channel: int
) -> int:
    """Do the clock that is due and all on which nothing that is yet to arrive has any bearing; how many requests are done by that.

    As long as something waits in the ring, what arrives later comes behind it, and each clock is known. Without, it stops before `until`,
    and soon after the first request that is done, which may let others send.

    Units:   `until` in the unit of `period`, which is the length of a clock; so are `after_read`, `after_write`: no less passes between
             the end of a read, or the clock at which a write was taken, and the first arrival that it may cause
    Shapes:  requests [in flight]: by tag; of each access whose end is known (READ) or that was taken (WRITE) one is taken off `left`, and
             `when` is raised to clock * `channels` + `channel`; done int64 [in flight]: those with none left, in order
    """
    at = 0
    if rarely(f[CONTROLLER] != FULL):
        while f[COUNT] > 0:
            _, tag, end = pass_one(s, f)
            at = ended(requests, tag, end * channels + channel, done, at)
        return at
    now, count, opened, head = f[WAKE], f[COUNT], f[OPEN], f[HEAD]
    clock, kind = f[head + CLOCK] if count > 0 else NEVER, f[head + KIND]
    plan = planned(s)
    wake = event(s, plan)
    while True:
        if wake <= now:
            e, plan = proceed(s, plan, now)
            if e != NONE and s[e + state.KIND] == READ:
                before, end = at, s[state.LAST_DATA]
                at = ended(requests, s[e + state.TAG], end * channels + channel, done, at)
                until = sooner(until, end * period + after_read, at > before)
                opened -= 1
        after, time = now + 1, later(now, clock)
        wake = later(event(s, plan), after)
        while time < wake and room(s, kind):
            plan = accept(s, plan, time, f[head + BURST], kind, f[head + TAG])
            if kind == WRITE:
                before = at
                at = ended(requests, f[head + TAG], time * channels + channel, done, at)
                until = sooner(until, time * period + after_write, at > before)
                opened -= 1
            f[head + BURST] += 1
            f[head + LEFT] -= 1
            more = f[head + LEFT] != 0
            head, count = head if more else following(f, head), count - 1 + more
            clock, kind = f[head + CLOCK], f[head + KIND]
            clock = clock if count > 0 else NEVER
            after = time + 1
            time = later(after, clock)
            wake = later(event(s, plan), after)
        if rarely(count == 0) and (opened == 0 or wake * period >= until):
            break
        now = wake
    hold(s, plan)
    f[WAKE], f[COUNT], f[OPEN], f[HEAD] = wake, count, opened, head
    f[AFTER] = after
    return at


@kernel
def close(s: Int, f: Int, clock: int) -> None:
    """Nothing comes after `clock`: write what is held."""
    rest(s, f, clock)
    if f[CONTROLLER] == IN_ORDER:
        while s[inorder.REFRESH_DUE] < clock:
            inorder.refresh(s)
        inorder.flush(s, max(clock, f[AFTER]))
        return
    flushed = False
    while not flushed or not idle(s):
        now = max(next_event(s), f[AFTER])
        if not flushed and now >= clock:
            now, flushed = max(clock, f[AFTER]), True
            flush(s, now)
        work(s, now)
        f[AFTER] = now + 1
