"""What every dataflow answers: the cycles of one tile, in closed form from its live work.

A dataflow is one module of this package, named after it, with one public function
`tile_cycles(work, array) -> Cycles`. Members are found by file name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TileWork:
    """The live work of one tile of a convolution (a fully connected layer is one with a kernel as large as its ifmap).

    Shapes:  `live_channels` int64 [ceil(out_height/rows), ceil(out_width/cols)]: for each rows x cols part of the output tile, the
             number of ifmap channels (of one filter's group) whose window is not wholly skipped; the marker per channel makes all entries equal.
    Units:   `filters`: filters of the tile; `taps`: R * S; `out_height`, `out_width`: elements.
    `groups`: groups that the tile covers; `filters` and `live_channels` then count all groups' filters and, per filter, its group's channels
    (for a depthwise tile: `filters` live filters, live_channels 1).
    """

    filters: int
    taps: int
    out_height: int
    out_width: int
    live_channels: NDArray[np.int64]
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Cycles:
    """Array cycles of one tile: `busy` working, `fill` filling and draining the pipeline."""

    busy: int
    fill: int
