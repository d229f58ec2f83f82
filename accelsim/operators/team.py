"""Threads that share the work of one layer.

Kernels release the interpreter, and every output is one sum whose order no share changes: the results of any number of threads are equal
bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from accelsim.errors import ModelError

WORTHWHILE = 1 << 20
"""Multiply-accumulates of a layer (about 20 microseconds) from which handing a share to another thread pays."""


class Team:
    """A number of threads; 1 does everything in the thread that asks."""

    def __init__(self, threads: int = 1) -> None:
        """Raises: `ModelError` for fewer than one thread."""
        if threads < 1:
            raise ModelError(f"threads {threads}; allowed: 1 or more")
        self.threads = threads
        self._helpers = ThreadPoolExecutor(threads - 1, "accelsim") if threads > 1 else None

    def share(self, units: int, work: int, task: Callable[[int, int], None]) -> None:
        """Call `task(first, last)` for shares of 0 .. `units`, all of which are done on return.

        Units:   `work`: multiply-accumulates of all units
        Raises:  what a task raises
        """
        count = min(self.threads, units) if work >= WORTHWHILE else 1
        if count == 1 or self._helpers is None:
            task(0, units)
            return
        bounds = [units * part // count for part in range(count + 1)]
        others = [self._helpers.submit(task, bounds[part], bounds[part + 1]) for part in range(1, count)]
        task(0, bounds[1])
        for other in others:
            other.result()


ALONE = Team()
