"""What lies where in a store, and its head: what decides the traces, and which images are in which block."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from accelsim.errors import ConfigError, TraceError
from accelsim.tracestore import HEAD, shards

FORMAT = 1
INDEX, LOCK, SHARDS = "index.parquet", "lock", "shards"
ANEW = "make the store again elsewhere: accelsim infer NETWORK --images FOLDER --store STORE"
MAX_HEAD_BYTES = 1 << 28
MAX_IMAGES = 10_000_000

INDEX_SCHEMA = pa.schema([*shards.FACTS, ("shard", pa.int32()), ("row", pa.int32())])


@dataclass(frozen=True)
class Head:
    """`recipe`: texts that say what was done to the images; `blocks`: names of the images of each shard, in order."""

    recipe: Mapping[str, str]
    blocks: tuple[tuple[str, ...], ...]


def shard_path(store: Path, number: int) -> Path:
    """Where the traces of a block are."""
    return store / SHARDS / f"{number:06d}.parquet"


def read_head(store: Path) -> Head:
    """Read what a store says of itself. Raises `TraceError`, one line, for anything that `write_head` has not written."""
    path = store / HEAD
    try:
        if path.stat().st_size > MAX_HEAD_BYTES:
            raise ValueError(f"more than {MAX_HEAD_BYTES:,} bytes")
        found: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise TraceError(f"{store}: is no store of traces (no {HEAD}); {ANEW}") from None
    except (OSError, ValueError, RecursionError) as fault:
        text = " ".join(str(getattr(fault, "strerror", None) or fault).split())
        raise TraceError(f"{path}: cannot be read ({text:.120}); {ANEW}") from None
    if not isinstance(found, dict) or type(found.get("format")) is not int:
        raise TraceError(f"{path}: names no format: not a store of traces")
    if found["format"] != FORMAT:
        raise TraceError(f"{path}: format {found['format']}, this version reads {FORMAT}; update accelsim, or {ANEW}")
    recipe: Any = found.get("recipe")
    blocks: Any = found.get("blocks")
    if not (set(found) == {"format", "recipe", "blocks"} and _texts(recipe) and _names(blocks)):
        raise TraceError(f"{path}: recipe and blocks of image names are needed, each image once; {ANEW}")
    return Head(recipe, tuple(tuple(names) for names in blocks))


def write_head(store: Path, head: Head) -> None:
    """Write what a store says of itself, whole or not at all."""
    text = json.dumps({"format": FORMAT, "recipe": dict(head.recipe), "blocks": head.blocks}, indent=1, sort_keys=True, ensure_ascii=False)
    replace(store / HEAD, f"{text}\n".encode())


def replace(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises `ConfigError` where that cannot be done."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror or fault}\n    name another store") from fault
    finally:
        partial.unlink(missing_ok=True)


def _texts(recipe: object) -> bool:
    return isinstance(recipe, dict) and all(isinstance(value, str) and value.isprintable() for pair in recipe.items() for value in pair)


def _names(blocks: object) -> bool:
    if not (isinstance(blocks, list) and all(isinstance(names, list) for names in blocks)):
        return False
    names: Sequence[object] = [name for block in blocks for name in block]
    return len(names) <= MAX_IMAGES and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
