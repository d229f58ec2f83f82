"""Zero channels of each layer: which could be pruned offline, and which only a marker can catch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.bars import HEIGHT
from accelsim.plots.style import COLOURS, DOUBLE_COLUMN, draw_bars, label_layers, legend_below, new_figure, short_name, styled, title
from accelsim.plots.style import epsilon as epsilon_text

PARTS = {
    "removable": ("static, removable", COLOURS["absent"], ""),
    "kept": ("static, kept by structure", COLOURS["saved"], "....."),
    "dynamic": ("dynamic (mean; line: least to most)", COLOURS["zero"], "/////"),
}


@styled
def static_dynamic(channels: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw per cent of each layer's channels that are zero, stacked: removable offline, static but bound by structure, dynamic.

    `channels`: a table of `dynamic.Split` of one network. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    networks = list(dict.fromkeys(channels["network"])) if len(channels) else []
    if len(networks) != 1:
        raise ConfigError(f"a figure shows one network, the table has {len(networks)}: {', '.join(map(str, networks)) or 'none'}")
    rows = channels[channels["kind"] != "avgpool"]
    rows = rows if len(rows) else channels
    whole = rows["channels"].to_numpy(np.float64)
    share = {
        "removable": 100 * rows["removable"].to_numpy(np.float64) / whole,
        "kept": 100 * (rows["static"] - rows["removable"]).to_numpy(np.float64) / whole,
        "dynamic": 100 * rows["dynamic_mean"].to_numpy(np.float64) / whole,
    }
    figure = new_figure(width, HEIGHT)
    axes = figure.subplots()
    places = np.arange(len(rows), dtype=np.float64)
    bottom = np.zeros(len(rows))
    for part, values in share.items():
        _, colour, hatch = PARTS[part]
        draw_bars(axes, places, values, 0.8, bottom, facecolor=colour, hatch=hatch)
        bottom = bottom + values
    static = share["removable"] + share["kept"]
    low, high = (static + 100 * rows[f"dynamic_{end}"].to_numpy(np.float64) / whole for end in ("minimum", "maximum"))
    axes.vlines(places, low, high, color="black", linewidth=0.7, zorder=3)
    axes.set_ylim(0, max(1.0, 1.05 * float(max(bottom.max(), high.max()))))
    axes.set_ylabel("zero channels\n(% of the layer's)")
    axes.grid(axis="y")
    label_layers(axes, [short_name(layer, kind) for layer, kind in zip(rows["layer"], rows["kind"], strict=True)])
    legend_below(figure, [Patch(facecolor=colour, hatch=hatch, label=label) for label, colour, hatch in PARTS.values()])
    first = rows.iloc[0]
    what = f"static and dynamic zero channels on {int(first['images']):,} images at {epsilon_text(float(first['epsilon']))}"
    title(figure, f"{networks[0]}: {what}", "traces")
    return figure
