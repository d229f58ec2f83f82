"""What every weight scheme answers, and how the weights of a layer lie in memory under it.

A weight scheme is one module of this package, named after the scheme; members are found by file name. It has `Options`, `SAVES`,
`granularity` (what can be loaded by itself), `sizes` (what a block takes) and the code itself, `write` and `read`.

Weights are known before the run, so a compiler cuts them as the tiles will load them: a block of filters x ifmap channels is a piece of its
own, with a head (pointers, flags) and units behind it: a unit for each ifmap channel or column, which can be left out by itself, or one
unit for the whole piece. A piece that its code would not shorten lies as it is, unit by unit. The decoder stands between DMA engine and
buffer, where weights lie dense; it is taken to keep up with the link.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.bits import Bits, Reader, Words
from accelsim.configfile import families

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Values = NDArray[Any]
"""Weights of any number type."""
Granularity = Literal["piece", "channel", "column"]
"""What a unit holds: all of a piece; the slice of one ifmap channel; or one column, all weights of one element of a flat ifmap."""


class Options(families.Options):
    """Base of the options of every weight scheme."""


class StreamOptions(Options):
    """Options of all weight schemes that leave zeros out."""

    codebook_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    """Weights are codes of so many bits, for a table of 2**bits weights of each layer, 0 among them; not given: the weights themselves."""
    fallback: bool = True
    """Whether a layer that would not become smaller lies dense."""


@dataclass(frozen=True, slots=True)
class Saves:
    """What a weight scheme saves.

    `weights`: bytes of weights, stored and loaded. `macs`: multiply-accumulates, and with them `cycles`; `connected`: in fully connected
    layers alone. `energy`: zeros reach the array, which may hold still for them: no cycles, only energy, and that is counted nowhere.
    """

    weights: bool = False
    macs: bool = False
    cycles: bool = False
    energy: bool = False
    connected: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """The weights that one tile loads.

    Shapes:  `values` [g, K, C, T]: groups, filters and ifmap channels of a group, taps; words (uint32), or numbers of any type;
             `alive` bool [g, K]: filters that are not wholly zero, channels outside the block included
    `connected`: of a fully connected layer, whose taps are elements of a flat ifmap.
    """

    values: NDArray[Any]
    alive: Bool
    connected: bool = False

    @property
    def channels(self) -> int:
        """Ifmap channels of all its groups."""
        return int(self.values.shape[0] * self.values.shape[2])

    def columns(self, granularity: Granularity) -> NDArray[Any]:
        """Weights in the order of units, filter by filter within each. Shapes: [units, weights of a unit]."""
        if granularity == "piece":
            return self.values.reshape(1, -1)
        if granularity == "channel":
            return self.values.transpose(0, 2, 1, 3).reshape(self.channels, -1)
        return self.values.transpose(0, 2, 3, 1).reshape(self.channels * self.values.shape[3], -1)


def from_columns(columns: NDArray[Any], shape: tuple[int, int, int, int], granularity: Granularity) -> NDArray[Any]:
    """What `Block.columns` gave, as [g, K, C, T] again."""
    groups, filters, channels, taps = shape
    if granularity == "piece":
        return columns.reshape(shape)
    if granularity == "channel":
        return columns.reshape(groups, channels, filters, taps).transpose(0, 2, 1, 3)
    return columns.reshape(groups, channels, taps, filters).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Sizes:
    """What a block takes. Shapes: `units` int64 [units]. Units: bits; `entries`: weights stored, `fillers` among them.

    The head is loaded with any unit.
    """

    head: int
    units: Int
    entries: int = 0
    fillers: int = 0


@dataclass(frozen=True, eq=False)
class Cut:
    """How tiles cut the weights of a layer. Shapes: int64 [pieces + 1], edges; of filters and channels of one group."""

    groups: Int
    filters: Int
    channels: Int

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Cut:
        """All in one piece. Shapes: [G, K, C, T]."""
        return cls(*(np.array([0, extent], dtype=np.int64) for extent in shape[:3]))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Pieces along groups, filters and channels."""
        return self.groups.size - 1, self.filters.size - 1, self.channels.size - 1

    def blocks(self, values: NDArray[Any], connected: bool) -> Iterator[Block]:
        """The blocks in the order groups, filters, channels. Shapes: values [G, K, C, T]."""
        alive = np.asarray((values != 0).any(axis=(2, 3)))
        groups, filters, channels = (list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)) for edges in self._edges)
        for group in groups:
            for filter_ in filters:
                for channel in channels:
                    g, k, c = slice(*group), slice(*filter_), slice(*channel)
                    yield Block(values[g, k, c], alive[g, k], connected)

    @property
    def _edges(self) -> tuple[Int, Int, Int]:
        return self.groups, self.filters, self.channels


@dataclass(frozen=True, eq=False)
class EncodedWeights:
    """The weights of one layer, cut into pieces.

    Shapes:  `heads` int64 [pieces], pieces in the order groups, filters, channels; `units` int64 [units of all pieces];
             `edges` int64 [pieces + 1], the units of each piece;
             `alive` bool [G, K]: filters that the array works on; None: all;
             `nonzero` bool [K, C * T]: weights of a fully connected layer that the array works on; None: all
    Units:   bytes; `shared`: of the whole layer, loaded once (a codebook); `entries`: weights stored, `fillers` among them.
    """

    cut: Cut
    granularity: Granularity
    heads: Int
    units: Int
    edges: Int
    shared: int = 0
    entries: int = 0
    fillers: int = 0
    alive: Bool | None = None
    nonzero: Bool | None = None

    @property
    def payload_bytes(self) -> int:
        """Bytes of all units."""
        return int(self.units.sum())

    @property
    def metadata_bytes(self) -> int:
        """Bytes of all heads, and of what the layer shares."""
        return int(self.heads.sum()) + self.shared

    @property
    def stored_bytes(self) -> int:
        """Bytes of all."""
        return self.payload_bytes + self.metadata_bytes


class Member(Protocol):
    """One weight scheme; a module with these."""

    SAVES: Saves

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - it is a class
        """Its options."""
        ...

    def granularity(self, connected: bool, options: Any) -> Granularity | None:
        """What a unit holds; None where weights lie dense."""
        ...

    def sizes(self, block: Block, bits: int, options: Any) -> Sizes:
        """What a block takes. `bits` of a weight, or of its code."""
        ...

    def write(self, block: Block, bits: int, options: Any) -> tuple[Bits, list[Bits]]:
        """The head and the units of a block of words."""
        ...

    def read(self, head: Bits, units: list[Bits], shape: tuple[int, int, int, int], bits: int, options: Any, connected: bool) -> Words:
        """The words of a block again. Shapes: [g, K, C, T]."""
        ...


def fields(stream: Bits, count: int, bits: int) -> Words:
    """The first fields of a stream."""
    return Reader(stream).words(count, bits)


def matrix(weight: Values, groups: int, channels: int) -> Values:
    """The weights of a layer as groups x filters x channels x taps.

    Shapes:  conv [G * K, C, R, S], fc [K, C * H * W] or scale [G] -> [G, K, C, T]; `groups` G, `channels` C of one group
    """
    return weight.reshape(groups, weight.shape[0] // groups, channels, -1)
