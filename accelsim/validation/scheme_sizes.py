"""Sizes and codes of a map under each scheme, against vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from accelsim import schemes
from accelsim.bits import Reader, Words
from accelsim.errors import ModelError, choices
from accelsim.kernels.codecs import count_pairs, encode_pairs
from accelsim.schemes import _streams, bitmap, csr, ebpc, rlc, zvc
from accelsim.schemes._streams import Sizes, Units
from accelsim.schemes.base import unit_sizes
from accelsim.trace import linear_flags, part_flags
from accelsim.validation.result import Compared
from accelsim.validation.scheme_vectors import Case, Tensor, exact, machine
from accelsim.validation.tables import Column, Line, count, read_table, text

COLUMNS: Mapping[str, Column] = {
    "scheme": Column(text, required=True),
    "params": Column(text),
    "word_bits": Column(count, required=True),
    **dict.fromkeys(("payload_bits", "metadata_bits", "total_bits", "dense_bits"), Column(count, optional_cells=True)),
}
WORDS = (8, 16, 32)
EIE_LONGEST = 15
"""Zeros that EIE's index of 4 bits counts before an entry."""

_Size = tuple[int, int]
"""Bits of payload and of metadata."""


def sizes(table: Path, tensor: Tensor) -> list[Compared]:
    """Compare every row of a table of sizes."""
    return [_size(table, line, tensor) for line in read_table(table, COLUMNS)]


def _size(table: Path, line: Line, tensor: Tensor) -> Compared:
    scheme, params, bits = str(line.cells["scheme"]), str(line.cells.get("params", "-")), int(line.cells["word_bits"])
    if scheme not in _SIZES:
        raise ModelError(f"{table}:{line.number}: column {line.places['scheme']} (scheme): {scheme!r}; {choices(list(_SIZES), scheme)}")
    if bits not in WORDS and scheme != "eie":
        raise ModelError(f"{table}:{line.number}: column {line.places['word_bits']} (word_bits): {bits}; {choices(WORDS)}")
    payload, metadata = _SIZES[scheme](tensor, params, bits, f"{table}:{line.number}")
    ours = {"payload_bits": payload, "metadata_bits": metadata, "total_bits": payload + metadata, "dense_bits": tensor.values.size * bits}
    given = {name: (value, int(line.cells[name])) for name, value in ours.items() if name in line.cells}
    return exact(f"{scheme}  {params}  {bits} bit", "sizes", given)


def part(text: str, where: str) -> tuple[int, int, str]:
    """Height, width and form of parts: `3x3 grid`, `4x4 linear`."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})(?: (grid|linear))?", text)
    if not found:
        raise ModelError(f"{where}: {text!r} is no part; write for example 3x3 grid or 4x4 linear")
    return int(found[1]), int(found[2]), found[3] or "grid"


def _marked(label: str) -> Callable[[Tensor, str, int, str], _Size]:
    def size(tensor: Tensor, params: str, bits: int, where: str) -> _Size:
        rows, cols, form = part(params, where) if params != "-" else (1, 1, "grid")
        options = label.format(height=rows, width=cols, parts=form)
        encoded = schemes.load(options).encode_map(tensor.fmap, machine(rows, cols, bits))
        return encoded.payload_bytes * 8, encoded.metadata_bits

    return size


def units(tensor: Tensor, params: str, bits: int) -> Units:
    """The whole map as one stream, or each channel by itself; words are the numbers as two's complement of `bits`."""
    nonzero = tensor.values != 0
    step = nonzero.size if "whole tensor" in params else nonzero[0].size
    words = (tensor.values & ((1 << bits) - 1)).astype(np.uint32).ravel()
    return Units(nonzero.ravel(), np.arange(0, nonzero.size + 1, step, dtype=np.int64), nonzero.shape[2], words)


def _coded(module: Any, **choose: Callable[[str], object]) -> Callable[[Tensor, str, int, str], _Size]:
    def size(tensor: Tensor, params: str, bits: int, where: str) -> _Size:
        options: _streams.StreamOptions = module.Options(**{name: of(params) for name, of in choose.items()})
        found: Sizes = module.sizes(units(tensor, params, bits), bits, options)
        return int(found.values.sum()), int(found.codes.sum())

    return size


def _eie(tensor: Tensor, params: str, bits: int, where: str) -> _Size:
    cut = units(tensor, params, bits)
    entries = np.empty(cut.edges.size - 1, dtype=np.int64)
    count_pairs(cut.nonzero, cut.edges, EIE_LONGEST, False, entries)
    return int(entries.sum()) * bits, int(entries.sum()) * 4


_SIZES: Mapping[str, Callable[[Tensor, str, int, str], _Size]] = MappingProxyType(
    {
        "dense": lambda tensor, params, bits, where: _marked("dense")(tensor, "-", bits, where),
        "marker/channel": _marked("channel_marker:printed=true,parts={parts}"),
        "marker/part": _marked("part_marker:parts={parts}"),
        "marker/constant": _marked("constant_marker"),
        "zebra": _marked("zero_block:height={height},width={width}"),
        "zvc32": _coded(zvc),
        "bitmap": _coded(bitmap),
        "rlc/raw": _coded(rlc, packing=lambda params: "none"),
        "rlc/eyeriss64": _coded(rlc),
        "ebpc": _coded(ebpc),
        "csr": _coded(csr, word_indices=lambda params: "word-wide" in params),
        "eie": _eie,
    }
)


def codes(case: Case, tensor: Tensor) -> list[Compared]:
    """Compare every entry of a file of codes."""
    rows = []
    for name in case.content:
        kind, _, params = name.partition(" ")
        if kind not in _CODES:
            raise case.fault(f"{name!r} is no known code; {choices(list(_CODES), kind)}")
        inner = case.inner(name)
        rows.append(inner.compare("codes", _CODES[kind](tensor, params, f"{case.path}: {name}")))
    return rows


def _marker_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    rows, cols, form = part(params, where)
    fmap, array = tensor.fmap, machine(rows, cols)
    if form == "grid":
        flags = part_flags(fmap, rows, cols).reshape(fmap.shape[0], -1)
        extents = unit_sizes(fmap.shape, rows, cols, 8).ravel().tolist()
    else:
        flags = linear_flags(fmap, rows, cols)
        extents = np.diff([*range(0, fmap.shape[1] * fmap.shape[2], rows * cols), fmap.shape[1] * fmap.shape[2]]).tolist()
    metadata = {
        f"metadata_bits_{name}": schemes.load(label).encode_map(fmap, array).metadata_bits
        for name, label in (
            ("flag_summary", f"part_marker:parts={form}"),
            ("count_summary", f"part_marker:parts={form},summary=count"),
            ("channel_only", "channel_marker"),
        )
    }
    return {
        "parts_per_channel": flags.shape[1],
        "part_sizes": extents,
        "zero_part_flags": flags.astype(int).tolist(),
        "zero_part_count": flags.sum(axis=1).tolist(),
        "channel_zero": fmap.zero_channels.astype(int).tolist(),
        **metadata,
    }


def _block_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    rows, cols, _ = part(params, where)
    encoded = schemes.load(f"zero_block:height={rows},width={cols}").encode_map(tensor.fmap, machine())
    flags = (encoded.unit_bytes == 0).astype(int).reshape(tensor.values.shape[0], -1)
    return {"blocks_per_channel": flags.shape[1], "zero_flags": flags.tolist()}


def _text(bits: Words) -> str:
    return "".join(map(str, bits.tolist()))


def _mask_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    words = tensor.values.ravel().astype(np.uint32)
    stream = Reader(zvc.write(words, 32, tensor.values.shape[2], zvc.Options()))
    groups = -(-words.size // zvc.GROUP)
    masks = stream.words(groups * zvc.GROUP, 1).reshape(groups, zvc.GROUP)
    return {"mask_bits_in_element_order": [_text(mask) for mask in masks], "nnz_per_group": masks.sum(axis=1).tolist()}


def _bitmap_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    channels = [channel.ravel().astype(np.uint32) for channel in tensor.values]
    streams = [Reader(bitmap.write(words, 32, tensor.values.shape[2], bitmap.Options())) for words in channels]
    return {"bits_in_element_order": [_text(stream.words(words.size, 1)) for stream, words in zip(streams, channels, strict=True)]}


def pairs(values: np.ndarray[Any, Any], longest: int, trailing: bool) -> list[list[int]]:
    """Pairs (zeros before, value) of a stretch of whole numbers."""
    runs, levels = np.empty(values.size, dtype=np.uint8), np.empty(values.size, dtype=np.uint32)
    made = encode_pairs(values.ravel().astype(np.int32).view(np.uint32), longest, trailing, runs, levels)
    return [[int(run), int(level)] for run, level in zip(runs[:made], levels[:made].view(np.int32), strict=True)]


def _run_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    options = rlc.Options()
    longest = 2**options.run_bits - 1
    each, whole = [pairs(channel, longest, True) for channel in tensor.values], pairs(tensor.values, longest, True)
    return {
        "run_bits": options.run_bits,
        "per_channel_pairs": [len(channel) for channel in each],
        "per_channel": each,
        "whole_stream_pairs": len(whole),
        "whole_stream_first_12": whole[:12],
        "whole_stream_last_4": whole[-4:],
    }


def _entry_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    entries = [pairs(channel, EIE_LONGEST, False) for channel in tensor.values]
    return {"index_bits": EIE_LONGEST.bit_length(), "entries_per_channel": [len(channel) for channel in entries], "entries": entries}


def _row_code(tensor: Tensor, params: str, where: str) -> dict[str, Any]:
    _, height, width = tensor.values.shape
    column, pointer = csr.index_bits(height * width, width, 32, csr.Options())
    begins, columns = [], []
    for channel in tensor.values:
        stream = Reader(csr.write(channel.ravel().astype(np.uint32), 32, width, csr.Options()))
        begins.append(stream.words(height + 1, pointer).tolist())
        columns.append(stream.words(begins[-1][-1], column).tolist())
    return {"row_ptr": begins, "col_idx": columns, "row_ptr_bits": pointer, "col_bits": column}


_CODES: Mapping[str, Callable[[Tensor, str, str], dict[str, Any]]] = MappingProxyType(
    {
        "marker": _marker_code,
        "zebra": _block_code,
        "zvc32": _mask_code,
        "bitmap": _bitmap_code,
        "rlc": _run_code,
        "eie": _entry_code,
        "csr": _row_code,
    }
)
