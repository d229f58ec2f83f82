"""Values out of a short list: numbers, and names of modules that are found by file name (schemes, dataflows)."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.errors import RefusalError, choices, quoted


def members(family: str) -> tuple[str, ...]:
    """Names of the modules in the folder of a family, without importing any; `base` holds their promise and is none of them."""
    folder = Path(__file__).parent / family
    found = (module.name for module in pkgutil.iter_modules([str(folder)]))
    return tuple(sorted(name for name in found if name != "base" and not name.startswith("_")))


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
