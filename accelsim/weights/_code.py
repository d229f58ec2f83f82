"""Weights as schemes store them, value by value: what the sizes of `encode` are the sizes of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.bits import Bits, Words, to_bits
from accelsim.weights._chosen import WeightScheme, codebook, is_raw, member
from accelsim.weights.base import Cut, StreamOptions, fields, from_columns


@dataclass(frozen=True, eq=False)
class Code:
    """The weights of a layer as they are stored.

    `heads`: of each piece, None for one that lies as it is; `units`: of each piece, unit by unit; `table`: the codebook, or nothing.
    Shapes:  `shape` [G, K, C, T] of type `dtype`
    """

    scheme: WeightScheme
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    cut: Cut
    connected: bool
    heads: tuple[bytes | None, ...]
    units: tuple[tuple[bytes, ...], ...]
    table: bytes


def encode_values(scheme: WeightScheme, values: NDArray[Any], *, cut: Cut | None = None, connected: bool = False) -> Code:
    """Store weights. Shapes: values [G, K, C, T] of a type of 8, 16 or 32 bits. Raises `ModelError` where a codebook is too small."""
    cut = cut or Cut.whole(values.shape)
    width = values.dtype.itemsize * 8
    words, bits, table = _words(values), width, b""
    book = _codebook_bits(scheme)
    if book is not None:
        stands_for = codebook(values, book)
        order = np.argsort(stands_for, kind="stable")
        words = order[np.searchsorted(stands_for, values, sorter=order)].astype(np.uint32)
        padded = np.concatenate([stands_for, np.zeros(2**book - stands_for.size, dtype=values.dtype)])
        bits, table = book, _bytes(to_bits(_words(padded), width))
    heads: list[bytes | None] = []
    units: list[tuple[bytes, ...]] = []
    granularity = scheme.granularity(connected) or "piece"
    for block, plain in zip(cut.blocks(words, connected), cut.blocks(_words(values), connected), strict=True):
        head, streams = member(scheme.name).write(block, bits, scheme.options)
        coded = tuple(map(_bytes, streams))
        dense = tuple(_bytes(to_bits(column, width)) for column in plain.columns(granularity))
        raw = is_raw(len(_bytes(head)) + sum(map(len, coded)), sum(map(len, dense)))
        heads.append(None if raw else _bytes(head))
        units.append(dense if raw else coded)
    shape = cast(tuple[int, int, int, int], values.shape)
    return Code(scheme, shape, values.dtype, cut, connected, tuple(heads), tuple(units), table)


def decode(code: Code) -> NDArray[Any]:
    """The weights again, bit by bit, but that -0.0 has become 0."""
    width, book = code.dtype.itemsize * 8, _codebook_bits(code.scheme)
    words = np.zeros(code.shape, dtype=np.uint32)
    table = None if book is None else fields(_flags(code.table), 2**book, width)
    granularity = code.scheme.granularity(code.connected) or "piece"
    for block, head, units in zip(code.cut.blocks(words, code.connected), code.heads, code.units, strict=True):
        shape = cast(tuple[int, int, int, int], block.values.shape)
        streams = [_flags(unit) for unit in units]
        if head is None:
            size = block.values.size // len(streams)
            block.values[:] = from_columns(np.array([fields(stream, size, width) for stream in streams]), shape, granularity)
            continue
        found = member(code.scheme.name).read(_flags(head), streams, shape, book or width, code.scheme.options, code.connected)
        block.values[:] = found if table is None else table[found]
    return words.astype(f"u{code.dtype.itemsize}").view(code.dtype)


def _words(values: NDArray[Any]) -> Words:
    return np.where(values == 0, 0, np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")).astype(np.uint32)


def _codebook_bits(scheme: WeightScheme) -> int | None:
    return scheme.options.codebook_bits if isinstance(scheme.options, StreamOptions) else None


def _bytes(stream: Bits) -> bytes:
    return np.packbits(stream).tobytes()


def _flags(stored: bytes) -> Bits:
    return np.unpackbits(np.frombuffer(stored, dtype=np.uint8)).view(np.bool_)
