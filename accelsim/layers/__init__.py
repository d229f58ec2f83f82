"""Kinds of layers: shapes, multiply-accumulates and a readable numpy forward, one module a kind, found by file name."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from accelsim.errors import ModelError, choices, quoted
from accelsim.layers.base import Layer

_HELPERS = frozenset({"base", "activations"})


@cache
def kinds() -> tuple[str, ...]:
    """Names of all kinds, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _HELPERS))


@cache
def layer(kind: str) -> Layer:
    """Find the layer of this kind. Raises `ModelError` for a kind that has no module here."""
    if kind not in kinds():
        raise ModelError(f"unknown kind of layer {quoted(kind)}\n    {choices(kinds(), kind)}")
    found: Layer = import_module(f"{__name__}.{kind}").LAYER
    return found
