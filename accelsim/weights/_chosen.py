"""A weight scheme with its options, as replays use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.configfile import families
from accelsim.errors import ModelError, RefusalError, choices, quoted
from accelsim.weights.base import Block, Cut, EncodedWeights, Granularity, Member, Options, Saves, Sizes, StreamOptions


@dataclass(frozen=True)
class WeightScheme:
    """A member with options."""

    name: str
    options: Options

    @property
    def label(self) -> str:
        """What reports call it and `load` reads: the name, and the options that differ from their defaults."""
        return families.label(self.name, self.options)

    @property
    def saves(self) -> Saves:
        """What it saves."""
        return member(self.name).SAVES

    def notes(self, found: Sequence[EncodedWeights | None]) -> tuple[str, ...]:
        """Assumptions that every report must repeat; `found`: what `encode` gave for each layer."""
        if not self.needs_weights:
            return ()
        dense, notes = sum(each is None for each in found), []
        if dense:
            notes.append(f"the weights of {dense} of {len(found)} layers lie dense, their code would not be smaller")
        if any(each is not None and each.nonzero is not None for each in found):
            notes.append("elements of the array are taken to share the weights of fully connected layers equally: an upper bound")
        return tuple(f"{self.label}: {note}" for note in notes)

    @property
    def needs_weights(self) -> bool:
        """Whether it must know which weights are zero."""
        return self.name != "dense"

    def encode(self, values: NDArray[Any], bits: int, *, cut: Cut | None = None, connected: bool = False) -> EncodedWeights | None:
        """How the weights of a layer lie in memory; None where they lie dense.

        Shapes:  values [G, K, C, T], as `base.matrix` makes them; `cut`: the pieces, all in one if not given
        Units:   `bits` of a weight
        Raises:  `ModelError` where a codebook is too small
        """
        granularity = self.granularity(connected)
        if granularity is None:
            return None
        cut, options, nonzero = cut or Cut.whole(values.shape), cast(StreamOptions, self.options), np.asarray(values != 0)
        heads, units, edges, entries, fillers = [], [], [0], 0, 0
        for block in cut.blocks(values, connected):
            size = self.sizes(block, bits)
            coded, dense = -(-size.units // 8), -(-block.columns(granularity).shape[1] * bits // 8)
            raw = is_raw(-(-size.head // 8) + int(coded.sum()), dense * coded.size)
            heads.append(0 if raw else -(-size.head // 8))
            units.append(np.full(coded.size, dense, dtype=np.int64) if raw else coded)
            edges.append(edges[-1] + coded.size)
            entries += block.values.size if raw else size.entries
            fillers += 0 if raw else size.fillers
        shared = 0 if options.codebook_bits is None else -(-(bits << options.codebook_bits) // 8)
        found = EncodedWeights(
            cut=cut,
            granularity=granularity,
            heads=np.array(heads, dtype=np.int64),
            units=np.concatenate(units),
            edges=np.array(edges, dtype=np.int64),
            shared=shared,
            entries=entries,
            fillers=fillers,
            alive=np.asarray(nonzero.any(axis=(2, 3))) if self.saves.macs and not self.saves.connected else None,
            nonzero=nonzero[0].reshape(values.shape[1], -1) if self.saves.connected and connected else None,
        )
        return None if options.fallback and found.stored_bytes >= -(-values.size * bits // 8) else found

    def granularity(self, connected: bool) -> Granularity | None:
        """What can be left out by itself; None where weights lie dense."""
        return member(self.name).granularity(connected, self.options)

    def sizes(self, block: Block, bits: int) -> Sizes:
        """What the code of a block takes, whether or not it is smaller. Raises `ModelError` where a codebook is too small."""
        book = self.options.codebook_bits if isinstance(self.options, StreamOptions) else None
        if book is not None:
            codebook(block.values, book)
        return member(self.name).sizes(block, book or bits, self.options)


def is_raw(code: int, dense: int) -> bool:
    """Whether a piece lies as it is, as one does that its code would not shorten; its descriptors know. Units: bytes."""
    return code >= dense


def codebook(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """The weights that codes of so many bits stand for, 0 first. Raises `ModelError` where there are more."""
    table = np.unique(values)
    table = np.concatenate([np.zeros(1, dtype=values.dtype), table[table != 0]])
    if table.size > 2**bits:
        raise ModelError(
            f"{table.size:,} different weights in a layer, and a codebook of {bits} bits holds {2**bits:,}\n"
            f"    quantise the weights, or widen codebook_bits to {(table.size - 1).bit_length()}"
        )
    return table


@cache
def member(name: str) -> Member:
    """The module of a weight scheme."""
    return cast(Member, import_module(f"accelsim.weights.{name}"))


def read(text: str) -> WeightScheme:
    """A weight scheme from its text. Raises `RefusalError` for one that has no module here, and for options that it does not have."""
    name, known = text.partition(":")[0], families.members("weights")
    if name not in known:
        raise RefusalError(f"{quoted(name)} is not a known weight scheme", choices(known, name))
    return WeightScheme(name, families.options_of(text, member(name).Options))
