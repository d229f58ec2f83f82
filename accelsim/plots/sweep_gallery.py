"""Every figure of a sweep, ready to be written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from accelsim.plots.heat_map import heat_map
from accelsim.plots.style import DOUBLE_COLUMN, slug
from accelsim.plots.sweep_curves import sweep_curves
from accelsim.sweeptable import axes as axes_of

MOST = 12
"""Values of the further axes that get figures of their own, for each trace; the table has all."""
MAPS = ("bytes_saved_percent", "speed_up", "stall_percent")


def of_sweep(table: pd.DataFrame, width: float = DOUBLE_COLUMN) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each trace: curves against the first axis, and heat maps over the first two.

    Axes that are left over are held at each of their combinations, the first few of them.
    """
    axes = axes_of(table)
    for job, rows in table.groupby("job", sort=False):
        name = slug(f"{job}_{rows['network'].iloc[0]}_{rows['image'].iloc[0]}")
        for suffix, part in itertools.islice(_held(rows, axes[1:]), MOST):
            yield f"{name}_curves{suffix}", sweep_curves(part, width)
        if len(axes) > 1 and rows[axes[1]].nunique() > 1:
            for suffix, part in itertools.islice(_held(rows, axes[2:]), MOST):
                for value in MAPS:
                    yield f"{name}_{value}{suffix}", heat_map(part, width, value=value)


def _held(rows: pd.DataFrame, axes: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows with each combination of values of these axes, and what tells them apart in a file name."""
    if not axes:
        yield "", rows
        return
    for values, part in rows.groupby(list(axes), sort=False):
        yield "_" + slug("_".join(map(str, values))), part
