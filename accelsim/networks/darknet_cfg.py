"""The text of a Darknet cfg: sections of `key=value` lines, each remembering its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path

from accelsim.errors import ModelError, choices, quoted

MAX_BYTES = 1_000_000
MAX_OPTIONS = 1_000
"""Bounds on a file and on one section; real ones have some 10,000 bytes and 30 lines."""
ALIASES: Mapping[str, str] = {
    "network": "net",
    "conv": "convolutional",
    "conn": "connected",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")


@dataclass(frozen=True)
class Option:
    """One `key=value` line."""

    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """One `[title]` and its options; `title` is the full name where the cfg uses a short one."""

    path: str
    title: str
    line: int
    options: Mapping[str, tuple[Option, ...]]

    def fault(self, text: str, key: str | None = None) -> ModelError:
        """Make an error that begins with file, line and section."""
        line = self.options[key][0].line if key is not None and key in self.options else self.line
        return ModelError(f"{self.path}:{line}: [{self.title}]: {text}")

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse repeated keys that differ, and misspelt ones. Keys unlike any known one are training options and pass."""
        known = tuple(known)
        for key, given in self.options.items():
            if key in known and len({option.text for option in given}) > 1:
                lines = " and ".join(f"{option.text!r} (line {option.line})" for option in given)
                raise self.fault(f"{key} is given as {lines}; keep one", key)
            guess = get_close_matches(key, known, n=1, cutoff=0.8)
            if key not in known and guess:
                raise self.fault(f"unknown option {quoted(key)}\n    {choices(known, key)}", key)

    def refuse(self, *keys: str) -> None:
        """Raise for options that change what the layer computes and that accelsim does not follow, unless they are 0."""
        for key in keys:
            if key in self.options and self.text(key, "") not in ("0", "0.0"):
                raise self.fault(f"{key}={self.text(key, '')} is not supported; allowed: 0, or no {key} at all", key)

    def text(self, key: str, default: str) -> str:
        """Value as written, blanks removed."""
        return self.options[key][0].text if key in self.options else default

    def integer(self, key: str, default: int | None, low: int, high: int) -> int:
        """Whole number from `low` to `high`. Raises `ModelError` otherwise, or where it is absent and has no default."""
        if key not in self.options:
            if default is None:
                raise self.fault(f"{key} is missing")
            return default
        return self._whole(key, self.text(key, ""), low, high)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """Whole numbers separated by commas, at least one."""
        if key not in self.options:
            raise self.fault(f"{key} is missing")
        return tuple(self._whole(key, part, low, high) for part in self.text(key, "").split(","))

    def number(self, key: str, default: float) -> float:
        """Finite number."""
        try:
            value = float(self.text(key, str(default)))
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            raise self.fault(f"{key}={quoted(self.text(key, ''))} is not a number", key)
        return value

    def _whole(self, key: str, text: str, low: int, high: int) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise self.fault(f"{key}={quoted(text)}; allowed: whole numbers from {low} to {high:,}", key)
        return int(text)


def read(path: str | Path) -> tuple[Section, ...]:
    """Read the sections of a cfg.

    Blanks count for nothing; `#` and `;` begin a comment.
    Raises:  `ModelError` where the file is missing, no text, too large, or a line is neither `[section]` nor `key=value`
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as fault:
        raise ModelError(f"{path}: network file cannot be read: {fault.strerror or fault}") from fault
    if len(raw) > MAX_BYTES:
        raise ModelError(f"{path}: larger than {MAX_BYTES:,} bytes; this is no Darknet cfg")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ModelError(f"{path}: byte {fault.start} is not text; this is no Darknet cfg") from fault
    if "\0" in text:
        raise ModelError(f"{path}: byte {text.index(chr(0))} is not text; this is no Darknet cfg")
    return _sections(str(path), text)


def _sections(path: str, text: str) -> tuple[Section, ...]:
    found: list[tuple[str, int, dict[str, tuple[Option, ...]]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = "".join(re.split("[#;]", raw, maxsplit=1)[0].split())
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]") or len(line) < 3:
                raise ModelError(f"{path}:{number}: {quoted(line)}: a section is written [name]")
            title = line[1:-1]
            found.append((ALIASES.get(title, title), number, {}))
            continue
        key, equals, value = line.partition("=")
        if not (key and equals and value):
            raise ModelError(f"{path}:{number}: {quoted(line)}: neither [section] nor key=value")
        if not found:
            raise ModelError(f"{path}:{number}: {quoted(line)}: an option before the first section; a cfg begins with [net]")
        options = found[-1][2]
        if sum(map(len, options.values())) >= MAX_OPTIONS:
            raise ModelError(f"{path}:{number}: [{found[-1][0]}] has more than {MAX_OPTIONS:,} options; this is no Darknet cfg")
        options[key] = (*options.get(key, ()), Option(value, number))
    return tuple(Section(path, title, line, options) for title, line, options in found)
