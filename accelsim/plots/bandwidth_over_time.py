"""DRAM bandwidth over the run under each scheme."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.style import COLOURS, DOUBLE_COLUMN, legend_below, new_figure, plain, scaled, styled, title

TALLEST = 6
"""Most schemes of one figure, a panel each."""


@styled
def bandwidth_over_time(bandwidth: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw bytes a second over time, reads below and writes on top, a panel a scheme on the same axes: a shorter run ends earlier.

    `bandwidth`: rows of `bandwidth.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    schemes = require_one_run(bandwidth)
    end = float(bandwidth["until_us"].max())
    divisor, unit = scaled(end * 1e6, "s", ("p", "n", "µ", "m", ""))
    figure = new_figure(width, 0.7 + 1.08 * len(schemes))
    panels = list(figure.subplots(len(schemes), 1, sharex=True, sharey=True, squeeze=False).flat)
    for axes, scheme in zip(panels, schemes, strict=True):
        _panel(axes, bandwidth[bandwidth["scheme"] == scheme], 1e6 / divisor)
        axes.set_title(plain(scheme), fontsize=7.5)
    panels[-1].set_xlabel(f"time ({unit})")
    panels[-1].set_xlim(0, end * 1e6 / divisor)
    panels[-1].set_ylim(0, None if float(bandwidth[["read_gb_per_s", "write_gb_per_s"]].to_numpy().max()) > 0 else 1)
    legend_below(figure, [Patch(facecolor=COLOURS["read"], label="read"), Patch(facecolor=COLOURS["written"], label="written")])
    network, image, source = (str(bandwidth[column].iloc[0]) for column in ("network", "image", "source"))
    title(figure, f"{network}, {image}: DRAM bandwidth over time", source)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, scale: float) -> None:
    """Draw one scheme as steps."""
    edges = [*(rows["time_us"] * scale), float(rows["until_us"].iloc[-1]) * scale]
    read, written = rows["read_gb_per_s"].to_numpy(), rows["write_gb_per_s"].to_numpy()
    axes.stairs(read, edges, fill=True, color=COLOURS["read"], linewidth=0, zorder=2)
    axes.stairs(read + written, edges, baseline=read, fill=True, color=COLOURS["written"], linewidth=0, zorder=2)
    axes.set_ylabel("DRAM\n(GB/s)")
    axes.grid(axis="y")


def require_one_run(bandwidth: pd.DataFrame) -> list[str]:
    """The schemes of the rows of `bandwidth.csv` that make one figure.

    Raises:  `ConfigError` where they do not
    """
    if bandwidth.empty:
        raise ConfigError("a figure needs at least one window; the table has none")
    for column in ("network", "image", "source"):
        found = list(dict.fromkeys(bandwidth[column]))
        if len(found) > 1:
            raise ConfigError(f"a figure shows one {column}, the table has {', '.join(map(str, found))}\n    choose the rows of one")
    schemes = list(dict.fromkeys(bandwidth["scheme"]))
    if len(schemes) > TALLEST:
        raise ConfigError(f"a figure shows at most {TALLEST} schemes, the table has {len(schemes)}\n    choose the rows of fewer")
    return schemes
