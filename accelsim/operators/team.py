"""Threads that share the work of one layer.

Kernels release the interpreter, and every output is one sum whose order no share changes: the results of any number of threads are equal
bit for bit. Helpers wait in compiled code (`kernels/crew`): to hand a share over takes less than a microsecond, where waking a thread
that sleeps takes 50. They go to sleep when nothing has come for a while, so that an idle program is idle.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from threading import Lock, Semaphore, Thread

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.kernels import crew
from accelsim.layers.base import Tensor

WORTHWHILE = 1 << 19
"""Multiply-accumulates of a layer (about 10 microseconds) from which handing a share to another thread pays."""
PATIENCE = 3 << 10
"""Looks of a waiting thread, some 500 microseconds."""
LEAST = 1 << 20
"""Multiply-accumulates of the smallest share."""

DEPTHWISE, POOLED, CONNECTED, COPIED = 4, 6, 4, 10
"""Multiply-accumulates of a convolution that take as long as one of a depthwise one, as one comparison, as one of a fully connected layer
from memory, and as one element that is copied or added."""
PLANE = 256
"""Elements of a channel for each thread from which rows are shared, not channels. At every border between rows of two threads lies a line
of cache for which their cores contend, in each channel; but to share rows leaves most of what a layer reads in the cache of its core."""

NOWHERE = (0, 0)
"""The entry of a kernel that is not known yet."""

Kernel = Callable[..., None]
Words = NDArray[np.int64]


class Team:
    """A number of threads; 1 does everything in the thread that asks."""

    def __init__(self, threads: int = 1) -> None:
        """Raises: `ModelError` for fewer than one thread."""
        if threads < 1:
            raise ModelError(f"threads {threads}; allowed: 1 or more")
        self.threads = threads
        self._words = np.zeros(crew.PARTS + threads * crew.LINE, np.int64)
        self._bell = Semaphore(0)
        self._rung = 0
        self._busy = Lock()
        self._helpers: list[Thread] = []
        self._entries: dict[Kernel, tuple[int, int]] = {}

    def divides(self, ofmap: Tensor) -> bool:
        """Whether rows of a map are to be shared, rather than its channels. Shapes: ofmap [K, Ho, Wo]"""
        return self.threads > 1 and ofmap.shape[1] * ofmap.shape[2] >= PLANE * self.threads

    def share(self, kernel: Kernel, arguments: tuple[object, ...], units: int, work: int) -> None:
        """Call `kernel(*arguments, first, last)` for shares of 0 .. `units`, all of which are done on return.

        A team that is busy (with another thread's layer) leaves it all to the thread that asks.
        Units:   `work`: multiply-accumulates of a convolution that take as long as all units
        Raises:  what the kernel raises; `MemoryError` where one of several shares fails
        """
        alone = self.threads == 1 or units == 1 or work < WORTHWHILE or not crew.has_entries(kernel)
        if alone or not self._busy.acquire(blocking=False):
            kernel(*arguments, 0, units)
            return
        try:
            self._share(kernel, arguments, units, work)
        finally:
            self._busy.release()

    def _share(self, kernel: Kernel, arguments: tuple[object, ...], units: int, work: int) -> None:
        words, found = self._words, crew.LATE
        size = (units, -(-units * LEAST // work), self.threads, PATIENCE)
        try:
            self._wake()
            found = crew.launch(words, *self._entries.get(kernel, NOWHERE), *size, arguments)
            if found == crew.OTHER:
                self._entries[kernel] = crew.entry_of(kernel, arguments)
                self._wake()  # that may have taken seconds
                found = crew.launch(words, *self._entries[kernel], *size, arguments)
        finally:
            if found != crew.DONE:
                self._settle()
        if words[crew.FAILED]:
            words[crew.FAILED] = 0
            raise MemoryError(f"no memory for a share of {kernel.__name__}")

    def _settle(self) -> None:
        """Wait for helpers that are still at work, whatever happens: they write into arrays that must not go before."""
        stopped: BaseException | None = None
        while True:
            try:
                if crew.settled(self._words, PATIENCE):
                    break
                time.sleep(0)
            except KeyboardInterrupt as fault:
                stopped = fault
        if stopped is not None:
            raise stopped

    def _wake(self) -> None:
        """Start helpers, or ring for those that have gone to sleep since."""
        if not self._helpers:
            self._helpers = [Thread(target=_help, args=(self._words, me, self._bell), daemon=True) for me in range(1, self.threads)]
            for helper in self._helpers:
                helper.start()
            weakref.finalize(self, _dismiss, self._words, self._bell, len(self._helpers))
        asleep = int(self._words[crew.ASLEEP]) - self._rung
        if asleep:
            self._bell.release(asleep)
            self._rung += asleep


def _help(words: Words, me: int, bell: Semaphore) -> None:
    """What a helper does: work while there is work, then sleep."""
    while crew.serve(words, me, PATIENCE):
        bell.acquire()


def _dismiss(words: Words, bell: Semaphore, helpers: int) -> None:
    words[crew.STOP] = 1
    bell.release(helpers)


ALONE = Team()
