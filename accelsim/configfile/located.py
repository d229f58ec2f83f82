"""What was written where: the values of YAML files with their places, and how a fault at a place reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelsim.errors import RefusalError, quoted

Scalar = str | int | float | bool | None
Keys = tuple[str | int, ...]
"""The way from a root to a value: keys of mappings and indices of lists."""

KINDS = ("kind", "organisation")
"""Keys that say which other keys a mapping has; naming another kind replaces a mapping instead of merging with it."""

SNIPPET = 100
"""Characters of a source line that a message shows."""


_INT = re.compile(r"[+-]?(0|[1-9][0-9]{0,30})")
_FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]{0,30})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, eq=False)
class Source:
    """One text that values come from: a file, or one `--set` of the command line (then `lines` is empty).

    `folder`: what relative paths written here start from.
    """

    name: str
    folder: Path
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A stretch of a source line. Units: line and column count from 1, as editors show them; `width` in characters."""

    source: Source
    line: int = 0
    column: int = 0
    width: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}" if self.source.lines else self.source.name

    @property
    def short(self) -> str:
        """File and line, for messages about values that were sound by themselves."""
        return f"{self.source.name}:{self.line}" if self.source.lines else self.source.name

    def snippet(self) -> str:
        """The source line with the stretch underlined; empty where there is no line to show."""
        if not 0 < self.line <= len(self.source.lines):
            return ""
        if not self.source.lines[self.line - 1].strip():
            return ""
        line = "".join(char if char.isprintable() else " " for char in self.source.lines[self.line - 1])
        start = max(0, self.column - 1 - SNIPPET * 3 // 4) if len(line) > SNIPPET else 0
        shown = line[start : start + SNIPPET].rstrip()
        indent = self.column - 1 - start
        carets = "^" * max(1, min(self.width, len(shown) - indent))
        return f"{self.line:>7} | {shown}\n{'':>7} | {'':{indent}}{carets}\n"


@dataclass(frozen=True)
class Fault:
    """One thing to mend: where, the dotted path of the value, what is wrong, and lines that say what to write instead."""

    place: Place
    path: str
    text: str
    remedy: Sequence[str] = ()

    def __str__(self) -> str:
        name = self.place.source.name
        said = name.startswith("--set ") and f".{self.path}".endswith(f".{name.removeprefix('--set ')}")
        head = f"{self.place}: {self.path}: {self.text}" if self.path and not said else f"{self.place}: {self.text}"
        return f"{head}\n{self.place.snippet()}{''.join(f'    {line}{chr(10)}' for line in self.remedy)}".rstrip("\n")


class Text(str):
    """A text of a YAML file that knows the folder which relative paths in it start from."""

    folder: Path

    def __new__(cls, text: str, folder: Path) -> Text:
        """Make a text that was written in a file of `folder`."""
        made = super().__new__(cls, text)
        made.folder = folder
        return made


@dataclass(frozen=True, eq=False)
class Value:
    """One value with its place; mappings also keep the places of their keys.

    `raw`: a scalar as it was written, before it was judged. `name`: where the value is a whole file put in place of its path, the
    root key of that file; dotted paths in messages start anew from it.
    """

    content: Scalar | Mapping[str, Value] | Sequence[Value]
    place: Place
    raw: str = ""
    keys: Mapping[str, Place] = field(default_factory=dict)
    name: str = ""

    @property
    def mapping(self) -> Mapping[str, Value] | None:
        """The content if it is keys and values."""
        return self.content if isinstance(self.content, Mapping) else None

    @property
    def items(self) -> Sequence[Value] | None:
        """The content if it is a list."""
        return self.content if isinstance(self.content, Sequence) and not isinstance(self.content, str) else None

    def plain(self) -> Any:
        """The bare data: dicts, tuples and scalars; texts are `Text`."""
        if self.mapping is not None:
            return {key: value.plain() for key, value in self.mapping.items()}
        if self.items is not None:
            return tuple(value.plain() for value in self.items)
        return Text(self.content, self.place.source.folder) if isinstance(self.content, str) else self.content

    def child(self, key: str | int) -> Value | None:
        """The value under a key or index, if there is one."""
        if self.mapping is not None:
            return self.mapping.get(str(key))
        if self.items is not None and isinstance(key, int) and 0 <= key < len(self.items):
            return self.items[key]
        return None

    def with_child(self, key: str, value: Value, place: Place) -> Value:
        """The same mapping with one key more, or another value under it."""
        return replace(self, content={**(self.mapping or {}), key: value}, keys={**self.keys, key: place})

    def shown(self) -> str:
        """The value as a message shows it."""
        if self.mapping is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        if self.content is None:
            return "no value"
        if isinstance(self.content, str):
            return quoted(self.raw)
        return self.raw

    def dotted(self, root: str, keys: Keys) -> str:
        """The dotted path of a value below this one, as `--set` takes it."""
        parts: list[str] = [root]
        value: Value | None = self
        for key in keys:
            parts.append(str(key))
            value = value.child(key) if value is not None else None
            if value is not None and value.name:
                parts = [value.name]
        return ".".join(parts)

    def locate(self, keys: Keys, *, at_key: bool = False) -> Place:
        """The place of a value below this one, or of its key; of the nearest written ancestor where it is a default."""
        value, place = self, self.place
        for index, key in enumerate(keys):
            found = value.child(key)
            if found is None:
                break
            key_place = value.keys.get(str(key), found.place)
            last = index == len(keys) - 1
            # a mapping or an empty value is best shown by its key: its own text may be long, or nothing at all
            place = key_place if (at_key and last) or found.mapping is not None or found.content is None else found.place
            value = found
        return place

    def places(self, root: str) -> dict[str, str]:
        """File and line of every value below this one, by dotted path."""
        found: dict[str, str] = {}

        def visit(value: Value, path: str, place: Place) -> None:
            found[path] = place.short
            for key, inner in (value.mapping or {}).items():
                visit(inner, inner.name or f"{path}.{key}", value.keys.get(key, inner.place))
            for index, inner in enumerate(value.items or ()):
                visit(inner, inner.name or f"{path}.{index}", inner.place)

        visit(self, root, self.place)
        return found


def judge(text: str) -> Scalar:
    """What an unquoted scalar means: plain decimal numbers, `true` and `false`, nothing, or text."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def merged(under: Value, over: Value) -> Value:
    """Deep merge of two mappings: keys of `over` win; lists and scalars are replaced whole."""
    if under.mapping is None or over.mapping is None:
        return over
    for kind in KINDS:
        old, new = under.child(kind), over.child(kind)
        if old is not None and new is not None and old.content != new.content:
            return over
    content = dict(under.mapping)
    for key, value in over.mapping.items():
        content[key] = merged(content[key], value) if key in content else value
    return replace(over, content=content, keys={**under.keys, **over.keys})


def assigned(into: Value, keys: Sequence[str], value: Value, place: Place) -> Value:
    """The tree with one value set, mappings on the way made where they are absent.

    Raises:  `RefusalError` where the way leads through a scalar or past the end of a list
    """
    key, *rest = keys
    if into.items is not None:
        if not (key.isdecimal() and key.isascii() and int(key) < len(into.items)):
            raise RefusalError(f"{quoted(key)} is not the index of a list item", f"allowed: 0 to {len(into.items) - 1}")
        items = list(into.items)
        items[int(key)] = assigned(items[int(key)], rest, value, place) if rest else value
        return replace(into, content=tuple(items))
    if into.mapping is None and into.content is not None:
        raise RefusalError(f"{quoted(key)} cannot be set below {into.shown()}, which is no mapping ({into.place.short})")
    if rest:
        inner = into.child(key) or Value({}, place)
        return into.with_child(key, assigned(inner, rest, value, place), into.keys.get(key, place))
    if key in KINDS and (old := into.child(key)) is not None and old.content != value.content:
        into = replace(into, content={}, keys={})
    return into.with_child(key, value, place)
