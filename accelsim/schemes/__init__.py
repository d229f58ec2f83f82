"""Sparsity schemes: how a feature map lies in memory, one module each, found by file name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from accelsim.errors import ConfigError, choices
from accelsim.families import members
from accelsim.schemes.base import Scheme


def names() -> tuple[str, ...]:
    """Names of all schemes, sorted; none is imported for it."""
    return members("schemes")


@cache
def load(name: str) -> Scheme:
    """Find a scheme. Raises `ConfigError` for a name that has no module here."""
    if name not in names():
        raise ConfigError(f"unknown scheme {name!r}\n    {choices(names(), name)}")
    return cast(Scheme, import_module(f"{__name__}.{name}"))
