"""What a map tells of itself: the largest magnitude of each part, which elements are zero, which channels are zero or constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.marks.vectors import higher, higher_of_pairs, magnitude, nonzero, ones
from accelsim.kernels.windows.vectors import Floats, load, load_within, store, store_first, zeros

Bits = NDArray[np.uint32]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]

INFINITY, NOTHING = np.uint32(0x7F800000), np.uint32(0)

WORD = 64
"""Elements of a wide strip: bits in a word of the mask."""
NARROW = 16
"""Elements of a strip at the end of a row."""
EIGHT = 8
"""Parts as wide as that are told apart in registers, those of other widths in memory."""


@inlined
def eighths(strip: Floats) -> Floats:
    """The highest of each eight neighbours."""
    return higher_of_pairs(higher_of_pairs(higher_of_pairs(strip)))


@inlined
def channel_parts(values: Floats, c: int, H: int, W: int, h: int, w: int, columns: Floats, maxima: Floats) -> None:
    """Find the largest magnitude of every part of channel c.

    Shapes:  values float32 flat [C, H, W]; columns float32 [W + NARROW], to work in; maxima float32 flat [C, ceil(H/h), ceil(W/w)]
    """
    down, across = (H + h - 1) // h, (W + w - 1) // w
    wide = W // WORD * WORD if w == EIGHT else 0
    for part_row in range(down):
        first, target = part_row * h, (c * down + part_row) * across
        begin, rows = (c * H + first) * W, min(H - first, h)
        for x in range(0, wide, WORD):
            strip = zeros(WORD)
            for y in range(rows):
                strip = higher(strip, magnitude(load(strip, values, begin + y * W + x)))
            store(eighths(strip), maxima, target + x // EIGHT)
        for x in range(wide, W, NARROW):
            narrow = zeros(NARROW)
            for y in range(rows):
                narrow = higher(narrow, magnitude(load_within(narrow, values, begin + y * W + x, 0, W - x)))
            if w == EIGHT:
                store_first(eighths(narrow), maxima, target + x // EIGHT, across - x // EIGHT)
            else:
                store(narrow, columns, x)
        if w != EIGHT:
            bits, largest = columns.view(np.uint32), maxima.view(np.uint32)
            for part_column in range(across):
                most = NOTHING
                for x in range(part_column * w, min(W, part_column * w + w)):
                    most = max(most, bits[np.uintp(x)])
                largest[np.uintp(target + part_column)] = most


@kernel
def part_maxima(bits: Bits, h: int, w: int, maxima: Bits) -> None:
    """Find the largest magnitude of every h x w part; parts at the right and bottom may be smaller.

    Shapes:  bits uint32 [C, H, W] (a float32 map seen as integers); maxima uint32 [C, ceil(H/h), ceil(W/w)], magnitude bits
    Units:   elements
    Raises:  nothing
    """
    C, H, W = bits.shape
    columns = np.empty(W + NARROW, dtype=np.float32)
    values, found = bits.reshape(-1).view(np.float32), maxima.reshape(-1).view(np.float32)
    for c in range(C):
        channel_parts(values, c, H, W, h, w, columns, found)


@kernel
def measure(bits: Bits, h: int, w: int, maxima: Bits, words: Words, zero: Flags, constant: Flags) -> int:
    """Find all that a trace says of a map, reading it from memory once; give how many elements are not zero.

    Each channel is looked at again for its bits while it is near; one whose parts are equally large, for whether it is constant.
    Shapes:  bits uint32 [C, H, W] (a float32 map seen as integers); maxima uint32 [C, ceil(H/h), ceil(W/w)], magnitude bits, NaN as
             infinity; words uint64 [ceil(C*H*W/64)], in memory a bit an element, the first in the highest bit of the first byte, spare
             bits 0; zero bool [C]: every element is; constant bool [C]: several elements, one value, not zero
    Units:   elements
    Raises:  nothing
    """
    C, H, W = bits.shape
    size, parts = H * W, maxima.shape[1] * maxima.shape[2]
    columns = np.empty(W + NARROW, dtype=np.float32)
    values, largest = bits.reshape(-1).view(np.float32), maxima.reshape(-1)
    count, word = 0, 0
    for c in range(C):
        channel_parts(values, c, H, W, h, w, columns, largest.view(np.float32))
        least, most = INFINITY, NOTHING
        for i in range(c * parts, c * parts + parts):
            part = min(largest[np.uintp(i)], INFINITY)
            largest[np.uintp(i)] = part
            least, most = min(least, part), max(most, part)
        zero[c] = most == 0
        constant[c] = size > 1 and least == most and most > 0
        for i in range(c * size + 1, c * size + size):
            if not constant[c]:
                break
            constant[c] = values[i] == values[c * size]
        while (word + 1) * WORD <= (c + 1) * size:
            packed = nonzero(load(zeros(WORD), values, word * WORD))
            words[np.uintp(word)] = packed
            count += ones(packed)
            word += 1
    if word < words.shape[0]:
        packed = nonzero(load_within(zeros(WORD), values, word * WORD, 0, C * size - word * WORD))
        words[word] = packed
        count += ones(packed)
    return count
