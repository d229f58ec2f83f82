"""Sweeps: every point of a sweep file simulated once, kept as it ends, and made into one table.

A point is known by a hash of all that decides what it gives: what its trace says, the resolved machine, the scheme, the engine and
this program. What is in the store is not simulated again, so a sweep that was interrupted, or whose file has grown, goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import pandas as pd

from accelsim import inference, report, simulate, sweepfile, sweeptable, tracefile
from accelsim.errors import AccelsimError
from accelsim.hardware import Accelerator
from accelsim.networks.network import file_sha256
from accelsim.runfile import NetworkFile
from accelsim.store import FILE, Kept, Store
from accelsim.sweepfile import Sweep, SweepInferenceJob
from accelsim.sweepspace import Setting, settings
from accelsim.sweeptable import Point
from accelsim.trace import Trace
from accelsim.workers import workers

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""

FORMAT = 1
"""Counted up whenever what is kept of a point changes."""
EVERY = 1.0
"""Seconds between reports of progress."""
NOT_DECIDING = frozenset(
    {
        *("plots", "cli", "cli.py", "convert", "validation", "torch", "evaluation", "evaluate.py", "evaluatefile.py", "sparsity.py"),
        *("dynamic.py", "checks.py", "kinds.py", "networks", "images.py", "inference.py", "schema.py", "faults.py", "located.py"),
        *("configfile.py", "runfile.py", "sweeps.py", "sweepfile.py", "sweepspace.py", "store.py", "workers.py"),
        *("__init__.py", "__main__.py"),
    }
)
"""Rooms and files of this package that have no say in what a replay of a given trace on a given machine gives."""


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """What a sweep made. `table`: a row a point, see `sweeptable`; `simulated`: points that were not in the store before."""

    table: pd.DataFrame
    folder: Path
    simulated: int

    @property
    def failed(self) -> int:
        """Points that gave no result but a reason."""
        return int((self.table["error"] != "").sum())

    def __repr__(self) -> str:
        return f"Outcome({len(self.table):,} points, {self.simulated:,} simulated now, {self.failed:,} failed, results in {self.folder})"


@dataclass(frozen=True)
class Task:
    """What one process does at a time: one trace on one machine, under the schemes that are not in the store, by key.

    The schemes stay together because the search for tilings is shared between them.
    """

    trace: Path
    digest: str
    machine: Accelerator
    engine: str
    schemes: tuple[tuple[str, str], ...]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def unheard(text: str) -> None:
    """Announce nothing."""


def sweep(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    results: str | Path | None = None,
    processes: int | None = None,
    figures: bool = True,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Do what a sweep file asks for, write its results folder, and return its table: a row for each point, the columns of `sweep.csv`.

    In a script the call stands below `if __name__ == "__main__":`, as with all that starts processes; or `processes` is 1.
    Raises:  `ConfigError`, `ModelError`, `TraceError` for what the user can mend; a point that fails is a row with its `error`
    """
    outcome = run(file, overrides, results=results, processes=processes, figures=figures, progress=progress)
    if outcome is None:
        raise AssertionError("only a dry run has no outcome")
    return outcome.table


def run(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    results: str | Path | None = None,
    processes: int | None = None,
    figures: bool = True,
    dry_run: bool = False,
    progress: Progress = silent,
    announce: Callable[[str], None] = unheard,
) -> Outcome | None:
    """As `sweep`. `announce` gets the number of points and the time expected before work begins; `dry_run`: no more than that.

    Units:   `processes`: one thread each; those of the file if not given, else as many as there are cores
    Raises:  `KeyboardInterrupt` that says how many points are kept, after the store is closed
    """
    asked = sweepfile.load(file, overrides)
    folder = Path(results) if results is not None else asked.results
    count = processes or asked.processes or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    found = settings(asked)
    if dry_run:
        announce(_forecast(asked, folder, found, count, progress))
        return None
    report.require_writable(folder)
    with Store(folder) as store:
        points = _points(asked, folder, found, progress)
        kept = store.read(point.key for point in points)
        before = len(kept)
        wanted = len({point.key for point in points})
        try:
            seconds = _probe(points, kept, store.add)
            announce(_expectation(asked, points, kept, seconds, count, before))
            _simulate(asked, points, kept, store, count, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted: {len(kept):,} of {wanted:,} points are kept in {store.path}") from None
        table = sweeptable.table(points, kept, asked.baseline)
        _write(folder, asked.model_copy(update={"results": folder}), table, figures, progress)
    return Outcome(table, folder, wanted - before)


def simulate_task(task: Task) -> dict[str, Kept]:
    """Replay one trace on one machine under several schemes; a replay that fails gives its error."""
    return {key: _replay(task, scheme) for key, scheme in task.schemes}


def _replay(task: Task, scheme: str) -> Kept:
    begin = time.perf_counter()
    try:
        result = simulate.replay(_trace(task.trace, task.digest), task.machine, scheme, task.engine)
        return Kept(sweeptable.values(result), "", time.perf_counter() - begin)
    except AccelsimError as fault:
        return Kept({}, str(fault), time.perf_counter() - begin)


@lru_cache(maxsize=4)
def _trace(path: Path, digest: str) -> Trace:
    """One of the last traces of this process; the digest tells a file that was replaced."""
    return tracefile.load(path)


@cache
def program() -> str:
    """Sha256, in hexadecimal, of the parts of this program that decide what a replay gives."""
    home = Path(__file__).parent
    files = (path for path in sorted(home.rglob("*.py")) if path.relative_to(home).parts[0] not in NOT_DECIDING)
    seal = hashlib.sha256(str(FORMAT).encode())
    for path in files:
        seal.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return seal.hexdigest()


def _points(asked: Sweep, folder: Path, found: Sequence[Setting], progress: Progress) -> list[Point]:
    """Every point in order: traces, then settings, then schemes."""
    points: list[Point] = []
    number = 0
    for job in asked.jobs:
        paths = list(_recorded(job, folder, progress)) if isinstance(job, SweepInferenceJob) else [job.trace]
        for path in paths:
            number += 1
            trace = tracefile.load(path)
            digest = tracefile.digest(trace)
            points += _of_trace(asked, job.schemes or asked.schemes, found, number, path, trace, digest)
    return points


def _of_trace(
    asked: Sweep, schemes: Sequence[str], found: Sequence[Setting], number: int, path: Path, trace: Trace, digest: str
) -> Iterator[Point]:
    told: dict[str, str | float] = {
        "network": trace.graph.name,
        "image": trace.image,
        "source": trace.source,
        "epsilon": float(trace.epsilon),
    }
    for setting in found:
        for written in dict.fromkeys([asked.baseline, *schemes]):
            scheme = setting.scheme(written)
            facts = [program(), digest, setting.machine.digest, scheme, setting.engine]
            key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
            yield Point(key, number, told, path, digest, setting, written, scheme)


def _recorded(job: SweepInferenceJob, folder: Path, progress: Progress) -> Iterator[Path]:
    """Traces of a network on images, in the order of the images; those recorded before are taken from the results folder."""
    prepared: inference.Prepared | None = None
    for done, image in enumerate(job.images):
        path = _trace_path(job, image, folder)
        if not path.is_file():
            progress(f"infer {job.network.name}", done, len(job.images))
            if prepared is None:
                prepared = inference.prepare(simulate.load_network(job.network))
            photograph = inference.photograph(image, job.network.preprocessing)
            (trace,) = inference.record(prepared, [photograph], epsilon=job.epsilon, mode=job.mode)
            tracefile.save(trace, path)
        yield path


def _trace_path(job: SweepInferenceJob, image: str, folder: Path) -> Path:
    """Where the trace of an image is kept: its name is a hash of all that decides it."""
    file, separator, key = image.partition(".npz:")
    stamp = file_sha256(Path(file + separator.rstrip(":")))
    network = job.network.model_dump(mode="json", exclude={"darknet", "onnx", "labels"})
    facts = [inference.ENGINE, network, _network_files(job.network), stamp, Path(file).name, key, job.epsilon, job.mode]
    return folder / "traces" / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]}.npz"


def _network_files(network: NetworkFile) -> list[str]:
    files = [network.onnx] if network.darknet is None else [network.darknet.cfg, network.darknet.weights]
    return [file_sha256(file) for file in files if file is not None]


def _tasks(points: Sequence[Point], kept: Mapping[str, Kept]) -> list[Task]:
    """What is left to do, each point once, schemes on one machine together."""
    groups: dict[tuple[str, str, str], list[Point]] = {}
    seen = set(kept)
    for point in points:
        if point.key not in seen:
            seen.add(point.key)
            groups.setdefault((point.digest, point.setting.machine.digest, point.setting.engine), []).append(point)
    return [_task(group) for group in groups.values()]


def _task(group: Sequence[Point]) -> Task:
    first = group[0]
    schemes = tuple((point.key, point.scheme) for point in group)
    return Task(first.trace, first.digest, first.setting.machine.accelerator, first.setting.engine, schemes)


def _probe(points: Sequence[Point], kept: dict[str, Kept], keep: Callable[[Mapping[str, Kept]], None]) -> dict[int, float]:
    """Seconds of a point of each job: the mean of what is kept, else of one that is replayed now (and kept)."""
    seconds: dict[int, float] = {}
    warm = False
    for job in dict.fromkeys(point.job for point in points):
        mine = [point for point in points if point.job == job]
        done = [kept[point.key].seconds for point in mine if point.key in kept and not kept[point.key].error]
        if done:
            seconds[job] = sum(done) / len(done)
            continue
        chosen = ([] if warm else mine[:1]) + mine[len(mine) // 2 :][:1]
        for point in chosen:  # the first in a process also loads compiled code
            made = simulate_task(_task([point]))
            kept |= made
            keep(made)
            seconds[job] = made[point.key].seconds
        warm = True
    return seconds


def _expectation(
    asked: Sweep, points: Sequence[Point], kept: Mapping[str, Kept], seconds: Mapping[int, float], processes: int, before: int
) -> str:
    unique = {point.key: point.job for point in points}
    left = [job for key, job in unique.items() if key not in kept]
    took = sum(seconds.get(job, 0.0) for job in left) / processes
    machines = len({point.setting.machine.digest for point in points})
    text = f"sweep {asked.name}: {len(points):,} points, {machines:,} machine{'s' * (machines != 1)}"
    text += f"; {before:,} already simulated" if before else ""
    return text + f"; about {duration(took)} on {processes} process{'es' * (processes != 1)}"


def _forecast(asked: Sweep, folder: Path, found: Sequence[Setting], processes: int, progress: Progress) -> str:
    """What a sweep would do; nothing is written, and of each recorded trace one or two points are replayed to tell the time."""
    points: list[Point] = []
    unrecorded = 0
    more = 0
    for number, job in enumerate(asked.jobs, 1):
        paths = [_trace_path(job, image, folder) for image in job.images] if isinstance(job, SweepInferenceJob) else [job.trace]
        schemes = job.schemes or asked.schemes
        for path in paths:
            if not path.is_file():
                unrecorded += 1
                more += len(found) * len(dict.fromkeys([asked.baseline, *schemes]))
                continue
            trace = tracefile.load(path)
            points += _of_trace(asked, schemes, found, number, path, trace, tracefile.digest(trace))
    kept: dict[str, Kept] = {}
    if (folder / FILE).is_file():
        with Store(folder) as store:
            kept = store.read(point.key for point in points)
    progress("replay a point of each trace to tell the time", 0, len(asked.jobs))
    before = dict(kept)
    seconds = _probe(points, kept, lambda _: None)
    text = _expectation(asked, points, before, seconds, processes, len(before))
    return text + (f"; and {more:,} points of {unrecorded:,} images that are still to be inferred" if unrecorded else "")


def _simulate(asked: Sweep, points: Sequence[Point], kept: dict[str, Kept], store: Store, processes: int, progress: Progress) -> None:
    """Simulate what is not kept; every result goes into the store as it comes."""
    tasks = _tasks(points, kept)
    total = len({point.key for point in points})
    begin, begun_with, told = time.monotonic(), len(kept), -EVERY
    failed = sum(bool(one.error) for one in kept.values())
    if not tasks:
        return
    progress(f"sweep {asked.name}", len(kept), total)
    with workers(simulate_task, min(processes, len(tasks))) as crew:
        for _, made in crew.run(tasks):
            store.add(made)
            kept |= made
            failed += sum(bool(one.error) for one in made.values())
            now = time.monotonic()
            if now - told >= EVERY or len(kept) == total:
                told = now
                rate = (len(kept) - begun_with) / max(now - begin, 1e-9)
                left = f"{rate:.3g} points/s, {duration((total - len(kept)) / rate)} left" + (f", {failed:,} failed" if failed else "")
                progress(f"sweep {asked.name}: {left}", len(kept), total)


def plot(folder: str | Path) -> tuple[Path, ...]:
    """Draw the figures of a sweep's results folder again from its table, without simulating; gives the files written."""
    from accelsim import plots

    return report.write_files(Path(folder), dict(plots.files(plots.of_sweep(sweeptable.read(Path(folder))))))


def _write(folder: Path, asked: Sweep, table: pd.DataFrame, figures: bool, progress: Progress) -> None:
    files = {"config.yaml": sweepfile.describe(asked).encode()}
    if figures:
        from accelsim import plots

        progress("draw the figures", 0, 1)
        files |= dict(plots.files(plots.of_sweep(table)))
    report.write_files(folder, {**files, **sweeptable.files(table)})


def duration(seconds: float) -> str:
    """A time for people: `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
