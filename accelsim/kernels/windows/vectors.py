"""Strips of neighbouring numbers that stay in registers.

A strip is one LLVM vector (`lowering.py` says how). Code over strips is compiled to fused multiply-adds of whatever vectors the machine
has; LLVM splits wider strips, so that every width gives the same bits everywhere. Without the jit a strip is a float32 array, and each
function here is that plain Python function: it says what the machine code does.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.machinecode import processor

Floats = NDArray[np.float32]


def _lanes() -> int:
    """Numbers in the widest vector register of the machine that is compiled for."""
    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    features = set(chosen.replace("+", "").split(",")) if chosen else processor().features
    return 16 if "avx512f" in features else 8 if "avx" in features else 4


LANES = _lanes()
MAGNITUDE = 0x7FFFFFFF
"""All bits of a float32 but its sign."""
WIDE = 64 if LANES == 16 else 16
"""Widest strip: four of them, one more of inputs and a weight fill the registers. 32 of 16 lanes; 16 of 8; 32 of 4."""


def zeros(width: int) -> Floats:
    """A strip of zeros; `width` is a constant of the program."""
    return np.zeros(width, dtype=np.float32)


def load(like: Floats, source: Floats, place: int) -> Floats:
    """As many numbers as `like` has, from `place` of a flat array. Nothing checks that they are there."""
    return np.array(source[place : place + like.size])


def load_within(like: Floats, source: Floats, place: int, low: int, high: int) -> Floats:
    """As `load`, but zero before the `low`-th and from the `high`-th number of the strip: those are not read."""
    strip = np.zeros_like(like)
    low, high = max(low, 0), min(high, like.size)
    if low < high:
        strip[low:high] = source[place + low : place + high]
    return strip


def every_second(strip: Floats) -> Floats:
    """Numbers 0, 2, 4, ... of a strip: half as many."""
    return strip[::2].copy()


def store(strip: Floats, target: Floats, place: int) -> None:
    """Write a strip to `place` of a flat array. Nothing checks that there is room."""
    target[place : place + strip.size] = strip


def store_first(strip: Floats, target: Floats, place: int, count: int) -> None:
    """As `store`, but no more than the first `count` numbers."""
    count = min(max(count, 0), strip.size)
    target[place : place + count] = strip[:count]


def larger(left: Floats, right: Floats) -> Floats:
    """The larger number of each pair; the right one where they are equal or one is NaN."""
    return np.where(left > right, left, right)


def fused(weight: np.float32, strip: Floats, sums: Floats) -> Floats:
    """weight * strip + sums, rounded once.

    The product is exact in float64. Its sum with `sums` is rounded to odd, so that the second rounding, to float32, is the only one
    that counts.
    Source:  Boldo and Melquiond, Emulation of FMA and correctly rounded sums, IEEE Trans. Computers 57 (2008)
    """
    product, addend = np.float64(weight) * strip.astype(np.float64), sums.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where((error != 0) & even & np.isfinite(total), np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)


def plus(number: np.float32 | Floats, strip: Floats) -> Floats:
    """A number, or a strip, added to every number of a strip."""
    return np.asarray(number + strip, dtype=np.float32)


def among(strip: Floats, first: int, last: int) -> Floats:
    """The numbers from `first` to `last` of a strip, and 0 in place of the others."""
    lane = np.arange(strip.size)
    return np.where((lane >= first) & (lane < last), strip, np.float32(0))


def peak(strip: Floats) -> np.uint32:
    """The largest magnitude of a strip, as the integer that its bits spell; NaN lies above infinity."""
    return np.uint32((strip.view(np.uint32) & np.uint32(MAGNITUDE)).max())


def count_zeros(strip: Floats) -> int:
    """How many numbers of a strip are 0 or -0."""
    return int(np.count_nonzero((strip.view(np.uint32) & np.uint32(MAGNITUDE)) == 0))


def relu(strip: Floats) -> Floats:
    """0 where x <= 0; NaN stays."""
    return np.where(strip <= 0, np.float32(0), strip)


def leaky(strip: Floats, slope: np.float32) -> Floats:
    """slope * x where x <= 0; NaN stays."""
    return np.where(strip <= 0, slope * strip, strip)


def below(strip: Floats, high: np.float32) -> Floats:
    """`high` where x > high; NaN stays."""
    return np.where(strip > high, high, strip)


def raise_to(array: NDArray[np.uint32], place: int, value: np.uint32) -> None:
    """array[place] = value where that is more, at once, whatever other threads do to it."""
    array[place] = max(array[place], value)


def increase(array: NDArray[np.int64], place: int, value: int) -> None:
    """array[place] += value, at once, whatever other threads do to it."""
    array[place] += value
