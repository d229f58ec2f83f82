"""The paper's Figure 6 as the paper draws it: feature maps of convolutions, once each, counted and not simulated."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.errors import ConfigError
from accelsim.plots.bars import HEIGHT
from accelsim.plots.style import (
    COLOURS,
    DOUBLE_COLUMN,
    INK,
    NBSP,
    draw_bars,
    epsilon,
    label_layers,
    legend_below,
    new_figure,
    short_name,
    styled,
    title,
)
from accelsim.report.counting import PaperCount, saved_elements
from accelsim.trace import Trace

BITS = 16


@styled
def paper_figure6(trace: Trace, width: float = DOUBLE_COLUMN) -> Figure:
    """Draw Mbit per convolution (16 bits x output elements / 10^6): what is loaded with dynamic pruning, and on top what it saves.

    The whole bar is the load without pruning. Units: `width` in inches.
    Raises:  `ConfigError` for a network without convolutions.
    Source:  dynamic runtime feature map pruning paper, Figure 6; counting as in `report.counting`.
    """
    nodes = [node for node in trace.graph.nodes if node.kind == "conv"]
    if not nodes:
        raise ConfigError(f"{trace.graph.name}: no convolution, so the paper's Figure 6 has nothing to show")
    saved = saved_elements(trace)
    lost = np.array([saved[node.index] for node in nodes]) * BITS / 1e6
    whole = np.array([node.elements for node in nodes]) * BITS / 1e6
    figure = new_figure(width, HEIGHT)
    axes = figure.subplots()
    places = np.arange(len(nodes), dtype=np.float64)
    draw_bars(axes, places, whole - lost, 0.8, facecolor=COLOURS["with"])
    draw_bars(axes, places, lost, 0.8, whole - lost, facecolor=COLOURS["saved"], hatch="/////")
    axes.set_ylabel(f"feature map (Mbit,\n{BITS}-bit elements)")
    axes.grid(axis="y")
    label_layers(axes, [short_name(node.name, node.kind) for node in nodes])
    axes.set_xlabel("convolution")
    count = PaperCount.of(trace)
    handles = [
        Patch(facecolor=COLOURS["with"], label="loaded with pruning"),
        Patch(facecolor=COLOURS["saved"], hatch="/////", edgecolor=INK, linewidth=0, label="saved (whole bar: without pruning)"),
    ]
    legend_below(figure, handles)
    what = f"convolution outputs, {count.percent_of_conv:.3f}{NBSP}% saved at {epsilon(trace.epsilon)}"
    title(figure, f"{trace.graph.name}, {trace.image}: {what}", trace.source)
    return figure
