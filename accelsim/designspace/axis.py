"""One axis of a design space: the path of a key, and its values, listed or from one to another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.errors import RefusalError, choices, quoted, refuse
from accelsim.runfile import Section
from accelsim.units import QUANTITIES, Quantity

MOST_VALUES = 10_000
"""More values than this on one axis are taken for a mistake."""
ROOTS: Mapping[str, str] = MappingProxyType(
    {
        "accelerator": r"accelerator(\.[^.]+)*",
        "scheme": r"scheme\.[^.]+\.[^.]+",
        "engine": "engine",
        "network": r"network(\.[^.]+)*",
        "epsilon": "epsilon",
        "mode": "mode",
        "image": "image",
    }
)
"""How the path of an axis may begin, and the form that it then has."""
DATA = ("network", "epsilon", "mode", "image")
"""Roots of the axes that decide what the data is: each of their combinations is a trace of its own."""
_UNIT = re.compile(r"\s*[-+.0-9eE]+\s*([^\s0-9].*?)\s*")

# `from` is a Python keyword, so the field cannot be written in a class
_FROM: Any = {"from": (Any, Field(description="The first value, with its unit."))}
_From: Any = create_model("_From", __base__=Section, **_FROM)


class Range(_From):  # type: ignore[misc]  # mypy does not know a class that is made at run time
    """Values from one to another."""

    to: Any
    """The last value, included if a step meets it."""
    steps: Annotated[int, Field(ge=2, le=MOST_VALUES)] | None = None
    """How many values there are; powers of two need no number."""
    scale: Literal["linear", "log", "powers_of_two"] = "linear"
    """Equal distances, equal ratios, or doubled each time."""

    @model_validator(mode="after")
    def _sound(self) -> Range:
        first, last = (_bound(getattr(self, key), key) for key in ("from", "to"))
        faults = []
        if first[1] is not last[1]:
            faults.append(RefusalError("from and to are not of one kind", "write both with units of the same quantity", at=["to"]))
        elif last[0] < first[0]:
            faults.append(RefusalError(f"to {self.to} lies below from {getattr(self, 'from')}", "exchange the two", at=["to"]))
        if self.scale != "linear" and first[0] <= 0:
            faults.append(RefusalError(f"a {self.scale} scale begins above 0", at=["from"]))
        if self.scale == "powers_of_two" and self.steps is not None:
            faults.append(RefusalError("powers of two are counted by from and to", "remove steps", at=["steps"]))
        if self.scale != "powers_of_two" and self.steps is None:
            faults.append(RefusalError(f"how many values? A {self.scale} scale needs steps", "add for example steps: 5", at=["scale"]))
        refuse(faults)
        return self

    def values(self) -> tuple[Any, ...]:
        """All of them, each once; quantities as texts with units, in whole base units. Whole numbers stay whole."""
        (first, quantity), (last, _) = (_bound(getattr(self, key), key) for key in ("from", "to"))
        numbers: list[float] = [first]
        if self.scale == "powers_of_two":
            while numbers[-1] * 2 <= last:
                numbers.append(numbers[-1] * 2)
        else:
            shares = [step / ((self.steps or 2) - 1) for step in range(self.steps or 2)]
            log = self.scale == "log"
            numbers = [first * (last / first) ** share if log else first + (last - first) * share for share in shares]
        if isinstance(first, int) and isinstance(last, int):
            numbers = [round(number) for number in numbers]
        else:
            numbers = [float(f"{number:.12g}") for number in numbers]
        return tuple(dict.fromkeys(quantity.format(int(number)) if quantity else number for number in numbers))


class _Path:
    """Pydantic annotation of the path of a key."""

    def _check(self, path: str) -> str:
        root = path.partition(".")[0]
        if root not in ROOTS:
            raise RefusalError(f"{quoted(path)} is no path of a key", choices(list(ROOTS), root, "it begins with one of"))
        if not re.fullmatch(ROOTS[root], path):
            form = f"{root}.KEY..." if root in ("accelerator", "network") else "scheme.NAME.OPTION" if root == "scheme" else root
            raise RefusalError(f"{quoted(path)} is no path of a key", f"write {form}")
        return path

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^({'|'.join(ROOTS.values())})$"}


AxisPath = Annotated[str, _Path()]


def _form(value: Any) -> str:
    return "range" if isinstance(value, Range | Mapping) and not isinstance(value, list | tuple) else "list"


Axis = Annotated[
    Annotated[Range, Tag("range")] | Annotated[tuple[Any, ...], Field(min_length=1, max_length=MOST_VALUES), Tag("list")],
    Discriminator(_form),
]


def number(value: Any) -> tuple[int | float, Quantity | None] | None:
    """What a value of an axis measures: base units and their quantity, a bare number, or None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value, None
    unit = _UNIT.fullmatch(value) if isinstance(value, str) else None
    quantity = next((one for one in QUANTITIES if unit and (unit[1] in one.units or unit[1] in one.aliases)), None)
    if quantity is None:
        return None
    try:
        return quantity.parse(value), quantity
    except RefusalError:
        return None


def _bound(value: Any, key: str) -> tuple[int | float, Quantity | None]:
    found = number(value)
    if found is None:
        text = f"{quoted(value) if isinstance(value, str) else value} is neither a number nor a quantity"
        raise RefusalError(text, "write for example 64 KiB or 16", at=[key])
    return found
