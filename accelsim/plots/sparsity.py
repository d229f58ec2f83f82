"""How much of a network is near zero: parameters and feature maps, by threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.style import DOUBLE_COLUMN, HATCHES, SCHEME_COLOURS, draw_bars, legend_below, new_figure, plain, styled, title

HEIGHT = 2.4
GROUP = 0.84


@styled
def sparsity(weights: pd.DataFrame, maps: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw per cent of values within each threshold, one bar a scope: all parameters, weights of convolutions, feature maps.

    `weights`, `maps`: tables of `sparsity.Sparsity`; `maps` may be empty. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    Source:  dynamic runtime feature map pruning paper, Figure 4 and Tables 1 and 2.
    """
    rows = pd.concat([table for table in (weights, maps) if len(table)]) if len(weights) or len(maps) else weights
    networks = list(dict.fromkeys(rows["network"])) if len(rows) else []
    if len(networks) != 1:
        raise ConfigError(f"a figure shows one network, the tables have {len(networks)}: {', '.join(map(str, networks)) or 'none'}")
    scopes = list(dict.fromkeys(rows["scope"]))
    limits = sorted(set(rows["threshold"]))
    figure = new_figure(width, HEIGHT)
    axes = figure.subplots()
    bar = GROUP / len(scopes)
    for number, scope in enumerate(scopes):
        own = rows[rows["scope"] == scope].set_index("threshold")["percent"].reindex(limits).fillna(0.0)
        middles = np.arange(len(limits), dtype=np.float64) + (number - (len(scopes) - 1) / 2) * bar
        draw_bars(axes, middles, own.to_numpy(np.float64), bar - 0.03, facecolor=SCHEME_COLOURS[number], hatch=HATCHES[number])
    axes.set_xticks(range(len(limits)), [f"{limit:g}" for limit in limits])
    axes.set_xlim(-0.6, len(limits) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_xlabel("threshold (magnitudes up to it count)")
    axes.set_ylabel("values within (%)")
    axes.grid(axis="y")
    looks = zip(scopes, SCHEME_COLOURS, HATCHES, strict=False)
    legend_below(figure, [Patch(facecolor=colour, hatch=hatch, label=plain(str(scope))) for scope, colour, hatch in looks])
    count = int(maps["images"].iloc[0]) if len(maps) else 0
    images = f", maps of {count:,} image{'' if count == 1 else 's'}" if count else ""
    title(figure, f"{networks[0]}: value sparsity{images}", "inference" if len(maps) else "the network's weights")
    return figure
