"""One shard: the traces of one block of images in a Parquet file, a row group each.

Columns are facts about an image, which the index repeats, and the members of its trace as `tracefile.take_apart` makes them, compressed
with Zstandard at level 1: smaller than zlib at its best, in a hundredth of the time. A column is read by itself, so facts cost no masks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from accelsim import tracefile
from accelsim.errors import ConfigError, TraceError
from accelsim.trace import Trace

FACTS = pa.schema(
    [
        ("image", pa.string()),
        ("file", pa.string()),
        ("file_sha256", pa.string()),
        ("image_sha256", pa.string()),
        ("top5", pa.string()),
        ("error", pa.string()),
        ("zero_channels", pa.list_(pa.int32())),
        ("zero_elements", pa.list_(pa.int64())),
        ("zero_flags", pa.binary()),
    ]
)
"""`image`: its name in the store; `file`: name of its file; `top5`: best outputs of a classifier; `error`: why there is no trace, or empty;
`zero_channels`, `zero_elements`: a count for each node; `zero_flags`: bits of all channels of all nodes, 1 where the channel is zero."""

MEMBERS: Mapping[str, str] = {name.removesuffix(".npy"): name for name in tracefile.MEMBERS}
"""Members of a trace by their names here. Of an image without a trace they are empty."""
COLUMNS = {f"trace_{column}": member for column, member in MEMBERS.items()}
SCHEMA = pa.schema([*FACTS, *((column, pa.binary()) for column in COLUMNS)])
OWN = ("image", "image_sha256", "top5")
"""What provenance says of one image alone."""

ROWS = 4096
"""Images in a row group of the index."""
MOST_VALUES = ROWS * 10_000
"""In a column of a row group: a number for each node of networks as deep as `tracefile` reads."""
MOST_BYTES = tracefile.MAX_BYTES + tracefile.MAX_HEADER_BYTES
AGAIN = "remove it, and give the command that made the store again"
"""What mends a shard or an index."""
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError)
"""What pyarrow raises on damaged files."""


@dataclass(frozen=True)
class Recorded:
    """One image: its name, where its pixels came from, and its trace, or why there is none."""

    image: str
    file_sha256: str
    trace: Trace | None
    error: str = ""


def write(path: Path, recorded: Iterable[Recorded]) -> None:
    """Write a shard as its traces come, whole or not at all. Raises `ConfigError` where it cannot be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(
            partial, SCHEMA, compression="zstd", compression_level=1, use_dictionary=False, write_statistics=False
        ) as writer:
            for one in recorded:
                writer.write_table(_table(_row(one)))
        partial.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror or fault}\n    name another store") from fault
    finally:
        partial.unlink(missing_ok=True)


def facts(path: Path) -> pa.Table:
    """What a shard knows of its images, a row each, without their traces. Raises `TraceError` for a file that is no shard."""
    return opened(path, SCHEMA).read(columns=FACTS.names)


def opened(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a file of known columns. Raises `TraceError`, one line, for any other."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
        if not file.schema_arrow.equals(schema):
            raise TraceError(f"{path}: has other columns than a trace store of this version; {AGAIN}")
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        # Nothing is unpacked before: a dictionary, or counts of values, could say much more than the file holds.
        if not all(_modest(group.column(number)) for group in groups for number in range(group.num_columns)):
            raise TraceError(f"{path}: is coded in a way, or as long, as a trace store never is; {AGAIN}")
    except TraceError:
        raise
    except DAMAGE as fault:
        raise unreadable(path, fault) from None
    return file


def _modest(chunk: Any) -> bool:
    return set(chunk.encodings) <= {"PLAIN", "RLE"} and chunk.num_values <= MOST_VALUES and chunk.total_uncompressed_size <= MOST_BYTES


def trace(path: Path, file: pq.ParquetFile, row: int) -> Trace:
    """Row `row` of a shard as a trace. Raises `TraceError`, one line, for a damaged one."""
    try:
        if not 0 <= row < file.num_row_groups:
            raise TraceError(f"no trace {row}, it has {file.num_row_groups}")
        group = file.metadata.row_group(row)
        if group.num_rows != 1 or group.total_byte_size > MOST_BYTES:
            raise TraceError(f"trace {row}: {group.num_rows:,} rows, {group.total_byte_size:,} bytes; one row of a trace's size is needed")
        table = file.read_row_group(row, columns=list(COLUMNS))
        return tracefile.put_together(_Members({member: table.column(column)[0].as_buffer() for column, member in COLUMNS.items()}))
    except TraceError as fault:
        raise TraceError(f"{path}: {fault}") from None
    except DAMAGE as fault:
        raise unreadable(path, fault) from None


def unreadable(path: Path, fault: BaseException) -> TraceError:
    """Say in one line that a file of a store is damaged."""
    text = " ".join(str(getattr(fault, "strerror", None) or fault).split())
    return TraceError(f"{path}: cannot be read ({text:.120}); {AGAIN}")


class _Members:
    """Gives the members of a trace to `tracefile.put_together`."""

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._held = held

    def __call__(self, name: str, length: int | None) -> tracefile.Bytes:
        data = np.frombuffer(self._held[name], dtype=np.uint8)
        fits = data.size <= tracefile.MAX_HEADER_BYTES if length is None else data.size == length
        if not fits:
            raise TraceError(f"{name} has {data.size:,} bytes, {tracefile.MAX_HEADER_BYTES if length is None else length:,} are needed")
        return data


def numbers(values: NDArray[Any]) -> pa.Array:
    """A column of integers. Not by `pa.array`, which imports pandas to ask whether the values are of its kind: half a second a process."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, pa.py_buffer(values)])


def _table(row: Mapping[str, Any]) -> pa.Table:
    """One row; texts, bytes and arrays of integers are looked into, not copied."""
    return pa.Table.from_arrays([_cell(field.type, row[field.name]) for field in SCHEMA], schema=SCHEMA)


def _cell(kind: pa.DataType, value: Any) -> pa.Array:
    data: Any = value.encode() if isinstance(value, str) else value
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    if pa.types.is_list(kind):
        return pa.Array.from_buffers(kind, 1, [None, offsets], children=[numbers(data)])
    return pa.Array.from_buffers(kind, 1, [None, offsets, pa.py_buffer(data)])


def _row(one: Recorded) -> dict[str, Any]:
    row: dict[str, Any] = {"image": one.image, "file_sha256": one.file_sha256, "error": one.error}
    if one.trace is None:
        empty = dict.fromkeys(("file", "image_sha256", "top5"), "") | dict.fromkeys(COLUMNS, b"")
        return {**row, **empty, "zero_channels": np.empty(0, np.int32), "zero_elements": np.empty(0, np.int64), "zero_flags": b""}
    maps, provenance = one.trace.maps, one.trace.provenance
    members = tracefile.take_apart(one.trace)
    return {
        **row,
        "file": provenance.get("image", ""),
        "image_sha256": provenance.get("image_sha256", ""),
        "top5": provenance.get("top5", ""),
        "zero_channels": np.array([np.count_nonzero(fmap.zero_channels) for fmap in maps], np.int32),
        "zero_elements": np.array([fmap.zero_elements for fmap in maps], np.int64),
        "zero_flags": np.packbits(np.concatenate([fmap.zero_channels for fmap in maps])),
        **{column: members[member] for column, member in COLUMNS.items()},
    }
