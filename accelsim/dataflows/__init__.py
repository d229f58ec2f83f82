"""Dataflows: array cycles from live work, one module each, found by file name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from accelsim.configfile.families import members
from accelsim.dataflows.base import Dataflow
from accelsim.errors import ConfigError, choices


def names() -> tuple[str, ...]:
    """Names of all dataflows, sorted; none is imported for it."""
    return members("dataflows")


@cache
def load(name: str, kernel: tuple[int, int] | None = None) -> Dataflow:
    """Find a dataflow; one that depends on the shape of the kernel beyond its taps (it has `of_kernel`) as it is for that kernel.

    Units:   `kernel` (R, S), elements
    Raises:  `ConfigError` for a name that has no module here
    """
    if name not in names():
        raise ConfigError(f"accelerator.pe_array.dataflow: unknown dataflow {name!r}\n    {choices(names(), name)}")
    module = import_module(f"{__name__}.{name}")
    return cast(Dataflow, module.of_kernel(kernel) if kernel is not None and hasattr(module, "of_kernel") else module)
