"""What every activation scheme answers, and how a feature map lies in memory under it.

A scheme is one module of this package, named after the scheme; members are found by file name. It has `Options` (a frozen model, every
option with a default), `NEEDS` (what of the data it must know), `SAVES` (what it saves) and `encode(fmap, machine, options) ->
EncodedMap`. It may have more: `CODEC`, a text about the speed of published encoders and decoders; `sizes`, `write` and `read`, its code
(`_values.Codec`); `prepare(trace, index, options) -> FeatureMap`, the map that is stored where that is not the trace's own; and where
options may change values, `seen(node, values, options) -> values`, what consumers then read.

A map is cut into fetch units. A unit that lies at its place in the raster is read in part where a tile needs a part; a unit that lies in
a slot, or packed, is written and read whole: its encoder and decoder stand between buffer and DMA engine, take a unit when its last
element is there, and drop what the tile does not need. `EncodedMap.rate` and `latency` tell engines how fast they are. The memory in
which the encoder collects a unit is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.configfile import families
from accelsim.graph import Shape
from accelsim.hardware import Accelerator
from accelsim.trace import FeatureMap

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Needs = Literal["counts", "masks", "values"]
Layout = Literal["raster", "slots", "packed"]
Size = Annotated[int, Field(ge=1, le=2**20)]


class Options(families.Options):
    """Base of the options of every scheme."""

    @property
    def lossy(self) -> bool:
        """Whether a map that was stored may come back with other values."""
        return False


@dataclass(frozen=True, slots=True)
class Saves:
    """What a scheme saves; the schedule skips exactly this.

    `reads`, `writes`: bytes of ifmaps and ofmaps. `weights`: slices of channels that a tile does not need. `macs`: multiply-accumulates,
    and with them `cycles`. `energy`: zeros are known to the array, which may hold still for them: no cycles, only energy, and that is
    counted nowhere. `needs_training`: the zeros are fixed before the run; taken from a trace they are those of an oracle.
    """

    reads: bool = False
    writes: bool = False
    weights: bool = False
    macs: bool = False
    cycles: bool = False
    energy: bool = False
    needs_training: bool = False


EVERYTHING = Saves(reads=True, writes=True, weights=True, macs=True, cycles=True)
TRAFFIC = Saves(reads=True, writes=True)
COMPRESSION = Saves(reads=True, writes=True, energy=True)


@dataclass(frozen=True, eq=False)
class EncodedMap:
    """One feature map cut into fetch units: a grid of rows and columns, times channels.

    Shapes:  `unit_bytes` int64 [ceil(C/unit_channels), ceil(H/unit_height), ceil(W/unit_width)]: bytes stored of each fetch unit, 0 if
             it is skipped; codes that lie among the values (masks, runs, indices) are part of it.
             `offsets` int64, as `unit_bytes`: where each unit lies, bytes from the start of the map; None: at its place in the raster.
             `computed` bool [H, W]: positions that the layer which makes the map must compute, all channels alike; None: all.
             `constant` bool [C]: channels of one value, told with the metadata: their units are skipped, their work is not; None: none.
    Units:   `metadata_bits`: flags, sizes and pointers of the whole map, which lie apart. `unit_height`, `unit_width`: elements.
             `extent`: bytes of the region, where units do not lie in the raster. `saves`: what a consumer skips with a skipped unit.
             `rate`: bytes before encoding that encoder and decoder take in a cycle, 0 if they keep up with the link; `latency`: cycles
             from the first byte of a unit to the first one that leaves.
    A skipped unit is neither written by the producer nor read by a consumer; the buffer supplies zeros, or the constant.
    """

    unit_height: int
    unit_width: int
    unit_bytes: Int
    metadata_bits: int
    unit_channels: int = 1
    saves: Saves = EVERYTHING
    offsets: Int | None = None
    extent: int = 0
    computed: Bool | None = None
    constant: Bool | None = None
    rate: int = 0
    latency: int = 0

    @cached_property
    def worked(self) -> Bool:
        """Units whose elements need work: all that are stored, and those of constant channels. Shape as `unit_bytes`."""
        stored = self.unit_bytes > 0
        return stored if self.constant is None else stored | self.constant[:, None, None]

    @property
    def payload_bytes(self) -> int:
        """Bytes of all units that are stored."""
        return int(self.unit_bytes.sum())

    @property
    def metadata_bytes(self) -> int:
        """Metadata, rounded up to bytes."""
        return -(-self.metadata_bits // 8)


class Member(Protocol):
    """One scheme; a module with these."""

    NEEDS: Needs
    SAVES: Saves

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - it is a class
        """Its options."""
        ...

    def encode(self, fmap: FeatureMap, machine: Accelerator, options: Any) -> EncodedMap:
        """How a map lies in memory."""
        ...


def unit_sizes(shape: Shape, unit_height: int, unit_width: int, bits: int) -> Int:
    """Bytes of each fetch unit of a dense channel, ragged at the bottom and at the right.

    Shapes:  int64 [ceil(H/unit_height), ceil(W/unit_width)]
    Units:   elements of `bits`; each row of a unit is rounded up to bytes
    """
    _, height, width = shape
    rows = np.minimum(unit_height, height - np.arange(0, height, unit_height, dtype=np.int64))
    cols = np.minimum(unit_width, width - np.arange(0, width, unit_width, dtype=np.int64))
    return np.asarray(np.multiply.outer(rows, -(-cols * bits // 8)))


def mark(
    fmap: FeatureMap,
    machine: Accelerator,
    unit: tuple[int, int],
    zero: Bool,
    metadata_bits: int,
    saves: Saves,
    layout: Layout = "raster",
    computed: Bool | None = None,
    fallback: bool = False,
) -> EncodedMap:
    """A map of which the units marked in `zero` are skipped and all others stored as they are.

    `fallback`: a map that flags would not make smaller lies as under `dense`; a bit of the map tells.

    Shapes:  `zero` as `EncodedMap.unit_bytes`, or with an axis of length 1 where all its units are alike
    Units:   `unit`: height and width, elements
    Layouts: `raster`: every element at its place. `slots`: every unit, skipped or not, has room for itself from an access on.
             `packed`: live units one after the other; flags of units of known size say where each lies, so no pointers are needed.
    """
    sizes = unit_sizes(fmap.shape, *unit, machine.data.ifmap_bits)
    dense = np.broadcast_to(sizes, (fmap.shape[0], *sizes.shape))
    stored = np.where(zero, 0, dense)
    if fallback and int(stored.sum()) + -(-(metadata_bits + 1) // 8) >= int(dense.sum()):
        return as_it_is(fmap, machine, saves, 1)
    offsets, extent = place(stored, sizes, machine.dma.access, layout)
    return EncodedMap(
        unit_height=unit[0],
        unit_width=unit[1],
        unit_bytes=stored,
        metadata_bits=metadata_bits + fallback,
        saves=saves,
        offsets=offsets,
        extent=extent,
        computed=computed,
    )


def as_it_is(fmap: FeatureMap, machine: Accelerator, saves: Saves, metadata_bits: int) -> EncodedMap:
    """A map of which everything is stored, in the raster."""
    channels, height, width = fmap.shape
    sizes = unit_sizes(fmap.shape, height, width, machine.data.ifmap_bits)
    return EncodedMap(height, width, np.broadcast_to(sizes, (channels, 1, 1)), metadata_bits, saves=saves)


def place(stored: Int, dense: Int, access: int, layout: Layout) -> tuple[Int | None, int]:
    """Where units lie, and the bytes that they take together. Units: bytes; `dense`: of each unit, as it is without the scheme."""
    if layout == "raster":
        return None, 0
    if layout == "packed":
        ends = stored.cumsum().reshape(stored.shape)
        return ends - stored, int(ends.flat[-1])
    pitch = -(-int(dense.max()) // access) * access
    return np.arange(stored.size, dtype=np.int64).reshape(stored.shape) * pitch, stored.size * pitch
