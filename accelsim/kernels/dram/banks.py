"""What requests and commands do to the banks: queues, rows, and from when each command is allowed."""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.state import ACTIVATE, NEVER, NONE, READ, STAGED, STRICT, WRITE, Int, drop, join


@inlined
def oldest(s: Int, bank: int) -> int:
    """The oldest request in the queue of a bank, of the kinds that are served now."""
    reads, writes = s[bank + at.HEAD], s[bank + at.HEAD_WRITE]
    if s[at.CONTROLLER] == STRICT:
        return int(reads if s[at.SERVING] == READ else writes)
    return int(writes if reads == NONE or (writes != NONE and s[writes + at.ORDER] < s[reads + at.ORDER]) else reads)


@kernel
def review(s: Int, bank: int) -> None:
    """The queue or the row of a bank has changed: which commands has it a use for, and from when?"""
    head = oldest(s, bank)
    read = write = act = close = NEVER
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
    s[bank + at.READY], s[bank + at.READY_WRITE] = read, write
    s[bank + at.READY_ACTIVATE], s[bank + at.READY_PRECHARGE] = act, close
    sole, uses = at.SEVERAL, 0
    for command in range(4):
        if s[bank + at.READY + command] != NEVER:
            sole, uses = command, uses + 1
    s[bank + at.SOLE] = sole if uses == 1 else at.SEVERAL
    if uses > 0:
        join(s, bank, at.USERS)
    else:
        drop(s, bank, at.USERS)


@inlined
def offer(s: Int, bank: int, now: int) -> int:
    """The key of the next command of a bank: from when, `now` or later; how far it is in turn; precharge, activate, column."""
    group, only = s[bank + at.GROUP], s[at.ONLY]
    turn = ((s[bank + at.NUMBER] - s[at.LAST_BANK] - 1) & (s[at.BANKS] - 1)) << 2
    command = s[bank + at.SOLE]
    if command != at.SEVERAL and only == at.ANY:
        time = max(s[bank + at.READY + command], s[at.RANK_READ + command], s[group + command], now)
        return int(time << 8 | turn | (3 - command))
    key = NEVER << 8
    if only != at.COLUMNS_ONLY:
        close = max(s[bank + at.READY_PRECHARGE], s[at.RANK_PRECHARGE], now)
        act = max(s[bank + at.READY_ACTIVATE], s[at.RANK_ACTIVATE], s[group + ACTIVATE], now)
        key = min(close << 8 | turn, act << 8 | turn | (3 - ACTIVATE))
    if only != at.ROWS:
        read = max(s[bank + at.READY], s[at.RANK_READ], s[group], now)
        write = max(s[bank + at.READY_WRITE], s[at.RANK_WRITE], s[group + WRITE], now)
        if read == write < NEVER and s[s[bank + at.FIRST_HIT] + at.ORDER] < s[s[bank + at.FIRST_HIT_WRITE] + at.ORDER]:
            write = NEVER
        key = min(key, write << 8 | turn | (3 - WRITE), read << 8 | turn | (3 - READ))
    return int(key)


@inlined
def enter(s: Int, e: int, now: int) -> None:
    """Request `e` takes the last place in its bank's queue; the next command is issued at `now` or later."""
    kind, bank = s[e + at.KIND], s[e + at.BANK]
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
        review(s, bank)
        if s[at.CHOICE] == bank or s[at.CONTROLLER] == STRICT:
            s[at.STALE] = 1
        elif s[at.STALE] == 0 and s[bank + at.PLACE + at.USERS] != NONE:
            key = offer(s, bank, now)
            if key < s[at.KEY]:
                s[at.KEY], s[at.CHOICE], s[at.COMMAND_TIME] = key, bank, key >> 8


@inlined
def serve(s: Int, bank: int, kind: int, now: int) -> None:
    """Issue the column command of the first hit and decide its completion."""
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
def activate(s: Int, bank: int, now: int) -> None:
    """Open the row of the oldest request, and see which other queued requests hit it."""
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
        review(s, bank)
    s[at.STALE] = 1
    s[at.REFRESHES] += 1
    s[at.REFRESH_DUE] += s[at.REFRESH_INTERVAL]
