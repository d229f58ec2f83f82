"""Values out of a short list: numbers, and names of modules that are found by file name (schemes, weights, dataflows).

A member of a family that has options is written in one text: `zero_block:height=8,width=8`.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.configfile.faults import explain
from accelsim.configfile.located import Place, Scalar, Source, Value, judge
from accelsim.errors import ConfigError, RefusalError, choices, quoted

_PACKAGE = Path(__file__).parents[1]


class Options(BaseModel):
    """Base of the options of every member: frozen, strict, no unknown ones."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


Chosen = TypeVar("Chosen", bound=Options)


def members(family: str) -> tuple[str, ...]:
    """Names of the modules in the folders of a family, without importing any; `base` holds their promise and is none of them."""
    return tuple(sorted({*_modules([str(_PACKAGE / family)]), *_modules(added(family))}))


def added(family: str) -> list[str]:
    """Folders outside this package whose modules are members too: environment variable ACCELSIM_SCHEMES, ..., as PATH is written.

    Raises:  `ConfigError` for one that is not there, or has a member of a name that is taken
    """
    variable = f"ACCELSIM_{family.upper()}"
    folders = [folder for folder in os.environ.get(variable, "").split(os.pathsep) if folder]
    taken = set(_modules([str(_PACKAGE / family)]))
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"{variable}: no such folder: {folder}")
        own = _modules([folder])
        if taken & set(own):
            raise ConfigError(f"{variable}: {folder}: {quoted(min(taken & set(own)))} is there already\n    give the file another name")
        taken |= set(own)
    return folders


def _modules(folders: list[str]) -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(folders))
    return [name for name in names if name != "base" and not name.startswith("_")]


def label(name: str, options: Options) -> str:
    """A member in one text, which `options_of` reads: its name, and the options that differ from their defaults."""
    texts = []
    for option, field in type(options).model_fields.items():
        value = getattr(options, option)
        if value != field.default:
            texts.append(f"{option}={str(value).lower() if isinstance(value, bool) else value}")
    return f"{name}:{','.join(texts)}" if texts else name


def options_of(text: str, model: type[Chosen]) -> Chosen:
    """The options in the text of a member; `model`: those that it has. Raises `RefusalError` with every fault."""
    name, colon, rest = text.partition(":")
    written: dict[str, str] = {}
    for item in rest.split(",") if colon else ():
        option, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not option or option in written:
            fault = f"option {quoted(option)} stands twice" if option in written else f"{quoted(item)} is no option with a value"
            raise RefusalError(fault, f"write for example {_example(name, model)}")
        written[option] = value
    values: Mapping[str, Scalar] = {option: judge(value) for option, value in written.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place = Place(Source("", Path()))
        tree = Value({option: Value(value, place, written[option]) for option, value in values.items()}, place)
        faults = explain(error, model, tree, name)
        first, *more = [RefusalError(f"{fault.path}: {fault.text}", *fault.remedy) for fault in faults]
        raise RefusalError(first.fault, *first.remedy, also=more) from None


def _example(name: str, model: type[Options]) -> str:
    options = [f"{option}={field.default}" for option, field in model.model_fields.items() if field.default is not None]
    return f"{name}:{options[0].lower()}" if options else f"{name}, which has no options"


@dataclass(frozen=True)
class Member:
    """Pydantic annotation: a text that names a member of a family."""

    family: str

    def _check(self, name: str) -> str:
        known = members(self.family)
        if name not in known:
            raise RefusalError(f"{quoted(name)} is not a known {self.family.removesuffix('s')}", choices(known, name))
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(members(self.family))}


@dataclass(frozen=True)
class OneOf:
    """Pydantic annotation: one of a few numbers. `why`: what the list comes from; `show`: how a number is written."""

    allowed: tuple[int, ...]
    why: str = ""
    show: Callable[[int], str] = str

    def _check(self, value: int) -> int:
        if value not in self.allowed:
            reason = f" ({self.why})" if self.why else ""
            raise RefusalError(f"{self.show(value)} is not allowed", choices([self.show(item) for item in self.allowed]) + reason)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        inner = handler(schema)
        return {"type": "integer", "enum": list(self.allowed)} if inner.get("type") == "integer" else inner
