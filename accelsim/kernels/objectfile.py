"""An object file made ready to run: laid out in memory, and the addresses written that it wants.

The large code model, which LLVM takes for code that is made while a program runs, asks a linker on x86-64 for one thing only: 64-bit
addresses of symbols. Whatever else a file may want is refused.
Source:  System V ABI, Object Files (ELF-64), and its AMD64 supplement, 4.2 (large sections) and 4.4 (R_X86_64_64)
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

SECTION, SYMBOL, RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQq")
BYTES, SYMBOLS, RELOCATIONS, ZEROS, OTHER_RELOCATIONS = 1, 2, 4, 8, 9
"""Kinds of sections."""
WRITTEN, LOADED, KNOWN = 1, 2, 0x100000F7
"""Flags of sections; `KNOWN` has all that change nothing here (not those of compressed sections, or of memory of each thread's own)."""
UNDEFINED, COMMON = 0, (0xFFF2, 0xFF02)
"""Instead of a section's number: symbols that are found elsewhere, and those that are given room here."""
ADDRESS = 1
"""The one relocation: the 64-bit address of a symbol plus an addend."""

Find = Callable[[str], int]
PROCESS = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else ctypes.pythonapi
"""The functions of this process; elsewhere than on Linux nobody asks for them."""
_KEPT: list[mmap.mmap] = []
"""Code stays as long as the process."""


class UnusableError(Exception):
    """Code that cannot be used here."""


class _Section(NamedTuple):
    """What a file says of a section; `name` is where it begins among the names."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


def linked(data: bytes, outside: Find) -> dict[str, int]:
    """Make an object file ready to run; gives the addresses of its symbols.

    `outside` knows those of symbols that are not in it.
    Raises:  `UnusableError` for what is not known here; `OSError` where the system grants no memory for code
    """
    sections, titles = _sections(data)
    places, end, fixed = {}, 0, 0
    for written in (0, WRITTEN):  # what is written lies on pages of its own, which are not executed
        end = fixed = _up(end, mmap.PAGESIZE)
        for number, section in enumerate(sections):
            name = _text(data, titles, section.name)
            # nobody unwinds the stack through a kernel
            if section.flags & LOADED and section.flags & WRITTEN == written and not name.startswith(".eh_frame"):
                if section.kind not in (BYTES, ZEROS) or section.flags & ~KNOWN:
                    raise UnusableError(f"section {name}")
                places[number] = _up(end, section.alignment)
                end = places[number] + section.size
    (table,) = (section for section in sections if section.kind == SYMBOLS)
    symbols = [(_text(data, sections[table.link], name), *rest) for name, *rest in SYMBOL.iter_unpack(_content(data, table))]
    common = {}
    for number, (_, _, _, section, alignment, size) in enumerate(symbols):
        if section in COMMON:
            common[number] = _up(end, alignment)
            end = common[number] + size

    memory = mmap.mmap(-1, end, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for number, place in places.items():
        if sections[number].kind == BYTES:
            memory[place : place + sections[number].size] = _content(data, sections[number])

    def address(number: int) -> int:
        name, _, _, section, value, _ = symbols[number]
        if section == UNDEFINED:
            return outside(name)
        if number not in common and section not in places:
            raise UnusableError(f"symbol {name}")
        return base + (common[number] if number in common else places[section] + value)

    for section in sections:
        if section.kind in (RELOCATIONS, OTHER_RELOCATIONS) and section.info in places:
            for offset, what, addend in RELOCATION.iter_unpack(_content(data, section)):
                if section.kind != RELOCATIONS or what & 0xFFFFFFFF != ADDRESS:
                    raise UnusableError(f"relocation {what:#x}")
                struct.pack_into("<Q", memory, places[section.info] + offset, address(what >> 32) + addend)
    if PROCESS.mprotect(ctypes.c_void_p(base), ctypes.c_size_t(fixed), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "no memory for machine code")
    _KEPT.append(memory)
    return {symbol[0]: address(number) for number, symbol in enumerate(symbols) if symbol[3] in places or number in common}


def _sections(data: bytes) -> tuple[list[_Section], _Section]:
    """The sections of an object file, and that of their names."""
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
        raise UnusableError("no object file for x86-64")
    (table,), (size, count, names) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<HHH", data, 58)
    sections = [_Section(*SECTION.unpack_from(data, table + size * number)) for number in range(count)]
    return sections, sections[names]


def _content(data: bytes, section: _Section) -> bytes:
    return data[section.offset : section.offset + section.size]


def _text(data: bytes, strings: _Section, start: int) -> str:
    begin = strings.offset + start
    return data[begin : data.index(0, begin)].decode()


def _up(size: int, unit: int) -> int:
    """The next multiple of a unit; 0 and 1 are no units."""
    return -(-size // max(unit, 1)) * max(unit, 1)
