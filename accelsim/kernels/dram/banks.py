"""What requests and commands do to the banks: queues, rows, and from when each command is allowed.

`controller`, where it is asked for, is a constant of the caller: code of the other one is not made.
"""

from __future__ import annotations

from accelsim.kernels.compile import called, inlined
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, PRECHARGE, READ, STRICT, WRITE, Int
from accelsim.kernels.dram.vectors import rarely


@inlined
def first_queued(s: Int, bank: int, kind: int) -> int:
    """The oldest request of a kind in the queue of a bank, or NONE."""
    e = s[bank + at.REQUESTS + 2 * kind + at.NEXT]
    return int(NONE if e == s[bank + at.FIRST_WAITING + kind] else e)


@inlined
def oldest(s: Int, bank: int, controller: int) -> int:
    """The oldest request in the queue of a bank, of the kinds that are served now, or NONE."""
    if controller == STRICT:
        return first_queued(s, bank, s[at.SERVING])
    read, write = first_queued(s, bank, READ), first_queued(s, bank, WRITE)
    return int(write if read == NONE or (write != NONE and s[write + at.ORDER] < s[read + at.ORDER]) else read)


@inlined
def review(s: Int, bank: int, controller: int) -> None:
    """The queue or the row of a bank has changed: has it a use for a column command, or for a row command?"""
    open_row, length = s[bank + at.OPEN_ROW], s[bank + at.LENGTH]
    hits = s[bank + at.QUEUED_HITS + s[at.SERVING]] if controller == STRICT else s[bank + at.QUEUED_HITS] + s[bank + at.QUEUED_HITS_WRITE]
    if hits > 0 and s[bank + at.COLUMNS] < s[at.HIT_CAP]:
        change = False
    elif length == 0:
        change = s[at.CLOSED_PAGE] == 1 and open_row != NONE
    elif controller == STRICT or hits > 0:
        head = oldest(s, bank, controller)
        change = head != NONE and s[head + at.ROW] != open_row
    else:
        change = True
    want_column(s, bank, hits > 0)
    want_row(s, bank, change)


@inlined
def want_column(s: Int, bank: int, wanted: bool) -> None:
    """Note whether a bank has a use for a column command."""
    bit = s[bank + at.BIT]
    s[at.COLUMN_USERS] = (s[at.COLUMN_USERS] | bit) ^ (0 if wanted else bit)


@inlined
def want_row(s: Int, bank: int, wanted: bool) -> None:
    """Note whether a bank has a use for a row command."""
    bit = s[bank + at.BIT]
    s[at.ROW_USERS] = (s[at.ROW_USERS] | bit) ^ (0 if wanted else bit)
    if wanted:
        command = s[bank + at.ROW_COMMAND]
        s[at.ROW_FLOOR] = min(s[at.ROW_FLOOR], s[bank + at.NOT_BEFORE + command])


@inlined
def when(s: Int, bank: int, command: int, start: int) -> int:
    """From when a bank may have a command, which any bank may have from `start` on."""
    return int(max(s[bank + at.NOT_BEFORE + command], s[s[bank + at.GROUP] + command], start))


@inlined
def start_of(s: Int, command: int, now: int) -> int:
    """From when any bank may have a command, `now` or later."""
    return int(max(s[at.RANK_READ + command], now))


@inlined
def turn_of(s: Int, bank: int) -> int:
    """How far a bank is in turn after the last one."""
    return int((s[bank + at.NUMBER] - s[at.LAST_BANK] - 1) & (s[at.BANKS] - 1))


@inlined
def column_of(s: Int, bank: int, read_start: int, write_start: int, controller: int) -> int:
    """Which column command a bank has a use for, READ or WRITE; of two the sooner, of two at once the older request's."""
    if controller == STRICT:
        return int(s[at.SERVING])
    if s[bank + at.QUEUED_HITS] == 0:
        return WRITE
    if not rarely(s[bank + at.QUEUED_HITS_WRITE] != 0):
        return READ
    read, write = when(s, bank, READ, read_start), when(s, bank, WRITE, write_start)
    older = s[s[bank + at.FIRST_HIT_WRITE] + at.ORDER] < s[s[bank + at.FIRST_HIT] + at.ORDER]
    return WRITE if write < read or (write == read and older) else READ


@inlined
def append(s: Int, bank: int, e: int, kind: int) -> None:
    """Request `e` waits for a place in its bank's queue, behind all others."""
    ring = bank + at.REQUESTS + 2 * kind
    last = s[ring + at.PREVIOUS]
    s[e + at.NEXT], s[e + at.PREVIOUS] = ring, last
    s[last + at.NEXT] = s[ring + at.PREVIOUS] = e
    first = s[bank + at.FIRST_WAITING + kind]
    s[bank + at.FIRST_WAITING + kind] = e if first == ring else first


@inlined
def join(s: Int, bank: int, e: int, kind: int) -> None:
    """The first request that waits joins its bank's queue."""
    s[bank + at.FIRST_WAITING + kind] = s[e + at.NEXT]
    s[bank + at.LENGTH] += 1
    s[at.QUEUED] += 1
    s[e + at.ORDER] = s[at.SEQUENCE]
    s[at.SEQUENCE] += 1
    hit = s[e + at.ROW] == s[bank + at.OPEN_ROW]
    first = s[bank + at.FIRST_HIT + kind]
    s[bank + at.FIRST_HIT + kind] = e if hit & (s[bank + at.QUEUED_HITS + kind] == 0) else first
    s[bank + at.QUEUED_HITS + kind] += hit


@inlined
def serve(s: Int, bank: int, kind: int, now: int) -> int:
    """Issue the column command of the first hit, which sets the end of its data; that request."""
    group = s[bank + at.GROUP]
    e = s[bank + at.FIRST_HIT + kind]
    before, after = s[e + at.PREVIOUS], s[e + at.NEXT]
    s[before + at.NEXT], s[after + at.PREVIOUS] = after, before
    s[e + at.NEXT] = s[at.FREE]
    s[at.FREE] = e
    s[bank + at.LENGTH] -= 1
    s[at.QUEUED] -= 1
    hits = s[bank + at.QUEUED_HITS + kind] - 1
    s[bank + at.QUEUED_HITS + kind] = hits
    if hits > 0:
        while s[after + at.ROW] != s[bank + at.OPEN_ROW]:
            after = s[after + at.NEXT]
        s[bank + at.FIRST_HIT + kind] = after
    s[at.COLUMN_GROUP], s[at.COLUMN_BANKS] = group, s[bank + at.GROUP_BANKS]
    s[bank + at.COLUMNS] += 1
    s[at.HITS + s[bank + at.TOUCH]] += 1
    s[bank + at.TOUCH] = at.HIT
    s[at.READS + kind] += 1
    s[at.RANK_READ + kind], s[group + kind] = now + s[at.COLUMN_SHORT], now + s[at.COLUMN_LONG]
    if kind == READ:
        s[at.LAST_DATA] = now + s[at.READ_END]
        s[at.RANK_WRITE] = max(s[at.RANK_WRITE], now + s[at.READ_TO_WRITE])
        s[bank + at.NOT_BEFORE_PRECHARGE] = max(s[bank + at.NOT_BEFORE_PRECHARGE], now + s[at.READ_TO_PRECHARGE])
    else:
        s[at.LAST_DATA] = now + s[at.WRITE_END]
        s[at.RANK_READ] = max(s[at.RANK_READ], now + s[at.WRITE_TO_READ_SHORT])
        s[group + READ] = max(s[group + READ], now + s[at.WRITE_TO_READ_LONG])
        s[bank + at.NOT_BEFORE_PRECHARGE] = max(s[bank + at.NOT_BEFORE_PRECHARGE], now + s[at.WRITE_TO_PRECHARGE])
    return int(e)


@inlined
def activate(s: Int, bank: int, now: int, controller: int) -> None:
    """Open the row of the oldest request, and see which other queued requests hit it."""
    row = s[oldest(s, bank, controller) + at.ROW]
    s[bank + at.OPEN_ROW], s[bank + at.ROW_COMMAND] = row, PRECHARGE
    s[bank + at.COLUMNS] = 0
    if s[bank + at.TOUCH] == at.HIT:
        s[bank + at.TOUCH] = at.MISS
    s[bank + at.NOT_BEFORE], s[bank + at.NOT_BEFORE_WRITE] = now + s[at.ACTIVATE_TO_READ], now + s[at.ACTIVATE_TO_WRITE]
    s[bank + at.NOT_BEFORE_PRECHARGE] = now + s[at.ACTIVATE_TO_PRECHARGE]
    s[bank + at.NOT_BEFORE_ACTIVATE] = now + s[at.ACTIVATE_TO_ACTIVATE]
    s[at.FAW_AT + s[at.FAW_SLOT]] = now + s[at.FOUR_ACTIVATES]
    s[at.FAW_SLOT] = (s[at.FAW_SLOT] + 1) & 3
    s[at.RANK_ACTIVATE] = max(now + s[at.ACTIVATE_SHORT], s[at.FAW_AT + s[at.FAW_SLOT]])
    s[s[bank + at.GROUP] + ACTIVATE] = now + s[at.ACTIVATE_LONG]
    s[at.ACTIVATES] += 1
    for kind in range(2):
        e, end = s[bank + at.REQUESTS + 2 * kind + at.NEXT], s[bank + at.FIRST_WAITING + kind]
        count = 0
        while e != end:
            if s[e + at.ROW] == row:
                if count == 0:
                    s[bank + at.FIRST_HIT + kind] = e
                count += 1
            e = s[e + at.NEXT]
        s[bank + at.QUEUED_HITS + kind] = count


@inlined
def precharge(s: Int, bank: int, now: int) -> None:
    """Close the open row."""
    s[bank + at.OPEN_ROW], s[bank + at.ROW_COMMAND] = NONE, ACTIVATE
    s[bank + at.QUEUED_HITS] = s[bank + at.QUEUED_HITS_WRITE] = 0
    s[bank + at.NOT_BEFORE_ACTIVATE] = max(s[bank + at.NOT_BEFORE_ACTIVATE], now + s[at.PRECHARGE_TO_ACTIVATE])
    s[at.RANK_PRECHARGE] = now + s[at.PRECHARGE_TO_PRECHARGE]
    s[at.PRECHARGES] += 1


@called
def refresh(s: Int, now: int) -> None:
    """Close every bank, one a clock as soon as each may, then refresh them all; no activate before its end."""
    clock = now
    while True:
        pick, least = NONE, NEVER
        for b in range(s[at.BANKS]):
            bank = at.BANK_AT + at.BANK_SIZE * b
            if s[bank + at.OPEN_ROW] != NONE:
                time = max(s[bank + at.NOT_BEFORE_PRECHARGE], s[at.RANK_PRECHARGE], clock)
                if time < least:
                    pick, least = bank, time
        if pick == NONE:
            break
        precharge(s, pick, least)
        clock = least + 1
    for b in range(s[at.BANKS]):
        clock = max(clock, s[at.BANK_AT + at.BANK_SIZE * b + at.NOT_BEFORE_ACTIVATE])
    for b in range(s[at.BANKS]):
        bank = at.BANK_AT + at.BANK_SIZE * b
        s[bank + at.NOT_BEFORE_ACTIVATE] = clock + s[at.REFRESH_TIME]
        s[bank + at.TOUCH] = at.HIT
        if s[at.CONTROLLER] == STRICT:
            review(s, bank, STRICT)
        else:
            review(s, bank, at.STAGED)
    s[at.REFRESHES] += 1
    s[at.REFRESH_DUE] += s[at.REFRESH_INTERVAL]
