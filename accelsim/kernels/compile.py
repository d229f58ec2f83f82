"""The one place for compiler flags."""

from __future__ import annotations

from collections.abc import Callable
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
