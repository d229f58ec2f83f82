"""Quantities as people write them: `64 KiB`, `800 MHz`, `12.8 GB/s`, `900 ns`, `3.9 pJ/bit`; inside they are integers in base units.

A number without a unit is refused in YAML, because nobody can see what it counts. From Python the integers are taken as they are.
SI letters are exact: k, M, G are powers of 1000; Ki, Mi, Gi are powers of 1024; K alone is neither, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.errors import RefusalError, choices, quoted

WRITTEN = "written"
"""Key of the validation context: true where values come from text, so that bare numbers are refused."""

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(\S(?:.*\S)?)?\s*", re.DOTALL)
_BITS = re.compile(r"(Ki|Mi|Gi|[kKMG]?)(?:b|bit|bits|bps|b/s|bit/s|bits/s)")
_BARE_PREFIX = re.compile(r"([kKMG])(/s)?")


@dataclass(frozen=True)
class Quantity:
    """One kind of quantity: how it is written and read.

    Units:   `units` gives the base units (bytes, hertz, picoseconds, attojoules, ...) in each unit; the smallest comes first.
             `aliases` are read but never written. `least`, `most`: bounds in base units.
    `hints`: the two units that a bare number could have meant.
    Works as a pydantic annotation: `Annotated[int, SIZE]` takes text with a unit and gives an integer.
    """

    noun: str
    base: str
    units: Mapping[str, int]
    least: int
    most: int
    hints: tuple[str, str]
    examples: tuple[str, ...]
    aliases: Mapping[str, int] = field(default_factory=dict)

    def parse(self, text: str) -> int:
        """Read a number with its unit.

        Units:   result in base units
        Raises:  `RefusalError` where the unit is absent, unknown, ambiguous or of another kind, or the value is not whole in base units
        """
        shown = quoted(text)
        match = _QUANTITY.fullmatch(text) if len(text) < 80 else None
        if match is None:
            raise RefusalError(f"{shown} is not {self.a_noun}", self._example())
        number, unit = match.groups()
        if unit is None:
            raise self._bare(number, shown)
        scale = self.units.get(unit) or self.aliases.get(unit)
        if scale is None:
            raise self._foreign(number, unit, shown)
        value = Decimal(number) * scale
        if value != value.to_integral_value():
            raise RefusalError(f"{shown} is not a whole number of {self.base}", f"the finest {self.noun} is {self.format(1)}")
        if not self.least <= value <= self.most:
            fault = "too small" if value < self.least else "too large"
            raise RefusalError(f"{shown} is {fault}", f"allowed: {self.format(self.least)} to {self.format(self.most)}")
        return int(value)

    def format(self, value: int) -> str:
        """Write base units exactly and as short as possible; `parse` gives the same integer back."""
        ways = [(_decimal(Decimal(value) / scale), unit) for unit, scale in self.units.items() if scale == 1 or value >= scale]
        exact = [(text, unit) for text, unit in ways if Decimal(text) * self.units[unit] == value]
        # of equally short texts the one with a binary unit reads best, then the one with the larger unit
        text, unit = min(exact, key=lambda way: (len(way[0]), "i" not in way[1], -self.units[way[1]]))
        return f"{text} {unit}"

    def _bare(self, number: str, shown: str) -> RefusalError:
        first, second = self.hints
        return RefusalError(f"{shown} has no unit", f"write {number} {first} or {number} {second}")

    def _example(self) -> str:
        return f"write for example {' or '.join(self.examples[:2])}"

    def _foreign(self, number: str, unit: str, shown: str) -> RefusalError:
        """Why this unit cannot be read here, with the likeliest remedy."""
        per = "/s" if "/s" in self.base_unit else ""
        counts_bytes = self.base_unit.startswith("B")
        ambiguous = unit if unit in ("KB", "KB/s") else _BARE_PREFIX.fullmatch(unit) and unit
        if counts_bytes and ambiguous and ambiguous.endswith("/s") == bool(per):
            letter = ambiguous[0].upper()
            pair = (f"{letter}iB{per}", f"{letter if letter != 'K' else 'k'}B{per}")
            sizes = (f"'{number} {name}' ({Decimal(number) * self.units[name]:,.0f} {self.base})" for name in pair)
            return RefusalError(f"{shown} can mean two {self.noun}s", "write " + " or ".join(sizes))
        bits = _BITS.fullmatch(unit)
        if counts_bytes and bits:
            value = Decimal(number) * self.units[f"{bits[1].replace('K', 'k') if len(bits[1]) == 1 else bits[1]}B{per}"] / 8
            instead = f"'{self.format(int(value))}'" if value == value.to_integral_value() else f"{self.noun}s in bytes"
            return RefusalError(f"{shown} counts bits", f"write {instead} (B is a byte, b a bit)")
        other = next((quantity for quantity in QUANTITIES if unit in quantity.units), None)
        if other is not None:
            stem = re.sub("/(s|B|bit)$", "", unit)
            near = [name for name in self.units if name in (stem, f"{stem}/s", f"{stem}/B")]
            guess = f".  Did you mean '{number} {near[0]}'?" if near else ""
            return RefusalError(f"{shown} is {other.a_noun}, not {self.a_noun}", f"allowed units: {', '.join(self.units)}{guess}")
        return RefusalError(f"{shown} has an unknown unit {quoted(unit)}", choices(list(self.units), unit, what="allowed units"))

    @property
    def a_noun(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    @property
    def base_unit(self) -> str:
        """The unit whose value is 1, as written."""
        return next(iter(self.units))

    def _read(self, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            context = info.context
            if isinstance(context, Mapping) and context.get(WRITTEN) and not (value == 0 and self.least == 0):
                raise self._bare(str(value), str(value))
            return value
        raise RefusalError(f"{self.a_noun} is expected here", self._example())

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(
            self._read,
            core_schema.int_schema(strict=True, ge=self.least, le=self.most),
            serialization=core_schema.plain_serializer_function_ser_schema(self.format, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        units = "|".join(re.escape(unit) for unit in self.units)
        pattern = rf"^\s*{_NUMBER}\s*({units})\s*$|\$\{{"
        written: JsonSchemaValue = {"type": "string", "title": self.noun, "pattern": pattern, "examples": list(self.examples)}
        return {**written, "type": ["string", "integer"], "maximum": 0, "minimum": 0} if self.least == 0 else written


def _decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_K, _KI = 1000, 1024
_BYTES = {"B": 1, "kB": _K, "KiB": _KI, "MB": _K**2, "MiB": _KI**2, "GB": _K**3, "GiB": _KI**3}
_TIMES = {"ps": 1, "ns": _K, "us": _K**2, "ms": _K**3, "s": _K**4}

SIZE = Quantity("size", "bytes", _BYTES, 1, 2**40, ("KiB", "B"), ("64 KiB", "64 B", "1.5 MiB"))
FREQUENCY = Quantity(
    "frequency", "hertz", {"Hz": 1, "kHz": _K, "MHz": _K**2, "GHz": _K**3}, 1, 10**12, ("MHz", "Hz"), ("800 MHz", "1.2 GHz")
)
RATE = Quantity(
    "rate", "bytes/s", {f"{unit}/s": scale for unit, scale in _BYTES.items()}, 1, 10**14, ("GB/s", "MB/s"), ("12.8 GB/s", "480 MB/s")
)
TIME = Quantity(
    "time",
    "picoseconds",
    _TIMES,
    0,
    10**15,
    ("ns", "us"),
    ("900 ns", "0.5 us", "35 ps"),
    aliases={"\N{MICRO SIGN}s": _K**2, "\N{GREEK SMALL LETTER MU}s": _K**2},
)
_ENERGIES = {"aJ": 1, "fJ": _K, "pJ": _K**2, "nJ": _K**3}
ENERGY = Quantity("energy", "attojoules", _ENERGIES, 0, 10**15, ("pJ", "nJ"), ("0.9 pJ", "3.46 nJ", "30 fJ"))
ENERGY_PER_BYTE = Quantity(
    "energy per byte",
    "attojoules/byte",
    # Published either way; a unit that is written out makes the factor of eight visible.
    {f"{unit}/{per}": scale * count for per, count in (("B", 1), ("bit", 8)) for unit, scale in _ENERGIES.items()},
    0,
    10**15,
    ("pJ/B", "pJ/bit"),
    ("2.31 pJ/B", "3.9 pJ/bit"),
)
POWER = Quantity("power", "microwatts", {"uW": 1, "mW": _K, "W": _K**2}, 0, 10**10, ("mW", "W"), ("57 uW", "500 mW"))
"""In microwatts, so that power times picoseconds are attojoules."""
QUANTITIES = (SIZE, FREQUENCY, RATE, TIME, ENERGY, ENERGY_PER_BYTE, POWER)

Bytes = Annotated[int, SIZE]
Hertz = Annotated[int, FREQUENCY]
BytesPerSecond = Annotated[int, RATE]
Picoseconds = Annotated[int, TIME]
Attojoules = Annotated[int, ENERGY]
AttojoulesPerByte = Annotated[int, ENERGY_PER_BYTE]
Microwatts = Annotated[int, POWER]


def parse_bytes(text: str) -> int:
    """Read a size, `64 KiB`. Units: bytes."""
    return SIZE.parse(text)


def parse_hertz(text: str) -> int:
    """Read a frequency, `800 MHz`. Units: hertz."""
    return FREQUENCY.parse(text)


def parse_rate(text: str) -> int:
    """Read a rate, `12.8 GB/s`. Units: bytes per second."""
    return RATE.parse(text)


def parse_time(text: str) -> int:
    """Read a time, `900 ns`. Units: picoseconds."""
    return TIME.parse(text)


def format_bytes(value: int) -> str:
    """Write a size exactly, `64 KiB`. Units: bytes."""
    return SIZE.format(value)


def format_hertz(value: int) -> str:
    """Write a frequency exactly, `800 MHz`. Units: hertz."""
    return FREQUENCY.format(value)


def format_rate(value: int) -> str:
    """Write a rate exactly, `12.8 GB/s`. Units: bytes per second."""
    return RATE.format(value)


def format_time(value: int) -> str:
    """Write a time exactly, `900 ns`. Units: picoseconds."""
    return TIME.format(value)


def format_energy(value: int) -> str:
    """Write an energy exactly, `0.9 pJ`. Units: attojoules."""
    return ENERGY.format(value)


def format_power(value: int) -> str:
    """Write a power exactly, `57 uW`. Units: microwatts."""
    return POWER.format(value)
