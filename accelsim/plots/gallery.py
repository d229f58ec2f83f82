"""Every figure of a results folder, ready to be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from matplotlib.figure import Figure

from accelsim.plots.bandwidth_over_time import bandwidth_over_time
from accelsim.plots.buffer_occupancy import buffer_occupancy
from accelsim.plots.bytes_per_layer import bytes_per_layer
from accelsim.plots.chosen import split
from accelsim.plots.cycles_per_layer import cycles_per_layer
from accelsim.plots.energy_breakdown import energy_breakdown
from accelsim.plots.image_spread import FEWEST, image_spread
from accelsim.plots.paper_figure6 import paper_figure6
from accelsim.plots.roofline import Roof, roofline
from accelsim.plots.stall_causes import stall_causes
from accelsim.plots.style import DOUBLE_COLUMN, HATCHES, LOOKS, render, slug
from accelsim.plots.zero_channel_map import KINDS, zero_channel_map
from accelsim.trace import Trace

FOLDER = "figures"


def of_layers(layers: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that a layers table alone can show, for each network and image in it."""
    for name, rows in split(layers):
        yield f"{name}_bytes_per_layer", bytes_per_layer(rows, width)
        yield f"{name}_stall_causes", stall_causes(rows, width)
        yield f"{name}_stall_shares", stall_causes(rows, width, share=True)
        yield f"{name}_cycles_per_layer", cycles_per_layer(rows, width)
        yield f"{name}_energy_breakdown", energy_breakdown(rows, width)


def of_run(
    layers: pd.DataFrame, peaks: Mapping[tuple[str, str], Mapping[str, float]], width: float = DOUBLE_COLUMN
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of what all layers of a run show together with the peak rates of its machines, by network and image.

    The roofline of each trace, and the spread over images of each network that has enough of them under the same schemes.
    """
    for name, rows in split(layers):
        peak = peaks[rows["network"][0], rows["image"][0]]
        if (rows["macs_done"] > 0).any():
            roof = Roof(peak["macs_per_s"], peak["dram_bytes_per_s"], int(peak["clock_period_ps"]))
            yield f"{name}_roofline", roofline(rows, roof, width)
    for network, rows in layers.groupby("network", sort=False):
        schemes = rows.groupby("image", sort=False)["scheme"].unique().map(tuple)
        if len(schemes) >= FEWEST and schemes.nunique() == 1 and len(schemes.iloc[0]) > 1:
            shown = rows[rows["scheme"].isin(schemes.iloc[0][: len(HATCHES)])]
            yield f"{slug(str(network))}_image_spread", image_spread(shown, width)


def of_bandwidth(bandwidth: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Iterator[tuple[str, Figure]]:
    """Name and figure of what a bandwidth table shows, for each network and image in it."""
    for name, rows in split(bandwidth):
        yield f"{name}_bandwidth_over_time", bandwidth_over_time(rows, width)
        yield f"{name}_buffer_occupancy", buffer_occupancy(rows, width)


def of_trace(trace: Trace, width: float = DOUBLE_COLUMN) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that a trace alone can show."""
    name = slug(f"{trace.graph.name}_{trace.image}")
    kinds = {node.kind for node in trace.graph.nodes}
    if "conv" in kinds:
        yield f"{name}_paper_figure6", paper_figure6(trace, width)
    if kinds & set(KINDS):
        yield f"{name}_zero_channel_map", zero_channel_map(trace, width)


def files(figures: Iterable[tuple[str, Figure]], dpi: float = LOOKS["paper"].dpi) -> Iterator[tuple[str, bytes]]:
    """Path in the results folder and content of each figure, as PNG (of `dpi` dots an inch) and as SVG; drawn one at a time."""
    for name, figure in figures:
        for suffix, content in render(figure, dpi).items():
            yield f"{FOLDER}/{name}.{suffix}", content
