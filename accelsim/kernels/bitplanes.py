"""Extended bit-plane compression: where the zeros are, as runs; the other words as bit planes of their differences.

Words of `bits` bits are two's complement numbers. Those that are not zero go in blocks of `block`; the last block is filled up with zeros.
Of a block the first word stands as it is; then come the `bits` + 1 planes of its differences, lowest bit first, each of `block` - 1 bits,
the first difference's bit foremost. A plane is told by what differs from the plane before it (XOR; before the first one: nothing):
    01              nothing              001 n   nothing, for n + 2 planes on end; n takes ceil(log2(bits)) bits
    00000           every bit            00001   just as much that this plane is 0
    00011 p         bit p alone          00010 p bits p and p + 1 alone; p takes ceil(log2(block)) bits
    1 x             anything else, bit by bit
Source:  Cavigelli, Rutishauser, Benini, EBPC, JETCAS 2019, arXiv 1908.11645; order of planes and of the prefixes as in the released encoder
         (pulp-platform/stream-ebpc), whose code was read
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel

Int = NDArray[np.int64]
Words = NDArray[np.uint32]
Bits = NDArray[np.bool_]


@inlined
def put(stream: Bits, at: int, value: int, width: int) -> int:
    """Write `width` bits of a number, highest first; return the place behind them."""
    for shift in range(width - 1, -1, -1):
        stream[at] = (value >> shift) & 1
        at += 1
    return at


@inlined
def field(stream: Bits, at: int, width: int) -> int:
    """Read a number of `width` bits, highest first."""
    value = 0
    for place in range(at, at + width):
        value = (value << 1) | int(stream[place])
    return value


@kernel
def encode_zero_runs(words: Words, run_bits: int, stream: Bits) -> int:
    """Write where zeros are; return the bits written: 1 a word that is not zero, 1 + `run_bits` a run of up to 2**`run_bits` zeros.

    Shapes:  words uint32 [N]; stream bool, at least N * (1 + run_bits), overwritten from the start
    Raises:  nothing
    """
    at, zeros, longest = 0, 0, 1 << run_bits
    for i in range(words.shape[0] + 1):
        ends = i == words.shape[0] or words[i] != 0
        if zeros > 0 and (ends or zeros == longest):
            stream[at] = False
            at = put(stream, at + 1, zeros - 1, run_bits)
            zeros = 0
        if i < words.shape[0]:
            if ends:
                stream[at] = True
                at += 1
            else:
                zeros += 1
    return at


@kernel
def decode_zero_runs(stream: Bits, run_bits: int, nonzero: Bits) -> int:
    """Read which words are not zero; return the bits read.

    Shapes:  nonzero bool [N], overwritten
    Raises:  nothing; the stream is one of `encode_zero_runs`
    """
    at, i = 0, 0
    while i < nonzero.shape[0]:
        if stream[at]:
            nonzero[i] = True
            at += 1
            i += 1
        else:
            count = field(stream, at + 1, run_bits) + 1
            nonzero[i : i + count] = False
            at += 1 + run_bits
            i += count
    return at


@kernel
def encode_planes(words: Words, bits: int, block: int, run_width: int, place_width: int, stream: Bits) -> int:
    """Write the words that are not zero, block by block; return the bits written.

    Shapes:  words uint32 [N]; stream bool, room for ceil(N / block) * (bits + (bits + 1) * max(block, 5 + place_width))
    Units:   `run_width`, `place_width`: bits that tell how many planes, and which place
    Raises:  nothing
    """
    sign, modulus, every = 1 << (bits - 1), 1 << (bits + 1), (1 << (block - 1)) - 1
    differences = np.zeros(block - 1, dtype=np.int64)
    at, i = 0, 0
    while True:
        while i < words.shape[0] and words[i] == 0:
            i += 1
        if i == words.shape[0]:
            return at
        before, filled = np.int64(0), 0
        while filled < block:
            value = np.int64(0)
            while i < words.shape[0] and words[i] == 0:
                i += 1
            if i < words.shape[0]:
                value = np.int64(words[i])
                i += 1
            if filled == 0:
                at = put(stream, at, int(value), bits)
            value = (value ^ sign) - sign
            if filled > 0:
                differences[filled - 1] = (value - before) & (modulus - 1)
            before = value
            filled += 1
        last, alike = 0, 0
        for bit in range(bits + 2):
            plane, changed = 0, -1
            if bit <= bits:
                for place in range(block - 1):
                    plane = (plane << 1) | ((differences[place] >> bit) & 1)
                changed = plane ^ last
                last = plane
            if changed == 0:
                alike += 1
                continue
            if alike == 1:
                at = put(stream, at, 1, 2)
            elif alike > 1:
                at = put(stream, at, 1, 3)
                at = put(stream, at, alike - 2, run_width)
            alike = 0
            if bit > bits:
                break
            if changed == every:
                at = put(stream, at, 0, 5)
            elif plane == 0:
                at = put(stream, at, 1, 5)
            else:
                lowest = changed & -changed
                single, pair = changed == lowest, changed == lowest * 3
                if single or pair:
                    top, place = changed >> 1, block - 2
                    while top > 0:
                        top >>= 1
                        place -= 1
                    at = put(stream, at, 3 if single else 2, 5)
                    at = put(stream, at, place, place_width)
                else:
                    at = put(stream, at, 1, 1)
                    at = put(stream, at, changed, block - 1)


@kernel
def decode_planes(stream: Bits, bits: int, block: int, run_width: int, place_width: int, words: Words) -> int:
    """Read words that are not zero; return the bits read.

    Shapes:  words uint32 [n], overwritten: as many as were written; what the last block was filled up with is dropped
    Raises:  nothing; the stream is one of `encode_planes`
    """
    sign, every = 1 << (bits - 1), (1 << (block - 1)) - 1
    mask = (1 << bits) - 1
    differences = np.zeros(block - 1, dtype=np.int64)
    at, i = 0, 0
    while i < words.shape[0]:
        value = np.int64(field(stream, at, bits))
        at += bits
        differences[:] = 0
        plane, bit = 0, 0
        while bit <= bits:
            count, changed = 1, 0
            if stream[at]:
                changed = field(stream, at + 1, block - 1)
                at += block
            elif stream[at + 1]:
                at += 2
            elif stream[at + 2]:
                count = field(stream, at + 3, run_width) + 2
                at += 3 + run_width
            else:
                kind = field(stream, at + 3, 2)
                at += 5
                if kind == 0:
                    changed = every
                elif kind == 1:
                    changed = plane
                else:
                    place = field(stream, at, place_width)
                    at += place_width
                    changed = 1 << (block - 2 - place)
                    if kind == 2:
                        changed |= changed >> 1
            plane ^= changed
            for number in range(bit, bit + count):
                for place in range(block - 1):
                    differences[place] |= ((plane >> (block - 2 - place)) & 1) << number
            bit += count
        words[i] = value
        value = (value ^ sign) - sign
        i += 1
        for place in range(min(block - 1, words.shape[0] - i)):
            value = (value + ((differences[place] ^ (sign << 1)) - (sign << 1))) & mask
            words[i] = value
            value = (value ^ sign) - sign
            i += 1
    return at


@kernel
def count_bits(
    words: Words, edges: Int, run_bits: int, bits: int, block: int, run_width: int, place_width: int, stream: Bits, runs: Int, planes: Int
) -> None:
    """Count the bits of the two streams of each stretch of words, by writing them.

    Shapes:  words uint32 [N]; edges int64 [U + 1]; stream bool, room for either stream of the longest stretch; runs, planes int64 [U],
             overwritten
    Raises:  nothing
    """
    for u in range(runs.shape[0]):
        stretch = words[edges[u] : edges[u + 1]]
        runs[u] = encode_zero_runs(stretch, run_bits, stream)
        planes[u] = encode_planes(stretch, bits, block, run_width, place_width, stream)
