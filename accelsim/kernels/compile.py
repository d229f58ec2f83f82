"""The one place for compiler flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile `function` with numba: cached on disk, no fastmath, no parallel sums, exceptions only where written.

    Raises:  nothing here; with `NUMBA_DISABLE_JIT=1` the plain Python function runs instead.
    """
    return cast(Function, numba.njit(cache=True, fastmath=False, error_model="numpy", nogil=True)(function))
