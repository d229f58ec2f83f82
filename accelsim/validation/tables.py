"""Reference tables: CSV files that people made, read with every fault named by line and column."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from accelsim.errors import ModelError

Cell = str | int | float
MAX_BYTES = 64 << 20
MAX_FAULTS = 20
"""Faults that are told of one file; a table in the wrong format would have one in every row."""


def text(cell: str) -> str:
    """Any text but none."""
    if not cell:
        raise ValueError("empty; a text is needed")
    return cell


def count(cell: str) -> int:
    """A whole number from 0."""
    if not (cell.isascii() and cell.isdigit() and len(cell) < 16):
        raise ValueError(f"{cell!r} is not a whole number from 0")
    return int(cell)


def number(cell: str) -> float:
    """A finite number."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not a finite number")
    return value


def magnitude(cell: str) -> float:
    """A finite number from 0."""
    value = number(cell)
    if value < 0:
        raise ValueError(f"{cell!r}: allowed: numbers from 0")
    return value


@dataclass(frozen=True)
class Column:
    """What a column holds: how its cells are read, whether it must be there, whether a cell may be empty (then it is left out)."""

    read: Callable[[str], Cell]
    required: bool = False
    optional_cells: bool = False


@dataclass(frozen=True)
class Line:
    """One row: its line in the file, its cells by column (empty optional cells are absent), and where each column stands, from 1."""

    number: int
    cells: Mapping[str, Cell]
    places: Mapping[str, int]


def read_table(path: Path, columns: Mapping[str, Column]) -> tuple[Line, ...]:
    """Read the known columns of a CSV file with a header; other columns are ignored.

    Raises:  `ModelError` that names all faults (at most `MAX_FAULTS`) by line and column
    """
    rows = _rows(path)
    if not rows:
        raise ModelError(f"{path}: empty; a header line is needed with {', '.join(columns)}")
    (_, header), body = rows[0], rows[1:]
    twice = sorted({name for name in header if name in columns and header.count(name) > 1})
    if twice:
        raise ModelError(f"{path}:1: column {header.index(twice[0]) + 1}: {twice[0]!r} stands more than once")
    missing = [name for name, column in columns.items() if column.required and name not in header]
    if missing:
        guesses = {name: get_close_matches(name, header, n=1) for name in missing}
        hint = "".join(f"\n    is {found[0]!r} meant for {name!r}?" for name, found in guesses.items() if found)
        raise ModelError(f"{path}:1: no column {', '.join(map(repr, missing))}; found: {', '.join(header)}{hint}")
    if not body:
        raise ModelError(f"{path}: a header and no rows")
    faults: list[str] = []
    lines = []
    for place, cells in body:
        line, wrong = _line(place, list(zip(header, cells, strict=False)), columns)
        if len(cells) != len(header):
            wrong = [f"{len(cells)} cells, the header has {len(header)}"]
        lines.append(line)
        faults.extend(f"{path}:{place}: {fault}" for fault in wrong)
    if faults:
        more = [f"... and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        raise ModelError("\n".join(faults[:MAX_FAULTS] + more))
    return tuple(lines)


def _line(place: int, cells: Sequence[tuple[str, str]], columns: Mapping[str, Column]) -> tuple[Line, list[str]]:
    read: dict[str, Cell] = {}
    places: dict[str, int] = {}
    faults: list[str] = []
    for position, (name, cell) in enumerate(cells, 1):
        if name not in columns or (columns[name].optional_cells and not cell):
            continue
        places[name] = position
        try:
            read[name] = columns[name].read(cell)
        except ValueError as fault:
            remedy = "; leave it empty where it is not known" if columns[name].optional_cells else ""
            faults.append(f"column {position} ({name}): {fault}{remedy}")
    return Line(place, MappingProxyType(read), MappingProxyType(places)), faults


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Lines that are not blank, with their numbers; cells without the blanks around them."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes; allowed: up to {MAX_BYTES:,}")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise ModelError(f"{path}: not text in UTF-8 (byte {fault.start}); a CSV file is needed") from fault
    except csv.Error as fault:
        raise ModelError(f"{path}:{reader.line_num}: not CSV: {fault}") from fault
