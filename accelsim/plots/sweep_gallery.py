"""Every figure of a sweep, ready to be written."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from accelsim.designspace.axis import DATA
from accelsim.designspace.effects import in_step
from accelsim.designspace.fronts import ACCURACY
from accelsim.designspace.sweeptable import AREA
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.plots.axis_values import held, whose
from accelsim.plots.heat_map import heat_map
from accelsim.plots.image_spread import FEWEST as FEWEST_IMAGES
from accelsim.plots.image_spread import image_spread
from accelsim.plots.pareto_scatter import pareto_scatter
from accelsim.plots.sensitivity_bars import VALUES, sensitivity_bars
from accelsim.plots.spread_curves import spread_curves
from accelsim.plots.style import DOUBLE_COLUMN, slug
from accelsim.plots.sweep_curves import sweep_curves

MOST = 4
"""Combinations of the further axes that get figures of their own, for each image, from the first to the last, and images of one network;
the table has all."""
MAPS = ("bytes_saved_percent", "speed_up", "stall_percent")
FRONTS = (
    (AREA, "total_cycles"),
    (AREA, "bytes_moved"),
    ("bytes_moved", "total_cycles"),
    ("bytes_moved", ACCURACY),
    ("total_cycles", ACCURACY),
)
FEWEST = 4
"""Points with a result that a front needs to be worth a figure."""


def of_sweep(table: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each image: curves against the first axis, heat maps over the first two, fronts, and what each axis explains.

    Axes that are left over are held at some of their combinations. Where a network ran on several images, how far these lie apart.
    """
    axes = axes_of(table)
    if not axes:
        return
    by_network = table.groupby("job", sort=False)["network"].first()
    few = by_network.index[by_network.groupby(by_network, sort=False).cumcount() < MOST]
    for job, rows in table[table["job"].isin(few)].groupby("job", sort=False):
        name = slug(f"{job}_{whose(rows).replace(', ', '_')}")
        groups = in_step(rows, axes)
        own = set(groups[0]) if groups and axes[0] in groups[0] else {axes[0]}
        for suffix, part in _held(rows, tuple(axis for axis in axes if axis not in own), (axes[0],)):
            yield f"{name}_curves{suffix}", sweep_curves(part, width)
        second = next((group[0] for group in groups if axes[0] not in group), None)
        if second is not None:
            step = next(group for group in groups if second in group)
            for suffix, part in _held(rows, tuple(axis for axis in axes if axis not in own and axis not in step), (axes[0], second)):
                for value in MAPS:
                    yield f"{name}_{value}{suffix}", heat_map(part, width, value=value, axes=(axes[0], second))
                if _judged(part) and {axes[0].partition(".")[0], second.partition(".")[0]} <= set(DATA):
                    one = part[part["scheme"] == part["scheme"].iloc[0]].assign(scheme="under every scheme")
                    yield f"{name}_{ACCURACY}{suffix}", heat_map(one, width, value=ACCURACY, axes=(axes[0], second))
        yield from _of_trace(rows, name, width)
    for network, rows in table.groupby("network", sort=False):
        if "image" not in axes and rows["job"].nunique() >= FEWEST_IMAGES:
            yield from _over_images(rows, slug(str(network)), width, axes)


def _over_images(rows: pd.DataFrame, name: str, width: float, axes: tuple[str, ...]) -> Iterator[tuple[str, Figure]]:
    """How far the images of one network lie apart, against the first axis, and at some combinations of all."""
    if rows[axes[0]].nunique() > 1:
        for suffix, part in _held(rows, axes[1:], (axes[0],)):
            yield f"{name}_images_curves{suffix}", spread_curves(part, width)
    for suffix, part in _held(rows[rows["error"] == ""], axes, ()):
        names = part.groupby("job", sort=False)["label"].nunique()
        whole = part[part["job"].isin(names.index[names == part["label"].nunique()])]
        if whole["job"].nunique() >= FEWEST_IMAGES and whole["label"].nunique() > 1:
            # a row is the sum of its layers; images of one name are told apart
            layers = whole.assign(image=whole["job"], scheme=whole["label"], energy_nj=1000 * whole["energy_uj"])
            yield f"{name}_images{suffix}", image_spread(layers, width, held=held(part, ()))


def _of_trace(rows: pd.DataFrame, name: str, width: float) -> Iterator[tuple[str, Figure]]:
    """Figures that show all points of a trace at once."""
    known = rows[rows["error"] == ""]
    for x, y in FRONTS:
        if {x, y} <= set(rows.columns) and len(known) >= FEWEST and known[x].nunique() > 1 and known[y].nunique() > 1:
            yield f"{name}_front_{y}_{x}", pareto_scatter(rows, width, x=x, y=y)
    if len(known) >= FEWEST:
        values = (*VALUES[:-1], ACCURACY) if _judged(known) else VALUES
        yield f"{name}_sensitivity", sensitivity_bars(rows[rows[ACCURACY].notna()] if _judged(known) else rows, width, values=values)


def _judged(rows: pd.DataFrame) -> bool:
    """Whether accuracy is there, and differs."""
    return ACCURACY in rows.columns and rows[ACCURACY].nunique() > 1


def _held(rows: pd.DataFrame, axes: tuple[str, ...], drawn: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows with some combinations of values of these axes, and what tells them apart in a file name.

    Combinations at which a `drawn` axis has one value alone, as a search leaves them, give way to those that show more.
    """
    varied = [axis for axis in axes if rows[axis].nunique() > 1]
    if not varied:
        yield "" if not axes else "_" + slug("_".join(str(rows[axis].iloc[0]) for axis in axes)), rows
        return
    every = list(rows.groupby(varied, sort=False))
    parts = [(values, part) for values, part in every if all(part[axis].nunique() > 1 for axis in drawn)] or every
    last = len(parts) - 1
    chosen = range(len(parts)) if len(parts) <= MOST else sorted({round(last * step / (MOST - 1)) for step in range(MOST)})
    for index in chosen:
        values, part = parts[index]
        yield "_" + slug("_".join(map(str, values))), part
