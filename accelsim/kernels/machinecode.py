"""Machine code that outlives the process which compiled it: kept in files, and called again by processes that know no compiler.

Numba's own cache can be read by nothing less than all of numba and LLVM, which take 140 MiB and most of a second. What is kept here is
the object file that LLVM made of a kernel and of all that it calls. Where that is not enough, numba is there as before: on systems other
than Linux on x86-64, for unusual arguments and results, for files that are damaged or of another machine.
"""

from __future__ import annotations

import builtins
import ctypes
import hashlib
import json
import os
import pickle
import re
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.kernels.objectfile import PROCESS, UnusableError, linked

Kind = tuple[Any, ...]
"""What decides which code takes an argument: its type, of an array also dtype, rank, layout and whether it may be written."""
ARRAYS = frozenset({np.ndarray, np.memmap, np.recarray})
ARRAY, NUMBER, TUPLE, OTHER = "array", "number", "tuple", "other"
NUMBERS: frozenset[Any] = frozenset({bool, int, float, *(np.dtype(code).type for code in "?fd" + np.typecodes["AllInteger"])})

TYPE, RANK, DTYPE, FLAGS = 8, 24, 56, 64
"""Bytes from the start of an array object to its type (CPython's PyObject), rank, dtype and flags (numpy's PyArrayObject_fields)."""
LAYOUTS = {"C": (1, 1), "F": (3, 2), "A": (3, 0)}
"""Of an array's flags those that tell its layout, and their values; further flags."""
ALIGNED, WRITEABLE = 0x100, 0x400

IDENTITY = {"vendor_id", "cpu family", "model", "stepping", "flags"}
"""What the system tells of a processor that is not about its frequency or its place among others."""

DAY = 86_400
UNREAD = 14 * DAY
"""Seconds after which the code of other sources is removed."""
OURS = re.compile(r"\.(code|nbi|nbc)")
"""Names of files that hold code, or that hold it in part: ours and numba's."""

Entry = Callable[..., Any]
_KEPT: list[object] = []
"""What code refers to: it stays as long as the process."""


@dataclass(frozen=True)
class Processor:
    """What code is compiled for. `identity` is empty where code cannot be kept."""

    identity: str
    features: frozenset[str]


@dataclass(frozen=True)
class Code:
    """A compiled kernel: an object file, the names of its entry, of the function behind it and of its environment there, and the dtypes
    that the environment holds.

    `guard` is a second object file, whose `guard` calls the entry if the arguments are those that it was compiled for; or empty.
    """

    entry: str
    function: str
    environment: str
    dtypes: tuple[str, ...]
    machine_code: bytes
    guard: bytes


@dataclass(frozen=True)
class Loaded:
    """A kernel for who knows that the arguments are right (`entry`), and for all others, to whom it may say NotImplemented (`guarded`).

    `address` is that of the function behind the entry, for other compiled code.
    """

    entry: Entry
    guarded: Entry | None
    address: int


@cache
def processor() -> Processor:
    """The processor of this machine."""
    found = {}
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                key, colon, value = line.partition(":")
                if not colon:  # behind the first of them
                    break
                found[key.strip()] = value.strip()
    except OSError:
        from llvmlite import binding

        return Processor("", frozenset(name for name, on in binding.get_host_cpu_features().items() if on))
    known = sys.platform == "linux" and os.uname().machine == "x86_64" and struct.calcsize("P") == 8 and found.keys() >= IDENTITY
    identity = json.dumps({key: found[key] for key in sorted(IDENTITY)}) if known else ""
    return Processor(identity, frozenset(found.get("flags", "").split()))


@cache
def machine() -> str:
    """All but the source and the arguments on which machine code depends; empty where it cannot be kept."""
    packages = [find_spec(name) for name in ("numba", "llvmlite")]
    versions = [Path(package.origin).with_name("_version.py") for package in packages if package is not None and package.origin is not None]
    # what numba reads from a file of settings is its own affair
    if not processor().identity or Path(".numba_config.yaml").exists() or not all(path.exists() for path in versions):
        return ""
    settings = {key: value for key, value in os.environ.items() if key.startswith("NUMBA_") and key != "NUMBA_CACHE_DIR"}
    text = [path.read_text("utf-8") for path in versions]
    return json.dumps([processor().identity, sys.version, np.__version__, *text, settings], sort_keys=True)


def kind(value: Any) -> Kind:
    """The kind of an argument."""
    of = type(value)
    if of in ARRAYS and value.flags.aligned:
        layout = "C" if value.flags.c_contiguous else "F" if value.flags.f_contiguous else "A"
        return ARRAY, of, value.dtype, value.ndim, layout, value.flags.writeable
    if of in NUMBERS and (of is not int or -(2**63) <= value < 2**63):
        return NUMBER, of
    if isinstance(value, tuple):
        return TUPLE, of, *map(kind, value)
    return OTHER, of


def kept(kinds: Iterable[Kind]) -> bool:
    """Whether code for such arguments is kept: numbers, arrays of numbers or records, tuples of these."""
    return all(what in (NUMBER, ARRAY) or (what == TUPLE and kept(rest)) for what, _, *rest in kinds)


def guardable(kinds: Iterable[Kind]) -> bool:
    """Whether a guard can tell such arguments from others: numbers, plain arrays of numbers, plain tuples of these."""
    return all(
        what == NUMBER
        or (what == TUPLE and of is tuple and guardable(rest))
        or (what == ARRAY and of is np.ndarray and rest[0].isbuiltin == 1 and rest[0].type in NUMBERS)
        for what, of, *rest in kinds
    )


def place(cache: Path, name: str, kinds: tuple[Kind, ...]) -> Path | None:
    """The file for a kernel's code for such arguments, in the folder `cache`; None where none is kept."""
    if not machine() or not kept(kinds):
        return None
    return cache / f"{name}.{hashlib.sha256(f'{machine()} {kinds}'.encode()).hexdigest()[:16]}.code"


def save(path: Path, code: Code) -> None:
    """Keep code in a file, whole or not at all. Raises: `OSError` where nothing can be written."""
    head = json.dumps([code.entry, code.function, code.environment, code.dtypes, len(code.machine_code)])
    content = head.encode() + b"\n" + code.machine_code + code.guard
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(hashlib.sha256(content).digest() + content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


@cache
def forget(mine: Path) -> None:
    """Remove the folders beside `mine` that hold the code of other sources, which no process has read for two weeks."""
    for folder in mine.parent.glob("[0-9a-f]" * len(mine.name)):
        with suppress(OSError):
            old = folder != mine and time.time() - folder.stat().st_mtime > UNREAD
            if old and all(path.is_dir() or OURS.search(path.name) for path in folder.rglob("*")):
                shutil.rmtree(folder)


@cache
def note_use(folder: Path) -> None:
    """Note that the code of a folder is read, once a process and day."""
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > DAY:
            os.utime(folder)


def load(path: Path) -> Loaded | None:
    """The kernel of a file; None where there is no such file, or it cannot be used."""
    try:
        content = path.read_bytes()
        note_use(path.parent)
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            return None
        head, _, data = content.partition(b"\n")
        entry, function, environment, dtypes, size = json.loads(head)
        return _loaded(Code(entry, function, environment, dtypes, data[:size], data[size:]))
    except (OSError, ValueError, UnusableError):  # `ValueError`: written by a process that had read an older one of these files
        return None


def _loaded(code: Code) -> Loaded:
    """Link code and make built-in functions of it: it takes apart its arguments itself, and gives the interpreter free meanwhile."""
    names = linked(code.machine_code, _outside)
    environment = _extension("_dynfunc").Environment({})
    environment.consts.extend(map(np.dtype, code.dtypes))
    _KEPT.append(environment)
    ctypes.c_void_p.from_address(names[code.environment]).value = id(environment)
    entry, guarded = _function(code.entry, names[code.entry]), None
    if code.guard and _arrays_are_as_known():
        guard = linked(code.guard, lambda name: names[name] if name in names else _outside(name))
        guarded = _function(code.entry, guard["guard"])
    return Loaded(entry, guarded, names[code.function])


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


def _function(name: str, address: int) -> Entry:
    """A built-in function of a C function of (self, arguments, keywords)."""
    method = _Method(name.encode(), address, 3, None)  # METH_VARARGS | METH_KEYWORDS
    _KEPT.append(method)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p), ctypes.py_object
    made: Entry = new(ctypes.addressof(method), None, None)
    return made


@cache
def _arrays_are_as_known() -> bool:
    """Whether objects are as guards take them to be: so CPython and numpy have built them for long, but nobody has promised it."""
    array = np.zeros((1, 2, 1), np.float32)
    pointers = [ctypes.c_void_p.from_address(id(array) + offset).value for offset in (TYPE, DTYPE)]
    numbers = [ctypes.c_int.from_address(id(array) + offset).value for offset in (RANK, FLAGS)]
    return pointers == [id(np.ndarray), id(array.dtype)] and numbers == [array.ndim, array.flags.num]


def _outside(name: str) -> int:
    """Where that is what compiled code calls by a name. Raises: `UnusableError` where there is nothing."""
    if name in _helpers():
        return _helpers()[name]
    try:
        return _address(getattr(PROCESS, name))
    except AttributeError as fault:
        raise UnusableError(f"no {name}") from fault


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _helpers() -> dict[str, int]:
    """Names that the process does not know: numba's (as in its `core.base`, `core.externals`, `core.runtime.nrt`), and guards'."""
    library, functions, runtime = map(_extension, ("_helperlib", "_dynfunc", "core.runtime._nrt_python"))
    runtime.memsys_use_cpython_allocator()
    return {
        **library.c_helpers,  # mathematics
        **{f"numba_{name}": address for name, address in {**library.c_helpers, **functions.c_helpers}.items()},
        **{name if name.startswith("_") else f"NRT_{name}": address for name, address in runtime.c_helpers.items()},
        **{f"PyExc_{name}": id(value) for name, value in vars(builtins).items() if isinstance(value, type)},
        **{type_symbol(of): id(of) for of in (*NUMBERS, np.ndarray, tuple)},
        **{dtype_symbol(dtype): id(dtype) for dtype in {np.dtype(np.dtype(of).str) for of in NUMBERS}},
        "_Py_NoneStruct": id(None),
        "numba_unpickle": _unpickle_address(),
    }


def type_symbol(of: type) -> str:
    """The name by which a guard asks for a type."""
    return f"type {of.__module__}.{of.__name__}"


def dtype_symbol(dtype: np.dtype[Any]) -> str:
    """The name by which a guard asks for a dtype."""
    return f"dtype {dtype.str}"


def _unpickle(start: int, size: int, digest: int) -> object:
    """What numba does with the types and exceptions in code; its own would import all of numba."""
    return pickle.loads(ctypes.string_at(start, size))


@cache
def _unpickle_address() -> int:
    try:
        function = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(_unpickle)
    except MemoryError as fault:  # systems that let nobody write code
        raise UnusableError("no memory for a function") from fault
    _KEPT.append(function)
    return _address(function)


@cache
def _extension(name: str) -> Any:
    """A module of numba that is written in C, without the package around it. Raises: `UnusableError` where it is not found."""
    full = f"numba.{name}"
    if full in sys.modules:
        return sys.modules[full]
    package = find_spec("numba")
    folders = (package.submodule_search_locations if package is not None else None) or [""]
    folder = Path(folders[0], *name.split(".")[:-1])
    spec = FileFinder(str(folder), (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec(full)
    if spec is None or spec.loader is None:
        raise UnusableError(f"no {full}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop(full, None)  # numba finds it by itself when it is imported
    return module
