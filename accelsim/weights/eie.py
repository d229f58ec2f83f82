"""The `eie` weight scheme: of each weight that is not zero its code and how many zeros stand before it, in 4 bits.

A run of more than 15 zeros takes fillers: pairs (15, 0), which stand for 16 zeros each; zeros after the last value are not coded.
Fully connected layers have a stream for each column (the weights of one ifmap element), with pointers to them in the head of a piece, in
bytes; columns of zero elements are neither loaded nor worked on, whatever the activation scheme. A convolution has one stream for each
piece, filter by filter, as Deep Compression stores models; with `columns=all` one for each ifmap channel, so that those of zero channels
can be left out, for a pointer each.
Saves weights; multiply-accumulates and cycles in fully connected layers, whose zero weights and columns the array skips (its elements are
taken to be equally busy: an upper bound); elsewhere the array may hold still for zeros: energy, no cycles.
Source:  Han et al., EIE, ISCA 2016, section III; Han et al., Deep Compression, ICLR 2016; the format of the released SqueezeNet
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.bits import Bits, Words, to_bits
from accelsim.kernels.codecs import count_pairs, decode_pairs, encode_pairs
from accelsim.weights import base
from accelsim.weights._columns import from_pairs, pointer_bits, pointers, to_pairs
from accelsim.weights.base import Block, Granularity, Saves, Sizes, from_columns

SAVES = Saves(weights=True, macs=True, cycles=True, energy=True, connected=True)


class Options(base.StreamOptions):
    """Indices, and which layers have columns."""

    index_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Bits of the number of zeros before a weight."""
    columns: Literal["connected", "all"] = "connected"
    """Which layers have streams that can be left out by themselves: fully connected ones (a stream an element), or convolutions too (a
    stream a channel)."""


def granularity(connected: bool, options: Options) -> Granularity | None:
    """Columns of fully connected layers; of others the whole piece, or channels."""
    return "column" if connected else "channel" if options.columns == "all" else "piece"


def sizes(block: Block, bits: int, options: Options) -> Sizes:
    """Pairs of zeros and value, fillers among them; pointers where there are several streams."""
    streams = block.columns(_granularity(block, options)) != 0
    edges = np.arange(len(streams) + 1, dtype=np.int64) * streams.shape[1]
    pairs = np.empty(len(streams), dtype=np.int64)
    count_pairs(np.ascontiguousarray(streams).ravel(), edges, 2**options.index_bits - 1, False, pairs)
    entries, pair = int(pairs.sum()), options.index_bits + bits
    return Sizes(_head_bits(streams, pair), pairs * pair, entries, entries - int(np.count_nonzero(streams)))


def write(block: Block, bits: int, options: Options) -> tuple[Bits, list[Bits]]:
    """Pointers, where there are several streams; then stream by stream pairs of zeros and value."""
    streams, longest = block.columns(_granularity(block, options)), 2**options.index_bits - 1
    units = []
    for stream in streams:
        words = np.ascontiguousarray(stream, dtype=np.uint32)
        runs, levels = np.empty(words.size, dtype=np.uint8), np.empty(words.size, dtype=np.uint32)
        count = encode_pairs(words, longest, False, runs, levels)
        units.append(to_pairs(runs[:count].astype(np.uint32), options.index_bits, levels[:count], bits))
    head = _head_bits(streams, options.index_bits + bits)
    return (to_bits(pointers(units), head // (len(units) + 1)) if head else np.zeros(0, dtype=np.bool_)), units


def read(head: Bits, units: list[Bits], shape: tuple[int, int, int, int], bits: int, options: Options, connected: bool) -> Words:
    """What the pairs stand for."""
    streams = np.empty((len(units), int(np.prod(shape)) // len(units)), dtype=np.uint32)
    for stream, unit in zip(streams, units, strict=True):
        runs, levels = from_pairs(unit, options.index_bits, bits)
        decode_pairs(runs.astype(np.uint8), levels, stream)
    return from_columns(streams, shape, granularity(connected, options) or "piece")


def _granularity(block: Block, options: Options) -> Granularity:
    return granularity(block.connected, options) or "piece"


def _head_bits(streams: NDArray[Any], pair: int) -> int:
    return (len(streams) + 1) * pointer_bits(streams, pair) if len(streams) > 1 else 0
