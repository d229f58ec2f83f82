"""Reading a store: traces one at a time, statistics from the index alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from accelsim.errors import TraceError, choices, quoted
from accelsim.graph import Graph
from accelsim.trace import Trace
from accelsim.tracestore import HEAD, layout, shards

if TYPE_CHECKING:
    import pandas as pd

BATCH = 1024
"""Rows of the index that are looked at at a time."""

Bool = NDArray[np.bool_]
Int = NDArray[np.int64]


class TraceStore:
    """The traces of a store, as they were when it was opened: `len`, iteration, `store[3]`, `store["dog"]`.

    Nothing but names is held in memory: traces are read when they are asked for, statistics from the index.
    `images`: names of those that gave a trace; `failed`: why others did not, by name; `planned`: how many images it is meant to have.
    `recipe`: what was done: network, hashes, epsilon, mode, preprocessing, engine.
    Raises:  `TraceError`, one line, where there is no store or it is damaged
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        head = layout.read_head(self.path)
        self.recipe = dict(head.recipe)
        self.planned = sum(map(len, head.blocks))
        rows = self._read_index(head)
        self.failed = {image: error for image, error, _, _ in rows if error}
        self._places = {image: (shard, row) for image, error, shard, row in rows if not error}
        self.images = tuple(self._places)
        self._open: tuple[int, pq.ParquetFile] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Trace]:
        return map(self.load, self.images)

    def __getitem__(self, which: int | str) -> Trace:
        return self.load(which if isinstance(which, str) else self.images[which])

    def __repr__(self) -> str:
        missing = self.planned - len(self) - len(self.failed)
        parts = [f"{len(self):,} traces of {self.recipe.get('network') or self.graph.name}" if len(self) else "no traces yet"]
        parts += [f"epsilon {self.recipe.get('epsilon', '?')} ({self.recipe.get('mode', '?')})"]
        parts += [f"{len(self.failed):,} images gave none"] if self.failed else []
        parts += [f"{missing:,} images not yet done"] if missing else []
        return f"TraceStore({str(self.path)!r}: {', '.join(parts)})"

    @cached_property
    def graph(self) -> Graph:
        """The graph of the network, whose nodes the counts belong to. Raises `TraceError` where there is no trace yet."""
        if not self.images:
            raise TraceError(f"{self.path}: holds no trace yet; {shards.AGAIN}")
        return self.load(self.images[0]).graph

    @property
    def unfinished(self) -> int:
        """Images that are planned and not done; the command that was interrupted goes on with them."""
        return self.planned - len(self) - len(self.failed)

    def load(self, image: str) -> Trace:
        """Read the trace of one image. Raises `TraceError` where there is none, or it is damaged."""
        if image not in self._places:
            why = f"it gave none: {self.failed[image]}" if image in self.failed else choices(self.images[:12], image, "there are")
            raise TraceError(f"{self.path}: no trace of image {quoted(image)}; {why}")
        number, row = self._places[image]
        path = layout.shard_path(self.path, number)
        if self._open is None or self._open[0] != number:
            self._open = number, shards.opened(path, shards.SCHEMA)
        trace = shards.trace(path, self._open[1], row)
        if trace.image != image:
            raise TraceError(f"{path}: trace {row} is of image {quoted(trace.image)}, the index says {quoted(image)}; {shards.AGAIN}")
        return trace

    def select(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Names of images that fit one of the patterns ('*' stands for any letters), in the order of the store.

        Raises:  `TraceError` for a pattern that fits none
        """
        for pattern in patterns:
            if not any(fnmatchcase(image, pattern) for image in self.images):
                raise TraceError(f"{self.path}: no image fits {quoted(pattern)}; {choices(self.images[:12], pattern, 'there are')}")
        return tuple(image for image in self.images if any(fnmatchcase(image, pattern) for pattern in patterns))

    def table(self) -> pd.DataFrame:
        """A row an image, from the index: file, hashes, best outputs, error, and zero channels and elements of all maps together."""
        import pandas as pd

        frames = []
        for batch in self._batches([*shards.FACTS.names]):
            frame = batch.drop_columns(["zero_channels", "zero_elements", "zero_flags"]).to_pandas()
            for column in ("zero_channels", "zero_elements"):
                frame[column] = [sum(counts) for counts in batch.column(column).to_pylist()]
            frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def statistics(self) -> pd.DataFrame:
        """A row a layer over all traces, from the index alone: how many channels and elements are zero.

        Columns: layer, kind, channels, elements, traces; mean, minimum, maximum and standard deviation of `zero_channels` and
        `zero_elements`; `zero_percent` of elements; `always_zero` and `ever_zero` channels: zero on every trace, on one at least.
        Raises:  `TraceError` where there is no trace, or the index contradicts the graph
        """
        import pandas as pd

        nodes = self.graph.nodes
        sums = {name: _Spread(len(nodes)) for name in ("zero_channels", "zero_elements")}
        always, ever = self.zero_on_all_and_on_any()
        for channels, elements in self.counts():
            sums["zero_channels"].add(channels)
            sums["zero_elements"].add(elements)
        columns: dict[str, Any] = {
            "layer": [node.name for node in nodes],
            "kind": [node.kind for node in nodes],
            "channels": [node.shape[0] for node in nodes],
            "elements": [node.elements for node in nodes],
            "traces": len(self),
        }
        for name, spread in sums.items():
            columns |= {f"{name}_{what}": values for what, values in spread.columns().items()}
        frame = pd.DataFrame(columns)
        frame["zero_percent"] = 100 * frame["zero_elements_mean"] / frame["elements"]
        frame["always_zero"] = [int(flags.sum()) for flags in always]
        frame["ever_zero"] = [int(flags.sum()) for flags in ever]
        return frame

    def counts(self) -> Iterator[tuple[Int, Int]]:
        """Zero channels and zero elements of many traces at a time. Shapes: int64 [traces, nodes] twice."""
        most = {
            "zero_channels": [node.shape[0] for node in self.graph.nodes],
            "zero_elements": [node.elements for node in self.graph.nodes],
        }
        for batch in self._batches(list(most)):
            yield self._matrix(batch, "zero_channels", most["zero_channels"]), self._matrix(batch, "zero_elements", most["zero_elements"])

    def zero_on_all_and_on_any(self) -> tuple[tuple[Bool, ...], tuple[Bool, ...]]:
        """Channels that are zero on every trace, and on one at least. Shapes: one bool [C] a node, twice."""
        sizes = [node.shape[0] for node in self.graph.nodes]
        length = -(-sum(sizes) // 8)
        every, one = np.full(length, 255, np.uint8), np.zeros(length, np.uint8)
        for batch in self._batches(["zero_flags"]):
            flags = batch.column("zero_flags").to_pylist()
            if {len(bits) for bits in flags} != {length}:
                raise TraceError(
                    f"{self.path / layout.INDEX}: zero_flags of another length than the graph's {length:,} bytes; {shards.AGAIN}"
                )
            bits = np.frombuffer(b"".join(flags), np.uint8).reshape(-1, length)
            every &= np.bitwise_and.reduce(bits, axis=0)
            one |= np.bitwise_or.reduce(bits, axis=0)
        ends = np.cumsum([0, *sizes]).tolist()
        both = [np.unpackbits(bits, count=ends[-1]).astype(np.bool_) for bits in (every, one)]
        always, ever = (tuple(flags[start:stop] for start, stop in pairwise(ends)) for flags in both)
        return always, ever

    def _matrix(self, batch: pa.Table, column: str, most: Sequence[int]) -> Int:
        lists = batch.column(column).combine_chunks()
        values = np.asarray(lists.flatten(), dtype=np.int64)
        whole = lists.value_lengths().to_pylist() == [len(most)] * batch.num_rows and not lists.flatten().null_count
        if not whole or ((values := values.reshape(-1, len(most))) < 0).any() or (values > np.array(most)).any():
            raise TraceError(f"{self.path / layout.INDEX}: {column} does not fit the graph of {len(most)} nodes; {shards.AGAIN}")
        return values

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of the rows that have a trace, many at a time."""
        path = self.path / layout.INDEX
        try:
            for batch in shards.opened(path, layout.INDEX_SCHEMA).iter_batches(BATCH, columns=list({*columns, "error"})):
                table = pa.Table.from_batches([batch])
                table = table.filter(pa.compute.equal(table.column("error"), ""))
                if table.num_rows:
                    yield table
        except shards.DAMAGE as fault:
            raise shards.unreadable(path, fault) from None

    def _read_index(self, head: layout.Head) -> list[tuple[str, str, int, int]]:
        """Image, error, shard and row of every image that was done. Raises `TraceError` where they are not those of the head."""
        path = self.path / layout.INDEX
        if not path.exists():
            return []
        columns = ["image", "error", "shard", "row"]
        try:
            file = shards.opened(path, layout.INDEX_SCHEMA)
            if file.metadata.num_rows > layout.MAX_IMAGES:
                raise TraceError(f"{path}: {file.metadata.num_rows:,} images, {layout.MAX_IMAGES:,} is the most")
            table = file.read(columns=columns)
            rows = list(zip(*(table.column(column).to_pylist() for column in columns), strict=True))
        except shards.DAMAGE as fault:
            raise shards.unreadable(path, fault) from None
        for image, error, shard, row in rows:
            known = isinstance(error, str) and isinstance(shard, int) and 0 <= shard < len(head.blocks) and isinstance(row, int)
            if not (known and 0 <= row < len(head.blocks[shard]) and head.blocks[shard][row] == image):
                raise TraceError(f"{path}: image {image!r:.60} in shard {shard}, row {row}: not so in {HEAD}; {shards.AGAIN}")
        if len({image for image, *_ in rows}) != len(rows):
            raise TraceError(f"{path}: an image stands twice; {shards.AGAIN}")
        return rows


class _Spread:
    """Mean, minimum, maximum and standard deviation of columns, row by row; sums are of integers, so nothing depends on the order."""

    def __init__(self, columns: int) -> None:
        self._count = 0
        self._sum = np.zeros(columns, np.int64)
        self._squares = np.zeros(columns, np.float64)
        self._least = np.full(columns, np.iinfo(np.int64).max)
        self._most = np.zeros(columns, np.int64)

    def add(self, rows: Int) -> None:
        """Add rows. Shapes: int64 [rows, columns]."""
        self._count += len(rows)
        self._sum += rows.sum(axis=0)
        self._squares += np.square(rows, dtype=np.float64).sum(axis=0)
        self._least = np.minimum(self._least, rows.min(axis=0))
        self._most = np.maximum(self._most, rows.max(axis=0))

    def columns(self) -> dict[str, NDArray[Any]]:
        """What was added, by name of the statistic."""
        mean = self._sum / self._count
        deviation = np.sqrt(np.maximum(self._squares / self._count - mean * mean, 0))
        return {"mean": mean, "minimum": self._least, "maximum": self._most, "deviation": deviation}
