"""How long a sweep will take: from what is kept of each network, else from a few of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.designspace.store import Kept
from accelsim.designspace.sweeptable import Point
from accelsim.sweeps.tasks import Task

PROBES = (1 / 6, 1 / 2, 5 / 6)
"""Where the tasks stand that are done first to tell the time: neither end, and enough of the middle."""


def probes(tasks: Sequence[Task], points: Sequence[Point], kept: Mapping[str, Kept]) -> list[Task]:
    """The tasks that tell how long a point of each network takes: none for a network of which points are kept."""
    network = {point.key: str(point.told["network"]) for point in points}
    known = {name for key, name in network.items() if key in kept and not kept[key].error}
    by_network: dict[str, list[Task]] = {}
    for task in tasks:
        by_network.setdefault(network[task.machines[0][0]], []).append(task)
    chosen: dict[int, Task] = {}
    for name, mine in by_network.items():
        if name not in known:
            chosen |= {id(task): task for task in (mine[int(share * len(mine))] for share in PROBES)}
    return list(chosen.values())


def seconds_left(points: Sequence[Point], kept: Mapping[str, Kept], processes: int) -> float:
    """How long it takes to simulate what is not kept, by the mean of each network's points."""
    network = {point.key: str(point.told["network"]) for point in points}
    took: dict[str, list[float]] = {}
    left: dict[str, int] = {}
    for key, name in network.items():
        if key not in kept:
            left[name] = left.get(name, 0) + 1
        elif not kept[key].error:
            took.setdefault(name, []).append(kept[key].seconds)
    every = [second for seconds in took.values() for second in seconds]
    # a network all of whose probes failed is taken for an average one
    means = {name: sum(took.get(name, every)) / max(1, len(took.get(name, every))) for name in left}
    return sum(count * means[name] for name, count in left.items()) / processes


def duration(seconds: float) -> str:
    """A time for people: `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
