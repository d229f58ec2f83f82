"""Network files and run files: which network with which preprocessing; which machine, schemes and jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim import configfile
from accelsim.configfile.located import Text
from accelsim.configfile.schema import FromPath
from accelsim.errors import ConfigError, ModelError, RefusalError, choices, nearest, quoted, refuse
from accelsim.hardware import EMBEDDED as IN_ACCELERATOR
from accelsim.hardware import Accelerator
from accelsim.hardware.energy import Energy
from accelsim.hardware.memory import Memory
from accelsim.images import PRESETS, Preprocessing
from accelsim.networks import zoo
from accelsim.pruning import Pruning
from accelsim.schemes._written import Written
from accelsim.tracestore import is_store

_NPZ = ".npz:"
_WILD = frozenset("*?[")
WAYS = ("darknet", "onnx", "zoo")
"""Keys of a network file that name a network; one of them must be there."""


@dataclass(frozen=True)
class Location:
    """Pydantic annotation of a path: relative ones start from the file they are written in, or with `here` from the current folder.

    `file`: it must be there. In JSON a path is absolute, so that the resolved configuration can be read from anywhere.
    """

    file: bool = True
    here: bool = False

    def _read(self, value: Any) -> Path:
        if not isinstance(value, str | Path) or not str(value):
            raise RefusalError("a path is expected here", "write for example ../networks/tiny.cfg")
        path = Path(value) if self.here else _from_folder(value)
        if self.file:
            _require_file(path)
        return path

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        absolute = core_schema.plain_serializer_function_ser_schema(lambda path: str(path.resolve()), when_used="json")
        return core_schema.no_info_before_validator_function(self._read, core_schema.is_instance_schema(Path), serialization=absolute)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1}


class PresetName:
    """Pydantic annotation of a preprocessing: the name of a preset stands for its keys."""

    def _read(self, value: Any) -> Any:
        if isinstance(value, str):
            if value not in PRESETS:
                raise RefusalError(f"{quoted(value)} is not a known preset", choices(sorted(PRESETS), value))
            return PRESETS[value]
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "enum": sorted(PRESETS)}, handler(schema)]}


class ImageList:
    """Pydantic annotation of a list of images: globs become the files they match, in order of name; every file must be there."""

    def _read(self, value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        found: list[str] = []
        faults: list[RefusalError] = []
        for index, image in enumerate(value):
            try:
                found += _expanded(image)
            except RefusalError as fault:
                faults.append(RefusalError(fault.fault, *fault.remedy, at=[str(index)]))
        refuse(faults)
        return tuple(found)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        absolute = core_schema.plain_serializer_function_ser_schema(
            lambda images: [os.path.abspath(image) for image in images],  # noqa: PTH100 - `file.npz:key` is a text, no Path
            when_used="json",
        )
        return core_schema.no_info_before_validator_function(self._read, handler(source), serialization=absolute)


class _FileName:
    """Pydantic annotation of a name that results are filed under."""

    def _check(self, name: str) -> str:
        if not name or not all(char.isalnum() or char in "._- " for char in name) or not name[0].isalnum() or len(name) > 80:
            raise RefusalError(f"{quoted(name)} cannot name a folder", "allowed: letters, digits and . _ - after the first, 80 at most")
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


class _InTheZoo:
    """Pydantic annotation of the name of a network in the zoo."""

    def _check(self, name: str) -> str:
        try:
            zoo.load(name)
        except ModelError as fault:
            first, *rest = str(fault).splitlines()
            raise RefusalError(first, *map(str.strip, rest)) from None
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^({'|'.join(map(re.escape, zoo.names()))})(@[0-9]+)?$"}


class _IsStore:
    """Pydantic annotation of a folder that must be a store of traces."""

    def _check(self, folder: Path) -> Path:
        if not is_store(folder):
            raise RefusalError(f"no store of traces: {folder}", "'accelsim infer NETWORK --images FOLDER --store STORE' makes one")
        return folder

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


InputFile = Annotated[Path, Location()]
OutputFolder = Annotated[Path, Location(file=False)]
Name = Annotated[str, _FileName()]


class Section(BaseModel):
    """Base of every part of these files: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Darknet(Section):
    """A network in Darknet's format."""

    cfg: InputFile
    """The .cfg file: layers and shapes."""
    weights: InputFile | None = None
    """The .weights file; without it the network gives shapes, but cannot be run."""


class Labels(Section):
    """Names of the network's outputs: a table (.csv) with a header line."""

    file: InputFile
    """The table."""
    column: str = "name"
    """Column with the name."""
    index: str | None = None
    """Column with the number of the output, from 0; without it the rows stand in the order of the outputs."""


class Quantisation(Section):
    """Maps and weights in whole numbers, after training; inference stays in float32, with values on the grids."""

    map_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of an element of a map; `data.ifmap_bits` of the machine says what it takes in memory."""
    weight_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of a weight."""
    maps: Literal["symmetric", "zero_point"] = "zero_point"
    """Whether the integer 0 means 0, or the integers span the values that occur: then the one that means 0 is the zero point."""
    weights: Literal["per_channel", "per_tensor"] = "per_channel"
    """A step for each filter, or one for all of a layer; always symmetric."""
    images: Annotated[tuple[str, ...], Field(min_length=1), ImageList()]
    """Calibration images: least and largest value of each map are those seen on these."""


class NetworkFile(Section):
    """A network: where its layers and weights are, and what it does to an image first."""

    name: Name
    """What reports and trace files call it."""
    darknet: Darknet | None = None
    """A network in Darknet's files."""
    onnx: InputFile | None = None
    """A network in an ONNX file."""
    zoo: Annotated[str, _InTheZoo()] | None = None
    """A well-known network without weights, by name; at another input size with it: resnet50@256."""
    synthetic_weights: Annotated[int, Field(ge=0)] | None = None
    """Seed of random weights for a network that has none: it then runs on images, and every trace and report says 'synthetic'."""
    prune: Pruning | None = None
    """Small weights become zero."""
    quantise: Quantisation | None = None
    """Maps and weights become whole numbers, after pruning."""
    preprocessing: Annotated[Preprocessing, PresetName()]
    """Name of a preset, or its keys."""
    labels: Labels | None = None
    """Names of the outputs."""

    @model_validator(mode="after")
    def _one_network(self) -> NetworkFile:
        given = [way for way in WAYS if getattr(self, way) is not None]
        faults = []
        if not given:
            faults.append(RefusalError("no network is named", f"give one of: {', '.join(WAYS)}"))
        faults += [RefusalError(f"one network is enough, {given[0]} names another", f"remove {way}", at=[way]) for way in given[1:]]
        if self.synthetic_weights is not None and self.darknet is not None and self.darknet.weights is not None:
            faults.append(RefusalError("the network has weights of its own", "remove one of the two", at=["synthetic_weights"]))
        if self.synthetic_weights is not None and self.onnx is not None:
            faults.append(RefusalError("an ONNX file has weights of its own", "remove one of the two", at=["synthetic_weights"]))
        refuse(faults)
        return self


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

    traces: Annotated[Path, Location(file=False), _IsStore()]
    """Folder of the store."""
    images: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of images in the store; * stands for any letters."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Take this many of them, the first ones; all if not given."""


def _kind_of_job(job: Any) -> str:
    for form, key in ((TraceJob, "trace"), (StoreJob, "traces")):
        if isinstance(job, form) or (isinstance(job, Mapping) and key in job):
            return key
    return "inference"


Job = Annotated[
    Annotated[InferenceJob, Tag("inference")] | Annotated[TraceJob, Tag("trace")] | Annotated[StoreJob, Tag("traces")],
    Discriminator(_kind_of_job),
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


def load_network_file(path: str | Path, overrides: Sequence[str] = ()) -> NetworkFile:
    """Read a network file. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, NetworkFile, "network", overrides)


def image_list(images: Sequence[str]) -> tuple[str, ...]:
    """Files and arrays that photographs, globs and `file.npz:key` stand for. Raises `ConfigError` with every fault."""
    found: list[str] = []
    faults = []
    for image in images:
        try:
            found += _expanded(image)
        except RefusalError as fault:
            faults.append("\n    ".join((f"images: {fault.fault}", *fault.remedy)))
    if faults:
        raise ConfigError(*faults)
    return tuple(found)


def describe(resolved: Run | NetworkFile) -> str:
    """A resolved run or network file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    root = "run" if isinstance(resolved, Run) else "network"
    return configfile.dump({root: resolved.model_dump(mode="json", exclude_none=True)})


def _from_folder(value: str | Path) -> Path:
    """A path from where it was written."""
    return Path(os.path.normpath(value.folder / value)) if isinstance(value, Text) else Path(value)


def _require_file(path: Path) -> None:
    if not path.is_file():
        siblings = sorted(sibling.name for sibling in path.parent.iterdir()) if path.parent.is_dir() else []
        near = nearest(path.name, siblings)
        raise RefusalError(f"no such file: {path}", *([f"Did you mean {near!r}?"] if near else []))


def _expanded(image: Any) -> list[str]:
    """The images that one entry of a list stands for."""
    if not isinstance(image, str) or not image:
        raise RefusalError("an image is expected here", "write a path, a glob, or file.npz:key")
    file, separator, key = image.partition(_NPZ)
    name = file + _NPZ[:-1] if separator else image
    path = _from_folder(Text(name, image.folder) if isinstance(image, Text) else name)
    if separator or not _WILD & set(name) or path.is_file():
        _require_file(path)
        if path.suffix == _NPZ[:-1] and not key:
            raise RefusalError(f"{path.name} may hold many images", "name one: file.npz:key")
        return [f"{path}:{key}" if separator else str(path)]
    wild = next(index for index, part in enumerate(path.parts) if _WILD & set(part))
    pattern = str(Path(*path.parts[wild:]))
    found = sorted(str(match) for match in Path(*path.parts[:wild]).glob(pattern) if match.is_file())
    if not found:
        raise RefusalError(
            f"no file matches {quoted(str(path))}", "* stands for any letters, ? for one, [ab] for one of these, ** for folders"
        )
    return found
