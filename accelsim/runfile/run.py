"""Run files: which machine, which schemes, which jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from accelsim import configfile
from accelsim.configfile.schema import FromPath
from accelsim.errors import RefusalError, quoted, refuse
from accelsim.hardware import EMBEDDED as IN_ACCELERATOR
from accelsim.hardware import Accelerator
from accelsim.hardware.energy import Energy
from accelsim.hardware.memory import Memory
from accelsim.runfile.network import NetworkFile, Section
from accelsim.runfile.values import ImageList, InputFile, IsStore, Location, Name, OutputFolder
from accelsim.schemes._written import Written


class InferenceJob(Section):
    """A network that runs on images; each image gives one trace."""

    network: Annotated[NetworkFile, FromPath()]
    """Path of a network file, or its content."""
    images: Annotated[tuple[str, ...], Field(min_length=1), ImageList()]
    """Image files, globs, or arrays in archives (photos.npz:dog, stack.npz:images:17)."""
    epsilon: Annotated[float, Field(ge=0.0)] = 0.0
    """A value counts as zero if its magnitude is at most this; 0 is lossless."""
    mode: Literal["channel", "part", "element"] = "channel"
    """What is overwritten with zeros before the next layer reads it: wholly zero channels, parts, or elements."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that share each large layer; any number of them gives the same trace."""


class Recorded(Section):
    """What was recorded before."""

    network: Annotated[NetworkFile, FromPath()] | None = None
    """The network that it was recorded from: path of its file, or its content. Weight schemes need it, since a trace holds no weights."""


class TraceJob(Recorded):
    """A trace that was recorded before."""

    trace: InputFile
    """The trace file."""


class StoreJob(Recorded):
    """Traces of a store, which `accelsim infer --store` made."""

    traces: Annotated[Path, Location(file=False), IsStore()]
    """Folder of the store."""
    images: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of images in the store; * stands for any letters."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Take this many of them, the first ones; all if not given."""


def kind_of_job(job: Any) -> str:
    """The tag of a job: what it replays."""
    for form, key in ((TraceJob, "trace"), (StoreJob, "traces")):
        if isinstance(job, form) or (isinstance(job, Mapping) and key in job):
            return key
    return "inference"


Job = Annotated[
    Annotated[InferenceJob, Tag("inference")] | Annotated[TraceJob, Tag("trace")] | Annotated[StoreJob, Tag("traces")],
    Discriminator(kind_of_job),
]


class Filed(Section):
    """A file whose results go to `results/<name>` where it names no folder."""

    @model_validator(mode="before")
    @classmethod
    def _default_results(cls, data: Any) -> Any:
        if isinstance(data, dict) and "results" not in data and isinstance(data.get("name"), str):
            return {**data, "results": f"results/{data['name']}"}
        return data


def repeats(values: Sequence[str], key: str) -> list[RefusalError]:
    """One refusal for each value of a list that has stood there before."""
    repeated = [index for index, value in enumerate(values) if value in values[:index]]
    return [RefusalError(f"{quoted(values[index])} stands twice", at=[f"{key}.{index}"]) for index in repeated]


class Run(Filed):
    """What is simulated: one machine, several schemes, several jobs."""

    name: Name
    """What the results are filed under."""
    accelerator: Annotated[Accelerator, FromPath()]
    """Path of an accelerator file, or its content."""
    schemes: Annotated[tuple[Written, ...], Field(min_length=1)] = ("dense", "channel_marker")
    """What is done about zeros of maps, by name, with options as {zero_block: {height: 8, width: 8}}; with a plus also about zeros of
    weights: channel_marker+eie, dense+pruned_csr, {zero_block: {height: 8}, weights: eie}. Each job is replayed under each."""
    engine: Literal["fast", "reference"] = "fast"
    """The compiled engine, or the readable one that defines what it must give."""
    results: Annotated[Path, Location(file=False, here=True)] = Path("results")
    """Folder for tables and figures, from the current folder; results/<name> if not given."""
    jobs: Annotated[tuple[Job, ...], Field(min_length=1)]
    """What is replayed: networks on images, recorded traces, or those of a store."""
    keep_traces: OutputFolder | None = None
    """Folder in which the traces of inference jobs are kept."""

    @model_validator(mode="after")
    def _distinct_schemes(self) -> Run:
        refuse(repeats(self.schemes, "schemes"))
        return self


EMBEDDED = {
    "accelerator": "accelerator",
    "jobs.*.network": "network",
    **{f"accelerator.{path}": root for path, root in IN_ACCELERATOR.items()},
}
"""Where a run file may hold the path of another file, and that file's root key; a file before those named in it."""

KINDS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {"accelerator": Accelerator, "energy": Energy, "memory": Memory, "network": NetworkFile, "run": Run}
)
"""Kinds of YAML files by root key."""


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read a run file with all files it names. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, Run, "run", overrides, EMBEDDED)


def describe(resolved: Run | NetworkFile) -> str:
    """A resolved run or network file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    root = "run" if isinstance(resolved, Run) else "network"
    return configfile.dump({root: resolved.model_dump(mode="json", exclude_none=True)})
