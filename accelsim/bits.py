"""Streams of bits: fields of any width, highest bit first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Words = NDArray[np.uint32]


def to_bits(fields: NDArray[np.unsignedinteger] | NDArray[np.int64], width: int) -> Bits:
    """Fields of `width` bits, one after the other. Shapes: [n] -> bool [n * width]. Raises `ValueError` for a field that is too large."""
    wide = np.ascontiguousarray(fields, dtype=">u4")
    if wide.size and int(wide.max()) >> width:
        raise ValueError(f"{int(wide.max())} does not fit into {width} bits")
    every = np.unpackbits(wide.view(np.uint8)).reshape(-1, 32)
    return every[:, 32 - width :].astype(np.bool_).ravel()


class Reader:
    """Takes fields from a stream of bits, from its start on."""

    def __init__(self, stream: Bits) -> None:
        self._stream = stream
        self._at = 0

    def flags(self, count: int) -> Bits:
        """The next bits."""
        self._at += count
        return self._stream[self._at - count : self._at]

    def words(self, count: int, width: int) -> Words:
        """The next fields of `width` bits."""
        every = np.zeros((count, 32), dtype=np.uint8)
        every[:, 32 - width :] = self.flags(count * width).reshape(count, width)
        return np.packbits(every).view(">u4").astype(np.uint32)

    def rest(self) -> Bits:
        """All that is left."""
        return self.flags(self._stream.size - self._at)
