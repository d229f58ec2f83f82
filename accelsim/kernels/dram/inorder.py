"""One DRAM channel whose column commands go strictly in order of arrival: a recurrence, a few operations a burst.

The same constraints as in `controller.py`, but no queue: a row is opened as soon as its request has arrived and the constraints allow,
a column command follows the one before it. Writes are posted: they wait until `write_queue` of them are there, and are then written in one
batch. As good as the full model for streams, holes and serialised descriptors over interleaved bank groups; 20 to 70 % off on random
bursts, on maps without bank-group interleaving, and on tiles in one bank.

The state is one flat int64 array; names are indices into it. All times are DRAM clocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel

Int = NDArray[np.int64]

NONE = -1
READ, WRITE = 0, 1
BARRIER = 2
PARAMETERS = (
    "banks", "banks_per_group", "write_queue", "arrival_to_command", "burst", "read_latency", "write_latency", "activate_to_read",
    "activate_to_write", "activate_to_precharge", "activate_to_activate", "precharge_to_activate", "read_to_precharge",
    "write_to_precharge", "column_short", "column_long", "activate_short", "activate_long", "four_activates", "read_to_write",
    "write_to_read_short", "write_to_read_long", "refresh_interval", "refresh_time", "row_shift",
)  # fmt: skip
"""What `new_state` takes, in the order of the first indices; counts, or clocks between two commands."""
(
    BANKS, BANKS_PER_GROUP, WRITE_QUEUE, ARRIVAL_TO_COMMAND, BURST, READ_LATENCY, WRITE_LATENCY, ACTIVATE_TO_READ,
    ACTIVATE_TO_WRITE, ACTIVATE_TO_PRECHARGE, ACTIVATE_TO_ACTIVATE, PRECHARGE_TO_ACTIVATE, READ_TO_PRECHARGE, WRITE_TO_PRECHARGE,
    COLUMN_SHORT, COLUMN_LONG, ACTIVATE_SHORT, ACTIVATE_LONG, FOUR_ACTIVATES, READ_TO_WRITE, WRITE_TO_READ_SHORT,
    WRITE_TO_READ_LONG, REFRESH_INTERVAL, REFRESH_TIME, ROW_SHIFT,
) = range(25)  # fmt: skip
(
    PIECES, REFRESH_DUE, RANK_READ, RANK_WRITE, RANK_ACTIVATE, FAW_SLOT, HELD, WRITE_SLOT,
    READS, WRITES, ACTIVATES, REFRESHES, HITS, MISSES, CONFLICTS, LAST_DATA,
) = range(25, 41)  # fmt: skip
FAW_AT = 44
PIECE_AT = 48
MAX_BANKS = 64
GROUP_AT = 80  # + 4 * group: not before, by READ, WRITE, ACTIVATE
ACTIVATE = 2
BANK_AT = GROUP_AT + 4 * MAX_BANKS
OPEN_ROW, COLUMN_TIME, COLUMN_TIME_WRITE, PRECHARGE_TIME, ACTIVATE_TIME, GROUP = range(6)
BANK_SIZE = 8
BUFFER_AT = BANK_AT + BANK_SIZE * MAX_BANKS  # per write: burst, then the clock of its column command, which frees its place


@kernel
def new_state(parameters: Int, pieces: Int) -> Int:
    """An empty channel at clock 0.

    Shapes:  parameters int64 [PARAMETERS]; pieces int64 [pieces, 3]: shift and mask of some bits of the burst index, and their place in
             the bank number
    """
    s = np.zeros(BUFFER_AT + 2 * parameters[WRITE_QUEUE], np.int64)
    s[: parameters.size] = parameters
    s[PIECES] = pieces.shape[0]
    for k in range(pieces.shape[0]):
        for part in range(3):
            s[PIECE_AT + 3 * k + part] = pieces[k, part]
    s[REFRESH_DUE] = s[REFRESH_INTERVAL]
    for b in range(s[BANKS]):
        bank = BANK_AT + BANK_SIZE * b
        s[bank + OPEN_ROW] = NONE
        s[bank + GROUP] = GROUP_AT + 4 * (b // s[BANKS_PER_GROUP])
    return s


@inlined
def refresh(s: Int) -> None:
    """Close every bank when each may, then refresh them all; no activate before its end."""
    clock = s[REFRESH_DUE]
    for b in range(s[BANKS]):
        bank = BANK_AT + BANK_SIZE * b
        ready = s[bank + ACTIVATE_TIME]
        if s[bank + OPEN_ROW] != NONE:
            ready = max(ready, max(s[bank + PRECHARGE_TIME], s[REFRESH_DUE]) + s[PRECHARGE_TO_ACTIVATE])
        clock = max(clock, ready)
    for b in range(s[BANKS]):
        bank = BANK_AT + BANK_SIZE * b
        s[bank + OPEN_ROW] = NONE
        s[bank + ACTIVATE_TIME] = clock + s[REFRESH_TIME]
    s[REFRESHES] += 1
    s[REFRESH_DUE] += s[REFRESH_INTERVAL]


@inlined
def place(s: Int, arrival: int, burst: int, kind: int) -> int:
    """The clock of the column command of a burst, after all before it."""
    b = 0
    for k in range(s[PIECES]):
        piece = PIECE_AT + 3 * k
        b |= ((burst >> s[piece]) & s[piece + 1]) << s[piece + 2]
    row = burst >> s[ROW_SHIFT]
    bank = BANK_AT + BANK_SIZE * b
    group = s[bank + GROUP]
    first = arrival + s[ARRIVAL_TO_COMMAND]
    while True:
        column = max(first, s[RANK_READ + kind], s[group + kind])
        if s[bank + OPEN_ROW] == row:
            column = max(column, s[bank + COLUMN_TIME + kind])
            if column < s[REFRESH_DUE]:
                s[HITS] += 1
                break
        else:
            act = max(first, s[bank + ACTIVATE_TIME], s[RANK_ACTIVATE], s[group + ACTIVATE])
            if s[bank + OPEN_ROW] != NONE:
                act = max(act, max(first, s[bank + PRECHARGE_TIME]) + s[PRECHARGE_TO_ACTIVATE])
            if act < s[REFRESH_DUE] and max(column, act + s[ACTIVATE_TO_READ + kind]) < s[REFRESH_DUE]:
                s[HITS + (1 if s[bank + OPEN_ROW] == NONE else 2)] += 1
                s[ACTIVATES] += 1
                s[bank + OPEN_ROW] = row
                s[bank + COLUMN_TIME], s[bank + COLUMN_TIME_WRITE] = act + s[ACTIVATE_TO_READ], act + s[ACTIVATE_TO_WRITE]
                s[bank + PRECHARGE_TIME], s[bank + ACTIVATE_TIME] = act + s[ACTIVATE_TO_PRECHARGE], act + s[ACTIVATE_TO_ACTIVATE]
                s[FAW_AT + s[FAW_SLOT]] = act + s[FOUR_ACTIVATES]
                s[FAW_SLOT] = (s[FAW_SLOT] + 1) & 3
                s[RANK_ACTIVATE] = max(act + s[ACTIVATE_SHORT], s[FAW_AT + s[FAW_SLOT]])
                s[group + ACTIVATE] = act + s[ACTIVATE_LONG]
                column = max(column, s[bank + COLUMN_TIME + kind])
                break
        refresh(s)
    s[READS + kind] += 1
    s[RANK_READ + kind], s[group + kind] = column + s[COLUMN_SHORT], column + s[COLUMN_LONG]
    if kind == READ:
        s[RANK_WRITE] = max(s[RANK_WRITE], column + s[READ_TO_WRITE])
        s[bank + PRECHARGE_TIME] = max(s[bank + PRECHARGE_TIME], column + s[READ_TO_PRECHARGE])
    else:
        s[RANK_READ] = max(s[RANK_READ], column + s[WRITE_TO_READ_SHORT])
        s[group] = max(s[group], column + s[WRITE_TO_READ_LONG])
        s[bank + PRECHARGE_TIME] = max(s[bank + PRECHARGE_TIME], column + s[WRITE_TO_PRECHARGE])
    s[LAST_DATA] = column + s[READ_LATENCY + kind] + s[BURST]
    return int(column)


@inlined
def read(s: Int, now: int, burst: int) -> int:
    """A read arrives; the clock at which its data has passed the bus."""
    return int(place(s, now, burst, READ) + s[READ_LATENCY] + s[BURST])


@inlined
def write_room(s: Int) -> int:
    """From which clock on a write finds a place in the buffer."""
    return int(s[BUFFER_AT + 2 * s[WRITE_SLOT] + 1])


@inlined
def flush(s: Int, now: int) -> None:
    """Write what is held."""
    size = s[WRITE_QUEUE]
    for k in range(s[WRITE_SLOT] - s[HELD], s[WRITE_SLOT]):
        at = BUFFER_AT + 2 * (k if k >= 0 else k + size)
        s[at + 1] = place(s, now, s[at], WRITE)
    s[HELD] = 0


@inlined
def write(s: Int, now: int, burst: int) -> None:
    """A write arrives, not before `write_room`."""
    s[BUFFER_AT + 2 * s[WRITE_SLOT]] = burst
    s[WRITE_SLOT] = s[WRITE_SLOT] + 1 if s[WRITE_SLOT] + 1 < s[WRITE_QUEUE] else 0
    s[HELD] += 1
    if s[HELD] == s[WRITE_QUEUE]:
        flush(s, now)


@kernel
def stream(s: Int, bursts: Int, kinds: Int, outstanding: int, gap: int, setup: int, latency: Int) -> int:
    """Drive the channel as `driver.stream` does; the clock at which the last data has passed.

    Shapes:  bursts, kinds, latency int64 [n]; kinds: WRITE, plus BARRIER; `latency` receives the clocks from arrival to data of every read
    """
    ends = np.zeros(outstanding, np.int64)
    slot, last, now = 0, 0, 0
    for i in range(bursts.size):
        now = max(now + 1, i * gap + 1)
        if kinds[i] & BARRIER and last > 0:
            now = max(now, last, last - 1 + setup)
        if kinds[i] & WRITE:
            now = max(now, write_room(s))
            write(s, now, bursts[i])
        else:
            now = max(now, ends[slot])
            last = read(s, now, bursts[i])
            latency[i] = last - now - 1
            ends[slot] = last
            slot = slot + 1 if slot + 1 < outstanding else 0
    flush(s, now)
    return int(s[LAST_DATA])
