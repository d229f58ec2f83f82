"""Why the array waited: stalled cycles of each layer by cause."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from accelsim.plots.bars import stacked
from accelsim.plots.chosen import Chosen
from accelsim.plots.style import DOUBLE_COLUMN, plain, styled

CAUSES = {
    "ifmap": "stall_ifmap_cycles",
    "filter": "stall_filter_cycles",
    "metadata": "stall_metadata_cycles",
    "output": "stall_output_cycles",
    "fill/drain": "stall_fill_drain_cycles",
    "start": "stall_start_cycles",
    "bank conflict": "stall_conflict_cycles",
}


@styled
def stall_causes(layers: pd.DataFrame, width: float = DOUBLE_COLUMN, *, share: bool = False) -> Figure:
    """Draw stalled cycles per layer, one bar a scheme, stacked by cause.

    `layers`: rows of `layers.csv` of one network and image. `share`: per cent of the layer's own cycles under the first scheme, so that
    small layers show and a shorter bar still means fewer cycles. Units: `width` in inches.
    Raises:  `ConfigError` where the rows do not make one figure.
    """
    chosen = Chosen.of(layers)
    parts = [{cause: chosen.sum_of([column], scheme) for cause, column in CAUSES.items()} for scheme in range(len(chosen.schemes))]
    if not share:
        return stacked(chosen, parts, ("stalled", "cycles"), "stall causes per layer", width)
    whole = chosen.sum_of(["total_cycles"], 0)
    percent = [{cause: 100 * values / np.where(whole > 0, whole, np.inf) for cause, values in part.items()} for part in parts]
    return stacked(chosen, percent, ("stalled", f"% of {plain(chosen.schemes[0])} cycles"), "share of stalled cycles per layer", width)
