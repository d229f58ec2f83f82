"""What the replay loops read and write.

Tables are record arrays of int64 (columns below), one row a thing: few arrays to pass about, and what is used together lies together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.dram.front import Rows

Int = NDArray[np.int64]

NONE = -1
UNKNOWN = -1
NEVER = 1 << 62
BLOCKED = 1 << 61
"""A time that is not yet known, and later than all that are."""
READ, WRITE = 0, 1
UP, DRAM, DOWN = 0, 1, 2
NEXT_TILE, STORED, DRAINED, GRANTS = 0, 1, 2, 3
IFMAP, FILTER, METADATA, OUTPUT, FILL_DRAIN, START, CONFLICT = range(7)

TILE = "layer busy_cycles fill_cycles conflict_cycles ifmap filters ofmap metadata start end"
BLOCK = "layer load store first_tile last_tile before allocated released"
"""`before`: the block that must be released before this one may be filled, or NONE."""
TRANSFER = (
    "direction layer tile block descriptor_low descriptor_high wait_transfer wait_layer start end bytes_moved overhead_bytes bursts "
    "codec_time codec_latency first_end encoded"
)
"""`codec_time`, `codec_latency`: of its decoder or encoder; `first_end`: of its requests, or NEVER; `encoded`: when the last byte was."""
DESCRIPTOR = "address row_bytes rows row_pitch planes plane_pitch"
LAYER = "first_tile drain stores_left blocks_left stored released drained"
"""`stored`, `drained`: final once STORED, DRAINED have passed; `released`: the last release among its own blocks so far."""
CHANNEL = (
    "direction position stop_position present tile transfer descriptor row rows plane planes run_bytes cursor stop fence "
    "grant issued ended request_slot descriptor_slot earliest fresh chained request_end_slot descriptor_end_slot job since codec_free"
)
"""Registers of a DMA channel. Its transfers are `queue[position:stop_position]`. `present`: since when its first request competes.
`cursor`, `stop`, `fence`: what is left of the run, and the next boundary, in accesses. `*_slot`: the oldest entry of a ring of ends.
The others serve where ends are not known at the grant: `earliest`, the part of `present` that is; `fresh`, `chained`: whether the next
request is the first of its descriptor, and that one not the first of its transfer; `*_end_slot`: where the next end goes; `job`: its
descriptor; `since`: its key at the last choice. `codec_free`: when its decoder or encoder has done all before."""
PART = "free busy"
SIZE = "up_time dram_time down_time overhead"
"""What a request of so many accesses costs, [direction, accesses]: ps, and bytes of link overhead both ways."""


class Machine(NamedTuple):
    """Scalars: ps, except `access` (bytes), `read_burst`, `write_burst`, `boundary` (accesses) and `pipelined` (0 or 1)."""

    period: int
    setup: int
    next_descriptor: int
    pipelined: int
    access: int
    read_burst: int
    write_burst: int
    boundary: int
    latency_up: int
    latency_down: int
    dram_latency: int


class State(NamedTuple):
    """All that the loop reads and writes.

    Shapes:  `queue` int64 [transfers], sorted by channel; `request_end`, `descriptor_end` int64 [channels, outstanding]: rings of ends;
             `read_end` int64 [outstanding_reads]: ring over all channels in grant order, empty for no limit; `parts` [UP, DRAM, DOWN];
             `stalls` int64 [tiles, 7]; `counters` int64 [4]
    """

    tiles: Rows
    blocks: Rows
    transfers: Rows
    descriptors: Rows
    layers: Rows
    channels: Rows
    sizes: Rows
    parts: Rows
    queue: Int
    request_end: Int
    descriptor_end: Int
    read_end: Int
    stalls: Int
    counters: Int
