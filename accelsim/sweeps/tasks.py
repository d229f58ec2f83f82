"""What a process of a sweep does at a time: one schedule, replayed on every machine that shares it.

A schedule depends on the trace, the scheme, and the array and buffer of a machine (`sweepspace.UNSCHEDULED` says on what it does not), so
points that differ in link, DRAM, clock or prices alone pay for it once. Tilings and their plans are cached by process below that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from accelsim import batch, engines, simulate, tracefile
from accelsim.designspace import sweeptable
from accelsim.designspace.store import Kept
from accelsim.designspace.sweeptable import Place, Point
from accelsim.errors import AccelsimError, ConfigError
from accelsim.hardware import Accelerator
from accelsim.kernels.compile import is_loaded
from accelsim.networks.beside import beside
from accelsim.networks.network import Network
from accelsim.runfile import NetworkFile
from accelsim.schedule import build
from accelsim.schedule.tables import Schedule
from accelsim.sweeps.points import program, trace_at
from accelsim.trace import Trace

Made = dict[str, Kept]
"""What came of a task: each point by its key."""
MOST_MACHINES = 8
"""Machines of one task at most, so that results come in, are kept, and can be dealt out."""


@dataclass(frozen=True)
class Task:
    """One trace under one scheme on machines of one schedule, each with the key of its point.

    `network`: where its weights are, if the scheme needs them; `program`: who must simulate it.
    """

    trace: Place
    digest: str
    scheme: str
    engine: str
    machines: tuple[tuple[str, Accelerator], ...]
    network: NetworkFile | None
    program: str


def tasks_of(points: Sequence[Point], kept: Container[str]) -> list[Task]:
    """What is left to do, each point once, in the order of the points; those of one schedule together."""
    groups: dict[tuple[str, ...], dict[str, Point]] = {}
    for point in points:
        if point.key not in kept:
            network = "" if point.network is None else point.network.model_dump_json()
            place = (point.digest, point.setting.machine.scheduled, point.scheme, point.setting.engine, network)
            groups.setdefault(place, {}).setdefault(point.key, point)
    return [
        _task(list(group.values())[low : low + MOST_MACHINES]) for group in groups.values() for low in range(0, len(group), MOST_MACHINES)
    ]


def _task(group: Sequence[Point]) -> Task:
    first = group[0]
    machines = tuple((point.key, point.setting.machine.accelerator) for point in group)
    return Task(first.trace, first.digest, first.scheme, first.setting.engine, machines, first.network, program())


def simulate_task(task: Task, content: bytes | None = None) -> Made:
    """Replay every machine of a task; a replay that fails gives its error. `content`: the trace file, where it is not on this computer."""
    if task.program != program():
        raise ConfigError("a worker runs another version of accelsim than the one that sweeps\n    install the same on all of them")
    trace = _trace(task.trace, task.digest) if content is None else _received(task.digest, content)
    begin = time.perf_counter()
    try:
        first = task.machines[0][1]
        if task.network is not None:
            trace = beside(trace, _network(task.network.model_dump_json()))
        data = batch.repeat(trace, first.batch)
        schedule = build(data, first, task.scheme)
    except AccelsimError as fault:
        share = (time.perf_counter() - begin) / len(task.machines)
        return {key: Kept({}, str(fault), share) for key, _ in task.machines}
    share = (time.perf_counter() - begin) / len(task.machines)
    if task.engine == "fast" and not is_loaded(engines.loop(first)):
        _replay(data, schedule, first, task.engine, share)  # so that no point's time holds that of loading compiled code
    return {key: _replay(data, schedule, machine, task.engine, share) for key, machine in task.machines}


def _replay(trace: Trace, schedule: Schedule, machine: Accelerator, engine: str, share: float) -> Kept:
    begin = time.perf_counter()
    try:
        result = simulate.replay_schedule(trace, schedule, machine, engine)
        return Kept(sweeptable.values(result), "", share + time.perf_counter() - begin)
    except AccelsimError as fault:
        return Kept({}, str(fault), share + time.perf_counter() - begin)


@lru_cache(maxsize=2)
def _network(file: str) -> Network:
    """One of the last networks of this process, from its network file in JSON."""
    return simulate.load_network(NetworkFile.model_validate_json(file))


def trace_bytes(place: Place) -> bytes:
    """The trace as the content of a file, for computers that have no such file. Raises `TraceError` where it cannot be read."""
    if not place.image:
        return place.path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.npz"
        tracefile.save(trace_at(place), path)
        return path.read_bytes()


@lru_cache(maxsize=4)
def _trace(place: Place, digest: str) -> Trace:
    """One of the last traces of this process; the digest tells a file that was replaced."""
    return trace_at(place)


@lru_cache(maxsize=4)
def _received(digest: str, content: bytes) -> Trace:
    """One of the last traces that were sent to this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.npz"
        path.write_bytes(content)
        return tracefile.load(path)
