"""What requests and commands do to the banks: queues, rows, and from when each command is allowed."""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, PRECHARGE, READ, STAGED, STRICT, WRITE, Int


@inlined
def oldest(s: Int, bank: int) -> int:
    """The oldest request in the queue of a bank, of the kinds that are served now."""
    reads, writes = s[bank + at.HEAD], s[bank + at.HEAD_WRITE]
    if s[at.CONTROLLER] == STRICT:
        return int(reads if s[at.SERVING] == READ else writes)
    return int(writes if reads == NONE or (writes != NONE and s[writes + at.ORDER] < s[reads + at.ORDER]) else reads)


@inlined
def allow(s: Int, b: int, command: int, time: int) -> None:
    """Note from when bank `b` could use a command, and the least such time of its group."""
    ready, least = at.READY_AT + at.MAX_BANKS * command + b, s[at.BANK_AT + at.BANK_SIZE * b + at.GROUP] + at.LEAST + command
    before = s[ready]
    if time == before:
        return
    s[ready] = time
    if before == NEVER:
        s[at.USERS + command] += 1
    elif time == NEVER:
        s[at.USERS + command] -= 1
    if time < s[least]:
        s[least] = time
        s[at.STALE] = 1
    elif before == s[least]:
        first = ready - (b & (s[at.BANKS_PER_GROUP] - 1))
        for k in range(first, first + s[at.BANKS_PER_GROUP]):
            if s[k] == before:
                return
            time = min(time, s[k])
        s[least] = time
        s[at.STALE] = 1


@kernel
def review(s: Int, b: int) -> None:
    """The queue or the row of bank `b` has changed: which commands has it a use for, and from when?"""
    bank = at.BANK_AT + at.BANK_SIZE * b
    read = write = act = close = NEVER
    head = oldest(s, bank)
    if s[bank + at.OPEN_ROW] == NONE:
        if head != NONE:
            act = s[bank + at.ACTIVATE_TIME]
    else:
        if s[bank + at.QUEUED_HITS] > 0 and (s[at.CONTROLLER] == STAGED or s[at.SERVING] == READ):
            read = s[bank + at.COLUMN_TIME]
        if s[bank + at.QUEUED_HITS_WRITE] > 0 and (s[at.CONTROLLER] == STAGED or s[at.SERVING] == WRITE):
            write = s[bank + at.COLUMN_TIME_WRITE]
        if head == NONE:
            if s[at.CLOSED_PAGE] == 1 and s[bank + at.LENGTH] == 0:
                close = s[bank + at.PRECHARGE_TIME]
        elif s[head + at.ROW] != s[bank + at.OPEN_ROW] and (min(read, write) == NEVER or s[bank + at.COLUMNS] >= s[at.HIT_CAP]):
            close = s[bank + at.PRECHARGE_TIME]
    allow(s, b, READ, read)
    allow(s, b, WRITE, write)
    allow(s, b, ACTIVATE, act)
    allow(s, b, PRECHARGE, close)


@inlined
def enter(s: Int, e: int) -> None:
    """Request `e` takes the last place in its bank's queue."""
    kind, bank = s[e + at.KIND], at.BANK_AT + at.BANK_SIZE * s[e + at.BANK]
    last = s[bank + at.TAIL + kind]
    s[e + at.NEXT], s[e + at.PREVIOUS] = NONE, last
    if last == NONE:
        s[bank + at.HEAD + kind] = e
    else:
        s[last + at.NEXT] = e
    s[bank + at.TAIL + kind] = e
    s[bank + at.LENGTH] += 1
    s[at.QUEUED] += 1
    s[e + at.ORDER] = s[at.SEQUENCE]
    s[at.SEQUENCE] += 1
    news = last == NONE
    if s[e + at.ROW] == s[bank + at.OPEN_ROW]:
        if s[bank + at.QUEUED_HITS + kind] == 0:
            s[bank + at.FIRST_HIT + kind] = e
            news = True
        s[bank + at.QUEUED_HITS + kind] += 1
    if news:
        review(s, s[e + at.BANK])


@inlined
def serve(s: Int, b: int, kind: int, now: int) -> None:
    """Issue the column command of the first hit and decide its completion."""
    bank = at.BANK_AT + at.BANK_SIZE * b
    group = s[bank + at.GROUP]
    e = s[bank + at.FIRST_HIT + kind]
    before, after = s[e + at.PREVIOUS], s[e + at.NEXT]
    if before == NONE:
        s[bank + at.HEAD + kind] = after
    else:
        s[before + at.NEXT] = after
    if after == NONE:
        s[bank + at.TAIL + kind] = before
    else:
        s[after + at.PREVIOUS] = before
    s[bank + at.LENGTH] -= 1
    s[at.QUEUED] -= 1
    s[bank + at.QUEUED_HITS + kind] -= 1
    if s[bank + at.QUEUED_HITS + kind] > 0:
        while s[after + at.ROW] != s[bank + at.OPEN_ROW]:
            after = s[after + at.NEXT]
        s[bank + at.FIRST_HIT + kind] = after
    s[bank + at.COLUMNS] += 1
    s[at.HITS + s[bank + at.TOUCH]] += 1
    s[bank + at.TOUCH] = at.HIT
    s[at.READS + kind] += 1
    s[e + at.NEXT] = s[at.FREE]
    s[at.FREE] = e
    if kind == READ:
        end = now + s[at.READ_LATENCY] + s[at.BURST]
        s[at.RANK_READ], s[group + READ] = now + s[at.COLUMN_SHORT], now + s[at.COLUMN_LONG]
        s[at.RANK_WRITE] = max(s[at.RANK_WRITE], now + s[at.READ_TO_WRITE])
        s[bank + at.PRECHARGE_TIME] = max(s[bank + at.PRECHARGE_TIME], now + s[at.READ_TO_PRECHARGE])
    else:
        end = now + s[at.WRITE_LATENCY] + s[at.BURST]
        s[at.RANK_WRITE], s[group + WRITE] = now + s[at.COLUMN_SHORT], now + s[at.COLUMN_LONG]
        s[at.RANK_READ] = max(s[at.RANK_READ], now + s[at.WRITE_TO_READ_SHORT])
        s[group + READ] = max(s[group + READ], now + s[at.WRITE_TO_READ_LONG])
        s[bank + at.PRECHARGE_TIME] = max(s[bank + at.PRECHARGE_TIME], now + s[at.WRITE_TO_PRECHARGE])
    s[at.LAST_DATA] = end
    k = s[at.RING] + at.DONE_SIZE * s[at.RING_HIGH]
    s[k], s[k + 1], s[k + 2], s[k + 3] = s[e + at.TAG], end, kind, s[e + at.ARRIVAL]
    s[at.RING_HIGH] = s[at.RING_HIGH] + 1 if k + at.DONE_SIZE < s.size else 0


@inlined
def activate(s: Int, b: int, now: int) -> None:
    """Open the row of the oldest request, and see which other queued requests hit it."""
    bank = at.BANK_AT + at.BANK_SIZE * b
    group = s[bank + at.GROUP]
    row = s[oldest(s, bank) + at.ROW]
    s[bank + at.OPEN_ROW] = row
    s[bank + at.COLUMNS] = 0
    if s[bank + at.TOUCH] == at.HIT:
        s[bank + at.TOUCH] = at.MISS
    s[bank + at.COLUMN_TIME], s[bank + at.COLUMN_TIME_WRITE] = now + s[at.ACTIVATE_TO_READ], now + s[at.ACTIVATE_TO_WRITE]
    s[bank + at.PRECHARGE_TIME] = now + s[at.ACTIVATE_TO_PRECHARGE]
    s[bank + at.ACTIVATE_TIME] = now + s[at.ACTIVATE_TO_ACTIVATE]
    s[at.FAW_AT + s[at.FAW_SLOT]] = now + s[at.FOUR_ACTIVATES]
    s[at.FAW_SLOT] = (s[at.FAW_SLOT] + 1) & 3
    s[at.RANK_ACTIVATE] = max(now + s[at.ACTIVATE_SHORT], s[at.FAW_AT + s[at.FAW_SLOT]])
    s[group + ACTIVATE] = now + s[at.ACTIVATE_LONG]
    s[at.ACTIVATES] += 1
    for kind in range(2):
        e = s[bank + at.HEAD + kind]
        count, first = 0, NONE
        while e != NONE:
            if s[e + at.ROW] == row:
                if count == 0:
                    first = e
                count += 1
            e = s[e + at.NEXT]
        s[bank + at.QUEUED_HITS + kind], s[bank + at.FIRST_HIT + kind] = count, first


@inlined
def precharge(s: Int, bank: int, now: int) -> None:
    """Close the open row."""
    s[bank + at.OPEN_ROW] = NONE
    s[bank + at.QUEUED_HITS] = s[bank + at.QUEUED_HITS_WRITE] = 0
    s[bank + at.ACTIVATE_TIME] = max(s[bank + at.ACTIVATE_TIME], now + s[at.PRECHARGE_TO_ACTIVATE])
    s[at.RANK_PRECHARGE] = now + s[at.PRECHARGE_TO_PRECHARGE]
    s[at.PRECHARGES] += 1


@kernel
def refresh(s: Int, now: int) -> None:
    """Close every bank, one a clock as soon as each may, then refresh them all; no activate before its end."""
    clock = now
    while True:
        pick, least = NONE, NEVER
        for b in range(s[at.BANKS]):
            bank = at.BANK_AT + at.BANK_SIZE * b
            if s[bank + at.OPEN_ROW] != NONE:
                time = max(s[bank + at.PRECHARGE_TIME], s[at.RANK_PRECHARGE], clock)
                if time < least:
                    pick, least = bank, time
        if pick == NONE:
            break
        precharge(s, pick, least)
        clock = least + 1
    for b in range(s[at.BANKS]):
        clock = max(clock, s[at.BANK_AT + at.BANK_SIZE * b + at.ACTIVATE_TIME])
    for b in range(s[at.BANKS]):
        bank = at.BANK_AT + at.BANK_SIZE * b
        s[bank + at.ACTIVATE_TIME] = clock + s[at.REFRESH_TIME]
        s[bank + at.TOUCH] = at.HIT
        review(s, b)
    s[at.REFRESHES] += 1
    s[at.REFRESH_DUE] += s[at.REFRESH_INTERVAL]
