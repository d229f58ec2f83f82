"""The state of one DRAM channel: a flat int64 array, so that any kernel may hold as many as it likes.

A name below is an index into it, or an offset inside a group, bank or request record. All times are DRAM clocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram.vectors import lowest

Int = NDArray[np.int64]

NONE = -1
NEVER = 1 << 50
READ, WRITE, ACTIVATE, PRECHARGE = 0, 1, 2, 3
STAGED, STRICT = 0, 1
HIT, MISS, CONFLICT = 0, 1, 2
BARRIER = 2
ANY, COLUMNS_ONLY, ROWS_ONLY = 0, 1, 2

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
    COMMAND_TIME, CHOICE, COMMAND, LAST_BANK,  # the plan; the number of the bank of the last command
    TRANSFER_TIME, DRAINING, MOVING, SERVING, QUEUED, COLUMN_GROUP, FREE, SEQUENCE, FAW_SLOT, READ_END, WRITE_END,
    REFRESH_DUE, RANK_READ, RANK_WRITE, RANK_ACTIVATE, RANK_PRECHARGE,  # not before
    READS, WRITES, ACTIVATES, PRECHARGES, REFRESHES, HITS, MISSES, CONFLICTS, LAST_DATA,  # counters; end of the last data
) = range(33, 63)  # fmt: skip
"""DRAINING: writes still to be moved before reads are again; MOVING: READ or WRITE, which are moved;
READ_END, WRITE_END: clocks from a column command to the end of its data."""
WAITING = 64  # + kind: requests that the controller holds (staged: those that no bank's queue has taken)
MOVABLE, COLUMN_USERS, ROW_USERS, COLUMN_BANKS = 66, 68, 69, 70
"""Sets of banks, a bit each. MOVABLE + kind: those whose queue has room and for which requests wait; COLUMN_USERS, ROW_USERS: those that
have a use for a column, or a row command; COLUMN_BANKS: those of the group of the last column command, which is COLUMN_GROUP."""
ROW_FLOOR, SECOND_FLOOR = 71, 72
"""None of ROW_USERS may have its command before; and none after the next row command, once that is issued."""
UNUSUAL = 73  # 1: the controller is strict, or issues two commands a clock; 0
FAW_AT = 76  # four ACT times + four_activates
PIECE_AT = 80
MAX_BANKS = 64
GROUP_AT = 112  # + GROUP_SIZE * group: not before, by command
GROUP_SIZE = 4
BANK_AT = GROUP_AT + GROUP_SIZE * MAX_BANKS
(
    NOT_BEFORE, NOT_BEFORE_WRITE, NOT_BEFORE_ACTIVATE, NOT_BEFORE_PRECHARGE, GROUP, NUMBER, BIT,
    OPEN_ROW, ROW_COMMAND, COLUMNS, TOUCH, LENGTH, QUEUED_HITS, QUEUED_HITS_WRITE, FIRST_HIT, FIRST_HIT_WRITE,
    FIRST_WAITING, FIRST_WAITING_WRITE, GROUP_BANKS,
) = range(19)  # fmt: skip
REQUESTS = 20
BANK_SIZE = 32
"""Of a bank: BIT: its bit in a set; GROUP_BANKS: those of its group; ROW_COMMAND: ACTIVATE or PRECHARGE, whichever is next; COLUMNS: column
commands since the row was opened; LENGTH: requests in its queue. REQUESTS + 2 * kind: NEXT and PREVIOUS of a ring of requests, in the
order of their arrival: first those in the queue, then, from FIRST_WAITING + kind on, those that wait for a place in it."""
REQUEST_AT = BANK_AT + BANK_SIZE * MAX_BANKS
NEXT, PREVIOUS, ROW, KIND, TAG, ORDER, ARRIVAL = range(7)
REQUEST_SIZE = 8
"""ORDER: when it joined its bank's queue."""


class Plan(NamedTuple):
    """The next command: when it is issued (NEVER: there is none), of which bank, and which."""

    time: int
    bank: int
    command: int


@kernel
def new_state(parameters: Int, pieces: Int) -> Int:
    """An empty channel at clock 0.

    Shapes:  parameters int64 [PARAMETERS]; pieces int64 [pieces, 3]: shift and mask of some bits of the burst index, and their place in
             the bank number
    """
    requests = parameters[READ_QUEUE] + parameters[WRITE_QUEUE] + parameters[BANKS] * parameters[BANK_QUEUE]
    s = np.zeros(REQUEST_AT + REQUEST_SIZE * requests, np.int64)
    s[: parameters.size] = parameters
    s[PIECES] = pieces.shape[0]
    for k in range(pieces.shape[0]):
        for part in range(3):
            s[PIECE_AT + 3 * k + part] = pieces[k, part]
    s[COMMAND_TIME] = s[TRANSFER_TIME] = NEVER
    s[CHOICE], s[LAST_BANK] = NONE, s[BANKS] - 1
    s[READ_END], s[WRITE_END] = s[READ_LATENCY] + s[BURST], s[WRITE_LATENCY] + s[BURST]
    s[REFRESH_DUE] = s[REFRESH_INTERVAL]
    s[COLUMN_GROUP] = GROUP_AT
    s[UNUSUAL] = s[CONTROLLER] == STRICT or s[DUAL_COMMAND] == 1
    for b in range(s[BANKS]):
        bank = BANK_AT + BANK_SIZE * b
        s[bank + NUMBER] = b
        s[bank + OPEN_ROW] = NONE
        s[bank + GROUP] = GROUP_AT + GROUP_SIZE * (b // s[BANKS_PER_GROUP])
        s[bank + BIT] = np.int64(1) << np.int64(b)
        first = b // s[BANKS_PER_GROUP] * s[BANKS_PER_GROUP]
        for other in range(first, first + s[BANKS_PER_GROUP]):
            s[bank + GROUP_BANKS] |= np.int64(1) << np.int64(other)
        s[bank + ROW_COMMAND] = ACTIVATE
        for kind in range(2):
            ring = bank + REQUESTS + 2 * kind
            s[ring + NEXT] = s[ring + PREVIOUS] = s[bank + FIRST_WAITING + kind] = ring
    s[FREE] = REQUEST_AT
    for k in range(requests):
        e = REQUEST_AT + REQUEST_SIZE * k
        s[e + NEXT] = e + REQUEST_SIZE if k + 1 < requests else NONE
    return s


@inlined
def locate(s: Int, burst: int) -> int:
    """The record of the bank of a burst index (bytes of the channel // burst bytes), banks of one group side by side."""
    bank = ((burst >> s[PIECE_AT]) & s[PIECE_AT + 1]) << s[PIECE_AT + 2]
    bank |= ((burst >> s[PIECE_AT + 3]) & s[PIECE_AT + 4]) << s[PIECE_AT + 5]  # most have two; a piece that is not there is 0
    for k in range(2, s[PIECES]):
        piece = PIECE_AT + 3 * k
        bank |= ((burst >> s[piece]) & s[piece + 1]) << s[piece + 2]
    return int(BANK_AT + BANK_SIZE * bank)


@inlined
def first_of(banks: int) -> int:
    """The record of the first bank of a set that is not empty."""
    return int(BANK_AT + BANK_SIZE * lowest(banks))


@inlined
def next_of(banks: int, last: int) -> tuple[int, int]:
    """The record of the bank of a set that comes first after number `last`, and the set without it."""
    later = banks & (-2 << last)
    one = later if later != 0 else banks
    return first_of(one), banks ^ (one & -one)


@inlined
def room(s: Int, kind: int) -> bool:
    """Whether the controller can take one more read or write."""
    return bool(s[WAITING + kind] < s[READ_QUEUE + kind])


@inlined
def later(one: int, other: int) -> int:
    """The later of two times: in a function that is not inlined itself, `max` would be a call."""
    return int(max(one, other))


@inlined
def planned(s: Int) -> Plan:
    """The plan that the state holds."""
    return Plan(s[COMMAND_TIME], s[CHOICE], s[COMMAND])


@inlined
def hold(s: Int, plan: Plan) -> None:
    """Have the state hold a plan."""
    s[COMMAND_TIME], s[CHOICE], s[COMMAND] = plan.time, plan.bank, plan.command


@inlined
def event(s: Int, plan: Plan) -> int:
    """The next clock at which the controller has something to do."""
    return int(min(plan.time, s[TRANSFER_TIME], s[REFRESH_DUE]))


@inlined
def next_event(s: Int) -> int:
    """The next clock at which `step` must be called."""
    return event(s, planned(s))


@inlined
def idle(s: Int) -> bool:
    """Whether nothing but refresh would ever happen without a new arrival."""
    return bool(s[COMMAND_TIME] == NEVER and s[TRANSFER_TIME] == NEVER)
