"""What every dataflow answers: the cycles of one tile, in closed form from its live work.

A dataflow is one module of this package, named after it, with the functions of `Dataflow`. Members are found by file name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import PeArray

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grain:
    """Tile sizes that waste no part of the array: tiles are multiples of these, or as large as the layer.

    Units:   filters and channels of one group; `height`, `width` of the output. The smallest tile has these sizes.
    """

    filters: int = 1
    channels: int = 1
    height: int = 1
    width: int = 1


@dataclass(frozen=True, eq=False)
class TileWork:
    """The live work of one tile of a convolution (a fully connected layer is one with a kernel as large as its ifmap).

    Shapes:  `live_channels` int64 [groups, ceil(out_height/h), ceil(out_width/w)], h and w from `part`: for each group and each part of the
             output tile, the number of that group's ifmap channels whose window is not wholly skipped. A marker per channel makes all
             parts of a group equal. A depthwise tile has one channel a group, so 0 or 1.
    Units:   `filters`: filters of the tile in each group; `taps`: R * S; `out_height`, `out_width`: elements.
    """

    filters: int
    taps: int
    out_height: int
    out_width: int
    live_channels: Int

    @property
    def groups(self) -> int:
        """Groups that the tile covers."""
        return len(self.live_channels)


@dataclass(frozen=True, slots=True)
class Cycles:
    """Array cycles of one tile: `busy` working, `fill` filling and draining the pipeline."""

    busy: int
    fill: int


class Dataflow(Protocol):
    """One dataflow; a module with these functions."""

    def grain(self, array: PeArray, taps: int) -> Grain:
        """Tile sizes that waste no part of the array. Units: `taps` R * S."""
        ...

    def part(self, array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
        """Height and width of the output parts for which an ifmap channel can be skipped, in a tile of that size."""
        ...

    def tile_cycles(self, work: TileWork, array: PeArray) -> Cycles:
        """Cycles of one tile; nothing live takes none."""
        ...

    def dense_cycles(self, groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
        """Busy and fill cycles of dense tiles, element by element over arrays that broadcast: `tile_cycles` with everything live.

        Units:   `filters` and `channels` of one group.
        """
        ...

    def lanes(self, array: PeArray) -> int:
        """Outputs of pooling, adding and the like that the machine works on at once, one kernel tap each a cycle."""
        ...
