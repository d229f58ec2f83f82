"""What one process measures at a time: one setting on a block of images, kept in a file of its own."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim import inference, simulate
from accelsim.errors import ConfigError
from accelsim.evaluation.samples import Sample
from accelsim.graph import Graph, Node
from accelsim.images import load_image, preprocess
from accelsim.inference import Activation, Prepared, stamp
from accelsim.kernels import marks
from accelsim.networks.network import output_index
from accelsim.report.counting import PRUNED_KINDS
from accelsim.runfile import NetworkFile

FORMAT = 1
"""Counted up whenever the same block may give another file."""
COLUMNS = ("image", "target", "rank", "best", "best_score", "target_score")
FREE = -1
"""Target and rank of an image without a label."""

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """One setting on N images.

    Shapes:  `images` N names; `target`, `rank` int64 [N]: the right output and how many outputs are ahead of it (ties: those of smaller
             number), -1 where there is no label; `best` int64 [N], `best_score`, `target_score` float64 [N] (NaN without label);
             `saved`, `marked` int64 [N, layers], a column for each of the `counted` layers
    Units:   elements; `saved` those of wholly zero channels, `marked` what a marker as fine as the mode would skip
    """

    images: tuple[str, ...]
    target: Int
    rank: Int
    best: Int
    best_score: NDArray[np.float64]
    target_score: NDArray[np.float64]
    saved: Int
    marked: Int

    @classmethod
    def joined(cls, parts: Sequence[Measured]) -> Measured:
        """One after the other."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("target", "rank", "best", "best_score", "target_score", "saved", "marked")
        }
        return cls(tuple(image for part in parts for image in part.images), **arrays)

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool((self.target != FREE).all())

    def right(self, most: int) -> int:
        """Images whose right output is among the `most` best."""
        return int(((self.rank >= 0) & (self.rank < most)).sum())


@dataclass(frozen=True)
class Block:
    """One setting on a few images, and the folder that keeps what is found. `identity`: what the network is, its files' hashes among it."""

    network: NetworkFile
    identity: tuple[tuple[str, str], ...]
    samples: tuple[Sample, ...]
    mode: str
    epsilon: float | tuple[tuple[str, float], ...]
    part: tuple[int, int]
    store: Path

    @property
    def path(self) -> Path:
        """Where this block is kept; the name is a hash of everything that decides what is found, so nothing stale is ever read."""
        part = self.part if self.mode == "part" else None
        preprocessing = self.network.preprocessing.model_dump(mode="json")
        # Equal data in every mode, but the marked elements are counted by mode: the mode is part of it at epsilon 0 too.
        facts = [FORMAT, inference.ENGINE, self.identity, preprocessing, self.mode, self.epsilon, part]
        images = [(sample.name, sample.target, stamp(sample.source)) for sample in self.samples]
        return self.store / f"{hashlib.sha256(json.dumps([*facts, images]).encode()).hexdigest()[:32]}.csv"

    def stored(self) -> Measured | None:
        """What was found before; None where this block was not measured, or its file is damaged."""
        try:
            return _read(self.path.read_text("utf-8"), len(self.samples))
        except (OSError, ValueError, IndexError):
            return None


def measure(block: Block) -> Path:
    """Measure a block and keep it. Raises `ModelError` for an image that cannot be read or does not fit, `ConfigError` for a target."""
    ready = prepared(block.network)
    epsilon: inference.Epsilon = dict(block.epsilon) if isinstance(block.epsilon, tuple) else block.epsilon
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [node.name for node in counted(ready.graph)]
    writer.writerow([*COLUMNS, *(f"saved {name}" for name in names), *(f"marked {name}" for name in names)])
    for sample in block.samples:
        image = preprocess(load_image(sample.source), block.network.preprocessing)
        steps = inference.run(ready, image, epsilon=epsilon, mode=block.mode, part=block.part)
        writer.writerow(_row(sample, ready, steps, block))
    path = block.path
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text.getvalue(), "utf-8")
        part.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror or fault}\n    name another results folder") from fault
    finally:
        part.unlink(missing_ok=True)
    return path


def counted(graph: Graph) -> tuple[Node, ...]:
    """Layers whose zeros are counted, in running order: those that the paper prunes."""
    return tuple(node for node in graph.nodes if node.kind in PRUNED_KINDS)


def _row(sample: Sample, network: Prepared, steps: Iterator[Activation], block: Block) -> list[object]:
    saved: list[int] = []
    marked: list[int] = []
    scores = np.empty(0, np.float32)
    for step in steps:
        if step.node.kind in PRUNED_KINDS:
            _, height, width = step.node.shape
            saved.append(int(step.zero_channels.sum()) * height * width)
            marked.append(saved[-1] if block.mode == "channel" else _marked(step, block))
        if step.node.index == output_index(network.graph):
            scores = step.output.reshape(-1)
    best = int(scores.argmax())
    target, rank, score = FREE, FREE, math.nan
    if sample.target is not None:
        target = sample.target
        if target >= scores.size:
            raise ConfigError(
                f"{sample.name}: its right output is number {target}, {network.graph.name} has 0 to {scores.size - 1}\n"
                "    say which output means which label: outputs"
            )
        score = float(scores[target])
        rank = int((scores > scores[target]).sum() + (scores[:target] == scores[target]).sum())
    return [sample.name, target, rank, best, float(scores[best]), score, *saved, *marked]


def _marked(step: Activation, block: Block) -> int:
    """Elements that a marker as fine as the mode would skip."""
    output = step.output
    if block.mode == "element":
        return output.size - int(np.count_nonzero(output))
    (channels, height, width), (h, w) = step.node.shape, block.part
    rows, columns = (np.minimum(size, length - np.arange(0, length, size)) for size, length in ((h, height), (w, width)))
    maxima = np.empty((channels, rows.size, columns.size), np.uint32)
    marks.part_maxima(output.view(np.uint32), h, w, maxima)
    return int((np.multiply.outer(rows, columns) * (maxima == 0)).sum())


def _read(text: str, images: int) -> Measured:
    """Raises `ValueError` or `IndexError` for a file that is not whole."""
    header, *rows = list(csv.reader(io.StringIO(text)))
    if tuple(header[: len(COLUMNS)]) != COLUMNS or len(rows) != images or {len(row) for row in rows} != {len(header)}:
        raise ValueError("damaged")
    counts = np.array([row[len(COLUMNS) :] for row in rows], dtype=np.int64).reshape(images, 2, -1)
    column = {name: [row[index] for row in rows] for index, name in enumerate(COLUMNS)}
    whole = {name: np.array(column[name], dtype=np.int64) for name in ("target", "rank", "best")}
    score = {name: np.array(column[name], dtype=np.float64) for name in ("best_score", "target_score")}
    return Measured(
        images=tuple(column["image"]),
        target=whole["target"],
        rank=whole["rank"],
        best=whole["best"],
        best_score=score["best_score"],
        target_score=score["target_score"],
        saved=counts[:, 0],
        marked=counts[:, 1],
    )


@lru_cache(maxsize=2)
def prepared(network: NetworkFile, threads: int = 1) -> Prepared:
    """One of the last networks of this process, made ready once."""
    return inference.prepare(simulate.load_network(network), threads=threads)
