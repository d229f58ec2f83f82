"""The address streams of the DRAM reference tables, made again from a row's `pattern` and `params`.

Source:  golden/dram/README.md, section Streams
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Parameters = Mapping[str, float]

ACCESS = 64
"""Bytes between neighbouring words of a stream."""
WRITE = np.uint64(1 << 63)
BARRIER = np.uint64(1 << 62)
MAX_WORDS = 1 << 24


def splitmix64(seed: int, count: int) -> Words:
    """The first `count` values of the generator splitmix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def _addresses(bursts: NDArray[np.int64], offset: int = 0) -> Words:
    return np.asarray((bursts * ACCESS + offset).astype(np.uint64))


def _reads(params: Parameters, count: int) -> Words:
    return _addresses(np.arange(count))


def _writes(params: Parameters, count: int) -> Words:
    return _reads(params, count) | WRITE


def _holes(params: Parameters, count: int) -> Words:
    return _kept(params, count)[0]


def _serialised_holes(params: Parameters, count: int) -> Words:
    words, first = _kept(params, count)
    words[first] |= BARRIER
    return words


def _kept(params: Parameters, count: int) -> tuple[Words, NDArray[np.bool_]]:
    """Bursts of channels that are not skipped, and which of them begin a run of adjacent channels."""
    size, skipped = int(params["C"]), params["p"]
    if skipped >= 1:
        raise ValueError("p must be below 1")
    channels = max(64, count)
    while True:
        kept = np.flatnonzero((splitmix64(1, channels) >> np.uint64(11)) * 2.0**-53 >= skipped)
        first, last = kept * size // ACCESS, ((kept + 1) * size - 1) // ACCESS
        first[1:] = np.maximum(first[1:], last[:-1] + 1)
        lengths = last + 1 - first
        if lengths.sum() >= count or channels > MAX_WORDS * 64:
            break
        channels *= 4
    bursts = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    run = np.repeat(np.cumsum(np.diff(kept, prepend=-2) > 1), lengths)
    return _addresses(bursts[:count]), np.diff(run[:count], prepend=-1) != 0


def _random(params: Parameters, count: int) -> Words:
    length, footprint = int(params["L"]), int(params["F"])
    starts = splitmix64(2, -(-count // length)) % np.uint64(footprint // ACCESS - length + 1)
    return _addresses((starts.astype(np.int64)[:, None] + np.arange(length)).reshape(-1)[:count])


def _read_write(params: Parameters, count: int) -> Words:
    tile, offset, ratio = int(params["T"]), int(params["off"]), int(params["rr"])
    rounds = np.arange(-(-count // (tile * (ratio + 1))))[:, None]
    reads = _addresses(rounds * tile * ratio + np.arange(tile * ratio))
    writes = _addresses(rounds * tile + np.arange(tile), 2**28 + offset) | WRITE
    return np.hstack([reads, writes]).reshape(-1)[:count]


def _three(params: Parameters, count: int) -> Words:
    tile, offset = int(params["T"]), int(params["off"])
    one = np.arange(-(-count // (3 * tile)))[:, None] * tile + np.arange(tile)
    parts = [_addresses(one), _addresses(one, 2**27 + offset), _addresses(one, 2**28 + 2 * offset) | WRITE]
    return np.hstack(parts).reshape(-1)[:count]


def _tiles(params: Parameters, count: int) -> Words:
    width, pitch, height = int(params["w"]), int(params["P"]), int(params["h"])
    bands = np.arange(-(-count // (height * (pitch // width) * (width // ACCESS))))
    y = (bands[:, None, None, None] * height + np.arange(height)[:, None]) * pitch
    x = np.arange(pitch // width)[:, None, None] * width
    return np.asarray((y + x + np.arange(width // ACCESS) * ACCESS).reshape(-1)[:count].astype(np.uint64))


PATTERNS: Mapping[str, Callable[[Parameters, int], Words]] = MappingProxyType(
    {
        "seq_r": _reads,
        "seq_w": _writes,
        "rate_seq": _reads,
        "holes": _holes,
        "holes_ser": _serialised_holes,
        "rand": _random,
        "rate_rand": _random,
        "rw": _read_write,
        "mix3": _three,
        "tile": _tiles,
    }
)
"""How each pattern is made."""


def parse(text: str) -> dict[str, float]:
    """Read `C=196;p=0.5`. Raises `ValueError` for anything else."""
    found = {}
    for item in filter(None, text.split(";")):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not name=value")
        found[name] = float(value)
    return found


def make(pattern: str, params: Parameters, count: int) -> Words:
    """The words of a stream: byte address, bit 63 for a write, bit 62 for a barrier.

    Raises:  `ValueError` for a pattern that is not known, a parameter that is missing or makes no stream
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern {pattern!r} is unknown; allowed: {', '.join(PATTERNS)}")
    if not 0 < count <= MAX_WORDS:
        raise ValueError(f"{count} words; allowed: 1 to {MAX_WORDS:,}")
    try:
        words = PATTERNS[pattern](params, count)
    except KeyError as fault:
        raise ValueError(f"pattern {pattern!r} needs the parameter {fault}") from None
    except (ZeroDivisionError, ArithmeticError, IndexError, ValueError, MemoryError) as fault:
        raise ValueError(f"pattern {pattern!r} cannot be made of these parameters: {fault}") from None
    if words.size != count:
        raise ValueError(f"pattern {pattern!r} gives {words.size} words with these parameters, {count} are needed")
    return words


def checksum(words: Words) -> str:
    """CRC32 of the little-endian words, eight hexadecimal digits."""
    return f"{zlib.crc32(words.astype('<u8').tobytes()):08x}"
