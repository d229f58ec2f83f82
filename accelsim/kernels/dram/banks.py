"""What requests and commands do to the banks: queues, rows, and from when each command is allowed."""

from __future__ import annotations

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.state import ACTIVATE, EITHER, NEVER, NONE, PRECHARGE, READ, STAGED, STRICT, WRITE, Int


@inlined
def oldest(s: Int, bank: int) -> int:
    """The oldest request in the queue of a bank, of the kinds that are served now."""
    reads, writes = s[bank + at.HEAD], s[bank + at.HEAD_WRITE]
    if s[at.CONTROLLER] == STRICT:
        return int(reads if s[at.SERVING] == READ else writes)
    return int(writes if reads == NONE or (writes != NONE and s[writes + at.ORDER] < s[reads + at.ORDER]) else reads)


@inlined
def review(s: Int, bank: int) -> None:
    """The queue or the row of a bank has changed: which commands has it a use for, and from when?"""
    head, row = oldest(s, bank), s[bank + at.OPEN_ROW]
    read = write = change = NEVER
    if row == NONE:
        if head != NONE:
            change = s[bank + at.ACTIVATE_TIME]
    else:
        if s[bank + at.QUEUED_HITS] > 0 and (s[at.CONTROLLER] == STAGED or s[at.SERVING] == READ):
            read = s[bank + at.COLUMN_TIME]
        if s[bank + at.QUEUED_HITS_WRITE] > 0 and (s[at.CONTROLLER] == STAGED or s[at.SERVING] == WRITE):
            write = s[bank + at.COLUMN_TIME_WRITE]
        if head == NONE:
            if s[at.CLOSED_PAGE] == 1 and s[bank + at.LENGTH] == 0:
                change = s[bank + at.PRECHARGE_TIME]
        elif s[head + at.ROW] != row and (min(read, write) == NEVER or s[bank + at.COLUMNS] >= s[at.HIT_CAP]):
            change = s[bank + at.PRECHARGE_TIME]
    s[bank + at.READY], s[bank + at.READY_WRITE], s[bank + at.READY_ROW] = read, write, change
    s[bank + at.COLUMN_KIND] = READ if write == NEVER else WRITE if read == NEVER else EITHER
    s[bank + at.ROW_COMMAND] = ACTIVATE if row == NONE else PRECHARGE
    bit = s[bank + at.BIT]
    columns, rows = s[at.COLUMN_USERS] | bit, s[at.ROW_USERS] | bit
    s[at.COLUMN_USERS] = columns if min(read, write) < NEVER else columns ^ bit
    s[at.ROW_USERS] = rows if change < NEVER else rows ^ bit


@inlined
def turn_of(s: Int, bank: int) -> int:
    """How far a bank is in turn after the last one, in its place in a key."""
    return int(((s[bank + at.NUMBER] - s[at.LAST_BANK] - 1) & (s[at.BANKS] - 1)) << 2)


@inlined
def offer_row(s: Int, bank: int, now: int) -> int:
    """The key of the row command that a bank has a use for: from when, `now` or later; its turn; precharge, activate, column."""
    command = s[bank + at.ROW_COMMAND]
    time = max(s[bank + at.READY_ROW], s[at.RANK_READ + command], s[s[bank + at.GROUP] + command], now)
    return int(time << 8 | turn_of(s, bank) | (3 - command))


@inlined
def offer_column(s: Int, bank: int, now: int) -> int:
    """The key of the column command that a bank has a use for; of two at once, of the older request's."""
    group, kind = s[bank + at.GROUP], s[bank + at.COLUMN_KIND]
    if kind == EITHER:
        read = max(s[bank + at.READY], s[at.RANK_READ], s[group], now)
        write = max(s[bank + at.READY_WRITE], s[at.RANK_WRITE], s[group + WRITE], now)
        kind = WRITE if write <= read else READ
        if read == write and s[s[bank + at.FIRST_HIT] + at.ORDER] < s[s[bank + at.FIRST_HIT_WRITE] + at.ORDER]:
            kind = READ
    time = max(s[bank + at.READY + kind], s[at.RANK_READ + kind], s[group + kind], now)
    return int(time << 8 | turn_of(s, bank) | (3 - kind))


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
        elif s[at.STALE] == 0:
            key = min(offer_row(s, bank, now), offer_column(s, bank, now))
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
    s[at.LAST_DATA], s[at.DONE], s[at.DONE_KIND], s[at.DONE_ARRIVAL] = end, s[e + at.TAG], kind, s[e + at.ARRIVAL]


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
