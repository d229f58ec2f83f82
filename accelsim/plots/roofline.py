"""Roofline before and after: where each layer stands under the machine's peak rates, and where a scheme moves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from accelsim.errors import ConfigError
from accelsim.plots.chosen import Chosen, Numbers
from accelsim.plots.style import CHARACTER, DOUBLE_COLUMN, INK, SCHEME_COLOURS, drawn_width, legend_below, new_figure, plain, styled, title

MARKERS = ("o", "s", "D", "^", "v", "P")
SMALLEST, LARGEST = 6.0, 70.0
"""Areas of a point whose layer takes none, and all, of the run's cycles; square points."""
NAMED = 3
"""Layers named in the figure: those that take longest."""


@dataclass(frozen=True)
class Roof:
    """Peak rates of a machine. Units: MACs and bytes per second; `period` of the array's clock in picoseconds."""

    macs: float
    bytes: float
    period: int

    def at(self, intensity: Numbers) -> Numbers:
        """MACs per second within reach at that many MACs a byte."""
        return np.minimum(self.macs, self.bytes * intensity)


@styled
def roofline(layers: pd.DataFrame, roof: Roof, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw each layer at its MACs per DRAM byte and MACs per second; a thin line leads from the first scheme to each other.

    Work is counted as the dense layer's, `macs_done + macs_skipped`, so that the same work in fewer bytes lies to the right and in fewer
    cycles higher up; a scheme that skips MACs may rise above the roof of the array. Layers without MACs or bytes are left out.
    `layers`: rows of `layers.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure, or no layer has MACs.
    Source:  Williams, Waterman, Patterson, Roofline: an insightful visual performance model, CACM 52(4), 2009
    """
    chosen = Chosen.of(layers)
    work = chosen.sum_of(["macs_done", "macs_skipped"], 0)
    columns = [[chosen.sum_of([name], scheme) for name in ("bytes_moved", "total_cycles")] for scheme in range(len(chosen.schemes))]
    shown = (work > 0) & np.all([(moved > 0) & (cycles > 0) for moved, cycles in columns], axis=0)
    if not shown.any():
        raise ConfigError("a roofline needs at least one layer with MACs and bytes; the table has none")
    points = [(work[shown] / moved[shown], work[shown] / (cycles[shown] * roof.period * 1e-12)) for moved, cycles in columns]
    share = columns[0][1][shown] / columns[0][1][shown].sum()
    figure = new_figure(width, 2.3 if width < DOUBLE_COLUMN else 3.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for intensity, rate in points[1:]:
        axes.plot([points[0][0], intensity], [points[0][1] / 1e9, rate / 1e9], color=INK, linewidth=0.4, zorder=2)
    for scheme, (intensity, rate) in enumerate(points):
        axes.scatter(
            intensity,
            rate / 1e9,
            SMALLEST + LARGEST * share,
            marker=MARKERS[scheme],
            facecolors="white" if scheme == 0 else SCHEME_COLOURS[scheme],
            edgecolors=INK if scheme == 0 else "white",
            linewidths=0.6,
            zorder=3 + scheme,
        )
    _draw_roof(axes, roof)
    order = np.argsort(-share, kind="stable")[:NAMED]
    names = np.array(chosen.names)[shown][order]
    _name_points(axes, names.tolist(), points[0][0][order], points[0][1][order] / 1e9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.set_xlabel("dense MACs per byte moved (MAC/B)")
    axes.set_ylabel("dense MACs per\nsecond (GMAC/s)")
    axes.grid(axis="both", which="major")
    legend_below(figure, [_entry(scheme, name) for scheme, name in enumerate(chosen.schemes)])
    title(figure, chosen.what("roofline, area of a point by its layer's cycles"), chosen.source)
    return figure


def _draw_roof(axes: Axes, roof: Roof) -> None:
    """Draw both roofs over what the points span, and name them."""
    low, high = axes.get_xlim()
    ridge = roof.macs / roof.bytes
    low, high = min(low, ridge / 4), max(high, ridge * 4)
    x = np.array([low, ridge, high])
    axes.plot(x, roof.at(x) / 1e9, color=INK, linewidth=1.0, zorder=1)
    axes.set_xlim(low, high)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, max(top, 2.2 * roof.macs / 1e9))
    texts = f"{roof.macs / 1e9:,.4g} GMAC/s", f"{roof.bytes / 1e9:,.4g} GB/s"
    axes.annotate(texts[0], (high, roof.macs / 1e9), xytext=(-3, 3), textcoords="offset points", ha="right", fontsize=7)
    axes.annotate(texts[1], (ridge, roof.macs / 1e9), xytext=(-3, 3), textcoords="offset points", ha="right", fontsize=7)


def _name_points(axes: Axes, names: list[str], x: Numbers, y: Numbers) -> None:
    """Name points below them (above them near the bottom), each one only where no name stands yet."""
    figure = axes.get_figure(root=True)
    size = (drawn_width(figure.get_figwidth()), figure.get_figheight() - 1) if figure else (DOUBLE_COLUMN, 2.0)
    ends = np.log10([axes.get_xlim(), axes.get_ylim()])
    places = (np.log10([x, y]).T - ends[:, 0]) / (ends[:, 1] - ends[:, 0]) * size
    named: list[int] = []
    for point, name in enumerate(names):
        apart = [np.abs(places[point] - places[other]) for other in named]
        if any(dx < CHARACTER * 16 and dy < 0.15 for dx, dy in apart):
            continue
        named.append(point)
        down = places[point][1] > 0.25
        right = places[point][0] > size[0] - CHARACTER * 16
        axes.annotate(
            *(name, (x[point], y[point])),
            xytext=(-4 if right else 4, -10 if down else 5),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=7,
            zorder=9,
        )


def _entry(scheme: int, name: str) -> Line2D:
    entry = Line2D([], [], linestyle="", marker=MARKERS[scheme], markersize=5, markeredgewidth=0.6, label=plain(name))
    entry.set_markerfacecolor("white" if scheme == 0 else SCHEME_COLOURS[scheme])
    entry.set_markeredgecolor(INK if scheme == 0 else "white")
    return entry
