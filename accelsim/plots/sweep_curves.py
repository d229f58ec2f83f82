"""What a sweep found against its first axis, a line a scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from accelsim.designspace.effects import in_step
from accelsim.designspace.fronts import ACCURACY
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.errors import ConfigError
from accelsim.plots.axis_values import axis_label, held, name_values, one_trace, ordered, places, shown_scale, whose
from accelsim.plots.style import DOUBLE_COLUMN, INK, SCHEME_COLOURS, drawn_width, legend_below, new_figure, plain, styled, title

MARKS = ("o", "s", "^", "D", "v", "P")
"""One for each scheme: they tell lines apart in grey print."""
SHOWN = ("bytes_moved", "total_cycles", "stall_percent", "bytes_saved_percent")
"""What is drawn, a panel each; accuracy in place of stalls where it changes along the axis."""
HEIGHT = 3.9


@styled
def sweep_curves(table: pd.DataFrame, width: float = DOUBLE_COLUMN, *, axis: str | None = None) -> Figure:
    """Draw bytes moved, cycles, share of stalls (or accuracy, if it changes) and bytes saved against one axis, the first if none is named.

    `table`: rows of `sweep.csv` of one trace, all other axes at one value. A point without a result is a cross on the bottom line.
    Units:   `width` in inches. Values that span much stand on a scale of powers of two.
    Raises:  `ConfigError` where the rows do not make one figure
    """
    axis = _one_figure(table, axis)
    values = ordered(table[axis])
    at = dict(zip(values, places(values), strict=True))
    figure = new_figure(width, HEIGHT)
    panels: list[Axes] = list(figure.subplots(2, 2, sharex=True).flat)
    judged = ACCURACY in table.columns and table[ACCURACY].nunique() > 1
    columns = [ACCURACY if judged and column == "stall_percent" else column for column in SHOWN]
    shown = [(column, *shown_scale(column, table[column])) for column in columns]
    handles = []
    failed = False
    for number, (scheme, rows) in enumerate(table.groupby("scheme", sort=False)):
        colour, mark = SCHEME_COLOURS[number % len(SCHEME_COLOURS)], MARKS[number % len(MARKS)]
        size = 3.5 if number else 5.5  # the first shows under one that is equal to it
        x = rows[axis].map(at).to_numpy(np.float64)
        order = np.argsort(x, kind="stable")
        line: dict[str, Any] = {"color": colour, "marker": mark, "markersize": size, "linewidth": 1.1, "zorder": 3 + number}
        for panel, (column, scale, _) in zip(panels, shown, strict=True):
            y = rows[column].astype("float64").to_numpy() / scale
            panel.plot(x[order], y[order], **line)
            lost = np.isnan(y) & (rows["error"] != "").to_numpy()
            if lost.any():  # nothing to draw would have no extent, which breaks the layout
                failed = True
                look: dict[str, Any] = {"color": colour, "markersize": 4, "clip_on": False, "transform": panel.get_xaxis_transform()}
                panel.plot(x[lost], np.zeros(lost.sum()), "x", **look)
        handles.append(Line2D([], [], color=colour, marker=mark, markersize=size, linewidth=1.1, label=plain(str(scheme))))
    if failed:
        handles.append(Line2D([], [], color=INK, marker="x", markersize=4, linestyle="none", label="no result"))
    for number, (panel, (column, _, name)) in enumerate(zip(panels, shown, strict=True)):
        panel.set_ylabel(name)
        panel.grid(axis="y")
        low, high = panel.get_ylim()
        panel.set_ylim(min(0.0, low) if column == "bytes_saved_percent" else 0.0, max(high, 1e-9))
        name_values(panel.xaxis, [at[value] for value in values], values, drawn_width(width) / 2 - 0.35)
        if number >= 2:
            panel.set_xlabel(axis_label(axis))
    legend_below(figure, handles)
    what = f"{whose(table)}: against {axis_label(axis)}{held(table, (axis,))}"
    title(figure, what, str(table["source"].iloc[0]))
    return figure


def _one_figure(table: pd.DataFrame, axis: str | None) -> str:
    """The axis to draw against. Raises `ConfigError` where another one has several values, or several traces are there."""
    names = axes_of(table)
    if not len(table) or not names:
        raise ConfigError("the table of the sweep has no rows or no axes, so there is nothing to draw")
    chosen = axis or names[0]
    if chosen not in names:
        raise ConfigError(f"{chosen!r} is no axis of this sweep\n    allowed: {', '.join(names)}")
    one_trace(table)
    together = next((group for group in in_step(table, names) if chosen in group), (chosen,))
    for other in names:
        if other not in together and table[other].nunique() > 1:
            raise ConfigError(
                f"curves against {chosen} need one value of {other}\n    choose the rows of one of: {list(table[other].unique())}"
            )
    return chosen
