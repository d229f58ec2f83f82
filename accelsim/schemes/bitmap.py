"""The `bitmap` scheme: one bit an element says whether it is zero; the values that are not follow.

Saves reads and writes. Machines that match the bitmaps of maps and weights (SparTen) save cycles too; ours does not, so the array gets
all values and may hold still for zeros: energy, no cycles.
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
    """Units, and how they lie."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Bitmap and values, unit by unit."""
    return _streams.compress(fmap, machine, options, sizes)


def sizes(units: Units, bits: int, options: Options) -> Sizes:
    """Sizes of streams, from masks."""
    return Sizes(units.nonzeros * bits, units.elements)


def write(words: Words, bits: int, width: int, options: Options) -> Bits:
    """The stream of one unit: its bitmap, then its values."""
    return np.concatenate([words != 0, to_bits(words[words != 0], bits)])


def read(stream: Reader, count: int, bits: int, width: int, options: Options) -> Words:
    """The elements of one unit of `count`."""
    live = stream.flags(count)
    words = np.zeros(count, dtype=np.uint32)
    words[live] = stream.words(int(live.sum()), bits)
    return words
