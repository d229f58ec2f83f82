"""The `csr` scheme: the values of each row that are not zero, the column of each, and for each row where it begins.

A unit of several rows is one matrix: a column takes ceil(log2 W) bits, each of its rows + 1 pointers ceil(log2(elements + 1)).
Saves reads and writes. Machines that walk the rows save cycles too; ours does not, so the array gets all values and may hold still for
zeros: energy, no cycles.
"""

from __future__ import annotations

import numpy as np

from accelsim.bits import Bits, Reader, Words, to_bits
from accelsim.hardware import Accelerator
from accelsim.schemes import _streams, base
from accelsim.schemes._streams import Sizes, Units
from accelsim.schemes.base import COMPRESSION, EncodedMap
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "masks"
SAVES = COMPRESSION


class Options(_streams.StreamOptions):
    """Indices, units, and how they lie."""

    word_indices: bool = False
    """Columns and pointers take whole data words, not the least bits that will do."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Pointers, columns and values, unit by unit."""
    return _streams.compress(fmap, machine, options, sizes)


def index_bits(elements: int, width: int, bits: int, options: Options) -> tuple[int, int]:
    """Bits of a column and of a row pointer."""
    least = (width - 1).bit_length(), elements.bit_length()
    if not options.word_indices:
        return least
    return max(1, -(-least[0] // bits)) * bits, max(1, -(-least[1] // bits)) * bits


def sizes(units: Units, bits: int, options: Options) -> Sizes:
    """Sizes of streams, from masks."""
    lengths, of = np.unique(units.elements, return_inverse=True)
    column, pointer = np.array([index_bits(int(n), units.width, bits, options) for n in lengths], dtype=np.int64)[of].T
    return Sizes(units.nonzeros * bits, units.nonzeros * column + (units.elements // units.width + 1) * pointer)


def write(words: Words, bits: int, width: int, options: Options) -> Bits:
    """The stream of one unit: all row pointers, all columns, all values."""
    column, pointer = index_bits(words.size, width, bits, options)
    live = np.flatnonzero(words)
    begins = np.concatenate(([0], np.bincount(live // width, minlength=words.size // width).cumsum()))
    return np.concatenate([to_bits(begins, pointer), to_bits(live % width, column), to_bits(words[live], bits)])


def read(stream: Reader, count: int, bits: int, width: int, options: Options) -> Words:
    """The elements of one unit of `count`."""
    column, pointer = index_bits(count, width, bits, options)
    begins = stream.words(count // width + 1, pointer).astype(np.int64)
    live = np.repeat(np.arange(count // width) * width, np.diff(begins)) + stream.words(int(begins[-1]), column)
    words = np.zeros(count, dtype=np.uint32)
    words[live] = stream.words(live.size, bits)
    return words
