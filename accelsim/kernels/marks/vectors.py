"""What marks ask of strips of numbers (`kernels.windows.vectors`): magnitudes, the highest bits, and which are not zero.

Without the jit each function here is that plain Python function: it says what the machine code (`lowering.py`) does. All of it works on
bits, so no mode of the processor (flushed denormals) and no NaN changes a result.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels.windows.vectors import Floats

MAGNITUDE = 0x7FFFFFFF
"""All bits of a float32 but its sign."""


def magnitude(strip: Floats) -> Floats:
    """|x|, of NaN too."""
    return (strip.view(np.uint32) & np.uint32(MAGNITUDE)).view(np.float32)


def higher(left: Floats, right: Floats) -> Floats:
    """Of each pair of magnitudes the larger one; NaN lies above infinity."""
    return np.maximum(left.view(np.uint32), right.view(np.uint32)).view(np.float32)


def higher_of_pairs(strip: Floats) -> Floats:
    """`higher` of magnitudes 0 and 1, of 2 and 3, ...: half as many."""
    return higher(strip[::2], strip[1::2])


def nonzero(strip: Floats) -> np.uint64:
    """Which of 64 numbers are not zero, packed as `numpy.packbits` does, and its 8 bytes read as a little-endian integer."""
    return np.uint64(np.packbits(magnitude(strip) != 0).view("<u8")[0])


def ones(word: np.uint64) -> int:
    """Bits that are set."""
    return int(np.bitwise_count(word))
