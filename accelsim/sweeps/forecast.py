"""What a sweep would do, told before it does anything: how many points, traces and accuracies, and how long they take."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from accelsim import tracefile
from accelsim.designspace.store import FILE, Kept, Store
from accelsim.designspace.sweepfile import Search, Sweep
from accelsim.designspace.sweepspace import Setting, Space
from accelsim.designspace.sweeptable import Place, Point
from accelsim.evaluation.blocks import Block
from accelsim.sweeps.desk import Hands
from accelsim.sweeps.estimate import duration, probes, seconds_left
from accelsim.sweeps.inferring import Bench, Inference, Work, counted
from accelsim.sweeps.points import Progress
from accelsim.sweeps.sources import Sources
from accelsim.sweeps.tasks import Task, simulate_task, tasks_of


def points_of(sources: Sources, found: Sequence[Setting]) -> list[Point]:
    """Every point in order: traces, then settings, then schemes."""
    traces = [(setting, sources.of(setting)) for setting in found]
    return [point for number in range(sources.count) for setting, recorded in traces for point in recorded[number].points(setting)]


def size(asked: Sweep, points: Sequence[Point], before: int) -> str:
    """How many points, machines and schedules there are, for people."""
    machines = len({point.setting.machine.digest for point in points})
    schedules = len({(point.digest, point.setting.machine.scheduled, point.scheme) for point in points})
    text = f"sweep {asked.name}: {len(points):,} points, {machines:,} machine{'s' * (machines != 1)}, {schedules:,} schedules"
    return text + (f"; {before:,} already simulated" if before else "")


def forecast_search(asked: Sweep, search: Search, folder: Path) -> str:
    """What a search would do."""
    space, sources = Space(asked), Sources(asked, folder)
    text = f"sweep {asked.name}: {search.trials:,} trials by {search.sampler} among {space.size:,} settings"
    data = min(space.data_size, search.trials)
    return text + (f", with traces and networks of at most {data:,} kinds, {sources.count:,} of each" if data > 1 else "")


def forecast_grid(asked: Sweep, found: Sequence[Setting], folder: Path, hands: Hands, progress: Progress) -> str:
    """What a sweep of every combination would do: of each network a few pieces are done, into a folder that is dropped."""
    sources = Sources(asked, folder)
    missing, points = sources.missing(found), points_of(sources, found)
    kept: dict[str, Kept] = {}
    if (folder / FILE).is_file():
        with Store(folder) as store:
            kept = store.read(point.key for point in points)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(asked.name, [_elsewhere(work, Path(scratch)) for work in missing], hands.processes, progress)
        first = bench.first()
        bench.time(first)
        before = bench.seconds(missing) / hands.processes
        instead = {work.network.name: Place(work.path) for work in first if isinstance(work, Inference) and work.path.is_file()}
        probed = _probed(points, kept, instead, progress)
    left = seconds_left(points, probed | kept, hands.processes) + sum(probed[key].seconds for key in probed) / hands.processes
    text = size(asked, points, len(kept))
    if missing:
        text += f"; before them {counted(missing)}, in about {duration(before)}"
    return f"{text}; about {duration(left + before)} on {hands}"


def _elsewhere(work: Work, folder: Path) -> Work:
    return replace(work, store=folder) if isinstance(work, Block) else replace(work, path=folder / work.path.name)


def _probed(points: Sequence[Point], kept: Mapping[str, Kept], instead: Mapping[str, Place], progress: Progress) -> dict[str, Kept]:
    """Some points of each network, simulated; where their trace is still to be inferred, another one of the network's."""
    network = {point.key: str(point.told["network"]) for point in points}
    chosen = probes(tasks_of(points, kept), points, kept)
    probed: dict[str, Kept] = {}
    for done, task in enumerate(chosen):
        progress("replay a few points of each network to tell the time", done, len(chosen))
        place = instead.get(network[task.machines[0][0]])
        if task.trace.path.exists():
            probed |= simulate_task(task)
        elif place is not None:
            probed |= simulate_task(_of(task, place))
    return probed


def _of(task: Task, place: Place) -> Task:
    return replace(task, trace=place, digest=tracefile.digest(tracefile.load(place.path)))
