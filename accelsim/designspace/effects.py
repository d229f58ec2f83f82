"""Sensitivity: how much of what differs between the points of a sweep each axis explains."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from accelsim.errors import ConfigError

REST = "together"
"""What no axis explains alone: axes that matter only in combination."""
COLUMNS = ("axis", "value", "share_percent", "least", "most", "at_least", "at_most")


def effects(table: pd.DataFrame, axes: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """The main effect of each axis on each number of a table.

    `table`: rows of `sweep.csv` of one trace, failed ones are left out. `axes`: its columns to judge, `scheme` may be one; those that go
    in step count as one, joined by ` + `; those of one value are left out.
    `share_percent`: variance of the means over the axis' values, of the whole variance, per cent (the first-order index of Sobol, exact
    where every combination is there; then a row `together` holds the remainder). `least`, `most`: the extreme means, `at_...`: where.
    Source:  Saltelli et al., Global Sensitivity Analysis, 2008, ch. 1
    Raises:  `ConfigError` for fewer than two points with a result
    """
    rows = table[table["error"] == ""]
    if len(rows) < 2:
        raise ConfigError(f"sensitivity needs two points with a result, there are {len(rows)}\n    sweep more values")
    groups = in_step(rows, axes)
    counts = rows.groupby([group[0] for group in groups], sort=False).size() if groups else pd.Series([0, 1])
    balanced = counts.nunique() == 1 and len(counts) == pd.Series([rows[group[0]].nunique() for group in groups]).prod()
    made: list[tuple[str, str, float, float, float, str, str]] = []
    for value in values:
        numbers = rows[value].astype("float64")
        whole = float(numbers.var(ddof=0))
        shares = []
        for group in groups:
            means = numbers.groupby(rows[group[0]], sort=False).transform("mean")
            shares.append(100 * float(means.var(ddof=0)) / whole if whole else 0.0)
            by = numbers.groupby(rows[group[0]], sort=False).mean()
            low, high = by.idxmin(), by.idxmax()
            made.append((" + ".join(group), value, shares[-1], float(by.min()), float(by.max()), str(low), str(high)))
        if balanced and whole:
            mean = float(numbers.mean())
            made.append((REST, value, max(0.0, 100 - sum(shares)), mean, mean, "", ""))
    return pd.DataFrame(made, columns=list(COLUMNS))


def in_step(table: pd.DataFrame, axes: Sequence[str]) -> list[tuple[str, ...]]:
    """Axes of more than one value, those together whose values determine each other."""
    groups: list[list[str]] = []
    for axis in axes:
        count = table[axis].nunique()
        if count < 2:
            continue
        for group in groups:
            if table[group[0]].nunique() == count == len(table[[group[0], axis]].drop_duplicates()):
                group.append(axis)
                break
        else:
            groups.append([axis])
    return [tuple(group) for group in groups]
