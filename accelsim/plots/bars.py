"""Stacked bars, one group a layer, one bar a scheme: the form that traffic and stalls share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.plots.chosen import Chosen, Numbers
from accelsim.plots.style import (
    COLOURS,
    HATCHES,
    PREFIXES,
    draw_bars,
    drawn_width,
    label_layers,
    legend_below,
    new_figure,
    plain,
    scaled,
    scheme_patches,
    title,
)

HEIGHT = 2.15
"""Height of a figure with one panel of bars, without legend and turned names, inches."""
THINNEST = 2.2
"""Bars of stacked colours and hatches narrower than this cannot be told apart, points."""


def stacked(
    chosen: Chosen,
    parts: Sequence[Mapping[str, Numbers]],
    axis: tuple[str, str],
    what: str,
    width: float,
    prefixes: Sequence[str] = PREFIXES,
) -> Figure:
    """Draw parts (one mapping a scheme: part -> number of each layer), first part at the bottom; parts that are nowhere are left out.

    The bars of a layer stand side by side, hatched by scheme; where they would be too thin, each scheme has a panel of its own.
    `axis`: what the numbers are, and their unit (one that starts with '%' is not scaled). `prefixes` of the unit: none, x 1000, ...
    """
    name, unit = axis
    largest = max(float(np.sum(list(part.values()), axis=0).max()) for part in parts)
    divisor, unit = (1.0, unit) if unit.startswith("%") else scaled(largest, unit, prefixes)
    used = [part for part in parts[0] if any(each[part].any() for each in parts)]
    own_panels = len(parts) > 1 and 72 * drawn_width(width) * chosen.bar_width(len(parts)) / len(chosen.names) < THINNEST
    panels = len(parts) if own_panels else 1
    figure = new_figure(width, HEIGHT + 1.1 * (panels - 1))
    shown = list(figure.subplots(panels, 1, sharex=True, sharey=True, squeeze=False).flat)
    for scheme, values in enumerate(parts):
        axes = shown[scheme if own_panels else 0]
        place, beside, hatch = (0, 1, "") if own_panels else (scheme, len(parts), HATCHES[scheme])
        middles, bar = chosen.middles(place, beside), chosen.bar_width(beside)
        bottom = np.zeros(len(chosen.names))
        for part in used:
            heights = values[part] / divisor
            draw_bars(axes, middles, heights, bar, bottom, facecolor=COLOURS[part], hatch=hatch)
            bottom = bottom + heights
        if own_panels:
            axes.set_title(plain(chosen.schemes[scheme]), fontsize=7.5)
    for axes in shown:
        axes.set_ylabel(f"{name}\n({unit})" if own_panels else f"{name} ({unit})")
        axes.grid(axis="y")
        if largest == 0:
            axes.set_ylim(0, 1)
    label_layers(shown[-1], chosen.names)
    handles = [Patch(facecolor=COLOURS[part], label=part) for part in used]
    legend_below(figure, handles if own_panels else [*handles, *scheme_patches(chosen.schemes)])
    title(figure, chosen.what(what), chosen.source)
    return figure
