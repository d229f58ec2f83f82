"""The controller: how requests reach the banks, and what happens at a clock.

No clock is ticked: every constraint is a "not before" time, so the clock of the next command is known at once.
At a clock the order is: command, transfer of one waiting request to its bank's queue, then arrivals. Two ways of working:
* staged (as in DRAMsim3, here): requests wait in a read and a write queue; one a clock moves to its bank's short queue, where reads and
  writes mix; writes move in batches: when `high` of them wait, or more than `low` and no command is queued.
* strict (as in Ramulator 2): see `strict.py`.
"""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram import strict
from accelsim.kernels.dram.banks import append, column_of, join, refresh, start_of, turn_of, want_column, want_row, when
from accelsim.kernels.dram.commands import choose, perform
from accelsim.kernels.dram.state import NEVER, NONE, READ, STAGED, STRICT, WRITE, Int, first_of, locate
from accelsim.kernels.dram.vectors import rarely


@inlined
def offer(s: Int, bank: int, command: int, now: int) -> None:
    """Have a command of a bank take the place of the next one, if it comes before: sooner, or at once and first in turn."""
    time = when(s, bank, command, start_of(s, command, now))
    if time < s[at.COMMAND_TIME] or (time == s[at.COMMAND_TIME] and turn_of(s, bank) < turn_of(s, s[at.CHOICE])):
        s[at.COMMAND_TIME], s[at.CHOICE], s[at.COMMAND] = time, bank, command


@inlined
def enter(s: Int, bank: int, e: int, kind: int, now: int) -> None:
    """The first request that waits joins its bank's queue; the next command is issued at `now` or later."""
    join(s, bank, e, kind)
    if s[bank + at.LENGTH] == s[at.BANK_QUEUE]:
        s[at.MOVABLE] &= ~s[bank + at.BIT]
        s[at.MOVABLE + WRITE] &= ~s[bank + at.BIT]
    if s[e + at.ROW] == s[bank + at.OPEN_ROW]:
        if s[bank + at.QUEUED_HITS + kind] > 1:
            return
        want_column(s, bank, True)
        if s[bank + at.LENGTH] == 1 or s[bank + at.COLUMNS] < s[at.HIT_CAP]:
            want_row(s, bank, False)
    elif s[bank + at.LENGTH] == 1:
        want_row(s, bank, True)
    else:
        return
    if s[at.CHOICE] == bank:
        s[at.STALE] = 1
    elif s[at.STALE] == 0:
        if s[at.ROW_USERS] & s[bank + at.BIT]:
            offer(s, bank, s[bank + at.ROW_COMMAND], now)
        if s[at.COLUMN_USERS] & s[bank + at.BIT]:
            offer(s, bank, column_of(s, bank, start_of(s, READ, now), start_of(s, WRITE, now), STAGED), now)


@inlined
def move(s: Int, bank: int, e: int, kind: int, now: int) -> None:
    """Move a bank's first waiting request to its queue."""
    enter(s, bank, e, kind, now + 1)
    if s[bank + at.FIRST_WAITING + kind] == bank + at.REQUESTS + 2 * kind:
        s[at.MOVABLE + kind] &= ~s[bank + at.BIT]
    s[at.WAITING + kind] -= 1
    if kind == WRITE:
        s[at.DRAINING] -= 1
        if s[at.DRAINING] == 0:
            s[at.MOVING] = READ
    if s[at.MOVABLE + s[at.MOVING]] != 0 or (s[at.WAITING + WRITE] >= s[at.HIGH] and s[at.DRAINING] == 0):
        s[at.TRANSFER_TIME] = now + 1


@inlined
def free(s: Int, bank: int, now: int) -> None:
    """The queue of a bank is no longer full."""
    for kind in range(2):
        if s[bank + at.FIRST_WAITING + kind] != bank + at.REQUESTS + 2 * kind:
            s[at.MOVABLE + kind] |= s[bank + at.BIT]
            if kind == s[at.MOVING]:
                s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)


@inlined
def issue(s: Int, now: int) -> int:
    """Issue the command that was chosen; the request that it serves, or NONE."""
    bank = s[at.CHOICE]
    e = perform(s, bank, s[at.COMMAND], now, STAGED)
    if e == NONE:
        return NONE
    if s[bank + at.LENGTH] == s[at.BANK_QUEUE] - 1:
        kind = s[at.MOVING]
        first = s[bank + at.FIRST_WAITING + kind]
        alone = s[at.TRANSFER_TIME] > now and s[at.MOVABLE + kind] == 0 and s[bank + at.LENGTH] > 0 and s[at.DUAL_COMMAND] == 0
        if alone and first != bank + at.REQUESTS + 2 * kind:  # nothing else could be moved at this clock
            move(s, bank, first, kind, now)
        else:
            free(s, bank, now)
    if rarely(s[at.QUEUED] == 0) and s[at.WAITING + WRITE] > s[at.LOW]:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
    return int(e)


@inlined
def transfer(s: Int, now: int) -> None:
    """Move the oldest waiting request whose bank's queue has room."""
    waiting = s[at.WAITING + WRITE]
    if rarely(s[at.DRAINING] == 0 and waiting > s[at.LOW]) and (waiting >= s[at.HIGH] or s[at.QUEUED] == 0):
        s[at.DRAINING], s[at.MOVING] = waiting, WRITE
    kind = s[at.MOVING]
    s[at.TRANSFER_TIME] = NEVER
    movable = s[at.MOVABLE + kind]
    if rarely(movable == 0):
        return
    bank, movable = first_of(movable), movable & (movable - 1)
    e = s[bank + at.FIRST_WAITING + kind]
    while movable != 0:
        another, movable = first_of(movable), movable & (movable - 1)
        other = s[another + at.FIRST_WAITING + kind]
        if s[other + at.ARRIVAL] < s[e + at.ARRIVAL]:
            bank, e = another, other
    move(s, bank, e, kind, now)


@inlined
def step(s: Int, now: int) -> int:
    """What the controller does at clock `now`: refresh or one command, then one transfer.

    Returns the record of the request whose column command that was, or NONE; its fields are there until the next `admit`, and LAST_DATA
    tells when its data has passed.
    """
    if rarely(s[at.CONTROLLER] == STRICT):
        return int(strict.step(s, now))
    e = NONE
    if rarely(now >= s[at.REFRESH_DUE]):
        refresh(s, now)
    elif s[at.COMMAND_TIME] <= now:
        e = issue(s, now)
        if rarely(s[at.DUAL_COMMAND] == 1):
            s[at.ONLY] = at.ROWS_ONLY if e != NONE else at.COLUMNS_ONLY
            choose(s, now, STAGED)
            if s[at.COMMAND_TIME] <= now:
                e = max(e, issue(s, now))
            s[at.ONLY], s[at.STALE] = at.ANY, 1
    if s[at.TRANSFER_TIME] <= now:
        transfer(s, now)
    if s[at.STALE] == 1:
        choose(s, now + 1, STAGED)
    return int(e)


@inlined
def admit(s: Int, now: int, burst: int, kind: int, tag: int) -> None:
    """A read or write of one burst arrives at clock `now`, after `step` of that clock; the caller has seen `room`."""
    e = s[at.FREE]
    s[at.FREE] = s[e + at.NEXT]
    bank = locate(s, burst)
    s[e + at.ROW], s[e + at.KIND], s[e + at.TAG], s[e + at.ARRIVAL] = burst >> s[at.ROW_SHIFT], kind, tag, now
    if rarely(s[at.CONTROLLER] == STRICT):
        strict.admit(s, now, bank, e, kind)
        return
    append(s, bank, e, kind)
    wanted = False
    if s[bank + at.LENGTH] < s[at.BANK_QUEUE]:
        wanted = kind == s[at.MOVING]
        if kind == READ and wanted and min(s[at.TRANSFER_TIME], s[at.COMMAND_TIME], s[at.REFRESH_DUE]) > now + 1:
            # Nothing comes before it or sees the difference, so the transfer of the next clock is made at once.
            enter(s, bank, e, kind, now + 2)
            if s[at.STALE] == 1:
                choose(s, now + 2, STAGED)
            return
        s[at.MOVABLE + kind] |= s[bank + at.BIT]
    s[at.WAITING + kind] += 1
    if kind == WRITE and s[at.DRAINING] == 0:
        writes = s[at.WAITING + WRITE]
        wanted = writes >= s[at.HIGH] or (writes > s[at.LOW] and s[at.QUEUED] == 0)
    if wanted:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now + 1)


@kernel
def flush(s: Int, now: int) -> None:
    """Let a staged controller write what it holds, however little."""
    if s[at.CONTROLLER] == STAGED and s[at.WAITING + WRITE] > 0:
        s[at.DRAINING], s[at.MOVING] = s[at.WAITING + WRITE], WRITE
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
