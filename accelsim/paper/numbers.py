"""Printed numbers, measured ones, and the two side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from accelsim.validation.tables import Column, read_table, text

COLUMNS = ("item", "network", "quantity", "at", "unit", "printed", "measured", "deviation", "agrees", "data", "why", "note")
"""Columns of `paper.csv`. `deviation`: measured - printed, in the unit; `agrees`: whether the measured number rounds (or is cut) to the
printed digits; `data`: what the measured number comes from; `why`: why there is none; `note`: how the printed one is meant."""
CUT, AT_LEAST = "cut", "at least"
"""Begin the notes of numbers that are printed without the digits behind their last one, not rounded, and of those that are bounds."""


def number_text(cell: str) -> str:
    """A finite number, as it is written."""
    if not math.isfinite(float(cell)):
        raise ValueError(f"{cell!r} is not a finite number")
    return cell


PRINTED: Mapping[str, Column] = MappingProxyType(
    {
        **dict.fromkeys(("item", "network", "quantity", "unit"), Column(text, required=True)),
        **dict.fromkeys(("at", "note"), Column(text, required=True, optional_cells=True)),
        "printed": Column(number_text, required=True),
    }
)


@dataclass(frozen=True)
class Key:
    """Which number: of which table or figure, which network, what, and for which threshold, epsilon, image or layer."""

    item: str
    network: str
    quantity: str
    at: str
    unit: str


@dataclass(frozen=True)
class Printed:
    """A number of the paper as it is printed."""

    key: Key
    text: str
    note: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    def agrees(self, measured: float) -> bool:
        """Whether a measured number has the printed digits, or is not below what is printed as a bound."""
        if self.note.startswith(AT_LEAST):
            return measured >= self.value
        scale = 10.0 ** len(self.text.partition(".")[2])
        # A float that stands for a decimal may lie a trifle beside it.
        digits = math.floor(measured * scale + 1e-6) if self.note.startswith(CUT) else round(measured * scale)
        return math.isclose(digits / scale, self.value, abs_tol=1e-9)


@dataclass(frozen=True)
class Measured:
    """A number of ours. `data`: what it comes from."""

    key: Key
    value: float
    data: str


@dataclass(frozen=True)
class Gap:
    """Why a table or figure has no measured numbers of a network; `item` '' stands for all that have none."""

    item: str
    network: str
    why: str


def read_printed(path: Path) -> tuple[Printed, ...]:
    """Read the printed numbers. Raises `ModelError` with every fault of the table."""
    found = []
    for line in read_table(path, PRINTED):
        cells = {name: str(line.cells.get(name, "")) for name in PRINTED}
        key = Key(cells["item"], cells["network"], cells["quantity"], cells["at"], cells["unit"])
        found.append(Printed(key, cells["printed"], cells["note"]))
    return tuple(found)


def side_by_side(printed: Sequence[Printed], measured: Iterable[Measured], gaps: Sequence[Gap]) -> pd.DataFrame:
    """A row for each printed number and each way in which it was measured; numbers that are not printed follow those that are.

    Columns: `COLUMNS`, in the order of the paper's items as they are printed
    """
    by_key: dict[Key, list[Measured]] = {}
    for one in measured:
        by_key.setdefault(one.key, []).append(one)
    rows = []
    for number in printed:
        found = by_key.pop(number.key, [])
        rows += [_row(number.key, number, one, "") for one in found] or [_row(number.key, number, None, _why(number.key, gaps))]
    rows += [_row(key, None, one, "") for key, found in by_key.items() for one in found]
    items = list(dict.fromkeys(row["item"] for row in rows))
    rows.sort(key=lambda row: items.index(row["item"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(key: Key, printed: Printed | None, measured: Measured | None, why: str) -> dict[str, object]:
    both = printed is not None and measured is not None
    return {
        "item": key.item,
        "network": key.network,
        "quantity": key.quantity,
        "at": key.at,
        "unit": key.unit,
        "printed": "" if printed is None else printed.text,
        "measured": math.nan if measured is None else measured.value,
        "deviation": measured.value - printed.value if both and printed and measured else math.nan,
        "agrees": ("yes" if printed.agrees(measured.value) else "no") if both and printed and measured else "",
        "data": "" if measured is None else measured.data,
        "why": why,
        "note": "" if printed is None else printed.note,
    }


def _why(key: Key, gaps: Sequence[Gap]) -> str:
    for item in (key.item, ""):
        for gap in gaps:
            if (gap.item, gap.network) == (item, key.network):
                return gap.why
    return "not measured"
