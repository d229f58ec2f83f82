"""The points of a sweep in two objectives, and the front that no other point beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from accelsim.designspace.fronts import MORE_IS_BETTER, front
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.errors import ConfigError
from accelsim.plots.axis_values import axis_label, one_trace, quantity_label, shown_scale, spans_much, whose
from accelsim.plots.style import DOUBLE_COLUMN, INK, SCHEME_COLOURS, drawn_width, legend_below, new_figure, plain, styled, title
from accelsim.plots.sweep_curves import MARKS

HEIGHT = 2.7
MOST = 12
"""Points of the front that are named."""
APART = 0.17
"""Least distance of two named points, inches."""


@styled
def pareto_scatter(table: pd.DataFrame, width: float = DOUBLE_COLUMN, *, x: str = "area_mm2", y: str = "total_cycles") -> Figure:
    """Draw two numbers of every point against each other, the front of the two as a line, its points numbered and named below.

    `table`: rows of `sweep.csv` of one trace. `x`, `y`: columns of numbers; of those in `fronts.MORE_IS_BETTER` more is better, else less.
    Units:   `width` in inches. Numbers that span much stand on a logarithmic scale.
    Raises:  `ConfigError` where the rows do not make one figure
    """
    one_trace(table)
    best = front(table, (x, y))
    rows = table[table[x].notna() & table[y].notna()]
    if rows.empty:
        raise ConfigError("no point of the sweep has a result, so there is nothing to draw\n    see the column error")
    figure = new_figure(width, HEIGHT)
    panel = figure.subplots()
    scales = {name: shown_scale(name, rows[name]) for name in (x, y)}
    at = np.stack([rows[name].astype("float64").to_numpy() / scales[name][0] for name in (x, y)], axis=1)
    chosen = best[rows.index].to_numpy()
    handles = []
    for number, scheme in enumerate(dict.fromkeys(rows["label"])):
        colour, mark = SCHEME_COLOURS[number % len(SCHEME_COLOURS)], MARKS[number % len(MARKS)]
        mine = (rows["label"] == scheme).to_numpy()
        for group, face, depth in ((mine & ~chosen, "none", 2), (mine & chosen, colour, 4)):
            panel.plot(*at[group].T, mark, markersize=4, markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.7, zorder=depth)
        handles.append(Line2D([], [], marker=mark, color=colour, markersize=4, linestyle="none", label=plain(str(scheme))))
    line = at[chosen][np.lexsort(at[chosen].T[::-1])]
    steps = "steps-post" if y not in MORE_IS_BETTER else "steps-pre"
    panel.plot(*line.T, color=INK, linewidth=0.7, drawstyle=steps, zorder=3)
    handles.append(Line2D([], [], color=INK, linewidth=0.7, label="front"))
    for name, setter, axis in ((x, panel.set_xscale, panel.xaxis), (y, panel.set_yscale, panel.yaxis)):
        if spans_much(rows[name]):
            setter("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(scales[x][1])
    panel.set_ylabel(scales[y][1])
    panel.grid(axis="both")
    aside = (-3, 2.5) if y in MORE_IS_BETTER else (3, 2.5)  # where the front leaves room
    legend_below(figure, [*handles, *_named(panel, rows[chosen], at[chosen], (drawn_width(width), HEIGHT - 0.5), aside)])
    what = f"{whose(table)}: {quantity_label(y)} against {quantity_label(x)}, {len(rows):,} points"
    title(figure, what, str(table["source"].iloc[0]))
    return figure


def _named(panel: Axes, rows: pd.DataFrame, at: NDArray[np.float64], room: tuple[float, float], aside: tuple[float, float]) -> list[Line2D]:
    """Number points of the front that do not lie too near each other, from left to right; legend entries that say what they are.

    Units:   `room` inches; `aside`, how far a number stands from its point, in points
    """
    varied = [axis for axis in (*axes_of(rows), "label") if rows[axis].nunique() > 1] or ["label"]
    low, high = np.array([panel.get_xlim(), panel.get_ylim()]).T
    logs = np.array([panel.get_xscale() == "log", panel.get_yscale() == "log"])
    place = np.where(logs, np.log(np.where(logs, at / low, 1.0)) / np.log(np.where(logs, high / low, np.e)), (at - low) / (high - low))
    inches = place * np.array(room)
    handles: list[Line2D] = []
    named: list[NDArray[np.float64]] = []
    for index in _ends_first(np.lexsort(at.T[::-1])):
        if len(named) < MOST and all(np.hypot(*(inches[index] - other)) >= APART for other in named):
            named.append(inches[index])
    order = sorted(named, key=lambda where: (where[0], -where[1]))
    for number, where in enumerate(order, 1):
        index = int(np.argmin(np.hypot(*(inches - where).T)))
        panel.annotate(
            str(number),
            at[index],
            xytext=aside,
            textcoords="offset points",
            ha="right" if aside[0] < 0 else "left",
            fontsize=6.5,
            color=INK,
            zorder=6,
        )
        text = ", ".join(_told(axis, rows[axis].iloc[index]) for axis in varied)
        handles.append(Line2D([], [], linestyle="none", label=plain(f"{number}: {text}")))
    return handles


def _told(axis: str, value: object) -> str:
    """A value as the legend names it: names and quantities speak for themselves."""
    return value if isinstance(value, str) and value not in ("none", "true", "false") else f"{axis_label(axis)} {value}"


def _ends_first(order: Sequence[int] | NDArray[np.int64]) -> Iterable[int]:
    """Both ends, then the middle, then the middles of what is left."""
    whole = [int(index) for index in order]
    spans = [(0, len(whole) - 1)]
    yield from whole[:1]
    yield from whole[1:][-1:]
    while spans:
        low, high = spans.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            yield whole[middle]
            spans += [(low, middle), (middle, high)]
