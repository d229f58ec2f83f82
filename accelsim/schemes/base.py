"""What every activation scheme answers, and how a feature map lies in memory under it.

A scheme is one module of this package, named after the scheme, with one public function
`encode(trace, index, machine) -> EncodedMap`. Members are found by file name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        live: NDArray[np.bool_] = self.unit_bytes.any(axis=(1, 2))
        return live
