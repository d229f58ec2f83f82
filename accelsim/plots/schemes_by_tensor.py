"""All schemes side by side: bytes by tensor, and what becomes of cycles and energy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.bytes_per_layer import REST
from accelsim.plots.style import (
    CHARACTER,
    COLOURS,
    DOUBLE_COLUMN,
    INK,
    draw_bars,
    legend_below,
    new_figure,
    plain,
    scaled,
    styled,
    title,
)

TENSORS = ("ifmap", "filter", "ofmap", "psum", "metadata")
RATIOS = {"cycles": ("total_cycles_ratio", "o", INK), "energy": ("energy_ratio", "^", "white")}
"""Column, marker and filling of each quantity below."""
HEIGHT = 3.4
LONGEST = 34
"""Characters of a scheme's name that are shown."""


@styled
def schemes_by_tensor(table: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw bytes moved of each scheme, stacked by tensor, and below them cycles and energy over those of the first scheme.

    `table`: of `sidebyside.SideBySide`. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    runs = table[["network", "image", "accelerator", "source"]].drop_duplicates() if len(table) else table
    if len(runs) != 1:
        raise ConfigError(f"a figure shows schemes on one network, image and machine; the table has {len(runs)} of them")
    parts = {tensor: table[f"{tensor}_bytes"].to_numpy(np.float64) for tensor in TENSORS}
    parts[REST] = np.maximum(table["bytes_moved"].to_numpy(np.float64) - table["bytes_wanted"].to_numpy(np.float64), 0)
    names = [_name(row.scheme, row.weight_scheme, row.lossless) for row in table.itertuples()]
    places = np.arange(len(table), dtype=np.float64)
    figure = new_figure(width, HEIGHT)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    divisor, unit = scaled(max(float(np.sum(list(parts.values()), axis=0).max()), 1.0), "B")
    bottom = np.zeros(len(table))
    for part, values in parts.items():
        draw_bars(above, places, values / divisor, 0.7, bottom, facecolor=COLOURS[part])
        bottom = bottom + values / divisor
    above.axhline(bottom[0], color=INK, linewidth=0.5, linestyle="--")
    above.set_ylabel(f"DRAM traffic\n({unit})")
    above.grid(axis="y")
    for number, (column, marker, face) in enumerate(RATIOS.values()):
        shift = 0.3 * (number - (len(RATIOS) - 1) / 2)
        below.plot(places + shift, table[column], marker, color=INK, markerfacecolor=face, markersize=4, zorder=3)
    below.axhline(1.0, color=INK, linewidth=0.5, linestyle="--")
    below.set_ylabel(f"over\n{plain(names[0])}")
    below.margins(y=0.15)
    below.grid(axis="y")
    below.set_xticks(places, [plain(name) for name in names], rotation=90)
    below.set_xlim(-0.6, len(table) - 0.4)
    figure.set_figheight(figure.get_figheight() + CHARACTER * max(map(len, names)))
    used = [Patch(facecolor=COLOURS[part], label=part) for part, values in parts.items() if values.any()]
    lines = [
        Line2D([], [], color=INK, linestyle="", marker=marker, markerfacecolor=face, label=name)
        for name, (_, marker, face) in RATIOS.items()
    ]
    legend_below(figure, [*used, *lines])
    first = runs.iloc[0]
    title(figure, f"{first['network']}, {first['image']} on {first['accelerator']}: schemes side by side", str(first["source"]))
    return figure


def _name(scheme: object, weights: object, lossless: object) -> str:
    name = str(scheme) if weights == "dense" else f"{scheme}+{weights}"
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return name if lossless else f"{name} (lossy)"
