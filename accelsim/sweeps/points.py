"""The points of a sweep: traces, settings and schemes, each point known by a hash of all that decides what it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from accelsim import inference, simulate, tracefile
from accelsim import schemes as schemes_known
from accelsim.designspace.sweepfile import Sweep, SweepInferenceJob, SweepJob
from accelsim.designspace.sweepspace import Setting
from accelsim.designspace.sweeptable import Point
from accelsim.networks.network import file_sha256
from accelsim.runfile import NetworkFile

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""

FORMAT = 2
"""Counted up whenever what is kept of a point changes."""
NOT_DECIDING = frozenset(
    {
        *("plots", "cli", "convert", "validation", "torch", "evaluation", "studies", "paper", "page", "networks", "configfile", "sweeps"),
        *("checks.py", "kinds.py", "images.py", "imageset.py", "inference.py", "runfile", "workers.py", "__init__.py", "__main__.py"),
    }
)
"""Rooms and files of this package that have no say in what a replay of a given trace on a given machine gives."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A trace to sweep. `job`: its number in the sweep, from 1; `told`: what tables say of it; `schemes`: the baseline first.

    `network`: where its weights are, for weight schemes, or None.
    """

    job: int
    path: Path
    digest: str
    told: Mapping[str, str | float]
    schemes: tuple[str, ...]
    network: NetworkFile | None

    def points(self, setting: Setting, schemes: Sequence[str] | None = None) -> Iterator[Point]:
        """The points of this trace at one setting, under these schemes if not all of its own."""
        for written in self.schemes if schemes is None else schemes:
            scheme = setting.scheme(written)
            network = self.network if schemes_known.load(scheme).weights.needs_weights else None
            facts = [program(), self.digest, setting.machine.digest, scheme, setting.engine]
            facts += [] if network is None else [network.model_dump_json()]
            key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
            yield Point(key, self.job, self.told, self.path, self.digest, setting, written, scheme, network)


@cache
def program() -> str:
    """Sha256, in hexadecimal, of the parts of this program that decide what a replay gives."""
    home = Path(__file__).parents[1]
    files = (path for path in sorted(home.rglob("*.py")) if path.relative_to(home).parts[0] not in NOT_DECIDING)
    seal = hashlib.sha256(str(FORMAT).encode())
    for path in files:
        seal.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return seal.hexdigest()


def recorded(asked: Sweep, folder: Path, progress: Progress) -> list[Recorded]:
    """The traces of all jobs in order; images are inferred now where their traces are not in the results folder."""
    found: list[Recorded] = []
    for job in asked.jobs:
        for path in _inferred(job, folder, progress) if isinstance(job, SweepInferenceJob) else [job.trace]:
            found.append(_recorded(asked, len(found) + 1, path, job))
    return found


def ready(asked: Sweep, folder: Path) -> tuple[list[Recorded], list[int]]:
    """As `recorded`, without inference: the traces that are there, and of each image that has none how many schemes it is swept under."""
    found: list[Recorded] = []
    missing: list[int] = []
    for job in asked.jobs:
        paths = [_trace_path(job, image, folder) for image in job.images] if isinstance(job, SweepInferenceJob) else [job.trace]
        for path in paths:
            if path.is_file():
                found.append(_recorded(asked, len(found) + len(missing) + 1, path, job))
            else:
                missing.append(len(_schemes(asked, job.schemes)))
    return found, missing


def points_of(traces: Sequence[Recorded], settings: Sequence[Setting]) -> list[Point]:
    """Every point in order: traces, then settings, then schemes."""
    return [point for trace in traces for setting in settings for point in trace.points(setting)]


def _schemes(asked: Sweep, own: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([asked.baseline, *(own or asked.schemes)]))


def _recorded(asked: Sweep, number: int, path: Path, job: SweepJob) -> Recorded:
    trace = tracefile.load(path)
    told: dict[str, str | float] = {
        "network": trace.graph.name,
        "image": trace.image,
        "source": trace.source,
        "epsilon": float(trace.epsilon),
    }
    return Recorded(number, path, tracefile.digest(trace), told, _schemes(asked, job.schemes), job.network)


def _inferred(job: SweepInferenceJob, folder: Path, progress: Progress) -> Iterator[Path]:
    """Traces of a network on images, in the order of the images; those recorded before are taken from the results folder."""
    prepared: inference.Prepared | None = None
    for done, image in enumerate(job.images):
        path = _trace_path(job, image, folder)
        if not path.is_file():
            progress(f"infer {job.network.name}", done, len(job.images))
            if prepared is None:
                prepared = inference.prepare(simulate.load_network(job.network), threads=job.threads)
            photograph = inference.photograph(image, job.network.preprocessing)
            (trace,) = inference.record(prepared, [photograph], epsilon=job.epsilon, mode=job.mode)
            tracefile.save(trace, path)
        yield path


def _trace_path(job: SweepInferenceJob, image: str, folder: Path) -> Path:
    """Where the trace of an image is kept: its name is a hash of all that decides it."""
    file, separator, key = image.partition(".npz:")
    stamp = file_sha256(Path(file + separator.rstrip(":")))
    network = job.network.model_dump(mode="json", exclude={"darknet", "onnx", "labels"})
    facts = [inference.ENGINE, network, _network_files(job.network), stamp, Path(file).name, key, job.epsilon, job.mode]
    return folder / "traces" / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]}.npz"


def _network_files(network: NetworkFile) -> list[str]:
    files = [network.onnx] if network.darknet is None else [network.darknet.cfg, network.darknet.weights]
    return [file_sha256(file) for file in files if file is not None]
