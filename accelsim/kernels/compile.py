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
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NopythonTypeInference

Function = TypeVar("Function", bound=Callable[..., object])

FLAGS: dict[str, Any] = {"cache": True, "fastmath": False, "error_model": "numpy", "nogil": True}
INLINED = {**FLAGS, "forceinline": True, "_nrt": False}
FORWARD = frozenset({"dram", "replay"})
"""Folders whose kernels count indices from the start alone, so that no index need be looked at for a minus sign: a quarter of their time.
Literal indices may still be negative. A kernel that breaks this reads beyond its array; without the jit it would count from the end."""


@register_pass(mutates_CFG=False, analysis_only=False)  # type: ignore[no-untyped-call]  # numba's compiler is half typed
class CountFromTheStart(FunctionPass):
    """Have every index of an array, or tuple of indices, taken for an unsigned number; bits and results stay as they are."""

    _name = "count_from_the_start"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise

    def run_pass(self, state: Any) -> bool:
        """Change what the calls of `getitem` and `setitem` expect."""
        for node, signature in list(state.calltypes.items()):
            if signature is None or len(signature.args) < 2 or not isinstance(signature.args[0], types.Array):
                continue
            if getattr(node, "op", None) == "getitem" or isinstance(node, ir.SetItem):
                array, index, *rest = signature.args
                del state.calltypes[node]  # no key is written twice
                state.calltypes[node] = signature.replace(args=(array, unsigned(index), *rest))
        return True


def unsigned(index: Any) -> Any:
    """The type of an index as one that is never negative; literals and slices stay."""
    if isinstance(index, types.UniTuple) and index.dtype == types.int64:
        return types.UniTuple(types.uint64, index.count)  # type: ignore[no-untyped-call]  # likewise
    return types.uint64 if index == types.int64 else index


class ForwardCompiler(CompilerBase):
    """Numba's own passes, and the one above after type inference."""

    def define_pipelines(self) -> list[Any]:
        """The passes in order."""
        passes: Any = DefaultPassBuilder
        builder = passes.define_nopython_pipeline(self.state)
        builder.add_pass_after(CountFromTheStart, NopythonTypeInference)
        builder.finalize()
        return [builder]


def kernel(function: Function) -> Function:
    """Compile `function` with numba: cached on disk, no fastmath, no parallel sums, exceptions only where written.

    Raises:  nothing here; with `NUMBA_DISABLE_JIT=1` the plain Python function runs instead.
    """
    with _cache_of(function):
        return cast(Function, numba.njit(**FLAGS, **_pipeline(function))(function))


def inlined(function: Function) -> Function:
    """As `kernel`, for small functions that kernels of the same file call often: their code takes the place of each call.

    Passing a tuple of arrays costs an atomic count an array and call, which is more than such functions do themselves;
    without `_nrt` they count nothing, and may not make arrays.
    """
    with _cache_of(function):
        return cast(Function, numba.njit(**INLINED, **_pipeline(function))(function))


def _pipeline(function: Callable[..., object]) -> dict[str, Any]:
    """The compiler of a kernel, where it is not numba's own."""
    return {"pipeline_class": ForwardCompiler} if Path(function.__code__.co_filename).parent.name in FORWARD else {}


@contextmanager
def _cache_of(function: Callable[..., object]) -> Iterator[None]:
    """Where the machine code of `function` is kept, while it is declared.

    Kernels of subfolders may call each other. Numba does not see edits in imported files, so their cache lies in a folder named after the
    content of all of them, and of this file.
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
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in [Path(__file__), *sources])).hexdigest()[:16]
    if chosen:
        return Path(chosen) / digest
    if os.access(folder, os.W_OK):
        return folder / "__pycache__" / digest
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accelsim" / digest


def is_loaded(function: Callable[..., object]) -> bool:
    """Whether a kernel runs at once: its machine code is in memory, or there is no jit."""
    return getattr(function, "stats", None) is None or bool(getattr(function, "signatures", None))


def is_compiled(function: Callable[..., object]) -> bool:
    """Whether the machine code of a kernel is there, in memory or in the cache of an earlier run; without the jit there is none to make."""
    stats = getattr(function, "stats", None)
    if stats is None or is_loaded(function):
        return True
    return any(Path(stats.cache_path).glob(f"*.{function.__name__}-*.nbi"))
