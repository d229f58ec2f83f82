"""The `pruned_csr` weight scheme: of each ifmap channel's slice the weights that are not zero, each with its place in the slice.

A piece is a sparse matrix with a row for each ifmap channel: its head holds a pointer to each row and to the end, in bytes; a row holds a
column index of ceil(log2(filters * taps)) bits and a value for each weight that is not zero. Rows begin on a byte, so that those of zero
channels can be left out.
Saves weights. The array gets all weights and may hold still for zeros: energy, no cycles.
"""

from __future__ import annotations

import numpy as np

from accelsim.bits import Bits, Words, to_bits
from accelsim.weights import base
from accelsim.weights._columns import from_pairs, pointer_bits, pointers, to_pairs
from accelsim.weights.base import Block, Granularity, Saves, Sizes, from_columns

SAVES = Saves(weights=True, energy=True)


class Options(base.StreamOptions):
    """Those of every scheme that leaves zeros out."""


def granularity(connected: bool, options: Options) -> Granularity | None:
    """A row for each ifmap channel."""
    return "channel"


def sizes(block: Block, bits: int, options: Options) -> Sizes:
    """Pointers, and an index and a value for each weight that is not zero."""
    rows = block.columns("channel")
    nonzeros = np.count_nonzero(rows, axis=1).astype(np.int64)
    pair = bits + _index_bits(rows.shape[1])
    return Sizes((len(rows) + 1) * pointer_bits(rows, pair), nonzeros * pair, int(nonzeros.sum()))


def write(block: Block, bits: int, options: Options) -> tuple[Bits, list[Bits]]:
    """Pointers; then row by row pairs of index and value."""
    rows = block.columns("channel")
    index = _index_bits(rows.shape[1])
    units = [to_pairs(np.flatnonzero(row), index, row[row != 0], bits) for row in rows]
    return to_bits(pointers(units), pointer_bits(rows, bits + index)), units


def read(head: Bits, units: list[Bits], shape: tuple[int, int, int, int], bits: int, options: Options, connected: bool) -> Words:
    """Values at their indices."""
    size = shape[1] * shape[3]
    rows = np.zeros((shape[0] * shape[2], size), dtype=np.uint32)
    for row, unit in zip(rows, units, strict=True):
        index, value = from_pairs(unit, _index_bits(size), bits)
        row[index[value != 0]] = value[value != 0]
    return from_columns(rows, shape, "channel")


def _index_bits(columns: int) -> int:
    return (columns - 1).bit_length()
