"""How much a scheme's worth depends on the image: the spread of its ratios over images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelsim.errors import ConfigError
from accelsim.plots.chosen import Numbers
from accelsim.plots.style import DOUBLE_COLUMN, HATCHES, INK, SCHEME_COLOURS, new_figure, plain, styled, title

FEWEST = 3
"""Images that a spread needs at least."""
SAVED = {"bytes_moved": "DRAM bytes", "total_cycles": "cycles", "energy_nj": "energy"}
"""Column -> what a panel shows the saving of."""


@styled
def image_spread(layers: pd.DataFrame, width: float = DOUBLE_COLUMN, *, held: str = "") -> Figure:
    """Draw what each scheme saves against the first, a point an image, over a box of the quartiles with the median; whiskers: all images.

    `layers`: rows of `layers.csv` of one network and several images, each under the same schemes. `held`: what the title adds.
    Units:   `width` in inches
    Raises:  `ConfigError` where there are several networks, fewer than three images, one scheme, or schemes that differ between images.
    """
    networks, schemes = (list(dict.fromkeys(layers[name])) for name in ("network", "scheme"))
    if len(networks) != 1:
        raise ConfigError(f"a figure shows one network, the table has {len(networks)}\n    choose the rows of one")
    if not 2 <= len(schemes) <= len(HATCHES):
        raise ConfigError(f"a spread shows 2 to {len(HATCHES)} schemes, the table has {len(schemes)}\n    choose the rows of as many")
    totals = layers.groupby(["image", "scheme"], sort=False)[list(SAVED)].sum().unstack("scheme")
    if len(totals) < FEWEST:
        raise ConfigError(f"a spread needs at least {FEWEST} images, the table has {len(totals)}")
    if totals.isna().to_numpy().any():
        raise ConfigError("some images lack a scheme that others have\n    replay all images under the same schemes")
    figure = new_figure(width, 2.3)
    panels = figure.subplots(1, len(SAVED), squeeze=False).flat
    for axes, (column, what) in zip(panels, SAVED.items(), strict=True):
        saved = 100 * (1 - totals[column].div(totals[column][schemes[0]], axis=0))
        for place, scheme in enumerate(schemes[1:]):
            _box(axes, saved[scheme].to_numpy(np.float64), place, SCHEME_COLOURS[place + 1])
        axes.axhline(0, color=INK, linewidth=0.6, zorder=1)
        axes.set_xlim(-0.6, len(schemes) - 1.4)
        crowded = width < DOUBLE_COLUMN or len(schemes) > 3
        axes.set_xticks(range(len(schemes) - 1), [plain(scheme) for scheme in schemes[1:]], rotation=90 if crowded else 0)
        axes.set_ylabel(f"{what} saved\n(% of {plain(schemes[0])})")
        axes.grid(axis="y")
    if crowded:
        figure.set_figheight(figure.get_figheight() + 0.065 * max(map(len, schemes)))
    source = ", ".join(dict.fromkeys(layers["source"]))
    title(figure, f"{networks[0]}: spread over {len(totals)} images{held}", source)
    return figure


def _box(axes: Axes, values: Numbers, place: int, colour: str) -> None:
    """Draw quartiles, median, ends and every image; points are set apart sideways by their rank, so that equal ones do not hide."""
    look = {"color": INK, "linewidth": 0.8}
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.5,
        whis=(0, 100),
        patch_artist=True,
        boxprops={"facecolor": "white", "edgecolor": INK, "linewidth": 0.8},
        medianprops={"color": INK, "linewidth": 1.6},
        whiskerprops=look,
        capprops=look,
        manage_ticks=False,
    )
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    aside = 0.16 * np.sin(2.4 * ranks)  # the golden angle, nearly: neighbours in rank fall far apart
    axes.scatter(place + aside, values, 9, color=colour, linewidths=0, zorder=3, alpha=0.8)
