"""Words that several threads read and write at once, and calls of kernels by their address (`lowering.py` says how).

Every operation on a word is sequentially consistent: what a thread wrote before it, another sees after it has read the word. Without the
jit there are no helpers (`operators/team.py`); then these plain functions say what the machine code does.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import Kernel
from accelsim.kernels.machinecode import kind

Words = NDArray[np.int64]

LINE = 16
"""Words from one that is much written to the next: two lines of cache, as processors fetch pairs."""
SHARE, FRAME, PARTS = 5 * LINE, 6 * LINE, 38 * LINE
"""Where the address of the code that calls a kernel lies, where the arguments of that call begin, and behind them the members' parts."""


def entry_of(kernel: Callable[..., object], arguments: tuple[object, ...]) -> tuple[int, int]:
    """The address of a kernel's machine code for such arguments and two numbers after them, and the number of their types."""
    return cast("Kernel", kernel).address((*arguments, 0, 0)), number_of(map(name, arguments))


def has_entries(kernel: object) -> bool:
    """Whether a function has machine code at all: without the jit it is plain Python."""
    return isinstance(kernel, Kernel)


def name(argument: object) -> str:
    """What compiled code calls the type of a number or of an array of numbers."""
    if isinstance(argument, np.ndarray):
        return f"array({argument.dtype.name}, {argument.ndim}d, {kind(argument)[4]})"
    return np.asarray(argument).dtype.name


def number_of(names: Iterable[str]) -> int:
    """A number that stands for types."""
    return zlib.crc32(" ".join(names).encode())


def read(words: Words, place: int) -> int:
    """words[place]."""
    return int(words[place])


def write(words: Words, place: int, value: int) -> None:
    """words[place] = value."""
    words[place] = value


def add(words: Words, place: int, value: int) -> int:
    """words[place] += value; the result is what was there before."""
    before = int(words[place])
    words[place] += value
    return before


def swap(words: Words, place: int, expected: int, value: int) -> bool:
    """words[place] = value, if words[place] == expected; whether it was."""
    found = bool(words[place] == expected)
    if found:
        words[place] = value
    return found


def pause() -> None:
    """Tell the processor that a thread does nothing but wait."""


def give_way() -> None:
    """Let another thread have this core, if one wants it."""


def frame(words: Words, entry: int, kinds: int, arguments: tuple[object, ...]) -> bool:
    """Write down a call of a kernel, so that any thread can make it: `call` adds the two numbers that end its arguments.

    Units:   `entry`: address of the kernel; `kinds`: number of the types of its arguments (`number_of`); the result is false
             where `arguments` are of other types
    """
    raise NotImplementedError("only compiled code has addresses")


def call(words: Words, first: int, last: int) -> int:
    """Make the call that `frame` wrote down, its last arguments `first` and `last`; the result is 0 unless it failed."""
    raise NotImplementedError("only compiled code has addresses")
