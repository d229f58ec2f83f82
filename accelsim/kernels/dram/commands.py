"""Which command goes next, and what it does. First ready, first come, first served."""

from __future__ import annotations

from accelsim.kernels.compile import inlined
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.banks import (
    activate,
    column_of,
    oldest,
    precharge,
    review,
    serve,
    start_of,
    turn_of,
    want_column,
    want_row,
    when,
)
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, PRECHARGE, READ, STAGED, STRICT, WRITE, Int, Plan, next_of


@inlined
def choose(s: Int, now: int, controller: int, only: int) -> Plan:
    """The next command, which will be issued at `now` or later: the first that any bank may have; of several at once the next bank's.

    Banks are asked in turn, so the first that may have a command as soon as any may is the one. Those that want a row command are asked
    only if one of them may come before a column; of one bank's two commands the row command comes first.
    `only`: ANY, COLUMNS_ONLY or ROWS_ONLY; a constant of the caller.
    """
    last = s[at.LAST_BANK]
    plan = Plan(NEVER, NONE, READ)
    users = 0 if only == at.ROWS_ONLY else s[at.COLUMN_USERS]
    if users != 0:
        best, choice, command = NEVER, NONE, READ
        read_start, write_start = start_of(s, READ, now), start_of(s, WRITE, now)
        first = min(read_start, write_start)
        # Neighbours of the last column wait longer. Only if no other bank may have one as soon as any may are all asked in turn.
        waiting = users & neighbours(s, first)
        others = users if waiting != 0 else 0
        users ^= waiting
        while users | others != 0:
            if users == 0:
                users, others, best, choice = others, 0, NEVER, NONE
            bank, users = next_of(users, last)
            kind = column_of(s, bank, read_start, write_start, controller)
            time = when(s, bank, kind, read_start if kind == READ else write_start)
            if time < best:
                best, choice, command = time, bank, kind
                if time == first:
                    break
        plan = Plan(best, choice, command)
    if only != at.COLUMNS_ONLY and s[at.ROW_FLOOR] <= plan.time:
        plan = choose_row(s, last, now, plan)
    return plan


@inlined
def neighbours(s: Int, first: int) -> int:
    """The banks of the group of the last column command, if none of them may have another at `first`; else none."""
    group = s[at.COLUMN_GROUP]
    return int(s[at.COLUMN_BANKS] if min(max(s[group + READ], s[at.RANK_READ]), max(s[group + WRITE], s[at.RANK_WRITE])) > first else 0)


@inlined
def choose_row(s: Int, last: int, now: int, plan: Plan) -> Plan:
    """The plan, or the first row command, if it comes before.

    Distances only grow, so until a bank begins to want one no row command comes before the soonest now; nor, if that is issued, before the
    second.
    """
    users = s[at.ROW_USERS]
    opening, closing = start_of(s, ACTIVATE, now), start_of(s, PRECHARGE, now)
    soonest, second, choice = NEVER + 1, NEVER + 1, NONE
    while users != 0:
        bank, users = next_of(users, last)
        command = s[bank + at.ROW_COMMAND]
        time = when(s, bank, command, opening if command == ACTIVATE else closing)
        second = min(second, max(soonest, time))
        choice = bank if time < soonest else choice
        soonest = min(soonest, time)
    s[at.ROW_FLOOR], s[at.SECOND_FLOOR] = soonest, second
    if soonest < plan.time or (soonest == plan.time and turn_of(s, choice) <= turn_of(s, plan.bank)):
        return Plan(soonest, choice, s[choice + at.ROW_COMMAND])
    return plan


@inlined
def perform(s: Int, bank: int, command: int, now: int, controller: int) -> int:
    """Issue a command that a bank has a use for; the request that a column command serves, or NONE."""
    s[at.LAST_BANK] = s[bank + at.NUMBER]
    if command <= WRITE:
        e = serve(s, bank, command, now)
        hits = s[bank + at.QUEUED_HITS + command]
        if hits == 0 or (s[bank + at.COLUMNS] >= s[at.HIT_CAP] and s[bank + at.LENGTH] != hits):  # else the bank wants what it wanted
            review(s, bank, controller)
        return int(e)
    if controller == STAGED:  # which issues what it has chosen
        s[at.ROW_FLOOR] = s[at.SECOND_FLOOR]
    if command == ACTIVATE:
        activate(s, bank, now, controller)
        want_column(s, bank, True)  # for the request that the row was opened for
        want_row(s, bank, False)
    else:
        precharge(s, bank, now)
        s[bank + at.TOUCH] = at.CONFLICT if s[bank + at.LENGTH] > 0 else at.HIT
        want_column(s, bank, False)
        want_row(s, bank, oldest(s, bank, controller) != NONE if controller == STRICT else s[bank + at.LENGTH] > 0)
    return NONE
