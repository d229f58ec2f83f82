"""What a conversion gives, and what the formats have in common."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import ConfigError
from accelsim.graph import Graph, Node

COPIES = frozenset({"input", "given", "constant", "concat", "dropout", "yolo", "cost", "reshape"})
"""Kinds that compute nothing: nobody misses them in a list of layers."""


@dataclass(frozen=True)
class Converted:
    """Texts of another tool. `files`: (name, text), in order; `notes`: what could not be said there, for people."""

    files: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def left_out(graph: Graph, written: Iterable[str], tool: str) -> tuple[str, ...]:
    """Say which computing layers of a graph the other tool has no words for. `written`: kinds it has."""
    missing = Counter(node.kind for node in graph.nodes if node.kind not in COPIES and node.kind not in set(written))
    if not missing:
        return ()
    kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(missing.items()))
    return (f"left out, {tool} has no such layers: {kinds}",)


def plain_name(node: Node) -> str:
    """A layer's name of letters, digits and `_ - .` alone."""
    return "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "_-." else "_" for letter in node.name)


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises `ConfigError` where that cannot be done."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror or fault}; choose another place") from fault
    finally:
        with contextlib.suppress(OSError):  # the common case: it has been renamed
            partial.unlink()
