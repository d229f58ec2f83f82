"""The one place for compiler flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])

FLAGS: dict[str, Any] = {"cache": True, "fastmath": False, "error_model": "numpy", "nogil": True}
INLINED = {**FLAGS, "forceinline": True, "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile `function` with numba: cached on disk, no fastmath, no parallel sums, exceptions only where written.

    Raises:  nothing here; with `NUMBA_DISABLE_JIT=1` the plain Python function runs instead.
    """
    return cast(Function, numba.njit(**FLAGS)(function))


def inlined(function: Function) -> Function:
    """As `kernel`, for small functions that kernels of the same file call often: their code takes the place of each call.

    Passing a tuple of arrays costs an atomic count an array and call, which is more than such functions do themselves;
    without `_nrt` they count nothing, and may not make arrays.
    """
    return cast(Function, numba.njit(**INLINED)(function))


def is_compiled(function: Callable[..., object]) -> bool:
    """Whether the machine code of a kernel is there, in memory or in the cache of an earlier run; without the jit there is none to make."""
    stats = getattr(function, "stats", None)
    if stats is None or getattr(function, "signatures", None):
        return True
    return any(Path(stats.cache_path).glob(f"*.{function.__name__}-*.nbi"))
