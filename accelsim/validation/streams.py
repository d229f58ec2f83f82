"""The address streams of the DRAM reference tables, made again from a row's `pattern` and `params`.

Source:  golden/dram/README.md, section Streams
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import choices, nearest
from accelsim.validation.tables import number

Words = NDArray[np.uint64]
Parameters = Mapping[str, float]

ACCESS = 64
"""Bytes between neighbouring words of a stream."""
WRITE = np.uint64(1 << 63)
BARRIER = np.uint64(1 << 62)
MAX_WORDS = 1 << 24
MAX_BYTES = 1 << 36
"""Largest size, distance or offset that a parameter may give."""
MAX_CHANNEL = 1 << 30
"""Bytes of a channel."""
CHANNELS, MAX_CHANNELS = 1 << 16, 1 << 26
"""Channels that are drawn at once, and of which a stream may leave some out."""
MAX_CLOCKS = 1 << 20
"""Longest pause that a row may ask for."""


def splitmix64(seed: int, count: int, skip: int = 0) -> Words:
    """`count` values of the generator splitmix64, those after the first `skip`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(skip + 1, skip + count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def _addresses(bursts: NDArray[np.int64], offset: int | NDArray[np.int64] = 0) -> Words:
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
    parts = []
    seen = words = 0
    last = -1
    while words < count:
        if seen >= MAX_CHANNELS:
            raise ValueError(f"C={size} with p={skipped:.12g} leaves {words:,} of {count:,} words in {seen:,} channels")
        kept = seen + np.flatnonzero((splitmix64(1, CHANNELS, seen) >> np.uint64(11)) * 2.0**-53 >= skipped)
        seen += CHANNELS
        ends = ((kept + 1) * size - 1) // ACCESS
        first = np.maximum(kept * size // ACCESS, np.append(last, ends)[: kept.size] + 1)
        last = int(np.append(last, ends)[-1])
        parts.append((kept, first, ends + 1 - first))
        words += int(parts[-1][2].sum())
    kept, first, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
    needed = int(np.searchsorted(np.cumsum(lengths), count)) + 1
    kept, first, lengths = kept[:needed], first[:needed], np.minimum(lengths[:needed], count)
    bursts = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    run = np.repeat(np.cumsum(np.diff(kept, prepend=-2) > 1), lengths)
    return _addresses(bursts[:count]), np.diff(run[:count], prepend=-1) != 0


def _random(params: Parameters, count: int) -> Words:
    length, places = int(params["L"]), int(params["F"]) // ACCESS
    if places < length:
        raise ValueError(f"runs of L={length} bursts do not fit into F={places * ACCESS} bytes")
    starts = splitmix64(2, -(-count // length)) % np.uint64(places - length + 1)
    index = np.arange(count)
    return _addresses(starts.astype(np.int64)[index // length] + index % length)


def _read_write(params: Parameters, count: int) -> Words:
    tile, offset, ratio = int(params["T"]), int(params["off"]), int(params["rr"])
    rounds, place = np.divmod(np.arange(count), tile * (ratio + 1))
    writes = place >= tile * ratio
    reads, written = rounds * tile * ratio + place, rounds * tile + place - tile * ratio
    return _addresses(np.where(writes, written, reads), writes * (2**28 + offset)) | np.where(writes, WRITE, np.uint64(0))


def _three(params: Parameters, count: int) -> Words:
    tile, offset = int(params["T"]), int(params["off"])
    rounds, place = np.divmod(np.arange(count), 3 * tile)
    which, place = np.divmod(place, tile)
    words = _addresses(rounds * tile + place, np.array([0, 2**27 + offset, 2**28 + 2 * offset])[which])
    return words | np.where(which == 2, WRITE, np.uint64(0))


def _tiles(params: Parameters, count: int) -> Words:
    width, pitch, height = int(params["w"]), int(params["P"]), int(params["h"])
    if pitch < width:
        raise ValueError(f"a tile of w={width} bytes is wider than the image, P={pitch}")
    line = width // ACCESS
    bands, place = np.divmod(np.arange(count), pitch // width * height * line)
    column, place = np.divmod(place, height * line)
    row, burst = np.divmod(place, line)
    return _addresses(burst, (bands * height + row) * pitch + column * width)


@dataclass(frozen=True)
class Pattern:
    """How a stream is made, and of what: the least and the most of each parameter; all but `p` are whole numbers."""

    words: Callable[[Parameters, int], Words]
    needs: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def known(self) -> tuple[str, ...]:
        """Parameters that it reads, and notes that it does not read."""
        return (*self.needs, *NOTES)

    def check(self, params: Parameters) -> None:
        """Raise `ValueError` for the first parameter that is missing, misspelt or beyond its bounds; others are notes of the table."""
        for name, (least, most) in self.needs.items():
            if name not in params:
                raise ValueError(f"needs the parameter {name!r}; its parameters: {', '.join(self.needs)}")
            value = params[name]
            if not least <= value <= most or (name != "p" and value != int(value)):
                kind = "numbers" if name == "p" else "whole numbers"
                raise ValueError(f"{name}={value:g}; allowed: {kind} from {least:,g} to {most:,.12g}")
        for name in params:
            if name not in self.known and nearest(name, self.known):
                raise ValueError(f"{name!r} is none of its parameters\n    {choices(self.known, name)}")


NOTES = ("setup", "gap4", "useful_bytes", "runs", "channels")
"""Parameters that say how a stream is driven or what is in it; `setup` is the driver's, in clocks."""
_OFFSET = (0, MAX_BYTES)
_HOLES = MappingProxyType({"C": (1, MAX_CHANNEL), "p": (0, 1)})
_RANDOM = MappingProxyType({"L": (1, MAX_WORDS), "F": (ACCESS, MAX_BYTES)})
_TILED = (1, MAX_WORDS)

PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {
        "seq_r": Pattern(_reads),
        "seq_w": Pattern(_writes),
        "rate_seq": Pattern(_reads),
        "holes": Pattern(_holes, _HOLES),
        "holes_ser": Pattern(_serialised_holes, _HOLES),
        "rand": Pattern(_random, _RANDOM),
        "rate_rand": Pattern(_random, _RANDOM),
        "rw": Pattern(_read_write, MappingProxyType({"T": _TILED, "off": _OFFSET, "rr": _TILED})),
        "mix3": Pattern(_three, MappingProxyType({"T": _TILED, "off": _OFFSET})),
        "tile": Pattern(_tiles, MappingProxyType({"w": (ACCESS, MAX_BYTES), "P": (ACCESS, MAX_BYTES), "h": _TILED})),
    }
)
"""The streams by name."""


def parse(text: str) -> dict[str, float]:
    """Read `C=196;p=0.5`. Raises `ValueError` for anything else."""
    found: dict[str, float] = {}
    for item in filter(None, text.split(";")):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not name=value")
        if name in found:
            raise ValueError(f"the parameter {name!r} stands more than once")
        found[name] = number(value)
    return found


def make(pattern: str, params: Parameters, count: int) -> Words:
    """The words of a stream: byte address, bit 63 for a write, bit 62 for a barrier.

    Raises:  `ValueError` for a pattern that is not known, a parameter that is missing, misspelt or makes no stream
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern {pattern!r} is unknown; {choices(tuple(PATTERNS), pattern)}")
    if not 0 < count <= MAX_WORDS:
        raise ValueError(f"{count} words; allowed: 1 to {MAX_WORDS:,}")
    try:
        PATTERNS[pattern].check(params)
        words = PATTERNS[pattern].words(params, count)
    except (ArithmeticError, ValueError, MemoryError) as fault:
        raise ValueError(f"pattern {pattern!r}: {fault}") from None
    if words.size != count:
        raise ValueError(f"pattern {pattern!r} gives {words.size} words with these parameters, {count} are needed")
    return words


def checksum(words: Words) -> str:
    """CRC32 of the little-endian words, eight hexadecimal digits."""
    return f"{zlib.crc32(words.astype('<u8').tobytes()):08x}"
