"""The controller: which command goes next, and how requests reach the banks. First ready, first come, first served.

No clock is ticked: every constraint is a "not before" time, so the clock of the next command is known at once.
At a clock the order is: command, transfer of one waiting request to its bank's queue, then arrivals. Two ways of working:
* staged (as in DRAMsim3): requests wait in a read and a write queue; one a clock moves to its bank's short queue, where reads and writes
  mix; writes move in batches: when `high` of them wait, or more than `low` and no command is queued.
* strict (as in Ramulator 2): every request is seen at once, but only reads or only writes are served, between two watermarks.
"""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.banks import activate, enter, oldest, precharge, refresh, review, serve
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, PRECHARGE, READ, STAGED, STRICT, WRITE, Int, locate


@inlined
def choose(s: Int, now: int) -> None:
    """Find when the next command will be issued, `now` or later."""
    s[at.STALE] = 0
    time = NEVER
    for command in range(4):
        if s[at.USERS + command] == 0 or s[at.ONLY] == (at.COLUMNS_ONLY if command > WRITE else at.ROWS):
            continue
        soonest = NEVER
        for group in range(at.GROUP_AT + command, at.GROUP_AT + at.GROUP_SIZE * s[at.GROUPS], at.GROUP_SIZE):
            soonest = min(soonest, max(s[group + at.LEAST], s[group]))
            if soonest <= now:
                break
        time = min(time, max(soonest, s[at.RANK_READ + command]))
    s[at.COMMAND_TIME] = max(time, now)


@inlined
def due(s: Int, b: int, now: int, only: int) -> int:
    """The command that bank `b` may issue now, in the order of its queue, or NONE."""
    ready, group = at.READY_AT + b, s[at.BANK_AT + at.BANK_SIZE * b + at.GROUP]
    if only != at.COLUMNS_ONLY:
        if max(s[ready + at.MAX_BANKS * PRECHARGE], s[at.RANK_PRECHARGE]) <= now:
            return PRECHARGE
        if max(s[ready + at.MAX_BANKS * ACTIVATE], s[at.RANK_ACTIVATE], s[group + ACTIVATE]) <= now:
            return ACTIVATE
    if only != at.ROWS:
        read = max(s[ready], s[at.RANK_READ], s[group]) <= now
        if max(s[ready + at.MAX_BANKS], s[at.RANK_WRITE], s[group + WRITE]) <= now:
            bank = at.BANK_AT + at.BANK_SIZE * b
            if not read or s[s[bank + at.FIRST_HIT_WRITE] + at.ORDER] < s[s[bank + at.FIRST_HIT] + at.ORDER]:
                return WRITE
        if read:
            return READ
    return NONE


@inlined
def pick(s: Int, now: int, only: int) -> int:
    """The bank that issues a command now, and that command, as bank * 4 + command; NONE if there is none.

    Staged: the first in turn after the last one. Strict: the one whose request is the oldest.
    """
    b, best, found = s[at.LAST_BANK], NEVER, NONE
    for _ in range(s[at.BANKS]):
        b = b + 1 if b + 1 < s[at.BANKS] else 0
        if s[at.BANK_AT + at.BANK_SIZE * b + at.LENGTH] == 0 and s[at.CLOSED_PAGE] == 0:
            continue
        command = due(s, b, now, only)
        if command == NONE:
            continue
        if s[at.CONTROLLER] == STAGED:
            return int(b * 4 + command)
        bank = at.BANK_AT + at.BANK_SIZE * b
        e = s[bank + at.FIRST_HIT + command] if command <= WRITE else oldest(s, bank)
        if e == NONE or s[e + at.ORDER] < best:
            best, found = NEVER if e == NONE else s[e + at.ORDER], b * 4 + command
    return int(found)


@inlined
def issue(s: Int, now: int) -> int:
    """Issue the command that is due; which one it was. The next bank in turn goes first (strict controller: columns first)."""
    only = at.COLUMNS_ONLY if s[at.CONTROLLER] == STRICT and s[at.ONLY] == at.ANY else s[at.ONLY]
    found = pick(s, now, only)
    if found == NONE:
        found = pick(s, now, at.ROWS)
    b, command = found >> 2, found & 3
    s[at.LAST_BANK], s[at.STALE] = b, 1
    if command <= WRITE:
        serve(s, b, command, now)
    elif command == ACTIVATE:
        activate(s, b, now)
    else:
        precharge(s, at.BANK_AT + at.BANK_SIZE * b, now)
        s[at.BANK_AT + at.BANK_SIZE * b + at.TOUCH] = at.CONFLICT if s[at.BANK_AT + at.BANK_SIZE * b + at.LENGTH] > 0 else at.HIT
    bank = at.BANK_AT + at.BANK_SIZE * b
    # A hit that leaves a bank with hits of the same kind and a hit at its head changes nothing.
    if command > WRITE or s[bank + at.QUEUED_HITS + command] == 0 or s[oldest(s, bank) + at.ROW] != s[bank + at.OPEN_ROW]:
        review(s, b)
    if command <= WRITE:
        if s[at.CONTROLLER] == STAGED:
            for kind in range(2):
                if s[bank + at.WAITING_HERE + kind] > 0:
                    free(s, b, kind)
                    s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
            if s[at.QUEUED] == 0 and s[at.WAITING + 6] > s[at.LOW]:
                s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
        else:
            s[at.WAITING + 4 * command + 2] -= 1
            turn(s)
    return int(command)


@inlined
def turn(s: Int) -> bool:
    """Strict controller: whether it changes between serving reads and writes now."""
    reads, writes = s[at.WAITING + 2], s[at.WAITING + 6]
    begin = writes >= s[at.HIGH] or (reads == 0 and writes > 0)
    change = begin if s[at.SERVING] == READ else writes <= s[at.LOW] and reads > 0
    if change:
        s[at.SERVING] = WRITE - s[at.SERVING]
        for b in range(s[at.BANKS]):
            review(s, b)
    return bool(change)


@inlined
def free(s: Int, b: int, kind: int) -> None:
    """There is room again in the queue of bank `b`, for which requests wait."""
    queue = at.WAITING + 4 * kind
    if s[queue + at.BLOCKED] == s[queue + 1] and s[at.FREED + kind] == NONE:
        s[at.FREED + kind] = b
    else:
        s[queue + at.BLOCKED] = s[at.FREED + kind] = NONE


@inlined
def transfer(s: Int, now: int) -> None:
    """Staged controller: move the oldest waiting request whose bank's queue has room."""
    waiting = s[at.WAITING + 6]
    if s[at.DRAINING] == 0 and (waiting >= s[at.HIGH] or (waiting > s[at.LOW] and s[at.QUEUED] == 0)):
        s[at.DRAINING] = waiting
    kind = WRITE if s[at.DRAINING] > 0 else READ
    queue = at.WAITING + 4 * kind
    freed = s[at.FREED + kind]
    s[at.FREED + kind] = NONE
    if freed != NONE and s[at.BANK_AT + at.BANK_SIZE * freed + at.LENGTH] < s[at.BANK_QUEUE]:
        # All others that wait are known to find no room.
        before, e = NONE, s[queue]
        while s[e + at.BANK] != freed:
            e, before = s[e + at.NEXT], e
        if s[queue + at.BLOCKED] == e:
            s[queue + at.BLOCKED] = before
    else:
        before = s[queue + at.BLOCKED]
        e = s[queue] if before == NONE else s[before + at.NEXT]
        while e != NONE and s[at.BANK_AT + at.BANK_SIZE * s[e + at.BANK] + at.LENGTH] >= s[at.BANK_QUEUE]:
            e, before = s[e + at.NEXT], e
        s[queue + at.BLOCKED] = before
    s[at.TRANSFER_TIME] = NEVER
    if e == NONE:
        return
    after = s[e + at.NEXT]
    if before == NONE:
        s[queue] = after
    else:
        s[before + at.NEXT] = after
    if after == NONE:
        s[queue + 1] = before
    s[queue + 2] -= 1
    s[at.BANK_AT + at.BANK_SIZE * s[e + at.BANK] + at.WAITING_HERE + kind] -= 1
    s[at.DRAINING] -= kind
    enter(s, e)
    turns = kind == WRITE and s[at.DRAINING] == 0 and (s[at.WAITING + 2] > 0 or s[at.WAITING + 6] >= s[at.HIGH])
    if turns or s[queue + at.BLOCKED] != s[queue + 1]:
        s[at.TRANSFER_TIME] = now + 1


@inlined
def step(s: Int, now: int) -> None:
    """What the controller does at clock `now`: refresh or one command, then one transfer."""
    if now >= s[at.REFRESH_DUE]:
        refresh(s, now)
    elif s[at.COMMAND_TIME] <= now:
        command = issue(s, now)
        if s[at.DUAL_COMMAND] == 1:
            s[at.ONLY] = at.ROWS if command <= WRITE else at.COLUMNS_ONLY
            choose(s, now)
            if s[at.COMMAND_TIME] == now:
                issue(s, now)
            s[at.ONLY], s[at.STALE] = at.ANY, 1
    if s[at.TRANSFER_TIME] <= now:
        transfer(s, now)
    if s[at.STALE] == 1:
        choose(s, now + 1)


@kernel
def admit(s: Int, now: int, burst: int, kind: int, tag: int) -> None:
    """A read or write of one burst arrives at clock `now`, after `step` of that clock; the caller has seen `room`."""
    e = s[at.FREE]
    s[at.FREE] = s[e + at.NEXT]
    s[e + at.BANK], s[e + at.ROW], s[e + at.KIND] = locate(s, burst), burst >> s[at.ROW_SHIFT], kind
    s[e + at.TAG], s[e + at.ARRIVAL] = tag, now
    queue = at.WAITING + 4 * kind
    s[queue + 2] += 1
    if s[at.CONTROLLER] == STRICT:
        enter(s, e)
        turn(s)
        if s[at.STALE] == 1:
            choose(s, now + 1)
        return
    bank = at.BANK_AT + at.BANK_SIZE * s[e + at.BANK]
    alone = kind == READ and s[at.WAITING + 2] + s[at.WAITING + 6] == 1 and s[bank + at.LENGTH] < s[at.BANK_QUEUE]
    if alone and min(s[at.COMMAND_TIME], s[at.REFRESH_DUE]) > now + 1:
        # Nothing comes before it or sees the difference, so the transfer of the next clock is made at once.
        s[queue + 2] = 0
        enter(s, e)
        if s[at.STALE] == 1:
            choose(s, now + 2)
        return
    s[e + at.NEXT] = NONE
    s[bank + at.WAITING_HERE + kind] += 1
    if s[queue + 2] == 1:
        s[queue] = e
    else:
        s[s[queue + 1] + at.NEXT] = e
    s[queue + 1] = e
    writes = s[at.WAITING + 6]
    drains = s[at.DRAINING] > 0 or writes >= s[at.HIGH] or (writes > s[at.LOW] and s[at.QUEUED] == 0)
    if drains if kind == WRITE else s[at.DRAINING] == 0:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now + 1)


@kernel
def flush(s: Int, now: int) -> None:
    """Let a staged controller write what it holds, however little."""
    if s[at.CONTROLLER] == STAGED and s[at.WAITING + 6] > 0:
        s[at.DRAINING] = s[at.WAITING + 6]
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
