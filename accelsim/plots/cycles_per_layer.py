"""Cycles per layer under each scheme, and below them the ratio to the yardstick."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from accelsim.plots.bars import HEIGHT
from accelsim.plots.chosen import Chosen, Numbers
from accelsim.plots.style import (
    DOUBLE_COLUMN,
    HATCHES,
    INK,
    SCHEME_COLOURS,
    draw_bars,
    label_layers,
    legend_below,
    new_figure,
    plain,
    scaled,
    styled,
    title,
)

SLOWER = "#D55E00"
MARKERS = ("", "o", "s", "D", "v", "P")


@styled
def cycles_per_layer(layers: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw cycles per layer, one bar a scheme; with more than one scheme also the ratio to the first, layers above 1 ringed.

    `layers`: rows of `layers.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    chosen = Chosen.of(layers)
    several = len(chosen.schemes) > 1
    figure = new_figure(width, HEIGHT + (0.9 if several else 0))
    top, *rest = figure.subplots(1 + several, 1, squeeze=False, sharex=True, height_ratios=[2, 1][: 1 + several]).flat
    cycles = [chosen.sum_of(["total_cycles"], scheme) for scheme in range(len(chosen.schemes))]
    divisor, unit = scaled(max(float(each.max()) for each in cycles), "cycles")
    for scheme, values in enumerate(cycles):
        middles, bar = chosen.middles(scheme, len(cycles)), chosen.bar_width(len(cycles))
        colour, hatch = SCHEME_COLOURS[scheme], HATCHES[scheme]
        draw_bars(top, middles, values / divisor, bar, facecolor=colour, hatch=hatch)
    top.set_ylabel(f"run time ({unit})")
    top.grid(axis="y")
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0, label=plain(scheme))
        for scheme, colour, hatch in zip(chosen.schemes, SCHEME_COLOURS, HATCHES, strict=False)
    ]
    for axes in rest:
        handles += _ratios(axes, chosen, cycles)
    label_layers((rest or [top])[-1], chosen.names)
    if rest:
        top.tick_params(labelbottom=False)
    legend_below(figure, handles)
    title(figure, chosen.what("cycles per layer"), chosen.source)
    return figure


def _ratios(axes: Axes, chosen: Chosen, cycles: Sequence[Numbers]) -> list[Line2D]:
    """Draw the ratio panel; return the legend entry of slower layers, where there are any."""
    slower = False
    axes.axhline(1, color=INK, linewidth=0.6, zorder=1)
    for scheme in range(1, len(cycles)):
        # Each point stands under its bar, so that schemes with equal ratios do not hide one another.
        places = chosen.middles(scheme, len(cycles))
        known = cycles[0] > 0
        ratio = cycles[scheme][known] / cycles[0][known]
        size = 14 if len(places) <= 40 else 7
        axes.scatter(places[known], ratio, size, color=SCHEME_COLOURS[scheme], marker=MARKERS[scheme], linewidths=0, zorder=3)
        above = ratio > 1
        rings = axes.scatter(places[known][above], ratio[above], 3 * size, marker="o", facecolors="none", linewidths=0.8, zorder=4)
        rings.set_edgecolor(SLOWER)
        slower = slower or bool(above.any())
    axes.margins(y=0.15)
    low, high = axes.get_ylim()
    # Never a window so narrow that a thousandth looks like a gulf.
    axes.set_ylim(min(low, 0.95), max(high, 1.05))
    axes.set_ylabel(f"ratio to\n{plain(chosen.schemes[0])}")
    axes.grid(axis="y")
    ring = Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor="none", markeredgecolor=SLOWER)
    ring.set_label(plain(f"slower than {chosen.schemes[0]}"))
    return [ring] if slower else []
