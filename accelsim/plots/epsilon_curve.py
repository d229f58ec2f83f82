"""Accuracy and reduction against epsilon, a line a mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from accelsim.errors import ConfigError
from accelsim.plots.style import DOUBLE_COLUMN, INK, SCHEME_COLOURS, legend_below, new_figure, plain, styled, title

MODES = {"channel": (SCHEME_COLOURS[1], "o"), "part": (SCHEME_COLOURS[2], "s"), "element": (SCHEME_COLOURS[3], "^")}
"""Colour and mark of each mode; the marks tell them apart in grey print."""
TOPS: Mapping[str, tuple[str, Literal["-", "--"]]] = {"top1_percent": ("top-1", "-"), "top5_percent": ("top-5", "--")}
HEIGHT = 2.4


@styled
def epsilon_curve(table: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw accuracy (left, if there are labels) and the share of elements that are marked (right) against epsilon.

    `table`: rows of an evaluation's `accuracy.csv` of one network. Settings with an epsilon for each layer are thin level lines.
    Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    Source:  dynamic runtime feature map pruning paper, Tables 3 and 5, as curves.
    """
    networks = list(dict.fromkeys(table["network"]))
    if len(networks) != 1:
        raise ConfigError(f"a figure shows one network, the table has {len(networks)}: {', '.join(map(str, networks)) or 'none'}")
    labelled = bool(table["top1_percent"].notna().all())
    figure = new_figure(width, HEIGHT)
    panels = list(figure.subplots(1, 1 + labelled, squeeze=False).flat)
    reach = float(table["epsilon"].max()) or 1.0
    handles = []
    for mode, rows in table.groupby("mode", sort=False):
        colour, mark = MODES[str(mode)]
        curve = rows[rows["epsilon"].notna()].sort_values("epsilon")
        by_layer = rows[rows["epsilon"].isna()]
        handles.append(Line2D([], [], color=colour, marker=mark, markersize=4, label=f"{mode} mode"))
        look = {"color": colour, "marker": mark, "markersize": 4, "linewidth": 1.0}
        if labelled:
            for column, (_, line) in TOPS.items():
                panels[0].plot(curve["epsilon"], curve[column], linestyle=line, **look)
        panels[-1].plot(curve["epsilon"], curve["marked_percent_of_outputs"], **look)
        for _, row in by_layer.iterrows():
            drawn = [(panels[-1], "marked_percent_of_outputs")] + [(panels[0], column) for column in TOPS if labelled]
            for axes, column in drawn:
                axes.plot([0, reach], [row[column]] * 2, color=colour, linewidth=0.6, linestyle=":")
    if labelled:
        handles += [Line2D([], [], color=INK, linestyle=line, linewidth=1.0, label=name) for name, line in TOPS.values()]
        panels[0].set_ylabel("accuracy (%)")
        panels[0].set_ylim(top=min(100.0, panels[0].get_ylim()[1]) + 2)
    names = list(dict.fromkeys(table.loc[table["epsilon"].isna(), "setting"]))
    if names:
        handles.append(Line2D([], [], color=INK, linestyle=":", linewidth=0.6, label=plain(f"an epsilon a layer: {', '.join(names)}")))
    panels[-1].set_ylabel("marked elements (% of outputs)")
    panels[-1].set_ylim(bottom=0.0)
    for axes in panels:
        axes.set_xlabel("epsilon")
        axes.grid(axis="y")
        axes.set_xlim(0 - 0.03 * reach, reach * 1.03)
    legend_below(figure, handles)
    images = int(np.max(table["images"]))
    title(figure, f"{networks[0]}: accuracy and reduction against epsilon, {images:,} images", "inference")
    return figure
