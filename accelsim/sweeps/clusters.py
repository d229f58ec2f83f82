"""Work on a Dask cluster: one that waits at an address, or one of this computer's own; the only door to dask.distributed.

A worker that is lost takes no task with it: the scheduler hands what it worked at to another one. Data travels as tasks of its own, so
that a lost worker's copy is made again as well.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from accelsim.errors import ConfigError
from accelsim.workers import AHEAD, ONE_THREAD

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

Task = TypeVar("Task")
Result = TypeVar("Result")
Place = TypeVar("Place", bound=Hashable)
ANSWER = 10
"""Seconds in which a scheduler must answer, and have a worker."""
LOST = "lost the Dask cluster at"


class Cluster(Generic[Task, Place, Result]):
    """Calls a function on tasks, each with its data, wherever the cluster has workers."""

    def __init__(
        self, client: Client, function: Callable[[Task, bytes], Result], place: Callable[[Task], Place], read: Callable[[Place], bytes]
    ) -> None:
        self._client = client
        self._function = function
        self._place = place
        self._read = read
        self._contents: dict[Place, Any] = {}

    def __repr__(self) -> str:
        return f"Cluster({self.address}, {self.threads} threads)"

    @property
    def address(self) -> str:
        """Where the scheduler is."""
        return str(self._client.scheduler.address)

    @property
    def threads(self) -> int:
        """Tasks that all workers do at a time, now."""
        return sum(self._client.nthreads().values())

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as soon as it is there; the order is that of their ends.

        Raises:  what the function raises, and `ConfigError` where the scheduler is lost, or a task has cost several workers their lives
        """
        from distributed import as_completed

        left = iter(tasks)
        mine: dict[str, Task] = {}
        ends = as_completed(loop=self._client.loop)
        try:
            self._hand_out(left, mine, ends)
            while mine:
                future = next(ends)
                task = mine.pop(future.key)
                result = self._result(future)
                self._hand_out(left, mine, ends)
                yield task, result
        finally:
            ends.clear()  # nobody refers to what is left, so the scheduler drops it

    def _hand_out(self, left: Iterator[Task], mine: dict[str, Task], ends: Any) -> None:
        """Keep a few tasks a worker under way; workers may have come or gone."""
        for task in islice(left, max(1, AHEAD * self.threads - len(mine))):
            # Not pure: a function of equal arguments may have failed on a worker that is gone.
            future = self._client.submit(self._function, task, self._content(self._place(task)), pure=False)
            mine[future.key] = task
            ends.add(future)

    def _content(self, place: Place) -> Any:
        if place not in self._contents:
            self._contents[place] = self._client.submit(_same, self._read(place))
        return self._contents[place]

    def _result(self, future: Any) -> Result:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            found: Result = future.result()
        except KilledWorker as fault:
            raise ConfigError("several workers died over one task, perhaps for want of memory\n    run again with fewer threads") from fault
        except (CancelledError, OSError) as fault:
            raise ConfigError(f"{LOST} {self.address}\n    start it, and give the same command again to go on") from fault
        return found


@contextmanager
def cluster(
    function: Callable[[Task, bytes], Result],
    place: Callable[[Task], Place],
    read: Callable[[Place], bytes],
    address: str | None,
    processes: int,
) -> Iterator[Cluster[Task, Place, Result]]:
    """A cluster that calls `function` on tasks and their data; what was started here ends with the block.

    `place`: where the data of a task is; `read` reads it here, once for all tasks that share it, and workers get it from each other.
    Units:   `processes` of a cluster on this computer, one thread each; of no account where there is an `address`
    Raises:  `ConfigError` where dask.distributed is not installed, or no scheduler with a worker answers at the address
    """
    try:
        from distributed import Client
    except ImportError as fault:
        raise ConfigError("--executor dask needs dask.distributed\n    pip install 'accelsim[cluster]'") from fault
    own = None if address is not None else _local(processes)
    try:
        try:
            client = Client(address if own is None else own, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as fault:
            reason = str(fault).splitlines()[0]
            raise ConfigError(f"{address}: no Dask scheduler answers: {reason}\n    start one: dask scheduler, dask worker") from fault
        with client:
            try:
                client.wait_for_workers(1, timeout=ANSWER)
            except TimeoutError as fault:
                raise ConfigError(f"{address}: this Dask cluster has no workers\n    start some: dask worker {address}") from fault
            yield Cluster(client, function, place, read)
    finally:
        if own is not None:
            own.close()


def _local(processes: int) -> LocalCluster:
    """A cluster on this computer; its dashboard takes any free port, so that another cluster does not matter."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=processes, threads_per_worker=1, processes=True, dashboard_address=":0", env=dict(ONE_THREAD), silence_logs=40
    )


def _same(content: bytes) -> bytes:
    return content
