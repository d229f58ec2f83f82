"""A data frame as a table of a page: what is shown in each cell, and what it is sorted by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from accelsim.designspace.axis import number


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows, and the number it is sorted by (empty: there is none)."""

    text: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; its `meaning` appears when the pointer rests on its name."""

    name: str
    is_number: bool
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows of cells, with a caption."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]] = field(repr=False)

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str, meanings: Mapping[str, str] | None = None) -> Table:
        """Show a frame as it is. `meanings`: column -> what it means."""
        shown = [_column(frame[name]) for name in frame.columns]
        columns = [Column(str(name), kind, (meanings or {}).get(name, "")) for name, (kind, _) in zip(frame.columns, shown, strict=True)]
        return cls(caption, columns, list(zip(*(cells for _, cells in shown), strict=True)))

    def cells(self, row: Sequence[Cell]) -> Iterator[tuple[Column, Cell]]:
        """Each cell of a row with its column."""
        return zip(self.columns, row, strict=True)


def _column(values: pd.Series[Any]) -> tuple[bool, list[Cell]]:
    """Whether a column is sorted by value, and its cells."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        digits = _digits(values)
        return True, [Cell("") if pd.isna(value) else Cell(f"{value:,.{digits}f}", f"{float(value):.17g}") for value in values]
    quantities = [number(value) for value in values]
    if quantities and all(quantities) and len({id(found[1]) for found in quantities if found}) == 1:
        return True, [Cell(str(value), f"{float(found[0]):.17g}") for value, found in zip(values, quantities, strict=True) if found]
    return False, [Cell("" if pd.isna(value) else str(value)) for value in values]


def _digits(values: pd.Series[Any]) -> int:
    """Digits after the point that a column of numbers needs: the same in all its rows, so that they can be compared by eye."""
    if pd.api.types.is_integer_dtype(values) or (values.dropna() % 1 == 0).all():
        return 0
    largest = float(values.abs().max())
    return 4 if largest < 10 else 3 if largest < 1000 else 1
