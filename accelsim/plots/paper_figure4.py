"""The paper's Figure 4: how much of the outputs of convolutions lies within a threshold of zero, network by network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.style import DOUBLE_COLUMN, HATCHES, SCHEME_COLOURS, draw_bars, legend_below, new_figure, plain, styled, title

HEIGHT = 2.4
THRESHOLDS = (0.0, 0.01, 0.02, 0.06, 0.1, 0.2)
"""Those drawn; the table has more."""


@styled
def paper_figure4(numbers: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw per cent of the elements within each threshold, stacked: the lowest part are zeros.

    `numbers`: rows of `paper.csv` of Figure 4; of a network that was measured in several ways, the one with most thresholds is drawn.
    Units:   `width` in inches.
    Raises:  `ConfigError` where nothing was measured.
    """
    rows = numbers[numbers["measured"].notna()]
    networks = list(dict.fromkeys(rows["network"]))
    if not networks:
        raise ConfigError("a figure needs at least one network; the table has none")
    drawn = [_longest(rows[rows["network"] == network]) for network in networks]
    heights = np.array([_shares(one) for one in drawn])
    figure = new_figure(width, HEIGHT)
    axes = figure.subplots()
    places = np.arange(len(networks), dtype=np.float64)
    bottom = np.zeros(len(networks))
    for number, values in enumerate(heights.T):
        draw_bars(axes, places, np.maximum(values - bottom, 0), 0.6, bottom, facecolor=SCHEME_COLOURS[number], hatch=HATCHES[number])
        bottom = np.maximum(bottom, values)
    axes.set_xticks(places, [plain(network) for network in networks])
    axes.set_xlim(-0.6, len(networks) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("elements within (%)")
    axes.grid(axis="y")
    looks = zip(THRESHOLDS, SCHEME_COLOURS, HATCHES, strict=True)
    legend_below(figure, [Patch(facecolor=colour, hatch=hatch, label=f"≤ {limit:g}") for limit, colour, hatch in looks])
    title(
        figure,
        "outputs of convolutions by magnitude; one part alone: only zeros are known",
        "; ".join(dict.fromkeys(one["data"].iloc[0] for one in drawn)),
    )
    return figure


def _longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several ways in which a network was measured, the one with most thresholds."""
    return max((own for _, own in rows.groupby("data", sort=False)), key=len)


def _shares(rows: pd.DataFrame) -> list[float]:
    """Per cent within each threshold; where a threshold was not measured, as within the one before."""
    known = {float(at): float(value) for at, value in zip(rows["at"], rows["measured"], strict=True)}
    found, before = [], 0.0
    for limit in THRESHOLDS:
        before = known.get(limit, before)
        found.append(before)
    return found
