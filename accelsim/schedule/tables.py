"""The waist of the program: a replay as integers only.

Whatever a scheme, a dataflow or a layer does is visible here before any engine runs. Engines know tiles, blocks, transfers,
descriptors, bytes and cycles; they know no layer kinds and no schemes.

How an engine reads it:
* A *tile* is one run of the PE array. Tiles run in order. A tile needs up to three *blocks* in the buffer: ifmap, filter, ofmap.
* A *block* is what one buffer slot holds. Within its class (ifmap, filter, ofmap) blocks are filled in order, and block n may be
  filled once block n - slots of that class has been released. An ifmap or filter block is released when its last tile has been
  computed, an ofmap block when its store has completed (or when its last tile has been computed, where nothing is stored).
* A *transfer* is one DMA job, `descriptor_low..descriptor_high` in the descriptor table, on a fixed channel. A channel serves its
  transfers in ascending order of their number. A transfer may wait for another one, for the stores of earlier layers, and for its
  block's slot.
* A *descriptor* is one strided job: `planes` planes of `rows` rows of `row_bytes` contiguous bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

NONE = -1
IFMAP, FILTER, OFMAP, METADATA = 0, 1, 2, 3
"""Tensors. Blocks use the first three; a psum that is spilled and read back is an OFMAP transfer with direction READ."""
TENSOR_NAMES = ("ifmap", "filter", "ofmap", "metadata")
READ, WRITE = 0, 1


@dataclass(frozen=True, eq=False)
class Descriptors:
    """One strided DMA job each.

    Units:   bytes, except `rows` and `planes` (counts). `row_pitch`, `plane_pitch`: distance of the starts.
    """

    address: Int
    row_bytes: Int
    rows: Int
    row_pitch: Int
    planes: Int
    plane_pitch: Int


@dataclass(frozen=True, eq=False)
class Transfers:
    """One DMA job list each, in queue order (each channel serves its own in this order).

    `tensor`, `direction`: codes above. `layer`: index into `Layers`. `channel`: read channels count from 0, write channels from 0.
    `tile`: the first tile that needs a read; the tile whose result is written. `block`: the block it fills or empties, NONE for metadata.
    `wait_transfer`: may start when that transfer has ended, or NONE. `wait_layer`: may start when every store of layers 0..wait_layer
    has ended, or NONE.
    A write may start when its tile has been computed. A read that fills a block may start when the block's slot is free.
    `bytes_wanted`: bytes that the layer needs from it; `bytes_dense`: what the dense scheme would have wanted.
    """

    tensor: Int
    direction: Int
    layer: Int
    channel: Int
    tile: Int
    block: Int
    descriptor_low: Int
    descriptor_high: Int
    wait_transfer: Int
    wait_layer: Int
    bytes_wanted: Int
    bytes_dense: Int


@dataclass(frozen=True, eq=False)
class Codecs:
    """What the decoder or encoder between buffer and DMA engine has to do, one row a transfer, in the order of `Transfers`.

    `cycles`: for which it is busy with the transfer, 0 where there is none, or it keeps up. `latency`: cycles from the first byte that it
    takes to the first that it gives. Every DMA channel has one of its own, which works on one transfer after another.
    A read has ended when the last byte was decoded: decoding begins with the data of its first request. A write is encoded from when it
    may start; its first request waits for the latency, its end for the last encoded byte. An empty transfer passes none.
    """

    cycles: Int
    latency: Int


@dataclass(frozen=True, eq=False)
class Blocks:
    """What buffer slots hold, one row a filling, ordered by class and within a class by first tile.

    `tensor`: IFMAP, FILTER or OFMAP. `order`: number within the class, from 0. `bytes`: occupancy.
    `load`, `store`: transfer numbers or NONE. `first_tile`, `last_tile`: inclusive. `layer`: index into `Layers`.
    """

    tensor: Int
    order: Int
    layer: Int
    bytes: Int
    load: Int
    store: Int
    first_tile: Int
    last_tile: Int


@dataclass(frozen=True, eq=False)
class Tiles:
    """One run of the PE array each, in order.

    `busy_cycles`: cycles in which the array works; `fill_cycles`: pipeline fill and drain of its folds (array cycles both).
    `ifmap_block`, `filter_block`, `ofmap_block`: rows of `Blocks` or NONE. `metadata`: transfer that must have ended, or NONE.
    `macs_done`, `macs_skipped`: multiply-accumulates (0 for pooling and adds).
    """

    layer: Int
    busy_cycles: Int
    fill_cycles: Int
    ifmap_block: Int
    filter_block: Int
    ofmap_block: Int
    metadata: Int
    macs_done: Int
    macs_skipped: Int


@dataclass(frozen=True, eq=False)
class Layers:
    """One row per scheduled node of the trace, in order (nodes that cost nothing by decision are not here, see `Schedule.fused`).

    `node`: index in the trace's graph. `tile_low`, `tile_high`: its tiles. `drain`: 1 if no block of it may be filled before every
    block of earlier layers has been released (a unified buffer is carved anew per layer).
    `macs`: the layer's dense MACs.
    """

    node: Int
    tile_low: Int
    tile_high: Int
    drain: Int
    macs: Int


@dataclass(frozen=True, slots=True)
class Kept:
    """A map that stays in the buffer as a whole, from the first tile of the layer that makes it to the last one of the next layer.

    `layer`, `reader`: indices into `Layers`. Units: bytes; `room`: of the buffer; `read`: that the reader takes from there, once, rather
    than from DRAM; `unwritten`: that nobody else reads, so that they never go to DRAM.
    """

    layer: int
    reader: int
    room: int
    read: int
    unwritten: int


@dataclass(frozen=True, eq=False)
class Schedule:
    """A replay of one trace on one machine under one scheme, as integers.

    `slots`: slots per class (ifmap, filter, ofmap). `names`: layer names, `kinds`: their kinds, in the order of `layers`.
    `fused`: node name -> why it costs nothing of its own (for example 'concat: its producers write into it').
    `notes`: assumptions that every report must repeat. `tilings`: tile sizes and loop order of each layer, for people.
    `kept`: maps that stay in the buffer; the blocks of tiles lie beside them, and nothing loads or stores what they hold.
    `codecs`: what each transfer has to do with a decoder or encoder; None where all of them keep up with the link.
    Several transfers may share the descriptors of one piece.
    """

    scheme: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: Layers
    tiles: Tiles
    blocks: Blocks
    transfers: Transfers
    descriptors: Descriptors
    slots: tuple[int, int, int]
    fused: dict[str, str]
    notes: tuple[str, ...] = ()
    tilings: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    codecs: Codecs | None = None
