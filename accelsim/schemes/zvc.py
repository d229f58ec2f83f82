"""The `zvc` scheme (compressing DMA): for each 32 elements a mask of 32 bits and the values that are not zero.

Saves reads and writes. The array gets all values, zeros too, and may hold still for them: energy, no cycles.
Source:  Rhu et al., Compressing DMA engine, HPCA 2018, arXiv 1705.01626
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
CODEC = "32 bytes a cycle (rate=32; cDMA)"
GROUP = 32
"""Elements that share a mask; the last group of a unit keeps a full mask."""


class Options(_streams.StreamOptions):
    """Units, and how they lie."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Masks and values, unit by unit."""
    return _streams.compress(fmap, machine, options, sizes)


def sizes(units: Units, bits: int, options: Options) -> Sizes:
    """Sizes of streams, from masks."""
    return Sizes(units.nonzeros * bits, -(-units.elements // GROUP) * GROUP)


def write(words: Words, bits: int, width: int, options: Options) -> Bits:
    """The stream of one unit: all masks, then all values."""
    return np.concatenate([words != 0, np.zeros(-words.size % GROUP, dtype=np.bool_), to_bits(words[words != 0], bits)])


def read(stream: Reader, count: int, bits: int, width: int, options: Options) -> Words:
    """The elements of one unit of `count`."""
    live = stream.flags(-(-count // GROUP) * GROUP)[:count]
    words = np.zeros(count, dtype=np.uint32)
    words[live] = stream.words(int(live.sum()), bits)
    return words
