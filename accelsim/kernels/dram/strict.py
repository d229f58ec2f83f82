"""The strict controller (as in Ramulator 2): it sees all requests at once, but serves only reads or only writes, between two watermarks."""

from __future__ import annotations

from accelsim.kernels.compile import called, inlined
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.banks import append, join, oldest, refresh, review, start_of, when
from accelsim.kernels.dram.commands import choose, perform
from accelsim.kernels.dram.state import NEVER, NONE, READ, STRICT, WRITE, Int, hold


@inlined
def due(s: Int, bank: int, now: int, only: int) -> int:
    """The command that a bank may issue now, or NONE."""
    command, users = (s[bank + at.ROW_COMMAND], s[at.ROW_USERS]) if only == at.ROWS_ONLY else (s[at.SERVING], s[at.COLUMN_USERS])
    return int(command if users & s[bank + at.BIT] and when(s, bank, command, start_of(s, command, now)) == now else NONE)


@inlined
def oldest_due(s: Int, now: int, only: int) -> int:
    """The bank that issues a column or a row command now and the command, as bank << 2 | command, or NONE.

    The one whose request is the oldest; rows that nobody waits for are closed last, in turn.
    """
    b, best, found = s[at.LAST_BANK], NEVER, NONE
    for _ in range(s[at.BANKS]):
        b = b + 1 if b + 1 < s[at.BANKS] else 0
        bank = at.BANK_AT + at.BANK_SIZE * b
        command = due(s, bank, now, only)
        if command == NONE:
            continue
        e = s[bank + at.FIRST_HIT + command] if command <= WRITE else oldest(s, bank, STRICT)
        order = NEVER if e == NONE else s[e + at.ORDER]
        if found == NONE or order < best:
            best, found = order, bank << 2 | command
    return int(found)


@inlined
def issue(s: Int, now: int, only: int) -> int:
    """Issue a column command that is due, or else a row command, for the oldest request; the request that was served, or NONE."""
    found = NONE if only == at.ROWS_ONLY else oldest_due(s, now, at.COLUMNS_ONLY)
    if found == NONE:
        found = oldest_due(s, now, at.ROWS_ONLY)
    bank, command = found >> 2, found & 3
    e = perform(s, bank, command, now, STRICT)
    if e != NONE:
        s[at.WAITING + command] -= 1
        turn(s)
    return int(e)


@inlined
def turn(s: Int) -> None:
    """See whether it changes between serving reads and writes now."""
    reads, writes = s[at.WAITING], s[at.WAITING + WRITE]
    begin = writes >= s[at.HIGH] or (reads == 0 and writes > 0)
    if begin if s[at.SERVING] == READ else writes <= s[at.LOW] and reads > 0:
        s[at.SERVING] = WRITE - s[at.SERVING]
        for b in range(s[at.BANKS]):
            review(s, at.BANK_AT + at.BANK_SIZE * b, STRICT)


@called
def step(s: Int, now: int) -> int:
    """As `controller.step`."""
    e = NONE
    if now >= s[at.REFRESH_DUE]:
        refresh(s, now)
    elif s[at.COMMAND_TIME] <= now:
        e = issue(s, now, at.ANY)
        if s[at.DUAL_COMMAND] == 1:
            e = issue_another(s, e, now)
    hold(s, choose(s, now + 1, STRICT, at.ANY))
    return int(e)


@called
def issue_another(s: Int, e: int, now: int) -> int:
    """As `controller.issue_another`."""
    if e != NONE:
        return int(max(e, issue(s, now, at.ROWS_ONLY)) if choose(s, now, STRICT, at.ROWS_ONLY).time <= now else e)
    return int(issue(s, now, at.ANY) if choose(s, now, STRICT, at.COLUMNS_ONLY).time <= now else e)


@called
def admit(s: Int, now: int, bank: int, e: int, kind: int) -> None:
    """Request `e` arrives at its bank at clock `now`."""
    append(s, bank, e, kind)
    s[at.WAITING + kind] += 1
    join(s, bank, e, kind)
    review(s, bank, STRICT)
    turn(s)
    hold(s, choose(s, now + 1, STRICT, at.ANY))
