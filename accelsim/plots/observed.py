"""What an eavesdropper sees: how much of each layer's dense volume moves, image by image, and what hiding it costs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from accelsim.errors import ConfigError
from accelsim.plots.style import DOUBLE_COLUMN, SCHEME_COLOURS, label_layers, legend_below, new_figure, plain, short_name, styled, title

HEIGHT = 3.4
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One for each padding, in the order of the table."""


@styled
def observed(layers: pd.DataFrame, costs: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw each layer's volume over its dense one (mean; line: least to most over the images), and below what each padding costs and hides.

    `layers`, `costs`: tables of `observer.View` of one network. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    networks = list(dict.fromkeys(costs["network"])) if len(costs) else []
    if len(networks) != 1:
        raise ConfigError(f"a figure shows one network, the table has {len(networks)}: {', '.join(map(str, networks)) or 'none'}")
    schemes = [scheme for scheme in dict.fromkeys(costs["scheme"]) if scheme != "dense"]
    if len(schemes) >= len(SCHEME_COLOURS):
        raise ConfigError(f"a figure shows at most {len(SCHEME_COLOURS) - 1} schemes, the table has {len(schemes)}\n    choose fewer")
    figure = new_figure(width, HEIGHT)
    upper, lower = figure.subplots(2, 1)
    colours = dict(zip(schemes, SCHEME_COLOURS[1:], strict=False))
    _shares(upper, layers, colours)
    marks = dict(zip(dict.fromkeys(costs["padding"]), itertools.cycle(MARKS), strict=False))
    _prices(lower, costs, colours, marks)
    handles = [Line2D([], [], color=colours[scheme], linewidth=2, label=plain(scheme)) for scheme in schemes]
    handles += [
        Line2D([], [], color="black", marker=mark, markersize=4, linestyle="none", label=plain(f"padding: {padding}"))
        for padding, mark in marks.items()
    ]
    legend_below(figure, handles)
    images = int(costs["images"].iloc[0])
    title(figure, f"{networks[0]}: what the DRAM bus shows of {images:,} image{'' if images == 1 else 's'}", "traces")
    return figure


def _shares(axes: Axes, layers: pd.DataFrame, colours: dict[str, str]) -> None:
    names = list(dict.fromkeys(layers["layer"]))
    kinds = dict(zip(layers["layer"], layers["kind"], strict=True))
    at = np.arange(len(names), dtype=np.float64)
    for number, (scheme, colour) in enumerate(colours.items()):
        rows = layers[(layers["scheme"] == scheme) & (layers["padding"] == "none")]
        dense = rows["dense_read_bytes"] + rows["dense_written_bytes"]
        share = 100 * (rows["read_bytes"] + rows["written_bytes"]) / dense.where(dense > 0)
        of_layer = share.groupby(rows["layer"], sort=False).agg(["mean", "min", "max"]).reindex(names)
        beside = at + (number - (len(colours) - 1) / 2) * 0.6 / max(1, len(colours))
        axes.vlines(beside, of_layer["min"], of_layer["max"], color=colour, linewidth=1.4, zorder=3)
        axes.plot(beside, of_layer["mean"], "_", color=colour, markersize=4, zorder=4)
    axes.set_ylabel("volume\n(% of dense)")
    axes.set_ylim(0, None)
    axes.grid(axis="y")
    label_layers(axes, [short_name(name, kinds[name]) for name in names])


def _prices(axes: Axes, costs: pd.DataFrame, colours: dict[str, str], marks: dict[str, str]) -> None:
    for row in costs.to_dict("records"):
        look: dict[str, Any] = {"color": colours.get(row["scheme"], SCHEME_COLOURS[0]), "marker": marks[row["padding"]], "markersize": 4.5}
        axes.plot([100 * row["bytes_ratio"]], [row["bits_of_bytes"]], linestyle="none", clip_on=False, zorder=3, **look)
    most = float(costs["most_bits"].iloc[0])
    axes.set_ylim(0, max(1.0, 1.05 * most))
    axes.axhline(most, color=SCHEME_COLOURS[0], linewidth=0.8, linestyle="--")
    axes.set_xlabel("bytes moved (% of dense)")
    axes.set_ylabel("volumes tell\n(bits an image)")
    axes.grid(axis="both")
