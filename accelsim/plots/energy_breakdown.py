"""Energy per layer with and without a scheme, stacked by part."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from accelsim.plots.bars import stacked
from accelsim.plots.chosen import Chosen
from accelsim.plots.style import DOUBLE_COLUMN, styled

PARTS = {
    "DRAM": "energy_dram_nj",
    "link": "energy_link_nj",
    "buffer": "energy_buffer_nj",
    "MACs": "energy_mac_nj",
    "static": "energy_static_nj",
}


@styled
def energy_breakdown(layers: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw energy per layer, one bar a scheme, stacked by part.

    `layers`: rows of `layers.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    chosen = Chosen.of(layers)
    parts = [{part: chosen.sum_of([column], scheme) for part, column in PARTS.items()} for scheme in range(len(chosen.schemes))]
    return stacked(chosen, parts, ("energy", "J"), "energy per layer", width, prefixes=("n", "µ", "m", "", "k"))
