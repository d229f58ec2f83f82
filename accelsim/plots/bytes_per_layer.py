"""Bytes per layer with and without a scheme, stacked by tensor: the paper's Figure 6 with everything that moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from accelsim.plots.bars import stacked
from accelsim.plots.chosen import Chosen
from accelsim.plots.style import DOUBLE_COLUMN, styled

TENSORS = {
    "ifmap": ("read_ifmap_bytes",),
    "filter": ("read_filter_bytes",),
    "ofmap": ("write_ofmap_bytes",),
    "psum": ("read_psum_bytes", "write_psum_bytes"),
    "metadata": ("read_metadata_bytes", "write_metadata_bytes"),
}
REST = "burst rounding"


@styled
def bytes_per_layer(layers: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw bytes moved per layer, one bar a scheme, stacked by tensor; what bursts moved beyond the wanted bytes is a part of its own.

    `layers`: rows of `layers.csv` of one network and image. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    chosen = Chosen.of(layers)
    parts = [{name: chosen.sum_of(columns, scheme) for name, columns in TENSORS.items()} for scheme in range(len(chosen.schemes))]
    for scheme, part in enumerate(parts):
        part[REST] = np.maximum(chosen.sum_of(["bytes_moved"], scheme) - chosen.sum_of(["bytes_wanted"], scheme), 0)
    return stacked(chosen, parts, ("DRAM traffic", "B"), "DRAM traffic per layer", width)
