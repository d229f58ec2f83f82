"""The table of a sweep: a row a point in the order of the file, with ratios to the baseline scheme at the same values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from accelsim.designspace.area import area_mm2
from accelsim.designspace.fronts import ACCURACY, OBJECTIVES, front
from accelsim.designspace.store import Kept, Number
from accelsim.designspace.sweepspace import Setting
from accelsim.errors import ConfigError
from accelsim.report.energy import PARTS
from accelsim.report.result import COUNT_COLUMNS, Result
from accelsim.runfile import NetworkFile

FIRST = ("job", "network", "image", "source", "epsilon", "scheme", "label", "engine")
"""Columns before the axes, but for those that are axes themselves. `job`: number of the job's image, from 1, which has a trace for each
combination of the axes that decide the data; `scheme`: as written; `label`: with the options that the axes gave it."""
DERIVED = ("time_us", "achieved_gb_per_s", "stall_percent", "macs_skipped_percent")
AREA, PARETO = "area_mm2", "pareto"
"""`area_mm2`: the proxy of `area`; `pareto`: whether no other point of its trace is better in every objective."""
ENERGIES = (*(f"energy_{part}_uj" for part in PARTS), "energy_uj")
RATIOS = ("bytes_moved_ratio", "total_cycles_ratio", "speed_up", "energy_ratio", "bytes_saved_percent")
"""Over the baseline scheme of the same trace and values; speed_up is the inverse ratio of cycles, bytes_saved_percent of bytes moved."""
COUNTS = ("stall_cycles", *COUNT_COLUMNS)


@dataclass(frozen=True)
class Place:
    """Where a trace is: a file, or, of an image by name, a store."""

    path: Path
    image: str = ""


@dataclass(frozen=True, eq=False)
class Point:
    """One replay of a sweep. `told`: what the table says of its trace; `written`: the scheme as the file has it, `scheme`: its label.

    `network`: where its weights are, if the scheme needs them; `lost`: why there is no trace to replay, or empty.
    """

    key: str
    job: int
    told: Mapping[str, str | float | None]
    trace: Place
    digest: str
    setting: Setting
    written: str
    scheme: str
    network: NetworkFile | None = None
    lost: str = ""


def values(result: Result) -> dict[str, Number]:
    """What is kept of a replay: totals over the layers. Units are in the names."""
    energies = dict(zip(ENERGIES, (result.energy_uj[part] for part in (*PARTS, "total")), strict=True))
    found = {name: getattr(result, name) for name in DERIVED} | {name: _count(result, name) for name in COUNTS} | energies
    return found | {AREA: area_mm2(result.accelerator)}


class SweepTable(pd.DataFrame):
    """The rows of `sweep.csv`, a data frame that shows itself by its headline and the columns that people look at first."""

    HEADLINE = ("bytes_moved", "total_cycles", "stall_percent", "energy_uj", AREA, "bytes_saved_percent", "speed_up", ACCURACY, PARETO)
    SHOWN = 24
    """Rows that are shown of a longer table."""

    @property
    def _constructor(self) -> type[SweepTable]:
        return SweepTable

    def brief(self) -> pd.DataFrame:
        """The axes and the headline's columns; only what differs of network, image and error. A table of other columns stays whole."""
        names = list(self.columns)
        if not {*FIRST, "error"} <= set(names):
            return pd.DataFrame(self)
        told = [name for name in ("network", "image", "epsilon") if self[name].nunique() > 1]
        failed = ["error"] if self["error"].nunique() > 1 else []
        chosen = [*told, "scheme", *names[names.index("engine") + 1 : names.index("error")], *self.HEADLINE, *failed]
        return pd.DataFrame(self)[[name for name in dict.fromkeys(chosen) if name in names]]

    def headline(self) -> str:
        """How many points of what there are, how many failed and how many are on the front; empty for a table of other columns."""
        if not {*FIRST, "error"} <= set(self.columns):
            return ""
        networks = ", ".join(dict.fromkeys(self["network"]))
        failed, best = int((self["error"] != "").sum()), int(self[PARETO].sum()) if PARETO in self.columns else 0
        return f"{len(self):,} points of {networks}: {failed:,} failed, {best:,} on the front"

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.headline(), self.brief().to_string(max_rows=self.SHOWN, float_format="{:.4g}".format)]))

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.brief().to_html(max_rows=self.SHOWN, float_format="{:.4g}".format, index=False, border=0)
        return f"<p>{escape(self.headline())}</p>{shown}"


def table(points: Sequence[Point], kept: Mapping[str, Kept], baseline: str, objectives: Sequence[str] = OBJECTIVES) -> SweepTable:
    """One row for each point; a point that failed has its `error` and no numbers. `objectives`: what the column `pareto` weighs up.

    The column `accuracy` is there where a trace is told one.
    """
    # Rows of one trace at one setting belong together; settings are told apart as objects, since values need not be distinct.
    base = {(point.job, id(point.setting)): kept[point.key].values for point in points if point.written == baseline}
    rows = []
    for point in points:
        found = kept[point.key]
        says = {"job": point.job, **point.told, "scheme": point.written, "label": point.scheme, "engine": point.setting.engine}
        says |= {**point.setting.values, "error": found.error}
        rows.append(says | numbers(found.values, base[point.job, id(point.setting)]))
    axes = list(points[0].setting.values)
    first = [name for name in FIRST if name not in axes]
    last = [AREA, *([ACCURACY] if ACCURACY in points[0].told else [])]
    frame = SweepTable(rows, columns=[*first, *axes, "error", *DERIVED, *COUNTS, *ENERGIES, *RATIOS, *last])
    for axis in axes:
        if not pd.api.types.is_numeric_dtype(frame[axis]):
            frame[axis] = frame[axis].astype(str)
    frame = frame.astype(dict.fromkeys(COUNTS, "Int64") | dict.fromkeys((*DERIVED, *ENERGIES, *RATIOS, *last), "float64"))
    frame[PARETO] = front(frame, objectives)
    return frame


def axes(frame: pd.DataFrame) -> tuple[str, ...]:
    """The columns of a sweep's table that hold the values of its axes: those between `engine` and `error`."""
    names = list(frame.columns)
    missing = [name for name in (*FIRST, "error", "bytes_moved", *RATIOS) if name not in names]
    if missing:
        raise ConfigError(f"this is no table of a sweep: no column {', '.join(missing)}\n    give the sweep.csv of a results folder")
    return tuple(names[names.index("engine") + 1 : names.index("error")])


def files(frame: pd.DataFrame) -> dict[str, bytes]:
    """The table as `sweep.csv` and `sweep.parquet`."""
    parquet = BytesIO()
    frame.to_parquet(parquet, engine="pyarrow", index=False)
    return {"sweep.parquet": parquet.getvalue(), "sweep.csv": frame.to_csv(index=False, lineterminator="\n").encode()}


def read(path: Path) -> SweepTable:
    """Read `sweep.parquet` of a results folder back. Raises `ConfigError` where there is none."""
    path = path / "sweep.parquet" if path.is_dir() else path
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{path}: cannot read a sweep: {str(fault).splitlines()[0]}\n    make it: accelsim sweep") from fault
    axes(frame)
    return SweepTable(frame)


def _count(result: Result, name: str) -> int:
    return int(result.stall_cycles if name == "stall_cycles" else result.totals[name])


def numbers(found: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a row says in numbers: what is kept of a point, and its ratios to what is kept of the baseline."""
    return dict(found) | _ratios(found, base)


def _ratios(found: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float | None]:
    if not found or not base:
        return {}
    moved = _over(found["bytes_moved"], base["bytes_moved"])
    return {
        "bytes_moved_ratio": moved,
        "total_cycles_ratio": _over(found["total_cycles"], base["total_cycles"]),
        "speed_up": _over(base["total_cycles"], found["total_cycles"]),
        "energy_ratio": _over(found["energy_uj"], base["energy_uj"]),
        "bytes_saved_percent": None if moved is None else 100 * (1 - moved),
    }


def _over(value: float, base: float) -> float | None:
    return value / base if base else None
