"""The one place for compiler flags."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
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
    with _cache_of(function):
        return cast(Function, numba.njit(**FLAGS)(function))


def inlined(function: Function) -> Function:
    """As `kernel`, for small functions that kernels of the same file call often: their code takes the place of each call.

    Passing a tuple of arrays costs an atomic count an array and call, which is more than such functions do themselves;
    without `_nrt` they count nothing, and may not make arrays.
    """
    with _cache_of(function):
        return cast(Function, numba.njit(**INLINED)(function))


@contextmanager
def _cache_of(function: Callable[..., object]) -> Iterator[None]:
    """Where the machine code of `function` is kept, while it is declared.

    Kernels of subfolders may call each other. Numba does not see edits in imported files, so their cache lies in a folder named after the
    content of all of them.
    """
    folder = Path(function.__code__.co_filename).parent
    settings: Any = numba.config
    before = settings.CACHE_DIR
    if folder != Path(__file__).parent:
        settings.CACHE_DIR = str(_keyed(folder, before))
    try:
        yield
    finally:
        settings.CACHE_DIR = before


@cache
def _keyed(folder: Path, chosen: str) -> Path:
    """The cache of a folder of kernels: where the user has chosen, beside it, or in the user's cache where nothing can be written there."""
    home = Path(__file__).parent
    sources = sorted(home.glob("*/*.py") if folder.parent == home else folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    if chosen:
        return Path(chosen) / digest
    if os.access(folder, os.W_OK):
        return folder / "__pycache__" / digest
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accelsim" / digest


def is_compiled(function: Callable[..., object]) -> bool:
    """Whether the machine code of a kernel is there, in memory or in the cache of an earlier run; without the jit there is none to make."""
    stats = getattr(function, "stats", None)
    if stats is None or getattr(function, "signatures", None):
        return True
    return any(Path(stats.cache_path).glob(f"*.{function.__name__}-*.nbi"))
