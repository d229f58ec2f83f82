"""The controller: how requests reach the banks, and what happens at a clock.

No clock is ticked: every constraint is a "not before" time, so the clock of the next command is known at once.
At a clock the order is: command, transfer of one waiting request to its bank's queue, then arrivals. Two ways of working:
* staged (as in DRAMsim3, here): requests wait in a read and a write queue; one a clock moves to its bank's short queue, where reads and
  writes mix; writes move in batches: when `high` of them wait, or more than `low` and no command is queued.
* strict (as in Ramulator 2): see `strict.py`.
"""

from __future__ import annotations

from accelsim.kernels.compile import called, inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram import strict
from accelsim.kernels.dram.banks import append, column_of, join, refresh, start_of, turn_of, want_column, want_row, when
from accelsim.kernels.dram.commands import choose, perform
from accelsim.kernels.dram.state import NEVER, NONE, READ, STAGED, STRICT, WRITE, Int, Plan, event, first_of, hold, locate, planned
from accelsim.kernels.dram.vectors import rarely


@inlined
def offer(s: Int, plan: Plan, bank: int, command: int, now: int) -> Plan:
    """The plan, or a command of a bank, if it comes before: sooner, or at once and first in turn."""
    time = when(s, bank, command, start_of(s, command, now))
    if time < plan.time or (time == plan.time and turn_of(s, bank) < turn_of(s, plan.bank)):
        return Plan(time, bank, command)
    return plan


@inlined
def consider(s: Int, plan: Plan, bank: int, now: int) -> Plan:
    """The plan, whose bank is another, or a command for which a bank has begun to have a use."""
    if s[at.ROW_USERS] & s[bank + at.BIT]:
        plan = offer(s, plan, bank, s[bank + at.ROW_COMMAND], now)
        s[at.SECOND_FLOOR] = min(s[at.SECOND_FLOOR], s[at.ROW_FLOOR])
    if s[at.COLUMN_USERS] & s[bank + at.BIT]:
        plan = offer(s, plan, bank, column_of(s, bank, start_of(s, READ, now), start_of(s, WRITE, now), STAGED), now)
    return plan


@inlined
def enter(s: Int, bank: int, e: int, kind: int) -> bool:
    """The first request that waits joins its bank's queue; whether that changes for what the bank has a use."""
    join(s, bank, e, kind)
    if s[bank + at.LENGTH] == s[at.BANK_QUEUE]:
        s[at.MOVABLE] &= ~s[bank + at.BIT]
        s[at.MOVABLE + WRITE] &= ~s[bank + at.BIT]
    hit = s[e + at.ROW] == s[bank + at.OPEN_ROW]
    if (s[bank + at.QUEUED_HITS + kind] if hit else s[bank + at.LENGTH]) > 1:
        return False
    if hit:
        want_column(s, bank, True)
        if s[bank + at.LENGTH] == 1 or s[bank + at.COLUMNS] < s[at.HIT_CAP]:
            want_row(s, bank, False)
    else:
        want_row(s, bank, True)
    return True


@inlined
def move(s: Int, bank: int, e: int, kind: int, now: int) -> bool:
    """Move a bank's first waiting request to its queue; as `enter`."""
    changed = enter(s, bank, e, kind)
    if s[bank + at.FIRST_WAITING + kind] == bank + at.REQUESTS + 2 * kind:
        s[at.MOVABLE + kind] &= ~s[bank + at.BIT]
    s[at.WAITING + kind] -= 1
    if kind == WRITE:
        s[at.DRAINING] -= 1
        if s[at.DRAINING] == 0:
            s[at.MOVING] = READ
    if s[at.MOVABLE + s[at.MOVING]] != 0 or (s[at.WAITING + WRITE] >= s[at.HIGH] and s[at.DRAINING] == 0):
        s[at.TRANSFER_TIME] = now + 1
    return changed


@inlined
def free(s: Int, bank: int, now: int) -> None:
    """The queue of a bank is no longer full."""
    for kind in range(2):
        if s[bank + at.FIRST_WAITING + kind] != bank + at.REQUESTS + 2 * kind:
            s[at.MOVABLE + kind] |= s[bank + at.BIT]
            if kind == s[at.MOVING]:
                s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)


@inlined
def issue(s: Int, plan: Plan, now: int, dual: bool) -> int:
    """Issue the command that was chosen; the request that it serves, or NONE. `dual`: there may be another at this clock; a constant."""
    bank = plan.bank
    e = perform(s, bank, plan.command, now, STAGED)
    if e == NONE:
        return NONE
    if s[bank + at.LENGTH] == s[at.BANK_QUEUE] - 1:
        kind = s[at.MOVING]
        first = s[bank + at.FIRST_WAITING + kind]
        alone = s[at.TRANSFER_TIME] > now and s[at.MOVABLE + kind] == 0 and s[bank + at.LENGTH] > 0 and not dual
        if alone and first != bank + at.REQUESTS + 2 * kind:  # nothing else could be moved at this clock
            move(s, bank, first, kind, now)
        else:
            free(s, bank, now)
    if rarely(s[at.QUEUED] == 0) and s[at.WAITING + WRITE] > s[at.LOW]:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
    return int(e)


@inlined
def transfer(s: Int, now: int) -> int:
    """Move the oldest waiting request whose bank's queue has room; the bank, if that changes for what it has a use, or NONE."""
    waiting = s[at.WAITING + WRITE]
    if rarely(s[at.DRAINING] == 0 and waiting > s[at.LOW]) and (waiting >= s[at.HIGH] or s[at.QUEUED] == 0):
        s[at.DRAINING], s[at.MOVING] = waiting, WRITE
    kind = s[at.MOVING]
    s[at.TRANSFER_TIME] = NEVER
    movable = s[at.MOVABLE + kind]
    if rarely(movable == 0):
        return NONE
    bank, movable = first_of(movable), movable & (movable - 1)
    e = s[bank + at.FIRST_WAITING + kind]
    while movable != 0:
        another, movable = first_of(movable), movable & (movable - 1)
        other = s[another + at.FIRST_WAITING + kind]
        older = s[other + at.ARRIVAL] < s[e + at.ARRIVAL]
        bank, e = another if older else bank, other if older else e
    return int(bank if move(s, bank, e, kind, now) else NONE)


@called
def issue_another(s: Int, e: int, now: int) -> int:
    """A controller that issues two commands a clock has issued one: the other, if it may have one now; as `issue`, of both."""
    plan = choose(s, now, STAGED, at.ROWS_ONLY) if e != NONE else choose(s, now, STAGED, at.COLUMNS_ONLY)
    return int(max(e, issue(s, plan, now, True)) if plan.time <= now else e)


@called
def seldom(s: Int, now: int) -> int:
    """As `step`, of all controllers, where there is refresh, and of those of which `new_state` says that they are UNUSUAL."""
    if s[at.CONTROLLER] == STRICT:
        return int(strict.step(s, now))
    e, plan, changed = NONE, planned(s), True
    if now >= s[at.REFRESH_DUE]:
        refresh(s, now)
    elif plan.time <= now:
        e = issue_another(s, issue(s, plan, now, True), now)
    else:
        changed = False
    if s[at.TRANSFER_TIME] <= now:
        changed |= transfer(s, now) != NONE
    hold(s, choose(s, now + 1, STAGED, at.ANY) if changed else plan)
    return int(e)


@inlined
def proceed(s: Int, plan: Plan, now: int) -> tuple[int, Plan]:
    """As `step`, for who holds the plan; and the plan from then on."""
    if rarely(now >= s[at.REFRESH_DUE] or s[at.UNUSUAL] == 1):
        hold(s, plan)
        e = int(seldom(s, now))
        return e, planned(s)
    e, stale = NONE, plan.time <= now
    if stale:
        e = issue(s, plan, now, False)
    if s[at.TRANSFER_TIME] <= now:
        bank = transfer(s, now)
        if bank == plan.bank:
            stale = True
        elif bank != NONE and not stale:
            plan = consider(s, plan, bank, now + 1)
    return e, choose(s, now + 1, STAGED, at.ANY) if stale else plan


@inlined
def step(s: Int, now: int) -> int:
    """What the controller does at clock `now`: refresh or one command, then one transfer.

    Returns the record of the request whose column command that was, or NONE; its fields are there until the next `admit`, and LAST_DATA
    tells when its data has passed.
    """
    e, plan = proceed(s, planned(s), now)
    hold(s, plan)
    return e


@inlined
def accept(s: Int, plan: Plan, now: int, burst: int, kind: int, tag: int) -> Plan:
    """As `admit`, for who holds the plan; the plan from then on."""
    e = s[at.FREE]
    s[at.FREE] = s[e + at.NEXT]
    bank = locate(s, burst)
    s[e + at.ROW], s[e + at.KIND], s[e + at.TAG], s[e + at.ARRIVAL] = burst >> s[at.ROW_SHIFT], kind, tag, now
    if rarely(s[at.CONTROLLER] == STRICT):
        hold(s, plan)
        strict.admit(s, now, bank, e, kind)
        return planned(s)
    append(s, bank, e, kind)
    wanted = False
    if s[bank + at.LENGTH] < s[at.BANK_QUEUE]:
        wanted = kind == s[at.MOVING]
        if kind == READ and wanted and event(s, plan) > now + 1:
            # Nothing comes before it or sees the difference, so the transfer of the next clock is made at once.
            if not enter(s, bank, e, kind):
                return plan
            return choose(s, now + 2, STAGED, at.ANY) if bank == plan.bank else consider(s, plan, bank, now + 2)
        s[at.MOVABLE + kind] |= s[bank + at.BIT]
    s[at.WAITING + kind] += 1
    if kind == WRITE and s[at.DRAINING] == 0:
        writes = s[at.WAITING + WRITE]
        wanted = writes >= s[at.HIGH] or (writes > s[at.LOW] and s[at.QUEUED] == 0)
    if wanted:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now + 1)
    return plan


@inlined
def admit(s: Int, now: int, burst: int, kind: int, tag: int) -> None:
    """A read or write of one burst arrives at clock `now`, after `step` of that clock; the caller has seen `room`."""
    hold(s, accept(s, planned(s), now, burst, kind, tag))


@kernel
def flush(s: Int, now: int) -> None:
    """Let a staged controller write what it holds, however little."""
    if s[at.CONTROLLER] == STAGED and s[at.WAITING + WRITE] > 0:
        s[at.DRAINING], s[at.MOVING] = s[at.WAITING + WRITE], WRITE
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
