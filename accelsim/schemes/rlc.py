"""The `rlc` scheme (Eyeriss): pairs of a run of up to 31 zeros and the value behind it, three pairs of 16-bit data in a word of 64 bits.

32 zeros are the pair (31, 0); n zeros at the end of a unit end with (n - 1, 0). A word ends with a bit that is set in the last one.
Saves reads and writes. The array gets all values, zeros too, and Eyeriss holds still for them: energy, no cycles.
Source:  Chen et al., Eyeriss, JSSC 2017, section V
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from accelsim.bits import Bits, Reader, Words, to_bits
from accelsim.hardware import Accelerator
from accelsim.schemes import _streams, base
from accelsim.schemes._streams import Sizes, Units
from accelsim.schemes.base import COMPRESSION, EncodedMap
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "masks"
SAVES = COMPRESSION
WORD = 64


class Options(_streams.StreamOptions):
    """Runs, words, units, and how they lie."""

    run_bits: Annotated[int, Field(ge=1, le=8)] = 5
    """Bits of a run."""
    packing: Literal["words", "none"] = "words"
    """As many pairs in a word of 64 bits as leave a bit to say that it is the last, or pairs without words."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Pairs, unit by unit."""
    return _streams.compress(fmap, machine, options, sizes)


def pairs_of_a_word(bits: int, options: Options) -> int:
    """Pairs that fit into a word: 3 of 16-bit data, 4 of 8-bit data, 1 of 32-bit data, with runs of 5 bits."""
    return (WORD - 1) // (options.run_bits + bits)


def sizes(units: Units, bits: int, options: Options) -> Sizes:
    """Sizes of streams, from masks; values of unused pairs in the last word are counted as values."""
    from accelsim.kernels.codecs import count_pairs

    pairs = np.empty(units.edges.size - 1, dtype=np.int64)
    count_pairs(units.nonzero, units.edges, 2**options.run_bits - 1, True, pairs)
    if options.packing == "none":
        return Sizes(pairs * bits, pairs * options.run_bits)
    room = pairs_of_a_word(bits, options)
    words = -(-pairs // room)
    return Sizes(words * (room * bits), words * (WORD - room * bits))


def write(words: Words, bits: int, width: int, options: Options) -> Bits:
    """The stream of one unit: run and value of each pair, word by word."""
    from accelsim.kernels.codecs import encode_pairs

    runs, levels = np.empty(words.size, dtype=np.uint8), np.empty(words.size, dtype=np.uint32)
    count = encode_pairs(words, 2**options.run_bits - 1, True, runs, levels)
    each = (count, -1)
    pairs = np.hstack([to_bits(runs[:count], options.run_bits).reshape(each), to_bits(levels[:count], bits).reshape(each)])
    if options.packing == "none":
        return pairs.ravel()
    room, pair = pairs_of_a_word(bits, options), options.run_bits + bits
    made = np.zeros((-(-count // room), WORD), dtype=np.bool_)
    filled = np.zeros((len(made) * room, pair), dtype=np.bool_)
    filled[:count] = pairs
    made[:, : room * pair] = filled.reshape(len(made), room * pair)
    made[-1:, room * pair] = True
    return made.ravel()


def read(stream: Reader, count: int, bits: int, width: int, options: Options) -> Words:
    """The elements of one unit of `count`."""
    from accelsim.kernels.codecs import decode_pairs

    pair = options.run_bits + bits
    rest = stream.rest()
    if options.packing == "words":
        room = pairs_of_a_word(bits, options)
        made = rest[: rest.size // WORD * WORD].reshape(-1, WORD)
        last = int(np.flatnonzero(made[:, room * pair])[0]) + 1
        rest = made[:last, : room * pair].ravel()
    found = rest[: rest.size // pair * pair].reshape(-1, pair)
    runs = Reader(found[:, : options.run_bits].ravel()).words(len(found), options.run_bits)
    levels = Reader(found[:, options.run_bits :].ravel()).words(len(found), bits)
    words = np.empty(count, dtype=np.uint32)
    decode_pairs(runs.astype(np.uint8), levels, words)
    return words
