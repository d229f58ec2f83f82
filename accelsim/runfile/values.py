"""Values of files that name something outside them: paths, images, presets, networks of the zoo, stores."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.configfile.located import Text
from accelsim.errors import ConfigError, ModelError, RefusalError, choices, nearest, quoted, refuse
from accelsim.images import PRESETS
from accelsim.networks import zoo
from accelsim.tracestore import is_store

_NPZ = ".npz:"
_WILD = frozenset("*?[")


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


class FileName:
    """Pydantic annotation of a name that results are filed under."""

    def _check(self, name: str) -> str:
        if not name or not all(char.isalnum() or char in "._- " for char in name) or not name[0].isalnum() or len(name) > 80:
            raise RefusalError(f"{quoted(name)} cannot name a folder", "allowed: letters, digits and . _ - after the first, 80 at most")
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


class InTheZoo:
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


class IsStore:
    """Pydantic annotation of a folder that must be a store of traces."""

    def _check(self, folder: Path) -> Path:
        if not is_store(folder):
            raise RefusalError(f"no store of traces: {folder}", "'accelsim infer NETWORK --images FOLDER --store STORE' makes one")
        return folder

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


InputFile = Annotated[Path, Location()]
OutputFolder = Annotated[Path, Location(file=False)]
Name = Annotated[str, FileName()]


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
