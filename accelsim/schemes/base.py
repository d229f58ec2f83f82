"""What every activation scheme answers, and how a feature map lies in memory under it.

A scheme is one module of this package, named after the scheme, with one public function
`encode(trace, index, machine) -> EncodedMap`. Members are found by file name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Shape
from accelsim.hardware import Accelerator
from accelsim.trace import Trace


@dataclass(frozen=True, eq=False)
class EncodedMap:
    """One feature map cut into fetch units: the part grid of one channel, times channels.

    Shapes:  `unit_bytes` int64 [C, ceil(H/unit_height), ceil(W/unit_width)]: payload bytes of each fetch unit, 0 if it is skipped.
    Units:   `metadata_bytes`: marker bits of the whole map, rounded up to bytes. `unit_height`, `unit_width`: elements.
    A skipped unit is neither written by the producer nor read by a consumer; the buffer supplies zeros.
    """

    unit_height: int
    unit_width: int
    unit_bytes: NDArray[np.int64]
    metadata_bytes: int

    def live_channels(self) -> NDArray[np.bool_]:
        """Channels of which anything is stored. Shape: bool [C]."""
        return np.asarray(self.unit_bytes.any(axis=(1, 2)))

    @property
    def payload_bytes(self) -> int:
        """Bytes of all units that are stored."""
        return int(self.unit_bytes.sum())


class Scheme(Protocol):
    """One scheme; a module with this function."""

    def encode(self, trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
        """How the map of node `index` lies in memory. Raises `TraceError` where the trace lacks what the scheme needs."""
        ...


def unit_sizes(shape: Shape, unit_height: int, unit_width: int, bits: int) -> NDArray[np.int64]:
    """Bytes of each fetch unit of a dense channel, ragged at the bottom and at the right.

    Shapes:  int64 [ceil(H/unit_height), ceil(W/unit_width)]
    Units:   elements of `bits`; each row of a unit is rounded up to bytes
    """
    _, height, width = shape
    rows = np.minimum(unit_height, height - np.arange(0, height, unit_height, dtype=np.int64))
    cols = np.minimum(unit_width, width - np.arange(0, width, unit_width, dtype=np.int64))
    return np.asarray(np.multiply.outer(rows, -(-cols * bits // 8)))


def mark(shape: Shape, unit_height: int, unit_width: int, bits: int, zero: NDArray[np.bool_], metadata_bits: int) -> EncodedMap:
    """A map of which the units marked in `zero` are skipped and all others stored as they are. Shapes: zero as `EncodedMap.unit_bytes`."""
    sizes = unit_sizes(shape, unit_height, unit_width, bits)
    return EncodedMap(unit_height, unit_width, np.where(zero, 0, sizes), -(-metadata_bits // 8))
