"""Labelled images: where each one is, and which output of the network is right for it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelsim.errors import ConfigError, choices, nearest, quoted
from accelsim.labelled import ImageSet, LabelledFiles, LabelledStack, Outputs, Photographs

MAX_ROWS = 10_000_000
MAX_OUTPUTS = 100_000_000
"""Bounds of what tables may hold, so that a damaged one is refused."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image. `source`: as `images.load_image` takes it; `target`: the right output of the network, None where there is no label."""

    name: str
    source: str
    target: int | None


def samples(asked: ImageSet) -> tuple[Sample, ...]:
    """Find the images of a set, in the order of their table or stack.

    Raises:  `ConfigError` for a table that cannot be read, a column it lacks, an image that is not there, or a label that means no output
    """
    where, limit = asked.images, asked.limit
    if isinstance(where, Photographs):
        return tuple(Sample(_short(source), source, None) for source in where.files[:limit])
    pairs = _of_table(where) if isinstance(where, LabelledFiles) else _of_stack(where)
    origin = where.table if isinstance(where, LabelledFiles) else where.stack
    pairs = pairs[:limit]
    if not pairs:
        raise ConfigError(f"{origin}: holds no image")
    meaning = None if asked.outputs is None else _meanings(asked.outputs)
    return tuple(Sample(_short(source), source, _target(origin, source, label, meaning)) for source, label in pairs)


def _of_table(where: LabelledFiles) -> list[tuple[str, str]]:
    folder = where.folder if where.folder is not None else where.table.parent
    pairs = []
    for line, row in _rows(where.table, (where.file_column, where.label_column)):
        path = folder / row[where.file_column]
        if not path.is_file():
            near = nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else ""
            raise ConfigError(f"{where.table}:{line}: no such image: {path}" + (f"\n    Did you mean {near!r}?" if near else ""))
        pairs.append((str(path), row[where.label_column].strip()))
    return pairs


def _of_stack(where: LabelledStack) -> list[tuple[str, str]]:
    try:
        # The file is opened here, because numpy leaves it open where it is damaged.
        with where.stack.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in (where.images, where.labels):
                if key not in archive.files:
                    raise ConfigError(f"{where.stack}: no array {quoted(key)}\n    {choices(archive.files, key)}")
            labels = archive[where.labels]
    except ConfigError:
        raise
    except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise ConfigError(f"{where.stack}: damaged .npz file: {' '.join(str(fault).split())}") from fault
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(f"{where.stack}: {where.labels} is {labels.dtype} {list(labels.shape)}\n    allowed: whole numbers [N]")
    return [(f"{where.stack}:{where.images}:{index}", str(label)) for index, label in enumerate(labels.tolist())]


def _meanings(outputs: Outputs) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for line, row in _rows(outputs.table, (outputs.label_column, outputs.output_column)):
        label, text = row[outputs.label_column].strip(), row[outputs.output_column].strip()
        if not _is_output(text):
            raise ConfigError(f"{outputs.table}:{line}: {outputs.output_column} {quoted(text)}\n    allowed: numbers of outputs, from 0")
        if found.setdefault(label, int(text)) != int(text):
            raise ConfigError(
                f"{outputs.table}:{line}: {outputs.label_column} {quoted(label)} means two outputs: {found[label]} and {text}"
            )
    return found


def _target(origin: Path, source: str, label: str, meaning: Mapping[str, int] | None) -> int:
    if meaning is not None:
        if label not in meaning:
            raise ConfigError(f"{origin}: {_short(source)}: label {quoted(label)} is not in outputs.table")
        return meaning[label]
    if not _is_output(label):
        raise ConfigError(
            f"{origin}: {_short(source)}: label {quoted(label)} is not the number of an output\n"
            "    say which output means which label: outputs"
        )
    return int(label)


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with their lines. Raises `ConfigError` where it cannot be read or lacks a column or a cell."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = list(reader.fieldnames or ())
            for column in columns:
                if column not in header:
                    raise ConfigError(f"{path}: no column {quoted(column)}\n    {choices(header, column)}")
            rows = []
            for row in reader:
                missing = [column for column in columns if not (row[column] or "").strip()]
                if missing:
                    raise ConfigError(f"{path}:{reader.line_num}: no {missing[0]}")
                rows.append((reader.line_num, {column: row[column] for column in columns}))
                if len(rows) > MAX_ROWS:
                    raise ConfigError(f"{path}: more than {MAX_ROWS:,} rows")
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(fault).split())}") from fault


def _is_output(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_OUTPUTS)) and int(text) <= MAX_OUTPUTS


def _short(source: str) -> str:
    """The file's name, and the key in it if it is an archive."""
    file, separator, key = source.partition(".npz:")
    return Path(file + separator).name + key
