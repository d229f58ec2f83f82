"""Algorithm 1: which channels, parts and elements are zero, and their overwriting with zeros.

Magnitudes are compared as the integers that their bits spell: for |x| the order is the same, NaN lies above infinity and so is never
within epsilon, -0.0 is 0, and integer maxima may be taken in any order, which lets LLVM vectorise them exactly.
Source:  Liang et al., arXiv 1812.09922, Algorithm 1, read as in schemes.md 2.4 (abs(v) <= epsilon, AND over a part, ragged grid)
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]
Bits = NDArray[np.uint32]
Flags = NDArray[np.bool_]

MAGNITUDE = np.uint32(0x7FFFFFFF)


@kernel
def channel_marks(bits: Bits, maxima: Bits, zeros: NDArray[np.int64]) -> None:
    """Find the largest magnitude and count the zeros of every channel.

    Shapes:  bits uint32 [C, H*W] (a float32 map seen as integers); maxima uint32 [C], magnitude bits; zeros int64 [C]
    Units:   elements
    Raises:  nothing
    """
    for c in range(bits.shape[0]):
        largest = np.uint32(0)
        count = 0
        for i in range(bits.shape[1]):
            value = np.uint32(bits[c, i] & MAGNITUDE)
            largest = max(largest, value)
            count += value == 0
        maxima[c] = largest
        zeros[c] = count


@kernel
def part_maxima(bits: Bits, h: int, w: int, maxima: Bits) -> None:
    """Find the largest magnitude of every h x w part; parts at the right and bottom may be smaller.

    Shapes:  bits uint32 [C, H, W] (a float32 map seen as integers); maxima uint32 [C, ceil(H/h), ceil(W/w)], magnitude bits
    Units:   elements
    Raises:  nothing
    """
    _, H, W = bits.shape
    columns = np.empty(W, dtype=np.uint32)
    for c in range(maxima.shape[0]):
        for part_row in range(maxima.shape[1]):
            columns[:] = 0
            for y in range(part_row * h, min(H, part_row * h + h)):
                for x in range(W):
                    columns[x] = max(columns[x], np.uint32(bits[c, y, x] & MAGNITUDE))
            for part_column in range(maxima.shape[2]):
                largest = np.uint32(0)
                for x in range(part_column * w, min(W, part_column * w + w)):
                    largest = max(largest, columns[x])
                maxima[c, part_row, part_column] = largest


@kernel
def clear_parts(values: Floats, flags: Flags, h: int, w: int) -> None:
    """Overwrite the flagged h x w parts with zeros.

    Shapes:  values float32 [C, H, W]; flags bool [C, ceil(H/h), ceil(W/w)]
    Units:   elements
    Raises:  nothing
    """
    _, H, W = values.shape
    for c in range(flags.shape[0]):
        for part_row in range(flags.shape[1]):
            for part_column in range(flags.shape[2]):
                if flags[c, part_row, part_column]:
                    for y in range(part_row * h, min(H, part_row * h + h)):
                        for x in range(part_column * w, min(W, part_column * w + w)):
                            values[c, y, x] = 0


@kernel
def clear_elements(values: Floats, epsilon: np.float32) -> int:
    """Overwrite every element within epsilon of zero with zero; count them. Shapes: values float32 [N]. NaN stays."""
    count = 0
    for i in range(values.shape[0]):
        small = np.abs(values[i]) <= epsilon
        values[i] = np.float32(0) if small else values[i]
        count += small
    return count
