"""A whole stream through one channel, in a closed loop: in order, at most one request a clock, a bounded number of reads in flight."""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.dram import state as at
from accelsim.kernels.dram.controller import admit, step
from accelsim.kernels.dram.state import BARRIER, NEVER, NONE, READ, WRITE, Int, idle, next_event, room


@inlined
def earliest(now: int, i: int, kinds: Int, flying: int, passed: int, last: int, outstanding: int, gap: int, setup: int) -> int:
    """From which clock, `now` or later, the driver offers request i, as far as it is known; `passed`: when the next data has passed."""
    if i == kinds.size:
        return NEVER
    if kinds[i] & WRITE == 0 and flying >= outstanding:
        return passed
    time = max(now, i * gap + 1)
    if kinds[i] & BARRIER:
        time = max(time, last + setup) if flying == 0 else passed
    return time


@kernel
def stream(s: Int, bursts: Int, kinds: Int, outstanding: int, gap: int, setup: int, latency: Int) -> int:
    """Drive the channel with a list of bursts, in order, at most one a clock; the clock at which the last data has passed.

    Shapes:  bursts, kinds, latency int64 [n]; kinds: WRITE, plus BARRIER; `latency` receives the clocks from arrival to data of every read
    Units:   clocks. Request i not before i * gap + 1; a read only while less than `outstanding` reads are in flight; a barrier only
             when none is and `setup` clocks have passed since the last one.
    """
    i, now, flying, last = 0, 1, 0, 0
    ends, reads = np.full(bursts.size + 1, NEVER), np.zeros(bursts.size, np.int64)  # in the order of the data
    low = high = 0
    while i < bursts.size or flying > 0 or not idle(s):
        while ends[low] <= now:
            last = ends[low] - 1
            flying -= reads[low]
            low += 1
        if next_event(s) <= now:
            e = step(s, now)
            if e != NONE:
                ends[high], reads[high] = s[at.LAST_DATA], 1 - s[e + at.KIND]
                if s[e + at.KIND] == READ:
                    latency[s[e + at.TAG]] = s[at.LAST_DATA] - 1 - s[e + at.ARRIVAL]
                high += 1
        wait = earliest(now, i, kinds, flying, ends[low], last, outstanding, gap, setup)
        if wait <= now:
            kind = kinds[i] & WRITE
            if room(s, kind):
                admit(s, now, bursts[i], kind, i)
                flying += 1 - kind
                i += 1
                wait = earliest(now + 1, i, kinds, flying, ends[low], last, outstanding, gap, setup)
            else:
                wait = NEVER
        now = max(now + 1, min(wait, next_event(s), ends[low] if wait == NEVER else NEVER))
    return int(s[at.LAST_DATA])
