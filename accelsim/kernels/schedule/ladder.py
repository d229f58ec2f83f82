"""Tilings of a layer that are worth having."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@kernel
def undominated(needed: Int, cost: Int) -> Bool:
    """Which choices are worth having: there is none that costs less and needs no more of any memory.

    Shapes:  needed int64 [memories, n], cost int64 [n] ascending -> bool [n]
    Raises:  nothing
    """
    memories, count = needed.shape
    kept = np.zeros(count, dtype=np.bool_)
    found = np.empty(count, dtype=np.int64)
    many = 0
    for n in range(count):
        beaten = False
        for m in range(many):
            other = found[m]
            if cost[other] == cost[n]:
                break
            beaten = True
            for memory in range(memories):
                beaten &= needed[memory, other] <= needed[memory, n]
            if beaten:
                break
        if not beaten:
            kept[n] = True
            found[many] = n
            many += 1
    return kept
