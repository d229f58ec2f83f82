"""The paper's tables for people: on the terminal, and as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from rich.table import Table

VALUE = "value"
"""Title of the column of numbers that are for nothing in particular."""
LAYERS = "Mbit"
"""Begins the quantities of single layers; these are in the .csv and in the figure."""
OTHER = "*"
"""Marks numbers whose conditions stand below."""
PRINTED, MEASURED, DEVIATION = "printed", "measured", "deviation"


@dataclass(frozen=True)
class Grid:
    """One item: a line a series, its numbers by what they are for. `notes`: what could not be measured, and what numbers mean."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def tally(numbers: pd.DataFrame) -> pd.DataFrame:
    """How many printed numbers of each item were measured, and how many of these agree to the printed digits."""
    rows = []
    for item, own in numbers[numbers["printed"] != ""].groupby("item", sort=False):
        done = own[own["measured"].notna()]
        keys = ["network", "quantity", "at"]
        row = {"item": item, "printed": len(own[keys].drop_duplicates()), MEASURED: len(done[keys].drop_duplicates())}
        rows.append(row | {"agree": len(done[done["agrees"] == "yes"][keys].drop_duplicates())})
    return pd.DataFrame(rows, columns=["item", "printed", MEASURED, "agree"])


def grids(numbers: pd.DataFrame) -> Iterator[Grid]:
    """All items in their order."""
    for item, own in numbers.groupby("item", sort=False):
        shown = own[(own["printed"] != "") | ~own["quantity"].str.startswith(LAYERS)]
        columns = _ordered(dict.fromkeys(at or VALUE for at in shown["at"]))
        lines: list[tuple[str, ...]] = []
        for (network, series), rows in shown.groupby(["network", _series(shown)], sort=False):
            lines += _lines(str(network), str(series), rows, columns)
        yield Grid(str(item), columns, tuple(lines), tuple(_notes(own)))


def terminal_tables(numbers: pd.DataFrame) -> Iterator[Table]:
    """Items one by one; where an item has one quantity, its title says so."""
    from rich import box
    from rich.table import Table

    for grid in grids(numbers):
        whats = list(dict.fromkeys(line[1] for line in grid.lines))
        single = len(whats) == 1
        shown = Table(box=box.SIMPLE_HEAD, title_justify="left", caption="\n".join(grid.notes), caption_justify="left")
        shown.title = f"{grid.title}: {whats[0]}" if single else grid.title
        for column in ("network", *(() if single else ("what",)), ""):
            shown.add_column(column)
        for column in grid.columns:
            shown.add_column(column, justify="right", no_wrap=True)
        before = ("", "")
        for network, what, kind, *cells in grid.lines:
            told = ("" if network == before[0] else network, "" if (network, what) == before else what)
            shown.add_row(told[0], *(() if single else told[1:]), kind, *cells)
            before = (network, what)
        yield shown


def tally_table(numbers: pd.DataFrame) -> Table:
    """How much was measured, and how much of it agrees."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title="printed numbers", title_justify="left")
    counts = tally(numbers)
    for column in counts.columns:
        shown.add_column(column, justify="left" if column == "item" else "right")
    for row in counts.itertuples(index=False):
        shown.add_row(*map(str, row))
    return shown


def headline_table(claims: pd.DataFrame) -> Table:
    """Other works for people."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title="other works: published, and measured here", title_justify="left", show_lines=False)
    for column in ("work", "what", "published", MEASURED, "measured on", "comparable"):
        shown.add_column(
            column, justify="right" if column in ("published", MEASURED) else "left", no_wrap=column in ("published", MEASURED)
        )
    for row in claims.to_dict("records"):
        told = row["ours"] or f"not measured: {row['why']}"
        shown.add_row(row["work"], _claim(row), *_values(row), told, str(row["comparable"]).partition(":")[0])
    return shown


def markdown(numbers: pd.DataFrame, claims: pd.DataFrame, figures: Sequence[str]) -> str:
    """Everything as one page."""
    parts = ["# Dynamic Runtime Feature Map Pruning (arXiv 1812.09922): printed and measured"]
    if len(numbers):
        counts = tally(numbers)
        parts.append(_markdown_table(list(counts.columns), [list(map(str, row)) for row in counts.itertuples(index=False)]))
        parts.append(
            "`agree`: the measured number has the printed digits. Deviations are measured minus printed, in the unit of the table."
        )
    for grid in grids(numbers):
        parts += [f"## {grid.title}", _markdown_table(["network", "what", "", *grid.columns], [list(line) for line in grid.lines])]
        parts += [f"- {note}" for note in grid.notes]
    if len(claims):
        parts.append("## Other works")
        header = ["work", "what", "published", MEASURED, "their conditions", "ours", "comparable"]
        rows = [
            [row["work"], _claim(row), *_values(row), row["theirs"], row["ours"] or row["why"], row["comparable"]]
            for row in claims.to_dict("records")
        ]
        parts.append(_markdown_table(header, rows))
    parts += [f"![{name.rpartition('/')[2].removesuffix('.png')}]({name})" for name in figures]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def _ordered(columns: Iterable[str]) -> tuple[str, ...]:
    """Thresholds and epsilons by size; anything else as it came."""
    names = tuple(columns)
    return tuple(sorted(names, key=float)) if all(name.replace(".", "", 1).isdigit() for name in names) else names


def _series(rows: pd.DataFrame) -> pd.Series:
    """What stands on one line: losses stand behind the accuracy that they are counted from."""
    return rows["quantity"].map(lambda quantity: re.sub(r" (accuracy|loss)$", "", str(quantity)))


def _lines(network: str, series: str, rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    units = list(dict.fromkeys(rows["unit"]))
    what = f"{series} ({', then '.join(units)})"
    printed = {row["at"] or VALUE: row["printed"] for row in rows.to_dict("records") if row["printed"]}
    if printed:
        yield (network, what, PRINTED, *(printed.get(column, "") for column in columns))
    done = rows[rows["measured"].notna()]
    for data, own in done.groupby("data", sort=False):
        cells = {row["at"] or VALUE: row for row in own.to_dict("records")}
        texts = [_digits(cells[column]["measured"], cells[column]["printed"]) if column in cells else "" for column in columns]
        short, semicolon, _ = str(data).partition("; ")
        yield (network, what, short + (OTHER if semicolon else ""), *texts)
        if own["deviation"].notna().any():
            off = [_digits(cells[column]["deviation"], cells[column]["printed"], "+") if column in cells else "" for column in columns]
            yield (network, what, DEVIATION, *off)


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    missing = rows[rows["why"] != ""]
    for key, own in missing.groupby(["network", "why"], sort=False):
        name, why = map(str, key)
        yield f"{name}: {len(own)} of its numbers not measured: {why}"
    for network, own in rows.groupby("network", sort=False):
        for other in dict.fromkeys(str(data).partition("; ")[2] for data in own["data"]):
            if other:
                yield f"{OTHER} {network}: {other}"
    notes: dict[str, dict[str, None]] = {}
    for network, note in zip(rows["network"], rows["note"], strict=True):
        notes.setdefault(str(note), {})[str(network)] = None
    yield from (", ".join(networks) + f": {note}" for note, networks in notes.items() if note)


def _digits(value: float, printed: str, sign: str = "") -> str:
    """A number with a digit more than the printed one has, two at least; three where nothing is printed."""
    if math.isnan(value):
        return ""
    behind = max(2, len(printed.partition(".")[2])) if printed else 3
    text = f"{value:{sign}.{behind}f}"
    return text.replace("-", "") if float(text) == 0 else text


def _claim(row: Mapping[Hashable, Any]) -> str:
    return f"{row['quantity']} {row['at']}".strip()


def _values(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    unit = "" if row["unit"] == "x" else f" {row['unit']}"
    times = "x" if row["unit"] == "x" else ""
    texts = []
    for name in ("published", MEASURED):
        value = float(row[name])
        texts.append("" if math.isnan(value) else f"{value:.4g}{times}{unit}")
    return texts[0], texts[1]


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)
