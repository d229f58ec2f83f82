"""What an engine found out: when everything happened, as integers.

Times are picoseconds from the start of the replay; array events lie on edges of the accelerator clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

CAUSES = ("ifmap", "filter", "metadata", "output", "fill_drain", "start", "conflict")
"""Why the array does not work, in the order of the stall columns. A gap belongs to the condition that was fulfilled last; ties go to the
first in this order. `start` is the part of a layer's first gap before its producers had stored their maps (and the buffer had drained).
`fill_drain` and `conflict` (the DMA engine was at the bank of the buffer that the array wanted) lie inside the tile."""

DRAM_COUNTS = ("reads", "writes", "activates", "refreshes", "hits", "misses", "conflicts", "last_data")
"""What a DRAM channel counts: accesses; commands; accesses that found their row open, their bank closed, another row open; and when its
last data passed the bus, ps. Writes are posted: the last ones reach the banks after the end of the replay."""


def no_channels() -> Int:
    """The counts of a flat DRAM."""
    return np.zeros((0, len(DRAM_COUNTS)), np.int64)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The whole replay.

    Shapes:  tile_start, tile_end int64 [tiles] ps; stall_cycles int64 [tiles, 7] accelerator cycles by cause in the gap before the
             tile (`fill_drain` and `conflict` inside it);
             transfer_start, transfer_end int64 [transfers] ps (first request granted, last byte arrived; an empty transfer has both at
             the time it could have started); bytes_moved, overhead_bytes, bursts int64 [transfers];
             layer_stored int64 [layers] ps: when the stores of this and all earlier layers had ended;
             peak_bytes int64 [3]: most bytes held at once by ifmap, filter and ofmap blocks;
             dram_counts int64 [DRAM channels, 8]: `DRAM_COUNTS`; no rows for a flat DRAM.
    Units:   `end` ps: last event of the replay. `drain_cycles`: accelerator cycles from the last tile's end to the last store's end,
             counted as `output` stalls of the last layer. `port_busy`, `link_down_busy`, `link_up_busy`, `dram_busy` ps.
    """

    tile_start: Int
    tile_end: Int
    stall_cycles: Int
    transfer_start: Int
    transfer_end: Int
    bytes_moved: Int
    overhead_bytes: Int
    bursts: Int
    layer_stored: Int
    peak_bytes: Int
    end: int
    drain_cycles: int
    port_busy: int
    link_down_busy: int
    link_up_busy: int
    dram_busy: int
    dram_counts: Int = field(default_factory=no_channels)

    def differences(self, other: Timeline) -> list[str]:
        """Names of the fields in which two timelines differ; empty when they are the same timeline."""
        return [
            column.name
            for column in fields(self)
            if not np.array_equal(np.asarray(getattr(self, column.name)), np.asarray(getattr(other, column.name)))
        ]
