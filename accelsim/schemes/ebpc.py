"""The `ebpc` scheme (extended bit-plane compression): runs of zeros, and bit planes of the differences of the words between them.

A unit has two streams, each filled up to whole words: where its zeros are (a bit a word that is not zero, 1 + `run_bits` bits a run of
zeros), then those other words in blocks, as `kernels.bitplanes` tells. What the second one takes depends on the values, so that a trace
which holds only which elements are zero cannot be replayed. Maps of a width that the machine does not have become fixed point
(`_streams.machine_words`), as in the paper.
Saves reads and writes. The array gets all values, zeros too, and may hold still for them: energy, no cycles.
Source:  Cavigelli, Rutishauser, Benini, EBPC, JETCAS 2019, arXiv 1908.11645; stream format of the released encoder
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from accelsim.bits import Bits, Reader, Words
from accelsim.errors import TraceError
from accelsim.hardware import Accelerator
from accelsim.schemes import _streams, base
from accelsim.schemes._streams import Sizes, Units
from accelsim.schemes.base import COMPRESSION, EncodedMap
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "values"
SAVES = COMPRESSION
CODEC = "1 word a cycle at 600 MHz (rate=2 for words of 16 bits), 2.8 + 3.0 kGE (EBPC)"


class Options(_streams.StreamOptions):
    """Runs, blocks, units, and how they lie."""

    block: Annotated[int, Field(ge=2, le=32)] = 8
    """Words of a block; the last one of a unit is filled up with zeros."""
    run_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Bits of a run of zeros."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Runs and planes, unit by unit. Raises `TraceError` where the values are not known."""
    return _streams.compress(fmap, machine, options, sizes, values=True)


def sizes(units: Units, bits: int, options: Options) -> Sizes:
    """Sizes of streams, from values: the streams are written and measured."""
    from accelsim.kernels.bitplanes import count_bits

    if units.words is None:
        raise TraceError("scheme 'ebpc' needs the values of feature maps, which this map does not have")
    runs, planes = np.empty((2, units.edges.size - 1), dtype=np.int64)
    stream = np.empty(room(int(units.elements.max()), bits, options), dtype=np.bool_)
    count_bits(units.words, units.edges, options.run_bits, bits, options.block, *_widths(bits, options), stream, runs, planes)
    return Sizes(_whole(planes, bits), _whole(runs, bits))


def write(words: Words, bits: int, width: int, options: Options) -> Bits:
    """The streams of one unit, one behind the other."""
    from accelsim.kernels.bitplanes import encode_planes, encode_zero_runs

    runs, planes = np.zeros((2, room(words.size, bits, options)), dtype=np.bool_)
    count = int(_whole(np.int64(encode_zero_runs(words, options.run_bits, runs)), bits))
    length = int(_whole(np.int64(encode_planes(words, bits, options.block, *_widths(bits, options), planes)), bits))
    return np.concatenate([runs[:count], planes[:length]])


def read(stream: Reader, count: int, bits: int, width: int, options: Options) -> Words:
    """The elements of one unit of `count`."""
    from accelsim.kernels.bitplanes import decode_planes, decode_zero_runs

    rest, live = stream.rest(), np.empty(count, dtype=np.bool_)
    begin = int(_whole(np.int64(decode_zero_runs(rest, options.run_bits, live)), bits))
    words, found = np.zeros(count, dtype=np.uint32), np.empty(int(live.sum()), dtype=np.uint32)
    decode_planes(rest[begin:], bits, options.block, *_widths(bits, options), found)
    words[live] = found
    return words


def room(elements: int, bits: int, options: Options) -> int:
    """Bits that either stream of so many words may take at most."""
    symbol = max(options.block, 5 + _widths(bits, options)[1])
    return max(elements * (1 + options.run_bits), -(-elements // options.block) * (bits + (bits + 1) * symbol)) + bits


def _widths(bits: int, options: Options) -> tuple[int, int]:
    """Bits that tell how many planes do not change, and a place in a plane."""
    return (bits - 1).bit_length(), (options.block - 1).bit_length()


def _whole(lengths: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | np.int64, bits: int) -> base.Int:
    """Lengths in whole words."""
    return np.asarray(-(-lengths // bits) * bits, dtype=np.int64)
