"""How much a scheme's worth depends on the image, against the first axis of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.errors import ConfigError
from accelsim.plots.axis_values import axis_label, held, name_values, ordered, places, shown_scale
from accelsim.plots.image_spread import FEWEST
from accelsim.plots.style import DOUBLE_COLUMN, INK, SCHEME_COLOURS, drawn_width, legend_below, new_figure, plain, styled, title
from accelsim.plots.sweep_curves import MARKS

SHOWN = ("bytes_saved_percent", "speed_up")
"""What is drawn, a panel each."""
HEIGHT = 2.3


@styled
def spread_curves(table: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw the median over images of what each scheme saves, in a band of the quartiles, between dotted lines of the least and the most.

    `table`: rows of `sweep.csv` of one network on several images, all axes but the first at one value. Schemes that save nothing
    anywhere, such as the baseline, are left out.
    Units:   `width` in inches
    Raises:  `ConfigError` where there are several networks, or fewer than three images
    """
    axis = next(iter(axes_of(table)), "")
    if not axis or table["network"].nunique() != 1:
        raise ConfigError(f"a spread over images shows one network and an axis, the table has {table['network'].nunique()} networks")
    images = table["job"].nunique()
    if images < FEWEST:
        raise ConfigError(f"a spread needs at least {FEWEST} images, the table has {images}")
    values = ordered(table[axis])
    at = places(values)
    figure = new_figure(width, HEIGHT)
    panels: list[Axes] = list(figure.subplots(1, len(SHOWN)).flat)
    handles: list[Line2D | Patch] = []
    for number, (scheme, rows) in enumerate(table.groupby("scheme", sort=False)):
        if not rows["bytes_saved_percent"].fillna(0.0).any():
            continue
        colour, mark = SCHEME_COLOURS[number % len(SCHEME_COLOURS)], MARKS[number % len(MARKS)]
        for panel, column in zip(panels, SHOWN, strict=True):
            numbers = [rows.loc[rows[axis] == value, column].dropna().to_numpy(np.float64) for value in values]
            known = np.array([bool(len(found)) for found in numbers])
            five = np.array([np.percentile(found, (0, 25, 50, 75, 100)) for found in numbers if len(found)]).reshape(-1, 5).T
            panel.fill_between(at[known], five[1], five[3], color=colour, alpha=0.25, linewidth=0)
            panel.plot(at[known], five[2], color=colour, marker=mark, markersize=3.5, linewidth=1.1)
            for end in (five[0], five[4]):
                panel.plot(at[known], end, color=colour, linewidth=0.7, linestyle=":")
        handles.append(Line2D([], [], color=colour, marker=mark, markersize=3.5, linewidth=1.1, label=plain(f"{scheme}, median")))
    handles += [Patch(color=INK, alpha=0.25, linewidth=0, label="quartiles"), Line2D([], [], color=INK, linestyle=":", label="least, most")]
    for panel, column in zip(panels, SHOWN, strict=True):
        panel.set_ylabel(shown_scale(column, table[column])[1])
        panel.set_xlabel(axis_label(axis))
        panel.grid(axis="y")
        name_values(panel.xaxis, list(at), values, drawn_width(width) / 2 - 0.35)
    legend_below(figure, handles)
    what = f"{table['network'].iloc[0]}: spread over {images} images against {axis_label(axis)}{held(table, (axis,))}"
    title(figure, what, ", ".join(dict.fromkeys(table["source"])))
    return figure
