"""Sweeps: every point of a sweep file simulated once, kept as it ends, and made into one table.

What is in the store is not simulated again, nor is a trace inferred or accuracy measured twice, so a sweep that was interrupted, or whose
file has grown, goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import pandas as pd

from accelsim import report
from accelsim.designspace import sweepfile, sweeptable
from accelsim.designspace.fronts import ACCURACY, OBJECTIVES
from accelsim.designspace.store import Kept, Store
from accelsim.designspace.sweepfile import Search, Sweep
from accelsim.designspace.sweepspace import Setting, Space, settings
from accelsim.designspace.sweeptable import Point, SweepTable
from accelsim.sweeps.desk import Desk, Hands
from accelsim.sweeps.estimate import duration, probes, seconds_left
from accelsim.sweeps.forecast import forecast_grid, forecast_search, points_of, size
from accelsim.sweeps.inferring import Bench, counted
from accelsim.sweeps.points import Progress
from accelsim.sweeps.searching import Searcher
from accelsim.sweeps.sources import Sources
from accelsim.sweeps.tasks import tasks_of

TRIALS = "trials.csv"
Announce = Callable[[str], None]
"""Called with a line for people."""


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


class Where(TypedDict, total=False):
    """Where a sweep works and what it writes into. `results`: a folder, instead of the file's; `executor`: `processes` of this computer,
    or `dask`, whose scheduler is at `address`, else on this computer; `progress` is called as work goes on.

    Units:   `processes`: one thread each; those of the file if not given, else as many as there are cores
    """

    results: str | Path | None
    processes: int | None
    executor: str
    address: str | None
    progress: Progress


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def unheard(text: str) -> None:
    """Announce nothing."""


def sweep(file: str | Path, overrides: Sequence[str] = (), *, figures: bool = True, **where: Unpack[Where]) -> SweepTable:
    """Do what a sweep file asks for, write its results folder, and return its table: a row for each point, the columns of `sweep.csv`.

    `overrides`: `dotted.path=value`; `where`: see `Where`.
    In a script the call stands below `if __name__ == "__main__":`, as with all that starts processes; or `processes` is 1.
    Raises:  `ConfigError`, `ModelError`, `TraceError` for what the user can mend; a point that fails is a row with its `error`
    """
    return run(file, overrides, figures=figures, **where).table


def run(
    file: str | Path, overrides: Sequence[str] = (), *, figures: bool = True, announce: Announce = unheard, **where: Unpack[Where]
) -> Outcome:
    """As `sweep`. `announce` gets the number of points, how much is to be inferred and measured, and the time expected, before work begins.

    Raises:  `KeyboardInterrupt` that says how much is kept, after the store is closed
    """
    asked, folder, hands, progress = _asked(file, overrides, where)
    space = Space(asked) if asked.search is not None else None
    found = settings(asked) if space is None else ()
    report.require_writable(folder)
    with Store(folder) as store:
        sources = Sources(asked, folder)
        desk = Desk(asked.name, store, {}, hands, progress, counts_points=space is None, tasks=hands.processes)
        try:
            with desk:
                files: dict[str, bytes] = {}
                if asked.search is None or space is None:
                    points = _grid(asked, desk, sources, found, announce)
                else:
                    searcher = Searcher(asked, asked.search, space, sources)
                    points = _search(asked, desk, searcher, announce)
                    files[TRIALS] = searcher.trials().to_csv(index=False, lineterminator="\n").encode()
        except KeyboardInterrupt as stop:
            wanted = f" of {desk.wanted:,}" if desk.wanted else ""
            text = f"interrupted: {len(desk.kept):,}{wanted} points are kept in {store.path}"
            raise KeyboardInterrupt(*(stop.args or [text])) from None
        table = sweeptable.table(points, desk.kept, asked.baseline, _objectives(asked))
        _write(folder, asked.model_copy(update={"results": folder}), table, files, figures, progress)
    return Outcome(table, folder, desk.simulated)


def forecast(file: str | Path, overrides: Sequence[str] = (), **where: Unpack[Where]) -> str:
    """How many points a sweep has, how much is to be inferred and measured, and how long all that takes; nothing is written.

    Raises:  `ConfigError`, `ModelError`, `TraceError` as `sweep`
    """
    asked, folder, hands, progress = _asked(file, overrides, where)
    if asked.search is not None:
        return forecast_search(asked, asked.search, folder)
    return forecast_grid(asked, settings(asked), folder, hands, progress)


def _asked(file: str | Path, overrides: Sequence[str], where: Where) -> tuple[Sweep, Path, Hands, Progress]:
    """What a file asks for: its results folder, and who does it."""
    asked = sweepfile.load(file, overrides)
    results = where.get("results")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    hands = Hands(where.get("executor", "processes"), where.get("processes") or asked.processes or cores, where.get("address"))
    return asked, asked.results if results is None else Path(results), hands, where.get("progress", silent)


def _grid(asked: Sweep, desk: Desk, sources: Sources, found: Sequence[Setting], announce: Announce) -> list[Point]:
    """Simulate every point."""
    missing = sources.missing(found)
    if missing:
        announce(f"sweep {asked.name}: {len(points_of(sources, found)):,} points; before them {counted(missing)}")
        _prepare(desk, sources, found, announce)
    points = points_of(sources, found)
    before, desk.wanted = desk.recall(points), len({point.key for point in points})

    def done() -> tuple[int, int]:
        return len(desk.kept), desk.wanted

    announce(size(asked, points, before))
    tasks = tasks_of(points, desk.kept)
    desk.tasks = len(tasks)
    desk.simulate(probes(tasks, points, desk.kept), done)
    announce(f"about {duration(seconds_left(points, desk.kept, desk.hands.processes))} on {desk.hands}")
    desk.points(points, done)
    return points


def _search(asked: Sweep, desk: Desk, searcher: Searcher, announce: Announce) -> list[Point]:
    """Simulate the points that a search asks for."""
    trials = searcher.search.trials
    most = trials * searcher.sources.count * (1 + any(scheme != asked.baseline for scheme in searcher.schemes))
    size = searcher.space.size * len(searcher.schemes)
    text = f"sweep {asked.name}: {trials:,} trials by {searcher.search.sampler} among {size:,} combinations, at most {most:,} points"

    def simulate(points: Sequence[Point], before: int) -> Mapping[str, Kept]:
        desk.recall(points)
        if not before:
            # what is simulated first tells how long the rest takes
            desk.simulate(probes(tasks_of(points, desk.kept), points, desk.kept), lambda: (0, trials))
            took = [one.seconds for one in desk.kept.values() if not one.error]
            announce(f"{text}; at most {duration(most * sum(took) / max(1, len(took)) / desk.hands.processes)} on {desk.hands}")
        desk.points(points, lambda: (before, trials))
        return desk.kept

    return searcher.run(lambda found: _prepare(desk, searcher.sources, found, unheard), simulate)


def _prepare(desk: Desk, sources: Sources, found: Sequence[Setting], announce: Announce) -> None:
    """Infer the traces and measure the accuracy of settings, where that was not done."""
    missing = sources.missing(found)
    if missing:
        bench = Bench(desk.name, missing, desk.hands.processes, desk.progress)
        bench.run(announce)
        sources.failed |= bench.failed
        sources.require_some(found)


def _objectives(asked: Sweep) -> tuple[str, ...]:
    search: Search | None = asked.search
    return search.objectives if search is not None else (*OBJECTIVES, *([ACCURACY] if asked.accuracy is not None else []))


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
