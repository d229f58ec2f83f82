"""Maps as schemes store them, value by value: what the sizes of `encode` are the sizes of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.bits import Bits, Reader, Words
from accelsim.graph import Shape
from accelsim.hardware import Accelerator
from accelsim.schemes._chosen import Scheme, member
from accelsim.schemes._streams import StreamOptions, Units, machine_words
from accelsim.schemes.base import EncodedMap
from accelsim.trace import measure


class Codec(Protocol):
    """A scheme whose units are streams; a module with these besides those of `Member`."""

    def write(self, words: Words, bits: int, width: int, options: Any) -> Bits:
        """The stream of one unit."""
        ...

    def read(self, stream: Reader, count: int, bits: int, width: int, options: Any) -> Words:
        """The elements of one unit of `count`."""
        ...


@dataclass(frozen=True, eq=False)
class Code:
    """A map as it is stored.

    `units`: the stream of each fetch unit in the order of `encoded.unit_bytes`; where units are stored as they are, all of them in one.
    `encoded`: which units there are; the flags and sizes in it are the metadata, and so are the `constants`, a word each.
    """

    scheme: Scheme
    shape: Shape
    dtype: np.dtype[Any]
    units: tuple[bytes, ...]
    encoded: EncodedMap
    constants: bytes = b""


def encode_values(scheme: Scheme, values: NDArray[Any], machine: Accelerator) -> Code:
    """Store a map.

    Shapes:  [C, H, W] of a type that is as wide as the machine's `data.ifmap_bits`
    Raises:  `ValueError` for another type; streams are really written, and their lengths are not taken from the sizes of `encode`
    """
    bits = machine.data.ifmap_bits
    if values.dtype.itemsize * 8 != bits:
        raise ValueError(f"{values.dtype} under {scheme.label} on a machine of {bits}-bit maps")
    fmap = measure(values, values=True)
    encoded = scheme.encode_map(fmap, machine)
    words = machine_words(values, bits)
    codec = _codec(scheme, encoded)
    if codec is None:
        live, order = _stored_elements(encoded, fmap.shape)
        stored, word = words[live][order], f">u{bits // 8}"
        constants = b"" if encoded.constant is None else words[encoded.constant, 0, 0].astype(word).tobytes()
        return Code(scheme, fmap.shape, values.dtype, (stored.astype(word).tobytes(),), encoded, constants)
    options = cast(StreamOptions, scheme.options)
    edges, flat = Units.cut(values != 0, bits, options.unit)[0].edges.tolist(), words.ravel()
    stretches = [flat[low:high] for low, high in pairwise(edges)]
    units = tuple(_written(codec, stretch, bits, fmap.shape[2], options, machine.dma.access) for stretch in stretches)
    return Code(scheme, fmap.shape, values.dtype, units, encoded)


def decode(code: Code) -> NDArray[Any]:
    """The map again, bit by bit, but that -0.0 has become 0."""
    width, word = code.shape[2], f">u{code.dtype.itemsize}"
    bits, codec, words = code.dtype.itemsize * 8, _codec(code.scheme, code.encoded), np.zeros(code.shape, dtype=f"u{code.dtype.itemsize}")
    if codec is None:
        live, order = _stored_elements(code.encoded, code.shape)
        stored = np.empty(order.size, dtype=words.dtype)
        stored[order] = np.frombuffer(code.units[0], dtype=word)
        words[live] = stored
        if code.encoded.constant is not None:
            words[code.encoded.constant] = np.frombuffer(code.constants, dtype=word)[:, None, None]
        return words.view(code.dtype)
    options = cast(StreamOptions, code.scheme.options)
    edges, flat = Units.cut(words != 0, bits, options.unit)[0].edges.tolist(), words.reshape(-1)
    for (low, high), unit in zip(pairwise(edges), code.units, strict=True):
        if len(unit) == (high - low) * bits // 8:
            flat[low:high] = np.frombuffer(unit, dtype=word)
        else:
            stream = Reader(np.unpackbits(np.frombuffer(unit, dtype=np.uint8)).view(np.bool_))
            flat[low:high] = codec.read(stream, high - low, bits, width, options)
    return words.view(code.dtype)


def _codec(scheme: Scheme, encoded: EncodedMap) -> Codec | None:
    """What writes streams; None where units are stored as they are."""
    module = member(scheme.name)
    return cast(Codec, module) if hasattr(module, "write") and encoded.offsets is not None else None


def _stored_elements(encoded: EncodedMap, shape: Shape) -> tuple[Bits, NDArray[np.int64]]:
    """Which elements are stored (bool [C, H, W]), and the order in which units have them: of those elements, by number."""
    _, down, across = encoded.unit_bytes.shape
    channel, row, col = np.ogrid[: shape[0], : shape[1], : shape[2]]
    unit = (channel * down + row // encoded.unit_height) * across + col // encoded.unit_width
    live = encoded.unit_bytes.ravel()[unit] > 0
    return live, np.argsort(unit[live], kind="stable")


def _written(codec: Codec, words: Words, bits: int, width: int, options: StreamOptions, access: int) -> bytes:
    """The bytes of one unit: its stream, or the unit as it is where the stream saves nothing that can be saved."""
    stream, dense = np.packbits(codec.write(words, bits, width, options)).tobytes(), words.size * bits // 8
    step = access if options.layout == "slots" else 1
    if -(-len(stream) // step) < -(-dense // step):
        return stream
    return words.astype(f">u{bits // 8}").tobytes()
