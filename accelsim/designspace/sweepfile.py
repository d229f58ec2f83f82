"""Sweep files: one machine, jobs and schemes as in a run file, and the keys that take several values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, PrivateAttr, Tag, field_serializer, model_validator

from accelsim import configfile
from accelsim.configfile.faults import PLACES
from accelsim.configfile.located import Text
from accelsim.configfile.schema import FromPath
from accelsim.designspace.axis import DATA, Axis, AxisPath, Range
from accelsim.designspace.fronts import ACCURACY, OBJECTIVES
from accelsim.errors import ConfigError, RefusalError, choices, quoted, refuse
from accelsim.hardware import Accelerator
from accelsim.labelled import ImageSet, Photographs
from accelsim.runfile import (
    EMBEDDED,
    Filed,
    ImageList,
    InferenceJob,
    Location,
    Name,
    Section,
    StoreJob,
    TraceJob,
    image_list,
    kind_of_job,
    repeats,
)
from accelsim.schemes._chosen import read
from accelsim.schemes._written import Written

_COMPARISON = re.compile(r"\s*(\S+)\s*(==|!=|<=|>=|<|>)\s*(\S.*?)\s*")

Schemes = Annotated[tuple[Written, ...], Field(min_length=1)]


class SweepTraceJob(TraceJob):
    """A trace that was recorded before."""

    schemes: Schemes | None = None
    """Schemes for this job alone, such as those that a trace without masks can serve; those of the sweep if not given."""


class SweepStoreJob(StoreJob):
    """Traces of a store, which `accelsim infer --store` made."""

    numbers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    """Of the images that fit, those of these numbers, from 0 in the order of the store; all if not given."""
    schemes: Schemes | None = None
    """Schemes for this job alone; those of the sweep if not given."""


class SweepInferenceJob(InferenceJob):
    """A network that runs on images; each image gives one trace."""

    images: Annotated[tuple[str, ...], ImageList()] = ()
    """Image files, globs, or arrays in archives (photos.npz:dog, stack.npz:images:17); none where `image` is an axis."""
    schemes: Schemes | None = None
    """Schemes for this job alone; those of the sweep if not given."""


SweepJob = Annotated[
    Annotated[SweepInferenceJob, Tag("inference")] | Annotated[SweepTraceJob, Tag("trace")] | Annotated[SweepStoreJob, Tag("traces")],
    Discriminator(kind_of_job),
]


class Accuracy(ImageSet):
    """Labelled images on which the top-1 accuracy of each network is measured, as the axes set it, with its epsilon and mode.

    The path of an evaluate file stands for its images, limit, outputs and preprocessing; its network and epsilons are of no account.
    """

    @model_validator(mode="before")
    @classmethod
    def _of_evaluate_file(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "network" in data:
            return {key: value for key, value in data.items() if key in cls.model_fields}
        return data

    @model_validator(mode="after")
    def _labelled(self) -> Accuracy:
        if isinstance(self.images, Photographs):
            raise RefusalError("these images have no labels, so there is no accuracy", "give images.table or images.stack", at=["images"])
        return self


class Search(Section):
    """Some combinations instead of all of them, chosen by what the ones before have shown."""

    objectives: Annotated[tuple[str, ...], Field(min_length=1)] = OBJECTIVES
    """Columns of the table that are weighed against each other, each as a mean over the jobs."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many combinations of values and scheme are tried; one that comes again costs nothing."""
    sampler: Literal["nsga2", "tpe", "random"] = "nsga2"
    """Who chooses: evolution by dominance (NSGA-II), densities of good and bad points (TPE), or chance."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """The same seed tries the same combinations, however many processes there are and however often it was interrupted."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    """Trials that are chosen before the results of any of them are known; also the population of nsga2."""

    @model_validator(mode="after")
    def _distinct_objectives(self) -> Search:
        refuse(repeats(self.objectives, "objectives"))
        return self


class Comparison(BaseModel):
    """One condition: the value of an axis held against a value, or against that of another axis."""

    left: str
    relation: str
    right: str


class Sweep(Filed):
    """What is simulated: every job under every scheme, on every machine that the axes span."""

    name: Name
    """What the results are filed under."""
    accelerator: Annotated[Accelerator, FromPath()]
    """Path of an accelerator file, or its content: the machine that the axes change."""
    schemes: Schemes = ("dense", "channel_marker")
    """What is done about zeros, by name, with options as {zero_block: {height: 8, width: 8}}."""
    baseline: Written = "dense"
    """The scheme that ratios are counted from; replayed for every job, whether named above or not."""
    engine: Literal["fast", "reference"] = "fast"
    """The compiled engine, or the readable one that defines what it must give."""
    axes: Annotated[dict[AxisPath, Axis], Field(min_length=1, json_schema_extra={"additionalProperties": False})]
    """Key by dotted path, with a list of its values or a range: {from: 32 KiB, to: 4 MiB, scale: powers_of_two}. Keys of the machine
    (accelerator.buffer.size), options of schemes (scheme.zero_block.height), engine; and what decides the data: keys of the jobs' network
    (network.prune.sparsity, network.quantise.map_bits, or network itself), epsilon, mode, image. The first axis is the one that curves
    are drawn against."""
    zip: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Groups of axes that go in step, first values together, then second ones; all others are combined with each other."""
    where: tuple[str, ...] = ()
    """Conditions that a point must meet, such as 'accelerator.pe_array.rows <= accelerator.pe_array.cols'."""
    search: Search | None = None
    """If given, combinations are searched for objectives rather than all simulated."""
    accuracy: Annotated[Accuracy, FromPath()] | None = None
    """Labelled images, or the path of an evaluate file that names some: the table then has the accuracy of each point's network."""
    jobs: Annotated[tuple[SweepJob, ...], Field(min_length=1)]
    """What is replayed: networks on images, recorded traces, or those of a store."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes that work at the same time, one thread each; as many as there are cores if not given."""
    results: Annotated[Path, Location(file=False, here=True)] = Path("results")
    """Folder for the table, the store and the figures, from the current folder; results/<name> if not given."""

    _places: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _values: dict[str, tuple[Any, ...]] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Keep the places that `configfile` hands over."""
        if isinstance(context, Mapping):
            self._places = dict(context.get(PLACES, {}))

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        faults = repeats(self.schemes, "schemes")
        for path, axis in self.axes.items():
            try:
                values = axis.values() if isinstance(axis, Range) else axis
                self._values[path] = _images(values) if path == "image" else values
            except RefusalError as fault:
                faults.append(fault)
        refuse(faults or [*self._steps(), *self._unmet(), *self._of_jobs(), *self._of_search()])
        return self

    def _steps(self) -> Iterator[RefusalError]:
        """What is wrong with axes that go in step."""
        grouped: list[str] = []
        for number, group in enumerate(self.zip):
            for index, name in enumerate(group):
                if name not in self.axes:
                    yield RefusalError(f"{quoted(name)} is no axis", choices(list(self.axes), name), at=[f"zip.{number}.{index}"])
                elif name in grouped:
                    yield RefusalError(f"{quoted(name)} goes in step twice", "name it once", at=[f"zip.{number}.{index}"])
                grouped.append(name)
            lengths = {name: len(self.values(name)) for name in group if name in self.axes}
            if len(set(lengths.values())) > 1:
                counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
                yield RefusalError(f"axes that go in step need as many values: {counts}", at=[f"zip.{number}"])

    def _unmet(self) -> Iterator[RefusalError]:
        """What is wrong with conditions."""
        for index, text in enumerate(self.where):
            try:
                self._comparison(text)
            except RefusalError as fault:
                yield RefusalError(fault.fault, *fault.remedy, at=[f"where.{index}"])

    def _of_jobs(self) -> Iterator[RefusalError]:
        """What does not go together of jobs, axes that decide the data, and accuracy."""
        deciding = next((path for path in self.axes if path.partition(".")[0] in DATA), None)
        for index, job in enumerate(self.jobs):
            place = f"jobs.{index}"
            if not isinstance(job, SweepInferenceJob):
                if deciding is not None:
                    fix = "name a network and images instead, or sweep it in a file of its own"
                    yield RefusalError(f"what was recorded cannot change with {deciding}", fix, at=[place])
                if self.accuracy is not None and job.network is None:
                    fix = "add network: NETWORK.yaml, the one that it was recorded from"
                    yield RefusalError("accuracy is that of a network, and none is named here", fix, at=[place])
            elif "image" in self.axes and job.images:
                yield RefusalError("the axis image names the images", "remove one of the two", at=[f"{place}.images"])
            elif "image" not in self.axes and not job.images:
                yield RefusalError("no image is named", "add images: [photo.jpg], or an axis image", at=[f"{place}.images", place])

    def _of_search(self) -> Iterator[RefusalError]:
        """What cannot be searched."""
        if self.search is None:
            return
        for index, job in enumerate(self.jobs):
            if job.schemes is not None:
                fix = "remove it, or search each job in a file of its own"
                yield RefusalError("a search tries each scheme on every job", fix, at=[f"jobs.{index}.schemes"])
                break
        if ACCURACY in self.search.objectives:
            at = [f"search.objectives.{self.search.objectives.index(ACCURACY)}"]
            if self.accuracy is None:
                fix = "add for example accuracy: {images: {table: labels.csv}}, or the path of an evaluate file"
                yield RefusalError("accuracy needs labelled images, and this sweep names none", fix, at=at)
            lossy = [name for name in self.schemes if read(name).lossy]
            if lossy:
                yield RefusalError(f"accuracy is not measured under schemes that lose data: {', '.join(lossy)}", "remove them", at=at)

    def values(self, path: str) -> tuple[Any, ...]:
        """The values of an axis, as they are written; of images, each by itself."""
        return self._values[path]

    def conditions(self) -> tuple[Comparison, ...]:
        """The conditions, their left sides full paths of axes."""
        return tuple(self._comparison(text) for text in self.where)

    def axis_named(self, name: str) -> str | None:
        """The axis of that path, or the only one whose path ends so."""
        ending = [path for path in self.axes if path == name or path.endswith(f".{name}")]
        return name if name in self.axes else ending[0] if len(ending) == 1 else None

    def place(self, path: str, index: int) -> str:
        """Where the value of an axis was written, `buffer.yaml:12`, or its dotted path where that is unknown."""
        return self.written(f"axes.{path}" if path == "image" else f"axes.{path}.{index}", f"axes.{path}")

    def written(self, *keys: str) -> str:
        """Where the first of these keys that is there was written, or its dotted path where that is unknown."""
        paths = [f"sweep.{key}" for key in keys]
        return next((self._places[path] for path in paths if path in self._places), paths[-1])

    def source(self, path: str) -> str:
        """Where a key of a job was written, or its dotted path where that is unknown."""
        _, network, below = path.partition(".network")
        own = f"network{below}" if network and len(self.jobs) == 1 else ""  # places of a network file do not say whose it is
        return self._places.get(path, self._places.get(own, path))

    @property
    def accuracy_place(self) -> str:
        """Where the labelled images, or the evaluate file that names them, were written."""
        keys = ("sweep.accuracy.images", "sweep.accuracy", "evaluate")
        return next((self._places[key] for key in keys if key in self._places), keys[1])

    def _comparison(self, text: str) -> Comparison:
        match = _COMPARISON.fullmatch(text)
        if match is None:
            raise RefusalError(f"{quoted(text)} is no condition", "write for example 'accelerator.buffer.size >= 64 KiB'")
        axis = self.axis_named(match[1])
        if axis is None:
            raise RefusalError(f"{quoted(match[1])} is no axis", choices(list(self.axes), match[1]))
        return Comparison(left=axis, relation=match[2], right=match[3])

    @field_serializer("axes", when_used="json")
    def _absolute(self, axes: Mapping[str, Any]) -> dict[str, Any]:
        return {
            path: axis.model_dump(mode="json") if isinstance(axis, Range) else _found(path, self.values(path))
            for path, axis in axes.items()
        }


def load(path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file with all files it names. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, Sweep, "sweep", overrides, {**EMBEDDED, "accuracy": "evaluate"})


def describe(resolved: Sweep) -> str:
    """A resolved sweep file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    return configfile.dump({"sweep": resolved.model_dump(mode="json", exclude_none=True)})


def _images(values: Sequence[Any]) -> tuple[str, ...]:
    """Each image that values of the axis `image` stand for."""
    found: dict[str, None] = {}
    for index, value in enumerate(values):
        try:
            found |= dict.fromkeys(image_list([value]))
        except ConfigError as fault:
            first, *rest = str(fault).splitlines()
            raise RefusalError(first.removeprefix("images: "), *map(str.strip, rest), at=[f"axes.image.{index}"]) from None
    return tuple(found)


def _found(path: str, value: Any) -> Any:
    """A value of an axis in which files that are there have absolute paths."""
    if isinstance(value, Mapping):
        return {key: _found(path, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_found(path, inner) for inner in value]
    folder = value.folder if isinstance(value, Text) and path.partition(".")[0] in ("accelerator", "network") else None
    if path == "image" or (folder is not None and (folder / value.replace(".npz:", ".npz/:").partition("/:")[0]).is_file()):
        return os.path.abspath((folder or Path()) / value)  # noqa: PTH100 - `file.npz:key` is a text, no Path
    return str(value) if isinstance(value, str) else value
