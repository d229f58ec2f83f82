"""Sweeps: every point of a sweep file simulated once, kept as it ends, and made into one table.

What is in the store is not simulated again, so a sweep that was interrupted, or whose file has grown, goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim import report
from accelsim.designspace import sweepfile, sweeptable
from accelsim.designspace.fronts import OBJECTIVES
from accelsim.designspace.store import FILE, Kept, Store
from accelsim.designspace.sweepfile import Search, Sweep
from accelsim.designspace.sweepspace import Space, settings
from accelsim.designspace.sweeptable import Point, SweepTable
from accelsim.sweeps.desk import Desk, Hands
from accelsim.sweeps.estimate import duration, probes, seconds_left
from accelsim.sweeps.points import Progress, points_of, ready, recorded
from accelsim.sweeps.searching import Searcher
from accelsim.sweeps.tasks import simulate_task, tasks_of

TRIALS = "trials.csv"


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """What a sweep made. `table`: a row a point, see `sweeptable`; `simulated`: points that were not in the store before."""

    table: SweepTable
    folder: Path
    simulated: int

    @property
    def failed(self) -> int:
        """Points that gave no result but a reason."""
        return int((self.table["error"] != "").sum())

    def __repr__(self) -> str:
        return f"Outcome({len(self.table):,} points, {self.simulated:,} simulated now, {self.failed:,} failed, results in {self.folder})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


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
    executor: str = "processes",
    address: str | None = None,
    figures: bool = True,
    progress: Progress = silent,
) -> SweepTable:
    """Do what a sweep file asks for, write its results folder, and return its table: a row for each point, the columns of `sweep.csv`.

    In a script the call stands below `if __name__ == "__main__":`, as with all that starts processes; or `processes` is 1.
    Raises:  `ConfigError`, `ModelError`, `TraceError` for what the user can mend; a point that fails is a row with its `error`
    """
    outcome = run(
        file,
        overrides,
        results=results,
        processes=processes,
        executor=executor,
        address=address,
        figures=figures,
        progress=progress,
    )
    if outcome is None:
        raise AssertionError("only a dry run has no outcome")
    return outcome.table


def run(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    results: str | Path | None = None,
    processes: int | None = None,
    executor: str = "processes",
    address: str | None = None,
    figures: bool = True,
    dry_run: bool = False,
    progress: Progress = silent,
    announce: Callable[[str], None] = unheard,
) -> Outcome | None:
    """As `sweep`. `announce` gets the number of points and the time expected before work begins; `dry_run`: no more than that.

    `executor`: `processes` of this computer, or `dask`, whose scheduler is at `address`, else on this computer.
    Units:   `processes`: one thread each; those of the file if not given, else as many as there are cores
    Raises:  `KeyboardInterrupt` that says how many points are kept, after the store is closed
    """
    asked = sweepfile.load(file, overrides)
    folder = Path(results) if results is not None else asked.results
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    hands = Hands(executor, processes or asked.processes or cores, address)
    if dry_run:
        announce(_forecast(asked, folder, hands, progress))
        return None
    space = Space(asked) if asked.search is not None else None
    found = settings(asked) if space is None else ()
    report.require_writable(folder)
    with Store(folder) as store:
        traces = recorded(asked, folder, progress)
        desk = Desk(asked.name, store, {}, hands, progress, counts_points=space is None, tasks=hands.processes)
        try:
            with desk:
                files: dict[str, bytes] = {}
                if asked.search is None or space is None:
                    points = points_of(traces, found)
                    _grid(asked, desk, points, announce)
                else:
                    searcher = Searcher(asked, asked.search, space, traces)
                    points = _search(asked, desk, searcher, announce)
                    files[TRIALS] = searcher.trials().to_csv(index=False, lineterminator="\n").encode()
        except KeyboardInterrupt:
            wanted = f" of {desk.wanted:,}" if desk.wanted else ""
            raise KeyboardInterrupt(f"interrupted: {len(desk.kept):,}{wanted} points are kept in {store.path}") from None
        table = sweeptable.table(points, desk.kept, asked.baseline, _objectives(asked.search))
        _write(folder, asked.model_copy(update={"results": folder}), table, files, figures, progress)
    return Outcome(table, folder, desk.simulated)


def _grid(asked: Sweep, desk: Desk, points: Sequence[Point], announce: Callable[[str], None]) -> None:
    """Simulate every point."""
    desk.kept |= desk.store.read(point.key for point in points)
    before, desk.wanted = len(desk.kept), len({point.key for point in points})

    def done() -> tuple[int, int]:
        return len(desk.kept), desk.wanted

    announce(_size(asked, points, before))
    tasks = tasks_of(points, desk.kept)
    desk.tasks = len(tasks)
    desk.simulate(probes(tasks, points, desk.kept), done)
    announce(_time(points, desk.kept, desk.hands))
    desk.points(points, done)


def _search(asked: Sweep, desk: Desk, searcher: Searcher, announce: Callable[[str], None]) -> list[Point]:
    """Simulate the points that a search asks for."""
    trials, traces = searcher.search.trials, len(searcher.traces)
    most = trials * traces * (1 + any(scheme != asked.baseline for scheme in searcher.schemes))
    size = searcher.space.size * len(searcher.schemes)
    text = f"sweep {asked.name}: {trials:,} trials by {searcher.search.sampler} among {size:,} combinations, at most {most:,} points"

    def simulate(points: Sequence[Point], before: int) -> Mapping[str, Kept]:
        desk.kept |= desk.store.read(point.key for point in points if point.key not in desk.kept)
        if not before:
            # what is simulated first tells how long the rest takes
            desk.simulate(probes(tasks_of(points, desk.kept), points, desk.kept), lambda: (0, trials))
            took = [one.seconds for one in desk.kept.values() if not one.error]
            announce(f"{text}; at most {duration(most * sum(took) / max(1, len(took)) / desk.hands.processes)} on {desk.hands}")
        desk.points(points, lambda: (before, trials))
        return desk.kept

    return searcher.run(simulate)


def _objectives(search: Search | None) -> tuple[str, ...]:
    return OBJECTIVES if search is None else search.objectives


def _size(asked: Sweep, points: Sequence[Point], before: int) -> str:
    machines = len({point.setting.machine.digest for point in points})
    schedules = len({(point.digest, point.setting.machine.scheduled, point.scheme) for point in points})
    text = f"sweep {asked.name}: {len(points):,} points, {machines:,} machine{'s' * (machines != 1)}, {schedules:,} schedules"
    return text + (f"; {before:,} already simulated" if before else "")


def _time(points: Sequence[Point], kept: Mapping[str, Kept], hands: Hands) -> str:
    return f"about {duration(seconds_left(points, kept, hands.processes))} on {hands}"


def _forecast(asked: Sweep, folder: Path, hands: Hands, progress: Progress) -> str:
    """What a sweep would do; nothing is written, and of each network a few points are replayed to tell the time."""
    if asked.search is not None:
        space = Space(asked)
        return f"sweep {asked.name}: {asked.search.trials:,} trials by {asked.search.sampler} among {space.size:,} settings"
    found = settings(asked)
    traces, missing = ready(asked, folder)
    points = points_of(traces, found)
    kept: dict[str, Kept] = {}
    if (folder / FILE).is_file():
        with Store(folder) as store:
            kept = store.read(point.key for point in points)
    text = _size(asked, points, len(kept)) if points else f"sweep {asked.name}: 0 points"
    chosen = probes(tasks_of(points, kept), points, kept)
    probed: dict[str, Kept] = {}
    for done, task in enumerate(chosen):
        progress("replay a few points of each network to tell the time", done, len(chosen))
        probed |= simulate_task(task)
    left = seconds_left(points, probed | kept, hands.processes) + sum(probed[key].seconds for key in probed) / hands.processes
    text += f"; about {duration(left)} on {hands}"
    return text + (
        f"; and {len(found) * sum(missing):,} points of {len(missing):,} images that are still to be inferred" if missing else ""
    )


def plot(folder: str | Path, style: str = "paper") -> tuple[Path, ...]:
    """Draw the figures of a sweep's results folder again from its table, without simulating; gives the files written.

    `style`: one of `plots.LOOKS`. Raises `ConfigError` for another style, or a folder without that table.
    """
    from accelsim import plots

    look = plots.look(style)
    return report.write_files(Path(folder), dict(plots.files(plots.of_sweep(sweeptable.read(Path(folder)), look.width), look.dpi)))


def _write(folder: Path, asked: Sweep, table: pd.DataFrame, files: dict[str, bytes], figures: bool, progress: Progress) -> None:
    from accelsim import page  # brings the figures' libraries with it, which workers do without

    files = {"config.yaml": sweepfile.describe(asked).encode()} | files
    if figures:
        from accelsim import plots

        progress("draw the figures", 0, 1)
        files |= dict(plots.files(plots.of_sweep(table)))
    files |= sweeptable.files(table)
    report.write_files(folder, {page.NAME: page.of_folder(files), **files})
