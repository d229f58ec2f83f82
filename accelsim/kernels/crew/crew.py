"""One thread opens a job; helpers join it where they are awake; whoever is free takes the next units.

Nobody waits for a helper that has not come: the one who asks does all that is left himself, and waits only for those who have taken a
share. So a helper may sleep, be late, or not exist at all (in a forked process), and the work is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.crew.atomics import LINE, PARTS, add, call, frame, give_way, pause, read, swap, write

Words = NDArray[np.int64]

TICKET, ACTIVE, ASLEEP, STOP, FAILED = 0, LINE, 2 * LINE, 3 * LINE, 4 * LINE
"""Places of: the number of the job, odd while it is open; helpers inside it; how often a helper has gone to sleep; whether helpers should
end; whether a share has failed."""
MEMBERS, GRAIN = TICKET + 1, TICKET + 2
"""Places of: members of the crew; units that a share has at least."""
HALF = 32
"""Bits of a unit's number in a word that holds two: the first and the last unit of a member's part that are still to be done."""
EAGER = 1 << 11
"""Looks before a waiting thread gives way, some 50 microseconds: longer than it takes from one layer to the next."""
DONE, LATE, OTHER = 0, 1, 2
"""How a job went."""


@inlined
def next_share(words: Words, me: int) -> tuple[int, int]:
    """Take a share: half of what is left at the front of one's own part; when nothing is, half of what is left at the back of another's.

    So each member has the same part of one layer after another, whose data lies in the cache of its core, and late shares even out who is
    done first.
    Units:   first and last unit; none is left where they are equal
    """
    members, grain = words[MEMBERS], words[GRAIN]
    for step in range(members):
        place = PARTS + (me + step) % members * LINE
        while True:
            both = read(words, place)
            first, last = both >> HALF, both & ((1 << HALF) - 1)
            if first >= last:
                break
            size = max(grain, (last - first) // 2)
            size = size if size + grain <= last - first else last - first
            if step == 0 and swap(words, place, both, (first + size) << HALF | last):
                return first, first + size
            if step > 0 and swap(words, place, both, first << HALF | (last - size)):
                return last - size, last
    return 0, 0


@inlined
def take_shares(words: Words, me: int) -> None:
    """Do shares of the open job until none is left."""
    first, last = next_share(words, me)
    while first < last:
        if call(words, first, last) != 0:
            write(words, FAILED, 1)
        first, last = next_share(words, me)


@inlined
def wait(looks: int) -> None:
    """Wait a moment; who has looked often gives way, as whoever he waits for may want this core."""
    if looks < EAGER:
        pause()
    else:
        give_way()


@kernel
def settled(words: Words, patience: int) -> bool:
    """Wait until no helper works any more; False when patience has run out before. Units: `patience` in looks."""
    for looks in range(patience):
        if read(words, ACTIVE) == 0:
            return True
        wait(looks)
    return False


@kernel
def launch(words: Words, entry: int, kinds: int, units: int, grain: int, members: int, patience: int, arguments: tuple[object, ...]) -> int:
    """Open a job, do shares of it until none is left, close it, and wait until no helper works any more.

    Shapes:  words int64 [PARTS + members * LINE], none of whose jobs is open or unsettled
    Units:   `entry`, `kinds`: of a kernel whose arguments are `arguments` and the first and last unit of a share (`entry_of`);
             `grain`: units of the smallest share; the result is DONE, LATE where a helper still works (ask `settled`), OTHER where the
             kernel takes arguments of other types: then nothing has been done
    Raises:  nothing; words[FAILED] is 1 where a share has failed
    """
    if not frame(words, entry, kinds, arguments):
        return OTHER
    words[MEMBERS], words[GRAIN] = members, grain
    for member in range(members):
        words[PARTS + member * LINE] = (units * member // members) << HALF | (units * (member + 1) // members)
    add(words, TICKET, 1)
    take_shares(words, 0)
    add(words, TICKET, 1)
    return DONE if settled(words, patience) else LATE


@kernel
def serve(words: Words, me: int, patience: int) -> bool:
    """Join every job that opens, until none has opened for a while (True) or the helper is told to end (False).

    Units:   `me`: 1 and up, as whoever opens jobs is member 0; `patience`: looks for a job, one after another. When it has run out,
             words[ASLEEP] is one more.
    """
    seen, looks = 0, 0
    while looks < patience:
        ticket = read(words, TICKET)
        if ticket == seen or ticket % 2 == 0:
            if read(words, STOP) != 0:
                return False
            wait(looks)
            looks += 1
            continue
        seen, looks = ticket, 0
        # whoever is counted first and then finds the job open may stay: it is not closed and left before he is gone
        add(words, ACTIVE, 1)
        if read(words, TICKET) == ticket:
            take_shares(words, me)
        add(words, ACTIVE, -1)
    add(words, ASLEEP, 1)
    return True
