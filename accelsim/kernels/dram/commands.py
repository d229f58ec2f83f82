"""Which command goes next, and what it does. First ready, first come, first served."""

from __future__ import annotations

from accelsim.kernels.compile import inlined
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.banks import activate, column_of, precharge, review, serve, start_of, turn_of, when
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, PRECHARGE, READ, WRITE, Int, next_of
from accelsim.kernels.dram.vectors import rarely


@inlined
def choose(s: Int, now: int, controller: int) -> None:
    """Find the next command, which will be issued at `now` or later: the first that any bank may have; of several at once the next bank's.

    Banks are asked in turn, so the first that may have a command as soon as any may is the one. Those that want a row command are asked
    only if one of them may come before a column; of one bank's two commands the row command comes first.
    """
    s[at.STALE], s[at.COMMAND_TIME], s[at.CHOICE] = 0, NEVER, NONE
    only, last = s[at.ONLY], s[at.LAST_BANK]
    users = 0 if rarely(only == at.ROWS_ONLY) else s[at.COLUMN_USERS]
    if users != 0:
        best, choice, command = NEVER, NONE, READ
        read_start, write_start = start_of(s, READ, now), start_of(s, WRITE, now)
        first = min(read_start, write_start)
        while users != 0:
            bank, users = next_of(users, last)
            kind = column_of(s, bank, read_start, write_start, controller)
            time = when(s, bank, kind, read_start if kind == READ else write_start)
            if time < best:
                best, choice, command = time, bank, kind
                if time == first:
                    break
        s[at.COMMAND_TIME], s[at.CHOICE], s[at.COMMAND] = best, choice, command
    if not rarely(only == at.COLUMNS_ONLY):
        choose_row(s, PRECHARGE, s[at.ROW_USERS] & s[at.OPEN_BANKS], last, now)
        choose_row(s, ACTIVATE, s[at.ROW_USERS] & ~s[at.OPEN_BANKS], last, now)


@inlined
def choose_row(s: Int, command: int, users: int, last: int, now: int) -> None:
    """Have the first row command of a kind take the place of the next command, if it comes before."""
    start, best = start_of(s, command, now), s[at.COMMAND_TIME]
    if users == 0 or s[at.FLOOR + command] > best or start > best:
        return
    soonest, choice = NEVER, NONE
    while users != 0:
        bank, users = next_of(users, last)
        time = when(s, bank, command, start)
        if time < soonest:
            soonest, choice = time, bank
            if time == start:
                break
    s[at.FLOOR + command] = soonest
    if soonest < best or (soonest == best and turn_of(s, choice) <= turn_of(s, s[at.CHOICE])):
        s[at.COMMAND_TIME], s[at.CHOICE], s[at.COMMAND] = soonest, choice, command


@inlined
def perform(s: Int, bank: int, command: int, now: int, controller: int) -> int:
    """Issue a command that a bank has a use for; the request that a column command serves, or NONE."""
    s[at.LAST_BANK], s[at.STALE] = s[bank + at.NUMBER], 1
    if command <= WRITE:
        e = serve(s, bank, command, now)
        if s[bank + at.QUEUED_HITS + command] == 0 or s[bank + at.COLUMNS] >= s[at.HIT_CAP]:  # else the bank wants what it wanted
            review(s, bank, controller)
        return int(e)
    if command == ACTIVATE:
        activate(s, bank, now, controller)
    else:
        precharge(s, bank, now)
        s[bank + at.TOUCH] = at.CONFLICT if s[bank + at.LENGTH] > 0 else at.HIT
    review(s, bank, controller)
    return NONE
