"""What is done before points can be simulated: traces are inferred and accuracy is measured, each into a file of its own.

It is done on this computer, whoever simulates: here are the networks, the images and their labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim import inference, tracefile
from accelsim.errors import AccelsimError
from accelsim.evaluation import blocks
from accelsim.evaluation.blocks import Block
from accelsim.kernels.compile import is_compiled
from accelsim.kernels.windows import conv2d as convolution_kernel
from accelsim.runfile import NetworkFile
from accelsim.sweeps.estimate import duration
from accelsim.sweeps.points import Progress
from accelsim.workers import workers

SPAWN = 4.0
"""Seconds of work below which other processes are not worth their start."""
FIRST = 2
"""Pieces of each kind and network that tell how long the others take; what is read or compiled but once is in the first."""


@dataclass(frozen=True)
class Inference:
    """A trace to infer, and the file for it."""

    network: NetworkFile
    image: str
    epsilon: float
    mode: str
    threads: int
    path: Path


Work = Inference | Block


def attempt(work: Work) -> str:
    """Do a piece of work; gives why it cannot be done, or nothing."""
    try:
        if isinstance(work, Block):
            blocks.measure(work)
            return ""
        prepared = blocks.prepared(work.network, work.threads)
        photograph = inference.photograph(work.image, work.network.preprocessing)
        (trace,) = inference.record(prepared, [photograph], epsilon=work.epsilon, mode=work.mode)
        tracefile.save(trace, work.path)
    except AccelsimError as fault:
        return str(fault)
    return ""


class Bench:
    """Does work in order, and tells of it. `failed`: why pieces could not be done, by their files; `seconds` that those done took."""

    def __init__(self, name: str, work: Sequence[Work], processes: int, progress: Progress) -> None:
        self.failed: dict[Path, str] = {}
        self._what = f"sweep {name}: {counted(work)}"
        self._work = work
        self._processes = processes
        self._progress = progress
        self._took: dict[tuple[str, type], float] = {}
        self._done = 0

    def run(self, announce: Callable[[str], None]) -> None:
        """Do everything; the first pieces tell how long the rest takes, which is announced.

        Raises:  `KeyboardInterrupt` that says how much is kept
        """
        try:
            first = self.first()
            self.time(first)
            known = set(map(id, first))
            rest = [work for work in self._work if id(work) not in known]
            left = self.seconds(rest) / self._processes
            announce(f"{self._what}: about {duration(left)} more on {self._processes} process{'es' * (self._processes != 1)}")
            begin = time.monotonic()
            with workers(attempt, self._processes if left * self._processes > SPAWN else 1) as crew:
                for work, error in crew.run(rest):
                    self._note(work, error)
                    passed = time.monotonic() - begin
                    ahead = len(self._work) - self._done
                    self._tell(f", {duration(ahead * passed / (self._done - len(first)))} left" if ahead else ": done")
        except KeyboardInterrupt:
            made = "traces and blocks of labelled images"
            raise KeyboardInterrupt(f"interrupted: {self._done:,} of {len(self._work):,} {made} are kept") from None
        finally:
            blocks.prepared.cache_clear()  # networks make room for schedules

    def first(self) -> list[Work]:
        """The pieces that tell how long the others take."""
        kinds: dict[tuple[str, type], list[Work]] = {}
        for work in self._work:
            kinds.setdefault(_kind(work), []).append(work)
        return [work for same in kinds.values() for work in same[:FIRST]]

    def time(self, first: Sequence[Work]) -> None:
        """Do pieces here, and note how long each kind takes."""
        if first and not is_compiled(convolution_kernel):
            self._progress("compile the inference kernels (first use; later runs find them cached)", 0, len(self._work))
        for work in first:
            self._tell()
            begin = time.perf_counter()
            self._note(work, attempt(work))
            self._took[_kind(work)] = time.perf_counter() - begin

    def seconds(self, work: Sequence[Work]) -> float:
        """How long work takes one process, by what was timed of its kind."""
        return sum(self._took.get(_kind(piece), 0.0) for piece in work)

    def _note(self, work: Work, error: str) -> None:
        self._done += 1
        if error:
            self.failed[work.path] = error

    def _tell(self, more: str = "") -> None:
        self._progress(self._what + more, self._done, len(self._work))


def counted(work: Sequence[Work]) -> str:
    """How much work there is, for people."""
    traces = sum(isinstance(piece, Inference) for piece in work)
    settings = {(block.identity, block.epsilon, block.mode): 0 for block in work if isinstance(block, Block)}
    for block in work:
        if isinstance(block, Block):
            settings[block.identity, block.epsilon, block.mode] += len(block.samples)
    texts = [f"{traces:,} trace{'s' * (traces != 1)} to infer"] if traces else []
    if settings:
        images = max(settings.values())
        texts.append(f"accuracy of {len(settings):,} network setting{'s' * (len(settings) != 1)} on {images:,} images to measure")
    return ", ".join(texts)


def _kind(work: Work) -> tuple[str, type]:
    return work.network.name, type(work)
