"""The state of one DRAM channel: a flat int64 array, so that any kernel may hold as many as it likes.

A name below is an index into it, or an offset inside a group, bank or request record. All times are DRAM clocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel

Int = NDArray[np.int64]

NONE = -1
NEVER = 1 << 50
READ, WRITE, ACTIVATE, PRECHARGE = 0, 1, 2, 3
STAGED, STRICT = 0, 1
HIT, MISS, CONFLICT = 0, 1, 2
BARRIER = 2
ANY, COLUMNS_ONLY, ROWS = 0, 1, 2

PARAMETERS = (
    "banks", "banks_per_group", "bank_queue", "read_queue", "write_queue", "high", "low", "hit_cap", "controller", "dual_command",
    "closed_page", "burst", "read_latency", "write_latency", "activate_to_read", "activate_to_write", "activate_to_precharge",
    "activate_to_activate", "precharge_to_activate", "precharge_to_precharge", "read_to_precharge", "write_to_precharge",
    "column_short", "column_long", "activate_short", "activate_long", "four_activates", "read_to_write", "write_to_read_short",
    "write_to_read_long", "refresh_interval", "refresh_time", "row_shift",
)  # fmt: skip
"""What `new_state` takes, in the order of the first indices; counts, or clocks between two commands. `low`: staged, see above; strict,
the watermark. `row_shift`: bits of a burst index below its row."""
(
    BANKS, BANKS_PER_GROUP, BANK_QUEUE, READ_QUEUE, WRITE_QUEUE, HIGH, LOW, HIT_CAP, CONTROLLER, DUAL_COMMAND, CLOSED_PAGE,
    BURST, READ_LATENCY, WRITE_LATENCY, ACTIVATE_TO_READ, ACTIVATE_TO_WRITE, ACTIVATE_TO_PRECHARGE, ACTIVATE_TO_ACTIVATE,
    PRECHARGE_TO_ACTIVATE, PRECHARGE_TO_PRECHARGE, READ_TO_PRECHARGE, WRITE_TO_PRECHARGE, COLUMN_SHORT, COLUMN_LONG,
    ACTIVATE_SHORT, ACTIVATE_LONG, FOUR_ACTIVATES, READ_TO_WRITE, WRITE_TO_READ_SHORT, WRITE_TO_READ_LONG,
    REFRESH_INTERVAL, REFRESH_TIME, ROW_SHIFT,
) = range(33)  # fmt: skip
(
    PIECES,  # bank bits: pieces of (shift, mask, place) from PIECE_AT on
    COMMAND_TIME, LAST_BANK, GROUPS,  # when the next command is issued; the bank of the last one
    TRANSFER_TIME, DRAINING, SERVING, QUEUED, ONLY, STALE, FREE, SEQUENCE, RING, RING_LOW, RING_HIGH, FAW_SLOT,
    REFRESH_DUE, RANK_READ, RANK_WRITE, RANK_ACTIVATE, RANK_PRECHARGE,  # not before
    READS, WRITES, ACTIVATES, PRECHARGES, REFRESHES, HITS, MISSES, CONFLICTS, LAST_DATA,  # counters; end of the last data
) = range(33, 63)  # fmt: skip
WAITING = 64  # + 4 * kind: head, tail, count of the read and of the write queue; the last of those known to find their banks' queues full
BLOCKED = 3
FAW_AT = 72  # four ACT times + four_activates
USERS = 76  # + command: banks that have a use for it
PIECE_AT = 80
FREED = 110  # + kind: the bank whose queue alone has had room since all waiting requests were known to find none, or NONE
MAX_BANKS = 64
READY_AT = 112  # + MAX_BANKS * command + bank: not before, as far as the bank is concerned; NEVER where it has no use for the command
GROUP_AT = READY_AT + 4 * MAX_BANKS  # + GROUP_SIZE * group: not before, by command; LEAST: least READY of its banks, by command
LEAST = 4
GROUP_SIZE = 8
BANK_AT = GROUP_AT + GROUP_SIZE * MAX_BANKS
(
    OPEN_ROW, COLUMN_TIME, COLUMN_TIME_WRITE, PRECHARGE_TIME, ACTIVATE_TIME, COLUMNS, TOUCH, LENGTH,
    HEAD, HEAD_WRITE, TAIL, TAIL_WRITE, QUEUED_HITS, QUEUED_HITS_WRITE, FIRST_HIT, FIRST_HIT_WRITE, GROUP,
    WAITING_HERE, WAITING_HERE_WRITE,
) = range(19)  # fmt: skip
BANK_SIZE = 20
REQUEST_AT = BANK_AT + BANK_SIZE * MAX_BANKS
NEXT, PREVIOUS, BANK, ROW, KIND, TAG, ORDER, ARRIVAL = range(8)
REQUEST_SIZE = 8
DONE_SIZE = 4  # a completion: tag, time, kind, arrival


@kernel
def new_state(parameters: Int, pieces: Int) -> Int:
    """An empty channel at clock 0.

    Shapes:  parameters int64 [PARAMETERS]; pieces int64 [pieces, 3]: shift and mask of some bits of the burst index, and their place in
             the bank number
    """
    requests = parameters[READ_QUEUE] + parameters[WRITE_QUEUE] + parameters[BANKS] * parameters[BANK_QUEUE]
    ring = REQUEST_AT + REQUEST_SIZE * requests
    s = np.zeros(ring + DONE_SIZE * (requests + 64), np.int64)
    s[: parameters.size] = parameters
    s[PIECES] = pieces.shape[0]
    for k in range(pieces.shape[0]):
        for part in range(3):
            s[PIECE_AT + 3 * k + part] = pieces[k, part]
    s[COMMAND_TIME] = s[TRANSFER_TIME] = NEVER
    s[LAST_BANK] = NONE
    s[GROUPS] = s[BANKS] // s[BANKS_PER_GROUP]
    s[READY_AT:BANK_AT] = NEVER
    for group in range(GROUP_AT, BANK_AT, GROUP_SIZE):
        s[group : group + LEAST] = 0
    s[REFRESH_DUE] = s[REFRESH_INTERVAL]
    s[RING] = ring
    s[WAITING : WAITING + 8] = NONE
    s[WAITING + 2] = s[WAITING + 6] = 0
    s[FREED] = s[FREED + 1] = NONE
    for b in range(s[BANKS]):
        bank = BANK_AT + BANK_SIZE * b
        s[bank + OPEN_ROW] = NONE
        s[bank + GROUP] = GROUP_AT + GROUP_SIZE * (b // s[BANKS_PER_GROUP])
        s[bank + HEAD : bank + TAIL_WRITE + 1] = NONE
    s[FREE] = REQUEST_AT
    for k in range(requests):
        e = REQUEST_AT + REQUEST_SIZE * k
        s[e + NEXT] = e + REQUEST_SIZE if k + 1 < requests else NONE
    return s


@inlined
def locate(s: Int, burst: int) -> int:
    """The bank of a burst index (bytes of the channel // burst bytes), banks of one group side by side."""
    bank = 0
    for k in range(s[PIECES]):
        piece = PIECE_AT + 3 * k
        bank |= ((burst >> s[piece]) & s[piece + 1]) << s[piece + 2]
    return bank


@inlined
def room(s: Int, kind: int) -> bool:
    """Whether the controller can take one more read or write."""
    return bool(s[WAITING + 4 * kind + 2] < s[READ_QUEUE + kind])


@inlined
def next_event(s: Int) -> int:
    """The next clock at which `step` must be called."""
    return int(min(s[COMMAND_TIME], s[TRANSFER_TIME], s[REFRESH_DUE]))


@inlined
def idle(s: Int) -> bool:
    """Whether nothing but refresh would ever happen without a new arrival."""
    return bool(s[COMMAND_TIME] == NEVER and s[TRANSFER_TIME] == NEVER)


@inlined
def done_time(s: Int) -> int:
    """When the data of the oldest decided completion has passed the bus; NEVER if none is decided."""
    if s[RING_LOW] == s[RING_HIGH]:
        return NEVER
    return int(s[s[RING] + DONE_SIZE * s[RING_LOW] + 1])


@inlined
def take_done(s: Int) -> tuple[int, int, int]:
    """Remove the oldest completion: its tag, READ or WRITE, its arrival. The caller has seen `done_time`."""
    k = s[RING] + DONE_SIZE * s[RING_LOW]
    s[RING_LOW] = s[RING_LOW] + 1 if s[RING] + DONE_SIZE * (s[RING_LOW] + 1) < s.size else 0
    return s[k], s[k + 2], s[k + 3]
