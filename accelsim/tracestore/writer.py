"""Writing a store: one process at a time plans blocks, takes finished shards in, and keeps the index."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from accelsim.errors import ConfigError, TraceError, quoted
from accelsim.tracestore import HEAD, is_store, layout, shards
from accelsim.tracestore.layout import Head

INDEX_SECONDS = 10.0
"""The index is written anew as often as that while work goes on: a reader sees what is there, and writing it costs next to nothing."""


class Writer:
    """A store that this process writes; made by `writing`.

    `blocks`: images of each shard by name; `todo`: numbers of those that are not there yet; `facts`: what is known of the others.
    """

    def __init__(self, path: Path, blocks: Sequence[Sequence[str]], facts: Mapping[int, pa.Table]) -> None:
        self.path = path
        self.blocks = tuple(map(tuple, blocks))
        self._facts = dict(facts)
        self._index_due = time.monotonic() + INDEX_SECONDS

    @property
    def todo(self) -> tuple[int, ...]:
        """Blocks that have images and no shard."""
        return tuple(number for number, names in enumerate(self.blocks) if names and number not in self._facts)

    @property
    def facts(self) -> pa.Table:
        """What is known of every image that was done, in the order of the blocks."""
        return pa.concat_tables([self._facts[number] for number in sorted(self._facts)] or [pa.Table.from_batches([], layout.INDEX_SCHEMA)])

    def shard(self, number: int) -> Path:
        """Where block `number` belongs."""
        return layout.shard_path(self.path, number)

    def take_in(self, number: int) -> None:
        """Add a shard that has been written to the index."""
        self._facts[number] = _facts_of(self.path, number, self.blocks[number])
        if time.monotonic() >= self._index_due:
            self.write_index()
            self._index_due = time.monotonic() + INDEX_SECONDS

    def write_index(self) -> None:
        """Write the index of all shards that are there."""
        made = io.BytesIO()
        pq.write_table(self.facts, made, compression="zstd", row_group_size=shards.ROWS, use_dictionary=False)
        layout.replace(self.path / layout.INDEX, made.getvalue())


@contextmanager
def writing(path: Path, recipe: Mapping[str, str], images: Sequence[str], size: int) -> Iterator[Writer]:
    """Hold a store and plan its blocks: those that are there stay, `images` that are not in it fill new blocks of `size`.

    Planned blocks that have not been made keep those of their images that are still asked for.
    Raises:  `ConfigError` where another process writes the store, it holds traces made otherwise, or the folder something else;
             `TraceError` where it is damaged
    """
    if not is_store(path) and path.is_dir() and any(not entry.name.startswith((".", layout.LOCK)) for entry in path.iterdir()):
        raise ConfigError(f"{path}: holds other things than a store of traces\n    name a new folder: --store")
    with _lock(path):
        head = layout.read_head(path) if is_store(path) else Head(recipe, ())
        for key in sorted({*head.recipe, *recipe}):
            held, asked = head.recipe.get(key, "nothing"), recipe.get(key, "nothing")
            if held != asked:
                made = f"{key} was {quoted(held)}, asked is {quoted(asked)}"
                raise ConfigError(f"{path}: its traces were made otherwise: {made}\n    name another store: --store")
        facts = {
            number: _facts_of(path, number, names) for number, names in enumerate(head.blocks) if layout.shard_path(path, number).is_file()
        }
        wanted = set(images)
        blocks = [names if number in facts else tuple(filter(wanted.__contains__, names)) for number, names in enumerate(head.blocks)]
        planned = {name for names in blocks for name in names}
        new = [name for name in images if name not in planned]
        blocks += [tuple(new[start : start + size]) for start in range(0, len(new), size)]
        layout.write_head(path, Head(recipe, tuple(blocks)))
        for left in (*path.glob(".*.partial"), *(path / layout.SHARDS).glob(".*.partial")):  # of a process that was killed
            left.unlink(missing_ok=True)
        writer = Writer(path, blocks, facts)
        try:
            yield writer
        finally:
            writer.write_index()


def discard(path: Path) -> None:
    """Remove a store in which nothing is worth keeping; files that are not its own stay, and the folder with them."""
    numbers = range(len(layout.read_head(path).blocks))
    for file in (*(layout.shard_path(path, number) for number in numbers), path / layout.INDEX, path / HEAD, path / layout.LOCK):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        (path / layout.SHARDS).rmdir()
        path.rmdir()


def _facts_of(store: Path, number: int, names: Sequence[str]) -> pa.Table:
    """Rows of the index for one shard. Raises `TraceError` where it holds other images."""
    path = layout.shard_path(store, number)
    try:
        table = shards.facts(path)
        if table.column("image").to_pylist() != list(names):
            raise TraceError(f"{path}: holds other images than {HEAD} says; remove this file, and they are made again")
        table = table.append_column("shard", shards.numbers(np.full(table.num_rows, number, np.int32)))
        return table.append_column("row", shards.numbers(np.arange(table.num_rows, dtype=np.int32)))
    except shards.DAMAGE as fault:
        raise shards.unreadable(path, fault) from None


@contextmanager
def _lock(store: Path) -> Iterator[None]:
    """Hold a store while the block runs; the lock ends with the process, however that ends."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(store / layout.LOCK, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as fault:
        raise ConfigError(f"{store}: cannot be written: {getattr(fault, 'strerror', None) or fault}\n    name another store") from fault
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as fault:
            if "locked" in str(fault):
                raise ConfigError(f"{store}: another process writes this store\n    wait for it, or name another: --store") from None
            raise ConfigError(f"{store / layout.LOCK}: cannot be used: {fault}\n    remove it, if no process writes this store") from fault
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.close()
