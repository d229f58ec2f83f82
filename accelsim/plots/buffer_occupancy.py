"""Bytes held in the buffer over the run under each scheme."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.plots.bandwidth_over_time import require_one_run
from accelsim.plots.style import COLOURS, DOUBLE_COLUMN, legend_below, new_figure, plain, scaled, styled, title

HELD = {"ifmap": "held_ifmap_bytes", "filter": "held_filter_bytes", "ofmap": "held_ofmap_bytes", "kept": "held_kept_bytes"}
"""What holds bytes, from the bottom; `kept`: maps that stay in the buffer for the next layer, shown where there are any."""
BINARY = ("", "Ki", "Mi", "Gi")


@styled
def buffer_occupancy(bandwidth: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw mean bytes held in each window, stacked by what holds them, a panel a scheme on the same axes: a shorter run ends earlier.

    `bandwidth`: rows of `bandwidth.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    schemes = require_one_run(bandwidth)
    end = float(bandwidth["until_us"].max())
    divisor, unit = scaled(end * 1e6, "s", ("p", "n", "µ", "m", ""))
    most = float(bandwidth[list(HELD.values())].sum(axis=1).max())
    power = max(0, min(len(BINARY) - 1, (int(most).bit_length() - 1) // 10))
    figure = new_figure(width, 0.7 + 1.08 * len(schemes))
    panels = list(figure.subplots(len(schemes), 1, sharex=True, sharey=True, squeeze=False).flat)
    used = {what: column for what, column in HELD.items() if what != "kept" or bandwidth[column].any()}
    for axes, scheme in zip(panels, schemes, strict=True):
        _panel(axes, bandwidth[bandwidth["scheme"] == scheme], used, 1e6 / divisor, 1024.0**power)
        axes.set_ylabel(f"buffer\n({BINARY[power]}B)")
        axes.set_title(plain(scheme), fontsize=7.5)
    panels[-1].set_xlabel(f"time ({unit})")
    panels[-1].set_xlim(0, end * 1e6 / divisor)
    panels[-1].set_ylim(0, None if most > 0 else 1)
    legend_below(figure, [Patch(facecolor=COLOURS[what], label=what) for what in used])
    network, image, source = (str(bandwidth[column].iloc[0]) for column in ("network", "image", "source"))
    title(figure, f"{network}, {image}: bytes held in the buffer over time", source)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, used: dict[str, str], scale: float, unit: float) -> None:
    """Draw one scheme as steps, one upon the other."""
    edges = [*(rows["time_us"] * scale), float(rows["until_us"].iloc[-1]) * scale]
    bottom = rows["time_us"].to_numpy() * 0
    for what, column in used.items():
        top = bottom + rows[column].to_numpy() / unit
        axes.stairs(top, edges, baseline=bottom, fill=True, color=COLOURS[what], linewidth=0, zorder=2)
        bottom = top
    axes.grid(axis="y")
