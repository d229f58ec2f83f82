"""Which axis of a sweep matters: the share of the variance that each explains, a panel a number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelsim.designspace.effects import REST, effects
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.plots.axis_values import axis_label, one_trace, quantity_label, whose
from accelsim.plots.style import COLOURS, DOUBLE_COLUMN, INK, new_figure, styled, title

VALUES = ("bytes_moved", "total_cycles", "stall_percent", "energy_uj")
BAR, HEAD = 0.21, 0.85
"""Heights of a bar's row and of what is not bars, inches."""
NARROW = 5.0
"""Figures narrower than this have two panels side by side. Units: inches."""


@styled
def sensitivity_bars(table: pd.DataFrame, width: float = DOUBLE_COLUMN, *, values: Sequence[str] = VALUES) -> Figure:
    """Draw how much of what differs each axis explains, the scheme among them; beside each bar how far the means lie apart.

    `table`: rows of `sweep.csv` of one trace. `values`: columns of numbers, a panel each.
    Units:   `width` in inches; per cent of the variance over all points (first-order Sobol index)
    Raises:  `ConfigError` where the rows do not make one figure
    """
    one_trace(table)
    found = effects(table, [*axes_of(table), "scheme"], values)
    names = list(dict.fromkeys(found["axis"]))
    columns = min(len(values), 2 if width < NARROW else 4)
    lines = -(-len(values) // columns)
    figure = new_figure(width, lines * (HEAD + BAR * max(2, len(names))))
    panels: list[Axes] = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for panel in panels[len(values) :]:
        panel.set_axis_off()
    for panel, value in zip(panels, values, strict=False):
        rows = found[found["value"] == value].set_index("axis")
        for place, name in enumerate(names):
            if name not in rows.index:
                continue
            share, least, most = (float(rows.loc[name, column]) for column in ("share_percent", "least", "most"))
            panel.barh(place, share, color=COLOURS["absent"] if name == REST else COLOURS["with"], height=0.66)
            panel.text(share + 3, place, _span(least, most, name), ha="left", va="center", fontsize=6.5, color=INK)
        panel.set_xlim(0, 140)
        panel.set_xticks([0, 50, 100])
        panel.set_xlabel("% of variance")
        panel.set_title(quantity_label(value))
        panel.grid(axis="x")
    panels[0].set_yticks(range(len(names)), [" + ".join(map(axis_label, name.split(" + "))) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    text = f"{whose(table)}: what each axis explains, and how far its means lie apart"
    title(figure, text, str(table["source"].iloc[0]))
    return figure


def _span(least: float, most: float, name: str) -> str:
    """How far the means of an axis lie apart: a factor, or a difference where one is zero."""
    if name == REST:
        return ""
    return f"× {most / least:.3g}" if least > 0 else f"{least:.3g} … {most:.3g}"
