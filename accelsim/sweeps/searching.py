"""Search: combinations chosen by what the ones before have shown; the only door to Optuna.

Trials are asked for in batches of fixed size and told in the order in which they were asked for, so the same seed tries the same points
whatever the number of processes. Resuming is trying again: what the store holds costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from accelsim.designspace import sweeptable
from accelsim.designspace.axis import number
from accelsim.designspace.fronts import ACCURACY, MORE_IS_BETTER, efficient
from accelsim.designspace.store import Kept
from accelsim.designspace.sweepfile import Search, Sweep
from accelsim.designspace.sweepspace import Setting, Space
from accelsim.designspace.sweeptable import AREA, COUNTS, DERIVED, ENERGIES, RATIOS, Point
from accelsim.errors import ConfigError, choices, quoted
from accelsim.sweeps.sources import Sources

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

OBJECTIVES = (*DERIVED, *COUNTS, *ENERGIES, *RATIOS, AREA, ACCURACY)
"""Columns that can be searched for."""
SCHEME = "scheme"


@dataclass(frozen=True, eq=False)
class Tried:
    """One trial. `values`: as tables show them, by axis; `setting`: None where it is unsound or a condition does not hold, and why in
    `error`; `points`: of all traces.
    """

    number: int
    values: Mapping[str, Any]
    setting: Setting | None
    scheme: str
    points: tuple[Point, ...]
    error: str = ""


class Searcher:
    """Asks for trials and takes their objectives.

    Raises:  `ConfigError` where Optuna is not installed, or an objective is no column of the table
    """

    def __init__(self, asked: Sweep, search: Search, space: Space, sources: Sources) -> None:
        for index, name in enumerate(search.objectives):
            if name not in OBJECTIVES:
                raise ConfigError(f"sweep.search.objectives.{index}: {quoted(name)} is no objective\n    {choices(OBJECTIVES, name)}")
        self.asked, self.search, self.space, self.sources = asked, search, space, sources
        self.schemes = tuple(dict.fromkeys(asked.schemes))
        self.tried: list[Tried] = []
        self.objectives: list[tuple[float, ...] | None] = []
        self._settings: dict[tuple[int, ...], Setting | str] = {}
        with _quiet():
            self._study = _study(search)

    def __repr__(self) -> str:
        size = self.space.size * len(self.schemes)
        return f"Searcher({self.search.sampler}, {len(self.tried):,} of {self.search.trials:,} trials in {size:,} combinations)"

    def run(
        self, prepare: Callable[[Sequence[Setting]], None], simulate: Callable[[Sequence[Point], int], Mapping[str, Kept]]
    ) -> list[Point]:
        """Try everything; gives the points that were tried, each once, in the order of the file.

        `prepare`: makes the traces of settings, and measures their accuracy, where that was not done; `simulate`: simulates points that
        are not kept, given the number of trials before them, and gives all that is kept
        """
        while len(self.tried) < self.search.trials:
            with _quiet():
                asked = [self._study.ask() for _ in range(min(self.search.batch, self.search.trials - len(self.tried)))]
                chosen = [self._chosen(trial) for trial in asked]
            found = [self._setting(one) for one, _ in chosen]
            prepare([setting for setting in found if isinstance(setting, Setting)])
            batch = [self._tried(trial.number, *one) for trial, one in zip(asked, chosen, strict=True)]
            kept = simulate([point for one in batch for point in one.points], len(self.tried))
            with _quiet():
                for trial, one in zip(asked, batch, strict=True):
                    self._tell(trial, one, kept)
            self.tried += batch
        return self._in_order()

    def trials(self) -> pd.DataFrame:
        """One row a trial: its number, its values, its scheme and its objectives, and whether no other trial is better in all of them."""
        rows = []
        for one, found in zip(self.tried, self.objectives, strict=True):
            rows.append({"trial": one.number, SCHEME: one.scheme, **one.values, "error": one.error} | dict(self._named(found)))
        axes = [path for path in self.asked.axes if path != "engine"]
        frame = pd.DataFrame(rows, columns=["trial", SCHEME, *axes, "error", *self.search.objectives])
        whole = frame[list(self.search.objectives)].notna().all(axis=1)
        costs = frame.loc[whole, list(self.search.objectives)].astype("float64")
        best = efficient((costs * [-1 if name in MORE_IS_BETTER else 1 for name in costs.columns]).to_numpy())
        frame[sweeptable.PARETO] = False
        frame.loc[whole, sweeptable.PARETO] = best
        return frame

    def _named(self, found: tuple[float, ...] | None) -> Iterator[tuple[str, float]]:
        if found is not None:
            yield from zip(self.search.objectives, found, strict=True)

    def _chosen(self, trial: Trial) -> tuple[tuple[int, ...], str]:
        """The values, by the number of one of each group, and the scheme of a trial."""
        chosen = tuple(self._suggested(trial, group, length) for group, length in zip(self.space.groups, self.space.lengths, strict=True))
        return chosen, str(trial.suggest_categorical(SCHEME, self.schemes))

    def _tried(self, trial: int, chosen: tuple[int, ...], scheme: str) -> Tried:
        setting, values = self._setting(chosen), self.space.shown(chosen)
        if isinstance(setting, str):
            return Tried(trial, values, None, scheme, (), setting)
        wanted = tuple(dict.fromkeys([self.asked.baseline, scheme]))
        points = tuple(point for trace in self.sources.of(setting) for point in trace.points(setting, wanted))
        return Tried(trial, values, setting, scheme, points)

    def _suggested(self, trial: Trial, group: tuple[str, ...], length: int) -> int:
        """The number of a value: whole numbers where values are sizes, so that near ones are known to be near; else names."""
        ordered = all(number(value) is not None for value in self.space.sweep.values(group[0]))
        return trial.suggest_int(group[0], 0, length - 1) if ordered else int(trial.suggest_categorical(group[0], range(length)))

    def _setting(self, chosen: tuple[int, ...]) -> Setting | str:
        """One setting for equal choices; or why there is none."""
        if chosen not in self._settings:
            indices = self.space.combination(chosen)
            try:
                self._settings[chosen] = "a condition does not hold" if indices is None else self.space.setting(indices)
            except ConfigError as fault:
                self._settings[chosen] = str(fault)
        return self._settings[chosen]

    def _tell(self, trial: Trial, one: Tried, kept: Mapping[str, Kept]) -> None:
        from optuna.trial import TrialState

        found = self._weighed(one, kept)
        self.objectives.append(found)
        if found is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, found)

    def _weighed(self, one: Tried, kept: Mapping[str, Kept]) -> tuple[float, ...] | None:
        """Each objective as its mean over the traces; None where a point failed."""
        if one.setting is None or any(kept[point.key].error for point in one.points):
            return None
        base = {point.job: kept[point.key].values for point in one.points if point.written == self.asked.baseline}
        mine = [point for point in one.points if point.written == one.scheme]
        rows = [{**point.told, **sweeptable.numbers(kept[point.key].values, base[point.job])} for point in mine]
        if any(row[name] is None for row in rows for name in self.search.objectives):
            return None
        return tuple(sum(row[name] for row in rows) / len(rows) for name in self.search.objectives)

    def _in_order(self) -> list[Point]:
        """Points that were tried: traces, then settings in the order of the axes' values, then schemes."""
        wanted: dict[tuple[int, ...], set[str]] = {}
        by_setting = {id(setting): chosen for chosen, setting in self._settings.items() if isinstance(setting, Setting)}
        for one in self.tried:
            if one.setting is not None:
                wanted.setdefault(by_setting[id(one.setting)], set()).add(one.scheme)
        points: list[Point] = []
        for job in range(self.sources.count):
            for chosen in sorted(wanted):
                setting = self._settings[chosen]
                if isinstance(setting, Setting):
                    trace = self.sources.of(setting)[job]
                    schemes = [name for name in trace.schemes if name == self.asked.baseline or name in wanted[chosen]]
                    points += trace.points(setting, schemes)
        return points


def _study(search: Search) -> Study:
    try:
        import optuna
    except ImportError as fault:
        raise ConfigError("a search needs Optuna\n    pip install 'accelsim[search]', or remove search: from the file") from fault
    samplers: Mapping[str, Callable[[], BaseSampler]] = {
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=max(2, search.batch), seed=search.seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=search.seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=search.seed),
    }
    directions: list[Any] = ["maximize" if name in MORE_IS_BETTER else "minimize" for name in search.objectives]
    return optuna.create_study(sampler=samplers[search.sampler](), directions=directions)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its log lines, as it was before afterwards."""
    try:
        from optuna import logging
    except ImportError:
        yield
        return
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
