"""The traces of a sweep under each of its settings, with the accuracy of their networks: what is there, and what is to be made first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from accelsim import inference, tracefile
from accelsim.designspace.fronts import ACCURACY
from accelsim.designspace.sweepfile import Sweep, SweepInferenceJob, SweepJob, SweepStoreJob
from accelsim.designspace.sweepspace import Setting, image_name
from accelsim.designspace.sweeptable import Place
from accelsim.errors import ConfigError, ModelError
from accelsim.evaluation.blocks import Block
from accelsim.runfile import NetworkFile
from accelsim.sweeps.accuracy import Judged, Labels
from accelsim.sweeps.inferring import Inference, Work
from accelsim.sweeps.points import Recorded, content, identity, sha256, store_at, trace_at
from accelsim.trace import INFERENCE, Trace

FOLDER = "traces"


class Sources:
    """Where the data of a sweep comes from: a trace for each image of each job, another one for each combination that decides the data.

    `failed`: why there is no trace, or no accuracy, by the file that should hold it.
    Raises:  `ConfigError`, `TraceError` where labelled images, or images of a store, are not there
    """

    def __init__(self, asked: Sweep, folder: Path) -> None:
        self.asked = asked
        self.labels = None if asked.accuracy is None else Labels(asked, asked.accuracy, folder)
        self.failed: dict[Path, str] = {}
        self._folder = folder / FOLDER
        self._stored = {number: _chosen(asked, number, job) for number, job in enumerate(asked.jobs) if isinstance(job, SweepStoreJob)}
        self._read: dict[Place, tuple[str, dict[str, str | float | None], tuple[inference.Epsilon, str]]] = {}
        self._known: dict[tuple[SweepJob, ...], tuple[Recorded, ...]] = {}
        self.count = len(list(self._images(asked.jobs)))
        """Traces at a setting."""

    def __repr__(self) -> str:
        return f"Sources({self.count:,} traces a setting, accuracy: {self.labels})"

    def missing(self, settings: Iterable[Setting]) -> list[Work]:
        """What is to be made before there are points of these settings, each once, that of one network together.

        Raises:  `ConfigError` where the labelled images do not fit a network
        """
        by_network: dict[NetworkFile, dict[Path, Work]] = {}
        judged: set[Judged] = set()
        for job, image in ((job, image) for jobs in _distinct(settings) for _, job, image in self._images(jobs)):
            work = self._inference(job, image)
            for piece in (*work, *self._blocks(job, image, judged)):
                group = by_network.setdefault(piece.network, {})
                if piece.path not in group and piece.path not in self.failed and not _made(piece):
                    group[piece.path] = piece
        made = [piece for group in by_network.values() for piece in group.values()]
        for network in dict.fromkeys(piece.network for piece in made if isinstance(piece, Block)):
            if self.labels is not None:
                self.labels.require_fit(network)
        return made

    def of(self, setting: Setting) -> tuple[Recorded, ...]:
        """The traces at a setting, in order; of one that is still to be inferred, what is known before."""
        if setting.jobs not in self._known:
            found = tuple(self._recorded(number, job, image) for number, job, image in self._images(setting.jobs))
            if not all(map(_whole, found)):
                return found
            self._known[setting.jobs] = found
        return self._known[setting.jobs]

    def require_some(self, settings: Iterable[Setting]) -> None:
        """Raise `ModelError` where not one trace could be made: a sweep of errors alone helps nobody."""
        found = [recorded for setting in settings for recorded in self.of(setting)]
        if found and all(recorded.lost for recorded in found):
            raise ModelError(found[0].lost)

    def _images(self, jobs: Sequence[SweepJob]) -> Iterator[tuple[int, SweepJob, str]]:
        """Number, job and image of every trace; of a recorded one the image is empty, of a store it is the name there."""
        numbers = itertools.count(1)
        for index, job in enumerate(jobs):
            # no image yet: each value of the axis `image` is one
            images = (job.images or ("",)) if isinstance(job, SweepInferenceJob) else self._stored.get(index, ("",))
            yield from ((next(numbers), job, image) for image in images)

    def _place(self, job: SweepJob, image: str) -> Place:
        if isinstance(job, SweepStoreJob):
            return Place(job.traces, image)
        return Place(self._path(job, image) if isinstance(job, SweepInferenceJob) else job.trace)

    def _path(self, job: SweepInferenceJob, image: str) -> Path:
        """Where the trace of an image is kept: its name is a hash of all that decides it."""
        facts = [inference.ENGINE, identity(job.network), content(image), job.epsilon, job.mode if job.epsilon else ""]
        return self._folder / f"{sha256(facts)[:32]}.npz"

    def _inference(self, job: SweepJob, image: str) -> Iterator[Work]:
        if isinstance(job, SweepInferenceJob):
            mode = job.mode if job.epsilon else "channel"  # without epsilon all modes are one
            yield Inference(job.network, image, job.epsilon, mode, job.threads, self._path(job, image))

    def _blocks(self, job: SweepJob, image: str, judged: set[Judged]) -> tuple[Block, ...]:
        """What is to be measured of a job's network, unless it was `judged` already."""
        how = self._judged(job, self._place(job, image))
        if self.labels is None or how is None or how in judged:
            return ()
        judged.add(how)
        return self.labels.blocks(how)

    def _judged(self, job: SweepJob, place: Place) -> Judged | None:
        """The network of a job as it ran, if its accuracy is wanted."""
        if self.labels is None or job.network is None:
            return None
        epsilon, mode = (job.epsilon, job.mode) if isinstance(job, SweepInferenceJob) else self._facts(place)[2]
        own = tuple(sorted(epsilon.items())) if isinstance(epsilon, Mapping) else epsilon
        return Judged(job.network, own, mode if inference.largest(epsilon) else "channel")

    def _recorded(self, number: int, job: SweepJob, image: str) -> Recorded:
        place = self._place(job, image)
        lost = self.failed.get(place.path, "")
        told: dict[str, str | float | None]
        if isinstance(job, SweepInferenceJob) and (lost or not place.path.is_file()):
            told = {"network": job.network.name, "image": image_name(image), "source": INFERENCE, "epsilon": job.epsilon}
            digest = f"{LOST if lost else AWAITED}{place.path.stem}"
        else:
            digest, told, _ = self._facts(place)
        how = self._judged(job, place)
        if self.labels is not None and how is not None:
            told = {**told, ACCURACY: self.labels.top1(how)}
            blocks = self.labels.blocks(how) if self.failed else ()
            lost = lost or next((f"accuracy: {self.failed[block.path]}" for block in blocks if block.path in self.failed), "")
        schemes = tuple(dict.fromkeys([self.asked.baseline, *(job.schemes or self.asked.schemes)]))
        return Recorded(number, place, digest, told, schemes, job.network, lost)

    def _facts(self, place: Place) -> tuple[str, dict[str, str | float | None], tuple[inference.Epsilon, str]]:
        """Digest of a trace, what tables say of it, and its epsilon and mode; read once."""
        if place not in self._read:
            trace = trace_at(place)
            told: dict[str, str | float | None] = {"network": trace.graph.name, "image": trace.image, "source": trace.source}
            told["epsilon"] = float(trace.epsilon)
            self._read[place] = tracefile.digest(trace), told, (_epsilon(trace), trace.mode)
        return self._read[place]


AWAITED, LOST = "awaited ", "lost "
"""How the digest of a trace begins that is not there yet, or never will be."""


def _whole(recorded: Recorded) -> bool:
    """Whether nothing is still to be made for a trace."""
    return bool(recorded.lost) or not (recorded.digest.startswith(AWAITED) or recorded.told.get(ACCURACY, 0.0) is None)


def _distinct(settings: Iterable[Setting]) -> Iterator[tuple[SweepJob, ...]]:
    """The jobs of settings, equal ones once."""
    yield from dict.fromkeys(setting.jobs for setting in settings)


def _made(work: Work) -> bool:
    return work.stored() is not None if isinstance(work, Block) else work.path.is_file()


def _epsilon(trace: Trace) -> inference.Epsilon:
    by_layer = trace.provenance.get("epsilon_by_layer")
    return float(trace.epsilon) if by_layer is None else dict(json.loads(by_layer))


def _chosen(asked: Sweep, number: int, job: SweepStoreJob) -> tuple[str, ...]:
    """Names of the images of a store that a job asks for."""
    names = store_at(job.traces).select(job.images)
    for place, index in enumerate(job.numbers or ()):
        if index >= len(names):
            at = asked.written(f"jobs.{number}.numbers.{place}", f"jobs.{number}.numbers")
            raise ConfigError(f"{at}: sweep.jobs.{number}.numbers: {index} of {len(names):,} images\n    allowed: 0 to {len(names) - 1}")
    chosen = names if job.numbers is None else tuple(names[index] for index in dict.fromkeys(job.numbers))
    return chosen[: job.limit]
