"""Work in several processes, one thread each. Nothing heavy is imported here: a worker sets its threads before libraries count them.

On Linux workers are copies of one process that does nothing but import what they need, once for all of them, while this one still
imports the same (`import_ahead`). It has one thread and has compiled nothing, so that it can be copied; this one could not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Generic, TypeVar

from accelsim.errors import ConfigError

Task = TypeVar("Task")
Result = TypeVar("Result")

ONE_THREAD: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
)
"""What keeps the libraries of a worker to one thread."""
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
"""How workers are started. Elsewhere a copy of a process may break: macOS's own libraries do not survive it, Windows makes none."""
AHEAD = 3
"""Tasks a process that are handed out, so that none waits for its next one and few are lost with a killed driver."""


class Workers(Generic[Task, Result]):
    """Calls a function on tasks: in this process, or in several others that have none of its state.

    Function, tasks and results must be picklable where there is more than one process.
    """

    def __init__(self, function: Callable[[Task], Result], pool: ProcessPoolExecutor | None, processes: int) -> None:
        self._function = function
        self._pool = pool
        self._processes = processes

    def __repr__(self) -> str:
        return f"Workers({self._processes} process{'es' * (self._processes > 1)})"

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as soon as it is there; the order is that of their ends.

        Raises:  what the function raises, and `ConfigError` where a process was killed; tasks not begun are then dropped
        """
        if self._pool is None:
            for task in tasks:
                yield task, self._function(task)
            return
        left = iter(tasks)
        futures: dict[Future[Result], Task] = {}
        try:
            while True:
                for task in islice(left, AHEAD * self._processes - len(futures)):
                    futures[self._pool.submit(self._function, task)] = task
                if not futures:
                    return
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    yield futures.pop(future), future.result()
        except BrokenProcessPool as fault:
            raise ConfigError("a process was killed, perhaps for want of memory\n    run again with fewer processes") from fault
        finally:
            for future in futures:
                future.cancel()


def import_ahead(*modules: str) -> None:
    """Begin to import what workers will need, in a process of its own that they are then copied from; returns at once.

    The first call of a process decides what is imported; workers import what is missing. Elsewhere than on Linux nothing happens.
    """
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(list(modules))
        with _environment(ONE_THREAD):
            forkserver.ensure_running()


@contextmanager
def workers(function: Callable[[Task], Result], processes: int) -> Iterator[Workers[Task, Result]]:
    """Processes that wait for tasks, ended with the block; at once where an error leaves it. Units: `processes` 1 means this one."""
    if processes == 1:
        yield Workers(function, None, 1)
        return
    # This process is not forked: compiled code and thread pools do not survive that, and its libraries have counted their threads
    # already. Processes inherit the environment when they start, which is when tasks come in, or that of what they are copied from.
    import_ahead(function.__module__)
    with _environment(ONE_THREAD):
        context = multiprocessing.get_context(METHOD)
        pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(dict(os.environ),))
        before = set(multiprocessing.active_children())
        try:
            yield Workers(function, pool, processes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ours = set(multiprocessing.active_children()) - before
            for process in ours:
                process.terminate()  # what it works at is lost; to wait for that could take minutes
            for process in ours:
                process.join()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(environment: Mapping[str, str]) -> None:
    """Take the parent's environment of today over, and end with the parent, however that ends; a killed one could not say so."""
    os.environ.clear()
    os.environ.update(environment)
    parent = multiprocessing.parent_process()
    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all at once; the parent says what becomes of it

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for what is started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
