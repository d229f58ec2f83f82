"""Schemes that compress: a map becomes streams, one a fetch unit, each coded and read by itself.

A unit is a stretch of the map in raster order: as many whole rows of a channel, or as many whole channels, as fit into `unit` bytes, so
that a tile can fetch rows without the rest. A unit that compression would not shorten (in slots: by a whole access) is stored as it is;
its size says so. A map that would not become smaller as a whole lies in the raster as under `dense`, one bit for the map tells; the
choice is made as if known before the first unit is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.bits import Words
from accelsim.graph import Shape
from accelsim.hardware import Accelerator
from accelsim.schemes.base import COMPRESSION, Bool, EncodedMap, Int, Options, Size, as_it_is, place
from accelsim.trace import FeatureMap

POINTER_BITS = 32
"""Of each unit of packed streams, whose sizes nobody knows otherwise."""


class StreamOptions(Options):
    """Options that all compressing schemes have."""

    unit: Size = 1024
    """Bytes of a fetch unit before compression: as many whole rows of a channel, or whole channels, as fit; at least a row."""
    layout: Literal["slots", "packed"] = "slots"
    """Each unit in a slot with room for its dense bytes, sizes kept apart (bandwidth is saved, not room); or packed, with pointers."""
    fallback: bool = True
    """Whether a map that would not become smaller is stored as it is, for one bit."""
    rate: Annotated[int, Field(ge=0, le=2**20)] = 0
    """Bytes of a map that encoder and decoder take in a cycle of the machine; 0: they keep up with the link."""
    latency: Annotated[int, Field(ge=0, le=2**20)] = 0
    """Cycles from the first byte of a unit that enters the encoder or decoder to the first one that leaves."""


@dataclass(frozen=True, eq=False)
class Units:
    """A map cut into stretches of whole rows.

    Shapes:  `nonzero` bool [N], raster order; `edges` int64 [U + 1]: stretches edges[u]..edges[u + 1]; `words` uint32 [N], the data as
             the machine stores it, where it is known
    Units:   `width`: elements of a row
    """

    nonzero: Bool
    edges: Int
    width: int
    words: Words | None = None

    @cached_property
    def elements(self) -> Int:
        """Elements of each unit."""
        return np.diff(self.edges)

    @cached_property
    def nonzeros(self) -> Int:
        """Non-zero elements of each unit."""
        return np.diff(np.concatenate(([0], self.nonzero.cumsum(dtype=np.int64)))[self.edges])

    @classmethod
    def cut(cls, nonzero: Bool, bits: int, unit: int) -> tuple[Units, int, int]:
        """Cut a map. Shapes: bool [C, H, W]. Units: `bits` of an element, `unit` in bytes. Returns channels and rows of a unit too."""
        channels, rows = unit_extent(nonzero.shape, bits, unit)
        depth, height, width = nonzero.shape
        starts = np.add.outer(np.arange(0, depth, channels) * (height * width), np.arange(0, height, rows) * width).ravel()
        return cls(nonzero.ravel(), np.append(starts, nonzero.size), width), channels, rows


@dataclass(frozen=True, eq=False)
class Sizes:
    """What the streams of units take. Shapes: int64 [U]. Units: bits; `values` of elements, `codes` of all that tells where they belong."""

    values: Int
    codes: Int


def unit_extent(shape: Shape | tuple[int, ...], bits: int, unit: int) -> tuple[int, int]:
    """Channels and rows of a fetch unit of `unit` bytes."""
    channels, height, width = shape
    row = -(-width * bits // 8)
    if height * row <= unit:
        return min(channels, unit // (height * row)), height
    return 1, max(1, unit // row)


def machine_words(values: NDArray[Any], bits: int) -> Words:
    """A map as a machine of elements of `bits` stores it; zeros are words of zero, -0.0 among them, and no other element is.

    Types of so many bits are taken bit by bit, narrower whole numbers are widened. Other numbers become fixed point: symmetric, the largest
    magnitude of the map at the end of the range, rounded to nearest; what would round to zero is one step from it.
    Shapes:  any number type, any shape -> uint32, same shape
    """
    if values.dtype.itemsize * 8 == bits:
        return np.where(values == 0, 0, np.ascontiguousarray(values).view(f"u{bits // 8}")).astype(np.uint32)
    mask, most = (1 << bits) - 1, (1 << (bits - 1)) - 1
    if values.dtype.kind in "iu" and values.dtype.itemsize * 8 < bits:
        return (values.astype(np.int64) & mask).astype(np.uint32)
    exact = values.astype(np.float64)
    largest = float(np.abs(exact).max(initial=0.0))
    steps = np.rint(exact * (most / largest)) if largest else exact
    steps = np.where((steps == 0) & (exact != 0), np.sign(exact), steps)
    return (steps.astype(np.int64) & mask).astype(np.uint32)


def compress(
    fmap: FeatureMap, machine: Accelerator, options: StreamOptions, sizes: Callable[[Units, int, Any], Sizes], values: bool = False
) -> EncodedMap:
    """A map as streams whose sizes follow from its mask, and with `values` from its values too."""
    bits, access = machine.data.ifmap_bits, machine.dma.access
    units, channels, rows = Units.cut(fmap.nonzero(), bits, options.unit)
    if values and fmap.values is not None:
        units = replace(units, words=machine_words(fmap.values, bits).ravel())
    found = sizes(units, bits, options)
    stored, metadata = settle(-(-units.elements * bits // 8), -(-(found.values + found.codes) // 8), access, options)
    if stored is None:
        return as_it_is(fmap, machine, COMPRESSION, metadata)
    grid = stored.reshape(-(-fmap.shape[0] // channels), -(-fmap.shape[1] // rows), 1)
    offsets, extent = place(grid, -(-units.elements * bits // 8), access, options.layout)
    return EncodedMap(
        rows, fmap.shape[2], grid, metadata, channels, COMPRESSION, offsets, extent, rate=options.rate, latency=options.latency
    )


def settle(dense: Int, streams: Int, access: int, options: StreamOptions) -> tuple[Int | None, int]:
    """Which units and maps stay as they are.

    Shapes:  `dense`, `streams` int64 [U], bytes of each unit without and with the code
    Returns: bytes stored of each unit, None where the whole map lies in the raster; and bits of metadata.
    """
    flag = int(options.fallback)
    if options.layout == "packed":
        stored, moved, metadata = np.minimum(streams, dense), np.minimum(streams, dense), POINTER_BITS * dense.size
    else:
        wide = -(-streams // access) >= -(-dense // access)
        stored = np.where(wide, dense, streams)
        moved = -(-stored // access) * access
        metadata = (-(-int(dense.max()) // access)).bit_length() * dense.size
    metadata += flag
    if options.fallback and int(moved.sum()) + -(-metadata // 8) >= int(dense.sum()):
        return None, flag
    return stored, metadata
