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
from accelsim.kernels.dram.banks import activate, enter, offer_column, offer_row, oldest, precharge, refresh, review, serve
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, READ, STAGED, STRICT, WRITE, Int, first_of, locate


@inlined
def choose(s: Int, now: int) -> None:
    """Find the next command, which will be issued at `now` or later: its time, and which bank comes first by then.

    Banks that want a column are asked in turn, so that the first of those that can have it as soon as any column may be is the one.
    """
    key, choice, only = NEVER << 8, NONE, s[at.ONLY]
    users = s[at.ROW_USERS] if only != at.COLUMNS_ONLY else 0
    while users != 0:
        bank = first_of(users)
        users ^= s[bank + at.BIT]
        other = offer_row(s, bank, now)
        if other < key:
            key, choice = other, bank
    users, first = s[at.COLUMN_USERS] if only != at.ROWS else 0, max(min(s[at.RANK_READ], s[at.RANK_WRITE]), now)
    while users != 0 and key >> 8 >= first:
        bank = first_of(users & s[at.LATER_BANKS] if users & s[at.LATER_BANKS] != 0 else users)
        users ^= s[bank + at.BIT]
        other = offer_column(s, bank, now)
        if other < key:
            key, choice = other, bank
        if other >> 8 == first:
            break
    s[at.STALE], s[at.KEY], s[at.CHOICE], s[at.COMMAND_TIME] = 0, key, choice, key >> 8


@inlined
def due(s: Int, bank: int, now: int, only: int) -> int:
    """Strict controller: the command that a bank may issue now, or NONE."""
    group = s[bank + at.GROUP]
    if only == at.ROWS:
        command = s[bank + at.ROW_COMMAND]
        return int(command if max(s[bank + at.READY_ROW], s[at.RANK_READ + command], s[group + command]) <= now else NONE)
    for kind in (READ, WRITE):
        if max(s[bank + at.READY + kind], s[at.RANK_READ + kind], s[group + kind]) <= now:
            return kind
    return NONE


@inlined
def oldest_due(s: Int, now: int, only: int) -> int:
    """Strict controller: the bank that issues a column or a row command now and the command, as bank << 2 | command, or NONE.

    The one whose request is the oldest.
    """
    b, best, found = s[at.LAST_BANK], NEVER, NONE
    for _ in range(s[at.BANKS]):
        b = b + 1 if b + 1 < s[at.BANKS] else 0
        bank = at.BANK_AT + at.BANK_SIZE * b
        if s[bank + at.LENGTH] == 0 and s[at.CLOSED_PAGE] == 0:
            continue
        command = due(s, bank, now, only)
        if command == NONE:
            continue
        e = s[bank + at.FIRST_HIT + command] if command <= WRITE else oldest(s, bank)
        if e == NONE or s[e + at.ORDER] < best:
            best, found = NEVER if e == NONE else s[e + at.ORDER], bank << 2 | command
    return int(found)


@inlined
def issue(s: Int, now: int) -> int:
    """Issue the command that is due; which one it was. The next bank in turn goes first (strict controller: columns, then the oldest)."""
    bank, command = s[at.CHOICE], 3 - (s[at.KEY] & 3)
    if s[at.CONTROLLER] == STRICT:
        found = NONE if s[at.ONLY] == at.ROWS else oldest_due(s, now, at.COLUMNS_ONLY)
        if found == NONE:
            found = oldest_due(s, now, at.ROWS)
        bank, command = found >> 2, found & 3
    s[at.LAST_BANK], s[at.LATER_BANKS], s[at.STALE] = s[bank + at.NUMBER], s[bank + at.LATER], 1
    if command <= WRITE:
        serve(s, bank, command, now)
        # A hit that leaves a bank with hits of the same kind, and with no wish to close, changes nothing.
        capped = s[bank + at.COLUMNS] >= s[at.HIT_CAP]
        if s[bank + at.QUEUED_HITS + command] == 0 or (capped and s[oldest(s, bank) + at.ROW] != s[bank + at.OPEN_ROW]):
            review(s, bank)
        if s[at.CONTROLLER] == STAGED:
            if s[bank + at.LENGTH] == s[at.BANK_QUEUE] - 1:
                free(s, bank, now)
            if s[at.QUEUED] == 0 and s[at.WAITING + WRITE] > s[at.LOW]:
                s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
        else:
            s[at.WAITING + command] -= 1
            turn(s)
        return int(command)
    if command == ACTIVATE:
        activate(s, bank, now)
    else:
        precharge(s, bank, now)
        s[bank + at.TOUCH] = at.CONFLICT if s[bank + at.LENGTH] > 0 else at.HIT
    review(s, bank)
    return int(command)


@inlined
def turn(s: Int) -> bool:
    """Strict controller: whether it changes between serving reads and writes now."""
    reads, writes = s[at.WAITING], s[at.WAITING + WRITE]
    begin = writes >= s[at.HIGH] or (reads == 0 and writes > 0)
    change = begin if s[at.SERVING] == READ else writes <= s[at.LOW] and reads > 0
    if change:
        s[at.SERVING], s[at.STALE] = WRITE - s[at.SERVING], 1
        for b in range(s[at.BANKS]):
            review(s, at.BANK_AT + at.BANK_SIZE * b)
    return bool(change)


@inlined
def free(s: Int, bank: int, now: int) -> None:
    """The queue of a bank is no longer full."""
    for kind in range(2):
        if s[bank + at.FIRST_WAITING + kind] != NONE:
            s[at.MOVABLE + kind] |= s[bank + at.BIT]
            if kind == (WRITE if s[at.DRAINING] > 0 else READ):
                s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)


@inlined
def fill(s: Int, bank: int) -> None:
    """Staged controller: where the queue of a bank has become full, nothing can be moved there."""
    if s[bank + at.LENGTH] == s[at.BANK_QUEUE]:
        s[at.MOVABLE] &= ~s[bank + at.BIT]
        s[at.MOVABLE + WRITE] &= ~s[bank + at.BIT]


@inlined
def transfer(s: Int, now: int) -> None:
    """Staged controller: move the oldest waiting request whose bank's queue has room."""
    waiting = s[at.WAITING + WRITE]
    if s[at.DRAINING] == 0 and (waiting >= s[at.HIGH] or (waiting > s[at.LOW] and s[at.QUEUED] == 0)):
        s[at.DRAINING] = waiting
    kind = WRITE if s[at.DRAINING] > 0 else READ
    s[at.TRANSFER_TIME] = NEVER
    movable = s[at.MOVABLE + kind]
    if movable == 0:
        return
    bank = first_of(movable)
    movable ^= s[bank + at.BIT]
    e = s[bank + at.FIRST_WAITING + kind]
    while movable != 0:
        another = first_of(movable)
        movable ^= s[another + at.BIT]
        other = s[another + at.FIRST_WAITING + kind]
        if s[other + at.ARRIVAL] < s[e + at.ARRIVAL]:
            bank, e = another, other
    s[bank + at.FIRST_WAITING + kind] = s[e + at.NEXT]
    if s[e + at.NEXT] == NONE:
        s[at.MOVABLE + kind] ^= s[bank + at.BIT]
    s[at.WAITING + kind] -= 1
    s[at.DRAINING] -= kind
    enter(s, e, now + 1)
    fill(s, bank)
    if s[at.MOVABLE + (WRITE if s[at.DRAINING] > 0 else READ)] != 0 or (s[at.DRAINING] == 0 and s[at.WAITING + WRITE] >= s[at.HIGH]):
        s[at.TRANSFER_TIME] = now + 1


@inlined
def step(s: Int, now: int) -> int:
    """What the controller does at clock `now`: refresh or one command, then one transfer.

    Returns the tag of the request whose column command that was, or NONE; LAST_DATA, DONE_KIND and DONE_ARRIVAL tell more of it.
    """
    s[at.DONE] = NONE
    if now >= s[at.REFRESH_DUE]:
        refresh(s, now)
    else:
        more = s[at.DUAL_COMMAND]
        while s[at.COMMAND_TIME] <= now:
            command = issue(s, now)
            if more == 0:
                break
            more, s[at.ONLY] = 0, at.ROWS if command <= WRITE else at.COLUMNS_ONLY
            choose(s, now)
        if s[at.ONLY] != at.ANY:
            s[at.ONLY], s[at.STALE] = at.ANY, 1
    if s[at.TRANSFER_TIME] <= now:
        transfer(s, now)
    if s[at.STALE] == 1:
        choose(s, now + 1)
    return int(s[at.DONE])


@inlined
def admit(s: Int, now: int, burst: int, kind: int, tag: int) -> None:
    """A read or write of one burst arrives at clock `now`, after `step` of that clock; the caller has seen `room`."""
    e = s[at.FREE]
    s[at.FREE] = s[e + at.NEXT]
    bank = locate(s, burst)
    s[e + at.BANK], s[e + at.ROW], s[e + at.KIND] = bank, burst >> s[at.ROW_SHIFT], kind
    s[e + at.TAG], s[e + at.ARRIVAL] = tag, now
    if s[at.CONTROLLER] == STRICT:
        s[at.WAITING + kind] += 1
        enter(s, e, now + 1)
        turn(s)
        if s[at.STALE] == 1:
            choose(s, now + 1)
        return
    has_room = s[bank + at.LENGTH] < s[at.BANK_QUEUE]
    if kind == READ and has_room and s[at.DRAINING] == 0 and min(s[at.TRANSFER_TIME], s[at.COMMAND_TIME], s[at.REFRESH_DUE]) > now + 1:
        # Nothing comes before it or sees the difference, so the transfer of the next clock is made at once.
        enter(s, e, now + 2)
        fill(s, bank)
        if s[at.STALE] == 1:
            choose(s, now + 2)
        return
    last = s[bank + at.LAST_WAITING + kind]
    s[e + at.NEXT] = NONE
    if s[bank + at.FIRST_WAITING + kind] == NONE:
        s[bank + at.FIRST_WAITING + kind] = e
    else:
        s[last + at.NEXT] = e
    s[bank + at.LAST_WAITING + kind] = e
    s[at.WAITING + kind] += 1
    if has_room:
        s[at.MOVABLE + kind] |= s[bank + at.BIT]
    writes = s[at.WAITING + WRITE]
    if s[at.DRAINING] == 0 and kind == WRITE:
        wanted = writes >= s[at.HIGH] or (writes > s[at.LOW] and s[at.QUEUED] == 0)
    else:
        wanted = has_room and kind == (WRITE if s[at.DRAINING] > 0 else READ)
    if wanted:
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now + 1)


@kernel
def flush(s: Int, now: int) -> None:
    """Let a staged controller write what it holds, however little."""
    if s[at.CONTROLLER] == STAGED and s[at.WAITING + WRITE] > 0:
        s[at.DRAINING] = s[at.WAITING + WRITE]
        s[at.TRANSFER_TIME] = min(s[at.TRANSFER_TIME], now)
