"""Channels, parts and elements by themselves: marks before a map is pruned, flags from packed masks, and overwriting with zeros."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]
Bits = NDArray[np.uint32]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

MAGNITUDE = np.uint32(0x7FFFFFFF)


@kernel
def channel_marks(bits: Bits, epsilon: np.float32, maxima: Floats, zeros: NDArray[np.int64], marked: Flags) -> np.uint32:
    """Find the largest magnitude of every channel, count its zeros, mark it if it is within epsilon of zero; give the largest of all.

    Shapes:  bits uint32 [C, H*W] (a float32 map seen as integers); maxima float32 [C], zeros int64 [C], marked bool [C] are written
    Units:   elements; the result is magnitude bits. Of a channel that holds a NaN, the maximum is NaN
    Raises:  nothing
    """
    most = np.uint32(0)
    largest_bits = maxima.view(np.uint32)
    for c in range(bits.shape[0]):
        largest = np.uint32(0)
        count = np.uint32(0)
        for i in range(bits.shape[1]):
            value = np.uint32(bits[c, i] & MAGNITUDE)
            largest = max(largest, value)
            count += np.uint32(value == 0)
        most = max(most, largest)
        largest_bits[c] = largest
        zeros[c] = count
        marked[c] = maxima[c] <= epsilon
    return most


@kernel
def live_channels(mask: Bytes, size: int, live: Flags) -> None:
    """Find the channels that hold an element that is not zero, from a packed mask.

    Shapes:  mask uint8 [ceil(C*size/8)], a bit an element, the first in the highest bit; live bool [C]
    Units:   `size` elements of a channel, at least 1
    Raises:  nothing
    """
    for c in range(live.shape[0]):
        first, last = c * size, (c + 1) * size - 1
        low, high = first // 8, last // 8
        head, tail = 0xFF >> (first % 8), 0xFF << (7 - last % 8) & 0xFF
        if low == high:
            live[c] = mask[low] & head & tail != 0
            continue
        found = (mask[low] & head) | (mask[high] & tail)
        for i in range(low + 1, high):
            found |= mask[i]
        live[c] = found != 0


@kernel
def live_parts(nonzero: Bytes, h: int, w: int, live: Bytes) -> None:
    """Find the h x w parts that hold an element that is not zero; parts at the right and bottom may be smaller.

    Shapes:  nonzero uint8 [C, H, W] of 0 and 1 (as bytes LLVM vectorises them); live uint8 [C, ceil(H/h), ceil(W/w)], likewise
    Units:   elements
    Raises:  nothing
    """
    _, H, W = nonzero.shape
    columns = np.empty(W, dtype=np.uint8)
    for c in range(live.shape[0]):
        for part_row in range(live.shape[1]):
            rows = nonzero[c, part_row * h : min(H, part_row * h + h)]
            columns[:] = 0
            for y in range(rows.shape[0]):
                row = rows[y]
                for x in range(W):
                    columns[x] |= row[x]
            for part_column in range(live.shape[2]):
                found = np.uint8(0)
                for x in range(part_column * w, min(W, part_column * w + w)):
                    found |= columns[x]
                live[c, part_row, part_column] = found


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
