"""Pareto fronts: the points of a table that no other point beats in every objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError, choices, quoted

if TYPE_CHECKING:
    import pandas as pd

OBJECTIVES = ("bytes_moved", "total_cycles", "energy_uj", "area_mm2")
"""What a front weighs up if nothing else is asked for; less of each is better."""
ACCURACY = "accuracy"
"""Top-1 accuracy of a point's network on the labelled images of its sweep. Units: per cent."""
MORE_IS_BETTER = frozenset({ACCURACY, "speed_up", "bytes_saved_percent", "macs_skipped_percent", "macs_skipped", "achieved_gb_per_s"})
"""Objectives of which more is better; of every other one less is."""


def front(table: pd.DataFrame, objectives: Sequence[str] = OBJECTIVES, by: str | None = "job") -> pd.Series:
    """Which rows are on the front: no other row is as good in every objective and better in one. Equal rows stand there together.

    `table`: rows of `sweep.csv`; rows without a number in an objective are on no front. `by`: a column whose values have fronts of
    their own, the traces of a sweep if not given.
    Shapes:  bool [rows], the index of the table
    Raises:  `ConfigError` for an objective that is no column of numbers
    """
    import pandas as pd

    for name in objectives:
        if name not in table.columns or not pd.api.types.is_numeric_dtype(table[name]):
            known = [column for column in table.columns if pd.api.types.is_numeric_dtype(table[column])]
            raise ConfigError(f"{quoted(name)} is no column of numbers, so it cannot be an objective\n    {choices(known, name)}")
    if not objectives:
        raise ConfigError("a front needs an objective\n    name one or more columns, such as bytes_moved")
    values = table[list(objectives)].astype("float64").to_numpy(copy=True)
    values[:, [name in MORE_IS_BETTER for name in objectives]] *= -1
    found = np.zeros(len(table), np.bool_)
    groups = table.groupby(by, sort=False).indices.values() if by is not None else [np.arange(len(table))]
    for rows in groups:
        whole = rows[~np.isnan(values[rows]).any(axis=1)]
        found[whole] = efficient(values[whole])
    return pd.Series(found, index=table.index, name="pareto")


def efficient(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points no other dominates.

    Shapes:  `costs` float64 [points, objectives], less is better, no NaN; bool [points]
    """
    keep = np.zeros(len(costs), np.bool_)
    # In ascending order of the first cost (then the next ...) whoever dominates a point stands before it.
    order = np.lexsort(costs.T[::-1])
    chosen: list[int] = []
    for point in order:
        before = costs[chosen]
        beaten = (before <= costs[point]).all(axis=1) & (before < costs[point]).any(axis=1)
        if not beaten.any():
            keep[point] = True
            chosen.append(int(point))
    return keep
