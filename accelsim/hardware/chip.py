"""What lies on the chip beside the DMA engine: PE array, buffer, marker memory; and how tensors are stored."""

from __future__ import annotations

from typing import Annotated, Literal

from accelsim.configfile.families import Member, OneOf
from accelsim.hardware.part import Count, Part
from accelsim.hardware.tilings import Slots
from accelsim.units import Bytes

_WHOLE = "elements lie in memory as whole bytes"
_NIBBLES = "an element is whole halves of a byte"
_WIDTHS = tuple(range(4, 33, 4))


class PeArray(Part):
    """The grid of processing elements: the h x w of Algorithm 1."""

    rows: Count
    """Rows of processing elements; the height h of a part."""
    cols: Count
    """Columns of processing elements; the width w of a part."""
    dataflow: Annotated[str, Member("dataflows")] = "spatial"
    """Which loops the array unrolls and what stays in it."""


class Data(Part):
    """Bits of an element of each tensor. Partial sums that leave the array have `psum_bits`.

    In DRAM, elements of a row (weights of a slice) lie side by side, two of 4 bits in a byte; the buffer gives each whole bytes. Where two
    tiles share a byte, both read it, and both write it: that a memory would have to merge is not counted.
    """

    ifmap_bits: Annotated[int, OneOf(_WIDTHS, _NIBBLES)] = 16
    """Bits of an element of a feature map."""
    filter_bits: Annotated[int, OneOf(_WIDTHS, _NIBBLES)] = 16
    """Bits of a weight."""
    psum_bits: Annotated[int, OneOf((16, 32, 64), _WHOLE)] = 32
    """Bits of a partial sum where it leaves the array before it is complete."""

    @property
    def ifmap_room(self) -> int:
        """Bits that an element of a map takes in the buffer: whole bytes."""
        return -(-self.ifmap_bits // 8) * 8

    @property
    def filter_room(self) -> int:
        """Bits that a weight takes in the buffer: whole bytes."""
        return -(-self.filter_bits // 8) * 8


class Banking(Part):
    """Banks and ports of a buffer memory, where the DMA engine and the array may meet and hold each other up."""

    banks: Count
    """Banks of each memory; neighbouring words lie in neighbouring banks."""
    ports: Count = 1
    """Accesses of each bank in a cycle."""
    width: Bytes = 16
    """Bytes of an access: the word of a bank."""
    mapping: Literal["interleaved", "slots"] = "interleaved"
    """`interleaved`: all slots over all banks; `slots`: each slot in banks of its own, so that filling never meets working."""


class UnifiedBuffer(Part):
    """One memory, carved anew for each layer: slots x (ifmap + filter + ofmap tile) must fit."""

    organisation: Literal["unified"]
    """One memory for all tensors."""
    size: Bytes
    """Capacity."""
    slots: Count | Slots = 2
    """Tiles of each tensor that it holds: 1 = no overlap, 2 = double buffering; one number, or one each for ifmap, filter, ofmap."""
    keep_on_chip: bool = False
    """Leave a layer's output in the buffer for the next layer, whole, beside the tiles of both, wherever that saves DRAM traffic."""
    banking: Banking | None = None
    """Its banks and ports; without them the DMA engine and the array never meet."""


class SplitBuffer(Part):
    """Three memories; each holds `slots` tiles of its tensor."""

    organisation: Literal["split"]
    """One memory for each tensor."""
    ifmap: Bytes
    """Capacity for input feature maps."""
    filter: Bytes
    """Capacity for weights."""
    ofmap: Bytes
    """Capacity for output feature maps and partial sums."""
    slots: Count | Slots = 2
    """Tiles that each memory holds: 1 = no overlap, 2 = double buffering; one number, or one each for ifmap, filter, ofmap."""
    banking: Banking | None = None
    """Banks and ports of each memory; without them the DMA engine and the array never meet."""


class MarkerMemory(Part):
    """On-chip memory for marker bits; what does not fit is metadata traffic."""

    size: Bytes = 4096
    """Capacity."""


class Layout(Part):
    """How tensors lie in DRAM."""

    fmap: Literal["chw"] = "chw"
    """Feature maps: channel by channel."""
    filter: Literal["kcrs", "ckrs"] = "ckrs"
    """Weights: output-major `kcrs`, or channel-major `ckrs`, where the weights of a zero channel lie together."""
