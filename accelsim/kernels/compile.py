"""What makes a function a kernel: its machine code is kept, so that only a first run reads numba and compiles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache, update_wrapper
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

from accelsim.kernels import machinecode
from accelsim.kernels.machinecode import Entry, Kind, Loaded

Function = TypeVar("Function", bound=Callable[..., object])

FORWARD = frozenset({"dram", "replay"})
"""Folders whose kernels count indices from the start alone, so that no index need be looked at for a minus sign: a quarter of their time.
Literal indices may still be negative. A kernel that breaks this reads beyond its array; without the jit it would count from the end."""

MADE, CALLED, INLINED = "made", "called", "inlined"
"""How a kernel is compiled."""
MACHINERY = ("compile.py", "jit.py", "machinecode.py", "objectfile.py")
_lock = RLock()
"""Held while code is looked for or made, never while it runs. Whoever compiles holds it before numba's own."""


def kernel(function: Function) -> Function:
    """Compile `function` with numba: cached on disk, no fastmath, no parallel sums, exceptions only where written.

    Raises:  nothing here; with `NUMBA_DISABLE_JIT=1` the plain Python function runs instead.
    """
    return _declared(function, MADE)


def called(function: Function) -> Function:
    """As `kernel`, for long functions that other kernels call and that make no arrays: they count no references, which takes atomics."""
    return _declared(function, CALLED)


def inlined(function: Function) -> Function:
    """As `kernel`, for small functions that kernels of the same file call often: their code takes the place of each call.

    Passing a tuple of arrays costs an atomic count an array and call, which is more than such functions do themselves;
    without `_nrt` they count nothing, and may not make arrays.
    """
    return _declared(function, INLINED)


def _declared(function: Function, way: str) -> Function:
    return function if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else cast(Function, Kernel(function, way))


class Kernel:
    """A function that runs as machine code: what an earlier process has kept of it, or what numba makes of it now.

    Keyword arguments are not taken: the order of a kernel's arguments is its interface.
    """

    def __init__(self, function: Callable[..., Any], way: str) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self.file = Path(function.__code__.co_filename)
        self._way = way
        self._dispatcher: Any = None
        self._ways: list[Entry] = []  # those that look at their arguments first, and refuse all but their own
        self._by_kinds: dict[Hashable, Loaded] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Run."""
        for way in self._ways:
            made = way(*arguments)
            if made is not NotImplemented:
                return made
        return self._found(arguments).entry(*arguments)

    def address(self, arguments: tuple[Any, ...]) -> int:
        """Where the machine code for such arguments begins, for other compiled code to call; made if need be."""
        with _lock:
            found = self._found(arguments).address
            if found:
                return found
            from accelsim.kernels import jit

            return jit.address(self.dispatcher, arguments)

    def _found(self, arguments: tuple[Any, ...]) -> Loaded:
        """The code for such arguments: loaded, or compiled and kept, the first time; looked up afterwards."""
        kinds = tuple(map(machinecode.kind, arguments))
        entry = self._by_kinds.get(kinds)
        if entry is None:
            with _lock:
                entry = self._by_kinds.get(kinds) or self._made(kinds, arguments)
                self._by_kinds[kinds] = entry
        return entry

    def _made(self, kinds: tuple[Kind, ...], arguments: tuple[Any, ...]) -> Loaded:
        name = f"{self.file.stem}.{self.py_func.__qualname__}"
        path = machinecode.place(self.cache, name, kinds) if not self.py_func.__closure__ else None
        loaded = machinecode.load(path) if path else None
        if loaded is None:
            machinecode.forget(self.cache)
            from accelsim.kernels import jit

            code = jit.code(self.dispatcher, arguments, kinds)
            if path and code is not None:
                with suppress(OSError):
                    machinecode.save(path, code)
                    loaded = machinecode.load(path)
        if loaded is None:
            loaded = Loaded(self.dispatcher, self.dispatcher if path is None else None, 0)
        if loaded.guarded is not None:
            self._ways.append(loaded.guarded)
        return loaded

    @property
    def dispatcher(self) -> Any:
        """Numba's own object for this function."""
        with _lock:
            if self._dispatcher is None:
                from accelsim.kernels import jit

                forward = self.file.parent.name in FORWARD
                self._dispatcher = jit.dispatcher(self.py_func, self.cache, self._way, forward=forward)
            return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that compiled code names: kernels call each other."""
        from accelsim.kernels import jit

        return jit.type_of(self.dispatcher)

    @property
    def cache(self) -> Path:
        """The folder of its machine code."""
        return _cache(self.file, os.environ.get("NUMBA_CACHE_DIR", ""))

    @property
    def is_loaded(self) -> bool:
        """Whether it has run before in this process."""
        return bool(self._by_kinds)

    @property
    def is_kept(self) -> bool:
        """Whether an earlier process has left machine code of it, its own or numba's."""
        stem, name = self.file.stem, self.py_func.__name__
        return any(any(self.cache.rglob(pattern)) for pattern in (f"{stem}.{name}.*.code", f"{stem}.{name}-*.nbi"))


@cache
def _cache(file: Path, chosen: str) -> Path:
    """The folder of the machine code of a kernel file: where the user has chosen, beside it, or in the user's cache where it is read-only.

    Its name is the content of all that may be part of that code: the file itself and, as kernels of subfolders may call each other, all
    files of these; and the files that compile and keep it.
    """
    home, folder = Path(__file__).parent, file.parent
    sources = [file] if folder == home else sorted(home.glob("*/*.py") if folder.parent == home else folder.glob("*.py"))
    content = [source.read_bytes() for source in (*(home / name for name in MACHINERY), *sources)]
    digest = hashlib.sha256(b"".join(content)).hexdigest()[:16]
    if chosen:
        return Path(chosen) / digest
    if os.access(folder, os.W_OK):
        return folder / "__pycache__" / digest
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accelsim" / digest


def is_loaded(function: Callable[..., object]) -> bool:
    """Whether a kernel runs at once: its machine code is in memory, or there is no jit."""
    return not isinstance(function, Kernel) or function.is_loaded


def is_compiled(function: Callable[..., object]) -> bool:
    """Whether the machine code of a kernel is there, in memory or in the cache of an earlier run; without the jit there is none to make."""
    return not isinstance(function, Kernel) or function.is_loaded or function.is_kept
