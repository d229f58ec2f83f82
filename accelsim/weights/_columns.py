"""Streams of pairs, such as (index, value), and pointers to where they begin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.bits import Bits, Reader, Words, to_bits
from accelsim.weights.base import Int


def pointer_bits(units: NDArray[Any], pair: int) -> int:
    """Bits of a pointer to a byte of a piece. Shapes: [units, weights of a unit]. Units: `pair`: bits of what is stored of a weight."""
    return int(len(units) * -(-units.shape[1] * pair // 8)).bit_length()


def pointers(units: list[Bits]) -> Int:
    """Where units begin, and where the last one ends, each on a byte. Units: bytes."""
    return np.cumsum([0, *(-(-unit.size // 8) for unit in units)], dtype=np.int64)


def to_pairs(first: Words | Int, first_bits: int, second: Words, second_bits: int) -> Bits:
    """Pairs of fields, one after the other."""
    fields = [to_bits(part, bits).reshape(second.size, bits) for part, bits in ((first, first_bits), (second, second_bits))]
    return np.concatenate(fields, axis=1).ravel()


def from_pairs(stream: Bits, first_bits: int, second_bits: int) -> tuple[Words, Words]:
    """All pairs of a stream; what is left of its last byte may look like pairs of zeros."""
    pair = first_bits + second_bits
    count = stream.size // pair
    fields = stream[: count * pair].reshape(count, pair)
    first, second = (Reader(np.ascontiguousarray(part).ravel()) for part in (fields[:, :first_bits], fields[:, first_bits:]))
    return first.words(count, first_bits), second.words(count, second_bits)
