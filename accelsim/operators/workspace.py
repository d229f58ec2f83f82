"""Memory that is used again once nobody holds it.

Asking the system for fresh pages costs more than many layers do. So arrays come from blocks that return here when the last array that
looks into them is gone; whoever keeps an array keeps its block, and nobody can see it change.
"""

from __future__ import annotations

from collections import deque
from math import prod
from threading import Lock

import numpy as np

from accelsim.layers.base import Tensor

ALIGNMENT = 16
"""Elements: 64 bytes, one line of cache."""
WASTE = 4
"""A free block may be at most so many times as large as what is asked of it."""


class _Block(np.ndarray):
    """A piece of memory. A type of its own: numpy looks past the base of an array whose own base is a plain array."""


class _Lease(np.ndarray):
    """A view of a whole block and the base of every array lent from it; it dies with the last of them, and gives the block back."""

    key: int
    returned: deque[int]

    def __del__(self) -> None:
        # appending needs no lock: a lease may die at any moment, in any thread
        self.returned.append(self.key)


class Workspace:
    """A pool of memory blocks, which threads may share. It only grows, up to the most that was in use at one time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._free: dict[int, list[int]] = {}
        self._blocks: list[_Block] = []
        self._returned: deque[int] = deque()

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """Lend an uninitialised array. Shapes: float32 of `shape`, C-contiguous; it may be kept as long as one likes."""
        wanted = max(prod(shape), ALIGNMENT)
        size = -(-wanted // ALIGNMENT) * ALIGNMENT
        with self._lock:
            while self._returned:
                key = self._returned.popleft()
                self._free[self._blocks[key].size].append(key)
            keys = self._free.get(size)
            key = keys.pop() if keys else self._other(size, WASTE * wanted)
        lease = self._blocks[key].view(_Lease)
        lease.key, lease.returned = key, self._returned
        return np.ndarray(shape, np.float32, lease)

    @property
    def elements(self) -> int:
        """Elements of all blocks, lent or free."""
        return sum(block.size for block in self._blocks)

    def _other(self, size: int, most: int) -> int:
        """The smallest free block that is larger, but of no more than `most`, or a new one."""
        larger = [other for other, keys in self._free.items() if keys and size < other <= most]
        if larger:
            return self._free[min(larger)].pop()
        spare = np.empty(size + ALIGNMENT, dtype=np.float32)
        begin = -(spare.ctypes.data // 4) % ALIGNMENT
        self._blocks.append(spare[begin : size + begin].view(_Block))
        self._free.setdefault(size, [])
        return len(self._blocks) - 1
