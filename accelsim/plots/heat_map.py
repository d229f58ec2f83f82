"""One number of a sweep over two axes, a panel a scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from accelsim.designspace.effects import in_step
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.errors import ConfigError, choices
from accelsim.plots.axis_values import axis_label, held, name_values, ordered, whose
from accelsim.plots.style import CHARACTER, COLOURS, DOUBLE_COLUMN, INK, TITLE_LINE, drawn_width, new_figure, plain, styled, title

SHOWN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bytes_saved_percent": ("bytes saved (%)", ".1f"),
        "speed_up": ("speed-up", ".2f"),
        "stall_percent": ("stalled (% of cycles)", ".0f"),
        "bytes_moved_ratio": ("bytes moved over baseline", ".2f"),
        "total_cycles_ratio": ("cycles over baseline", ".2f"),
        "energy_ratio": ("energy over baseline", ".2f"),
        "achieved_gb_per_s": ("achieved bandwidth (GB/s)", ".1f"),
        "time_us": ("run time (us)", ".3g"),
        "accuracy": ("top-1 accuracy (%)", ".1f"),
    }
)
"""What can be shown, with its name and how its cells are written."""
COLOUR_MAP = "cividis"
"""Even in lightness, and the same to colour-blind eyes."""
NARROWEST = 0.05
"""Least span of the colours, of the largest magnitude."""
CELL = 0.26
"""Height of a cell, inches."""


@styled
def heat_map(
    table: pd.DataFrame, width: float = DOUBLE_COLUMN, *, value: str = "bytes_saved_percent", axes: tuple[str, str] | None = None
) -> Figure:
    """Draw one number over two axes, the first two if none are named, every scheme on one scale; schemes that are all alike are left out.

    `table`: rows of `sweep.csv` of one trace, all other axes at one value. A point without a result is grey and crossed.
    Units:   `width` in inches
    Raises:  `ConfigError` where the rows do not make one figure
    """
    first, second = _one_figure(table, value, axes)
    across, up = ordered(table[first]), ordered(table[second])
    pictures = {str(scheme): _picture(rows, first, second, across, up, value) for scheme, rows in table.groupby("scheme", sort=False)}
    # The baseline over itself says nothing.
    telling = {scheme: picture for scheme, picture in pictures.items() if np.unique(picture[~np.isnan(picture)]).size > 1}
    pictures = telling or pictures
    numbers = np.concatenate([picture[~np.isnan(picture)] for picture in pictures.values()])
    low, high = _scale(numbers)
    room = drawn_width(width) / len(pictures) - 0.3
    names = {scheme: _wrapped(plain(scheme), int(room / CHARACTER)) for scheme in pictures}
    figure = new_figure(width, 1.0 + CELL * len(up) + TITLE_LINE * (max(map(len, names.values())) - 1))
    panels: list[Axes] = list(figure.subplots(1, len(pictures), squeeze=False, sharey=True).flat)
    image = None
    for panel, (scheme, picture) in zip(panels, pictures.items(), strict=True):
        image = panel.imshow(
            np.ma.masked_invalid(picture), aspect="auto", origin="lower", cmap=COLOUR_MAP, vmin=low, vmax=high, interpolation="nearest"
        )
        panel.set_facecolor(COLOURS["absent"])
        _write_cells(panel, picture, low, high, SHOWN[value][1] if room / len(across) > 0.3 else "")
        name_values(panel.xaxis, range(len(across)), across, room)
        panel.tick_params(which="minor", length=0)
        panel.set_xlabel(axis_label(first))
        panel.set_title("\n".join(names[scheme]))
        for side in panel.spines.values():
            side.set_visible(False)
    panels[0].set_yticks(range(len(up)), [plain(str(one)) for one in up])
    panels[0].set_ylabel(axis_label(second))
    if image is not None:
        figure.colorbar(image, ax=panels, label=SHOWN[value][0], pad=0.01).formatter = ScalarFormatter(useOffset=False)
    lost = "; × no result" if any(np.isnan(picture).any() for picture in pictures.values()) else ""
    what = f"{whose(table)}: {SHOWN[value][0]}{held(table, (first, second))}{lost}"
    title(figure, what, str(table["source"].iloc[0]))
    return figure


def _scale(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of the colours: those of the numbers, but never so close that a thousandth looks like a gulf."""
    if not numbers.size:
        return 0.0, 1.0
    low, high = float(numbers.min()), float(numbers.max())
    least = NARROWEST * max(abs(low), abs(high))
    aside = max(0.0, least - (high - low)) / 2
    return low - aside, high + aside


def _wrapped(scheme: str, longest: int) -> list[str]:
    """A scheme's name in lines, its options apart, none longer than there is room."""
    return wrap(scheme if len(scheme) <= longest else scheme.replace(":", ": ").replace(",", ", "), max(8, longest))


def _picture(rows: pd.DataFrame, first: str, second: str, across: Sequence[Any], up: Sequence[Any], value: str) -> NDArray[np.float64]:
    """Shapes: float64 [values of the second axis, values of the first], NaN where there is no result."""
    picture = np.full((len(up), len(across)), np.nan)
    columns, lines = rows[first].map(across.index), rows[second].map(up.index)
    picture[lines.to_numpy(np.int64), columns.to_numpy(np.int64)] = rows[value].astype("float64").to_numpy()
    return picture


def _write_cells(panel: Axes, picture: NDArray[np.float64], low: float, high: float, form: str) -> None:
    for (line, column), number in np.ndenumerate(picture):
        if np.isnan(number):
            panel.text(column, line, "×", ha="center", va="center", color=INK)
        elif form:
            dark = number < low + 0.5 * (high - low)
            panel.text(column, line, format(number, form), ha="center", va="center", fontsize=7, color="white" if dark else INK)


def _one_figure(table: pd.DataFrame, value: str, axes: tuple[str, str] | None) -> tuple[str, str]:
    names = axes_of(table)
    if value not in SHOWN:
        raise ConfigError(f"{value!r} is not drawn as a heat map\n    {choices(list(SHOWN), value)}")
    chosen = axes if axes is not None else names[:2]
    if len(chosen) != 2 or any(name not in names for name in chosen):
        raise ConfigError(f"a heat map needs two axes, this sweep has {', '.join(names) or 'none'}")
    if table["job"].nunique() != 1:
        raise ConfigError(f"a figure shows one trace, the table has {table['job'].nunique()}\n    choose the rows of one job")
    groups = in_step(table, names)
    together = {axis for group in groups if set(group) & set(chosen) for axis in group} | set(chosen)
    for other in names:
        if other not in together and table[other].nunique() > 1:
            raise ConfigError(f"a heat map over {chosen[0]} and {chosen[1]} needs one value of {other}\n    choose the rows of one")
    return chosen[0], chosen[1]
