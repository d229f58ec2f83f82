"""The points of a sweep: traces, settings and schemes, each point known by a hash of all that decides what it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from accelsim import schemes as schemes_known
from accelsim import tracefile
from accelsim.designspace.fronts import ACCURACY
from accelsim.designspace.sweepspace import Setting
from accelsim.designspace.sweeptable import Place, Point
from accelsim.inference import stamp
from accelsim.runfile import NetworkFile
from accelsim.trace import Trace
from accelsim.tracestore import TraceStore
from accelsim.tracestore.layout import INDEX

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""

FORMAT = 3
"""Counted up whenever what is kept of a point changes."""
NOT_DECIDING = frozenset(
    {
        *("plots", "cli", "convert", "validation", "torch", "evaluation", "studies", "paper", "page", "networks", "configfile", "sweeps"),
        *("runfile", "tracestore", "checks.py", "kinds.py", "images.py", "imageset.py", "inference.py", "labelled.py", "workers.py"),
        *("__init__.py", "__main__.py"),
    }
)
"""Rooms and files of this package that have no say in what a replay of a given trace on a given machine gives."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A trace to sweep. `job`: number of its job's image, from 1; `told`: what tables say of it; `schemes`: the baseline first.

    `network`: where its weights are, for weight schemes, or None; `lost`: why there is no trace, or empty.
    """

    job: int
    place: Place
    digest: str
    told: Mapping[str, str | float | None]
    schemes: tuple[str, ...]
    network: NetworkFile | None
    lost: str = ""

    def points(self, setting: Setting, schemes: Sequence[str] | None = None) -> Iterator[Point]:
        """The points of this trace at one setting, under these schemes if not all of its own."""
        for written in self.schemes if schemes is None else schemes:
            scheme = setting.scheme(written)
            loaded = schemes_known.load(scheme)
            network = self.network if loaded.weights.needs_weights else None
            facts: list[object] = [program(), self.digest, setting.machine.digest, scheme, setting.engine]
            facts += [] if network is None else [identity(network)]
            # what a lossy scheme loses, the network was not measured with
            told = {**self.told, ACCURACY: None} if loaded.lossy and ACCURACY in self.told else self.told
            yield Point(sha256(facts), self.job, told, self.place, self.digest, setting, written, scheme, network, self.lost)


@cache
def program() -> str:
    """Sha256, in hexadecimal, of the parts of this program that decide what a replay gives."""
    home = Path(__file__).parents[1]
    files = (path for path in sorted(home.rglob("*.py")) if path.relative_to(home).parts[0] not in NOT_DECIDING)
    seal = hashlib.sha256(str(FORMAT).encode())
    for path in files:
        seal.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return seal.hexdigest()


def identity(network: NetworkFile) -> list[Any]:
    """All that decides what a network makes of an image: its file, with the content of the files that it names."""
    named = network.model_dump(mode="json", exclude={"darknet": True, "onnx": True, "labels": True, "quantise": {"images"}})
    files = [network.onnx] if network.darknet is None else [network.darknet.cfg, network.darknet.weights]
    calibration = () if network.quantise is None else network.quantise.images
    return [named, [stamp(str(file)) for file in files if file is not None], [content(image) for image in calibration]]


def content(image: str) -> list[str]:
    """What an image is: hash of its file, the file's name, and the key in it if it is an archive."""
    file, separator, key = image.partition(".npz:")
    return [stamp(image), Path(file + separator.rstrip(":")).name, key]


def sha256(facts: object) -> str:
    """Sha256, in hexadecimal, of plain data."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def trace_at(place: Place) -> Trace:
    """The trace of a file or of a store. Raises `TraceError` where it cannot be read."""
    if not place.image:
        return tracefile.load(place.path)
    return store_at(place.path).load(place.image)


def store_at(path: Path) -> TraceStore:
    """A store of traces, opened once unless it grows. Raises `TraceError` where there is none."""
    index = path / INDEX
    return _opened(path, index.stat().st_mtime_ns if index.is_file() else 0)


@lru_cache(maxsize=2)
def _opened(path: Path, changed: int) -> TraceStore:
    return TraceStore(path)
