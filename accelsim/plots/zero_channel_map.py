"""Which channels are zero: one column a layer, one cell a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from accelsim.errors import ConfigError
from accelsim.plots.style import (
    COLOURS,
    DOUBLE_COLUMN,
    draw_bars,
    epsilon,
    label_layers,
    legend_below,
    new_figure,
    short_name,
    styled,
    title,
)
from accelsim.trace import Trace

KINDS = ("conv", "maxpool", "add")
LINES = 300
"""Lines of the picture: fewer than the panel has dots at 200 an inch, so that none is lost when it is drawn."""


@styled
def zero_channel_map(trace: Trace, width: float = DOUBLE_COLUMN, *, kinds: Sequence[str] = KINDS) -> Figure:
    """Draw the zero channels of the layers of these kinds, and above them how many there are.

    Units:   `width` in inches. Channels stand on a square-root scale where a network has more than 128, so that narrow layers keep
             their height; where a line of the picture covers several channels, it is the darker the more of them are zero.
    Raises:  `ConfigError` where the network has no layer of these kinds.
    """
    chosen = [(node, fmap) for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True) if node.kind in kinds]
    if not chosen:
        raise ConfigError(f"{trace.graph.name}: no layer of kind {', '.join(kinds)}, so a map of zero channels has nothing to show")
    flags = [fmap.zero_channels for _, fmap in chosen]
    most = max(len(each) for each in flags)
    power = 0.5 if most > 128 else 1.0
    figure = new_figure(width, 3.5)
    top, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.6])
    places = np.arange(len(flags), dtype=np.float64)
    draw_bars(top, places, np.array([each.sum() for each in flags], np.float64), 0.8, facecolor=COLOURS["zero"])
    top.set_ylabel("zero channels\n(count)")
    top.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    top.grid(axis="y")
    top.tick_params(labelbottom=False)
    if not any(each.any() for each in flags):
        top.set_ylim(0, 1)
    edges = most * np.linspace(0, 1, LINES + 1) ** (1 / power)
    picture = np.stack([_column(each, edges) for each in flags], axis=1)
    axes.imshow(picture, aspect="auto", origin="lower", interpolation="nearest", extent=(-0.5, len(flags) - 0.5, 0, 1))
    ticks = _ticks(most, power)
    axes.set_yticks([(tick / most) ** power for tick in ticks], [f"{tick:,}" for tick in ticks])
    axes.set_ylabel("channel (number" + (",\nsquare-root scale)" if power != 1 else ")"))
    for place in places[1:]:
        axes.axvline(place - 0.5, color="white", linewidth=0.4)
    label_layers(axes, [short_name(node.name, node.kind) for node, _ in chosen])
    axes.set_xlim(-0.5, len(flags) - 0.5)
    handles = [
        Patch(facecolor=COLOURS["zero"], label="zero" if edges[-1] - edges[-2] <= 1 else "zero (paler: some of several)"),
        Patch(facecolor=COLOURS["live"], label="not zero"),
        Patch(facecolor=COLOURS["absent"], label="no such channel"),
    ]
    legend_below(figure, handles)
    known = "" if trace.positions_known else "; positions unknown, spread evenly"
    title(figure, f"{trace.graph.name}, {trace.image}: zero channels at {epsilon(trace.epsilon)}", f"{trace.source}{known}")
    return figure


def _column(zero: NDArray[np.bool_], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours of one layer's lines, from channel 0 up; line i shows the channels from edges[i] to edges[i + 1].

    Shapes:  float64 [lines, 3], red, green, blue from 0 to 1.
    """
    channels = len(zero)
    zeros_below = np.interp(edges, np.arange(channels + 1), np.concatenate([[0], np.cumsum(zero)]))
    inside = np.diff(np.minimum(edges, channels))
    share = np.diff(zeros_below) / np.where(inside > 0, inside, 1)
    # The root lets a single zero channel show among many.
    strength = np.sqrt(np.clip(share, 0, 1))[:, None]
    colours: NDArray[np.float64] = (1 - strength) * np.array(to_rgb(COLOURS["live"])) + strength * np.array(to_rgb(COLOURS["zero"]))
    colours[inside <= 0] = to_rgb(COLOURS["absent"])
    return colours


def _ticks(most: int, power: float) -> list[int]:
    """Round channel numbers from 0 to the last, some five of them, evenly spread on the scale."""
    wanted = [most * share ** (1 / power) for share in (0.2, 0.4, 0.6, 0.8)]
    rounded = [int(round(value, -int(np.floor(np.log10(value))))) for value in wanted if value >= 1]
    return sorted({0, *rounded, most})
