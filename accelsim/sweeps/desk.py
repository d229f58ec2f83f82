"""Where points are simulated: every result goes into the store as it comes, whoever simulates it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from accelsim.designspace.store import Kept, Store
from accelsim.designspace.sweeptable import Place, Point
from accelsim.errors import ConfigError, choices
from accelsim.sweeps.clusters import cluster
from accelsim.sweeps.estimate import duration
from accelsim.sweeps.points import Progress
from accelsim.sweeps.tasks import Made, Task, simulate_task, tasks_of, trace_bytes
from accelsim.workers import workers

EXECUTORS = ("processes", "dask")
EVERY = 1.0
"""Seconds between reports of progress."""


class Crew(Protocol):
    """Who does tasks."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Made]]:
        """Each task with what came of it, in the order of their ends."""


@dataclass(frozen=True)
class Hands:
    """Who simulates: `executor` of `EXECUTORS`; `processes` on this computer, one thread each; or a Dask cluster's `address`."""

    executor: str
    processes: int
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise ConfigError(f"executor: {self.executor!r} is not known\n    {choices(EXECUTORS, self.executor)}")
        if self.address is not None and self.executor != "dask":
            raise ConfigError(f"address {self.address}: only a Dask cluster has one\n    add --executor dask")

    def __str__(self) -> str:
        if self.executor == "dask":
            return f"the Dask cluster at {self.address}" if self.address else f"a Dask cluster of {self.processes}"
        return f"{self.processes} process{'es' * (self.processes != 1)}"

    def crew(self, tasks: int) -> AbstractContextManager[Crew]:
        """A crew, no larger than its tasks need."""
        count = max(1, min(self.processes, tasks))
        if self.executor == "dask":
            return cluster(simulate_task, _place, trace_bytes, self.address, count)
        return workers(simulate_task, count)


@dataclass
class Desk:
    """Simulates points that the store does not hold. A context manager: the crew is called at the first task and sent home at the end.

    `kept`: what is known of points, by key, kept up to date; `name`: what progress calls the sweep; `wanted`: all points, if known;
    `tasks`: how many there may be in all, which no crew is larger than; `counts_points`: whether the steps of progress are points
    """

    name: str
    store: Store
    kept: dict[str, Kept]
    hands: Hands
    progress: Progress
    simulated: int = 0
    tasks: int = 1
    counts_points: bool = True
    wanted: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _crew: Crew | None = None
    _first: tuple[float, int] | tuple[()] = ()
    _told: float = 0.0

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def simulate(self, tasks: Sequence[Task], done: Callable[[], tuple[int, int]]) -> None:
        """Do tasks and keep what comes of them. `done`: how many steps are done, and how many there are."""
        if not tasks:
            return
        if self._crew is None:
            self._crew = self._stack.enter_context(self.hands.crew(max(len(tasks), self.tasks)))
            self.progress(f"sweep {self.name}", *done())
        for _, made in self._crew.run(tasks):
            self.store.add(made)
            self.kept |= made
            self.simulated += len(made)
            self._tell(*done())

    def recall(self, points: Sequence[Point]) -> int:
        """Take over what the store holds of points, and what is lost of them before they begin; gives how many the store held."""
        held = self.store.read(point.key for point in points if point.key not in self.kept)
        self.kept |= held
        self.kept |= {point.key: Kept({}, point.lost, 0.0) for point in points if point.lost}
        return len(held)

    def points(self, points: Sequence[Point], done: Callable[[], tuple[int, int]]) -> None:
        """Simulate those of the points that are not kept."""
        self.simulate(tasks_of(points, self.kept), done)

    def _tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._first:
            self._first = now, self.simulated  # what comes before is the start of processes
        if now - self._told < EVERY and done < total:
            return
        self._told = now
        failed = sum(bool(one.error) for one in self.kept.values())
        begin, simulated = self._first
        text = f"sweep {self.name}"
        if now > begin:
            rate = (self.simulated - simulated) / (now - begin)
            text += f": {rate:.3g} points/s"
            text += f", {duration((total - done) / rate)} left" if done < total and self.counts_points else ""
        self.progress(text + (f", {failed:,} failed" if failed else ""), done, total)


def _place(task: Task) -> Place:
    return task.trace
