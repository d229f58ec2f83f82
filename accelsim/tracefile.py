"""Traces in files: a versioned .npz that trusts nothing it reads.

The file is a zip of four arrays of bytes, each a plain `.npy` (numpy.load opens it, with allow_pickle=False):
* `header`         UTF-8 JSON: format, hash, graph, image, epsilon, mode, fine part, source, provenance; per map its zero count,
                   whether it has a mask and part maxima, and in format 2 its constant channels by number (null: not known).
* `masks`          the packed masks of all maps that have one, in the order of the nodes.
* `part_max`       their part maxima, little-endian float32 cut into four byte planes (high bytes of neighbours are alike and deflate).
* `zero_channels`  zero-channel bits of the maps without a mask, packed map by map.
The hash is sha256 over the header without the hash, then over every array of every map. The same trace gives the same file.
Nothing is inflated, allocated or believed before its declared size has been compared with what the graph needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import TraceError
from accelsim.graph import NO_ATTRIBUTES, Graph, Node
from accelsim.soundness import Same, check_graph
from accelsim.trace import FORMAT, FeatureMap, Trace, part_grid

AGAIN = "make it again: accelsim infer <run.yaml>"
MAX_HEADER_BYTES = 4 << 20
"""About 10,000 nodes; the deepest networks in use have fewer than 2,000."""
MAX_BYTES = 1 << 29
"""All arrays of a file, unpacked: about 2 * 10**9 elements with 8 x 8 fine parts."""
MAX_DIRECTORY_BYTES = 1 << 16

HEADER, MASKS, PART_MAX, ZERO_CHANNELS = MEMBERS = ("header.npy", "masks.npy", "part_max.npy", "zero_channels.npy")
_HEADER_KEYS = {"format", "hash", "graph", "maps", "image", "epsilon", "mode", "fine_part", "source", "provenance"}
_NODE_KEYS = tuple(field.name for field in fields(Node))
_NPY = re.compile(rb"\{'descr': '([^']{1,16})', 'fortran_order': False, 'shape': \((\d{1,15}),\),? ?\} *\n")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, KeyError, OverflowError)
"""What `zipfile` and `json` raise on damaged input (RuntimeError: encryption, unknown compression, too deeply nested)."""

LEVEL = 1
"""Of zlib. Level 9 makes 4 % smaller files of SqueezeNet's traces and takes 20 times as long, far longer than inference."""

Bytes = NDArray[np.uint8]
Member = Callable[[str, int | None], Bytes]
"""Gives the member of that name: exactly so many bytes, or for None any up to `MAX_HEADER_BYTES`; raises `TraceError` where it cannot."""


def digest(trace: Trace) -> str:
    """Sha256, in hexadecimal, of all that the trace says; it does not depend on where or when it was saved."""
    return _digest(trace, _header(trace))


def _digest(trace: Trace, header: bytes) -> str:
    seal = hashlib.sha256(header)
    for fmap in trace.maps:
        seal.update(np.packbits(fmap.zero_channels).data)
        if fmap.mask is not None:
            seal.update(np.ascontiguousarray(fmap.mask).data)
        if fmap.part_max is not None:
            seal.update(np.ascontiguousarray(fmap.part_max, dtype="<f4").data)
    return seal.hexdigest()


def take_apart(trace: Trace) -> dict[str, Bytes]:
    """Everything that the trace says as arrays of bytes, by member. Raises `TraceError` where it is larger than `put_together` accepts."""
    header = _header(trace)
    header = header[:-1] + f',"hash":"{_digest(trace, header)}"}}'.encode()
    part_max = [fmap.part_max.ravel() for fmap in trace.maps if fmap.part_max is not None]
    arrays = {
        HEADER: np.frombuffer(header, dtype=np.uint8),
        MASKS: _joined(fmap.mask for fmap in trace.maps if fmap.mask is not None),
        PART_MAX: _planes(np.concatenate(part_max)) if part_max else _joined(()),
        ZERO_CHANNELS: _joined(np.packbits(fmap.zero_channels) for fmap in trace.maps if fmap.mask is None),
    }
    if len(header) > MAX_HEADER_BYTES or sum(array.size for array in arrays.values()) > MAX_BYTES:
        raise TraceError(f"the trace is too large for a file ({MAX_BYTES:,} bytes at most); use larger fine parts or a smaller image")
    return arrays


def put_together(member: Member) -> Trace:
    """The trace that was taken apart; `member` gives its arrays of bytes back.

    Raises:  `TraceError` for anything that `take_apart` did not make, and what `member` raises
    """
    return _trace(member, _parse_header(member(HEADER, None)))


def save(trace: Trace, path: Path | str) -> None:
    """Write the trace, whole or not at all; the same trace gives the same bytes.

    Raises:  `TraceError` when the place cannot be written, or the trace is larger than `load` would accept.
    """
    path = Path(path)
    try:
        arrays = take_apart(trace)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, _npy_head(array.size) + array.tobytes(), zipfile.ZIP_DEFLATED, LEVEL)
        unfinished.replace(path)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}; choose another folder") from None
    finally:
        with contextlib.suppress(OSError):  # the common case: it has been renamed
            unfinished.unlink()


def load(path: Path | str) -> Trace:
    """Read a trace that `save` wrote.

    Raises:  `TraceError`, one line, for anything else: a damaged, hostile, foreign, older or newer file. No other error leaves.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file)
    except FileNotFoundError:
        raise TraceError(f"{path}: there is no such file; {AGAIN}") from None
    except TraceError as error:
        remedy = "" if "accelsim" in str(error) else f"; {AGAIN}"
        raise TraceError(f"{path}: {error}{remedy}") from None
    except _DAMAGE as error:
        text = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise TraceError(f"{path}: cannot be read ({text:.100}); {AGAIN}") from None


def _read(file: BinaryIO) -> Trace:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        declared = sum(entry.file_size for entry in entries)
        _require(declared <= MAX_BYTES, f"its members unpack to {declared:,} bytes, {MAX_BYTES:,} is the most")
        names = sorted(entry.filename for entry in entries)
        _require(HEADER in names, f"not a trace: no member '{HEADER}' among {names!r:.120}")
        header = _parse_header(_member(archive, HEADER, None))
        _require(names == sorted(MEMBERS), f"its members are {names!r:.160}, a trace has {', '.join(MEMBERS)}")
        return _trace(partial(_member, archive), header)


def _check_directory(file: BinaryIO) -> None:
    """Look at the end of the zip before `zipfile` does: it would read a directory of any size, and our own files are simple."""
    size = file.seek(0, os.SEEK_END)
    tail_bytes = min(size, 42)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    simple = len(tail) == 42 and tail[20:24] == b"PK\5\6" and tail[40:] == b"\0\0" and tail[:4] != b"PK\6\7"
    _require(simple, "not a trace file, or cut off: the end of a .npz is missing")
    directory_bytes = struct.unpack("<I", tail[32:36])[0]
    _require(directory_bytes <= MAX_DIRECTORY_BYTES, f"its list of members takes {directory_bytes:,} bytes, four members are allowed")


def _member(archive: zipfile.ZipFile, name: str, length: int | None) -> Bytes:
    """Unpack one member: exactly `length` bytes of uint8, or for None any up to MAX_HEADER_BYTES. Sizes are compared before."""
    entry = archive.getinfo(name)
    _require(entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), f"{name} is packed in a way that traces do not use")
    with archive.open(entry) as stream:
        head = stream.read(10)
        _require(head[:8] == b"\x93NUMPY\1\0", f"{name} is not an array in .npy format 1.0")
        text = stream.read(struct.unpack("<H", head[8:])[0])
        found = _NPY.fullmatch(text)
        if found is None or found[1] != b"|u1":
            pickled = " (pickled objects)" if b"'|O'" in text or b"'O'" in text else ""
            raise TraceError(f"{name} is an array {text[:70].decode('ascii', 'replace').strip()!r}{pickled}: bytes '|u1' [n] are needed")
        size = int(found[2])
        if length is None:
            _require(size <= MAX_HEADER_BYTES, f"{name} claims {size:,} bytes, {MAX_HEADER_BYTES:,} is the most")
        else:
            _require(size == length, f"{name} claims {size:,} bytes, its graph needs {length:,}")
        held = entry.file_size - 10 - len(text)
        _require(held == size, f"{name} claims {size:,} bytes and holds {held:,}")
        data = stream.read(size)
        _require(len(data) == size and not stream.read(1), f"{name} ends early")
    return np.frombuffer(data, dtype=np.uint8)


def _parse_header(data: Bytes) -> Any:
    """Judge the outermost shape of the header; the version first, since another version may have other keys."""
    try:
        header: Any = json.loads(data.tobytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TraceError(f"the header is not JSON ({' '.join(str(error).split()):.80})") from None
    _require(_is_object(header) and type(header.get("format")) is int, "the header names no format: not a trace")
    if header["format"] > FORMAT:
        raise TraceError(f"format {header['format']}, this version reads 1 to {FORMAT}; update accelsim, or {AGAIN}")
    _require(header["format"] >= 1, f"format {header['format']}, this version reads 1 to {FORMAT}")
    _require(set(header) == _HEADER_KEYS, f"the header has the keys {sorted(header)!r:.160}")
    _require(_is_object(header["graph"]) and set(header["graph"]) == {"name", "nodes"}, "the header's graph needs a name and nodes")
    _require(isinstance(header["graph"]["nodes"], list), "the header's nodes are no list")
    _require(isinstance(header["maps"], list) and all(map(_is_object, header["maps"])), "the header's maps are no list of objects")
    _require(_is_object(header["provenance"]), "the header's provenance is no object")
    return header


def _graph(header: dict[str, Any]) -> Graph:
    nodes = []
    for position, entry in enumerate(header["nodes"]):
        complete = _is_object(entry) and set(entry) == set(_NODE_KEYS) and _is_object(entry["attributes"])
        _require(complete, f"node {position} of the header: the keys {', '.join(_NODE_KEYS)} are needed")
        nodes.append(Node(**{key: _tuple(value) for key, value in entry.items()} | {"attributes": entry["attributes"] or NO_ATTRIBUTES}))
    return Graph(header["name"], tuple(nodes))


def _trace(member: Member, header: dict[str, Any]) -> Trace:
    graph = _graph(header["graph"])
    check_graph(graph)
    fine_part = _tuple(header["fine_part"])
    sizes = isinstance(fine_part, tuple) and len(fine_part) == 2 and all(type(size) is int and size > 0 for size in fine_part)
    _require(sizes, f"fine_part {fine_part!r:.80}: two positive integers are needed")
    _require(len(header["maps"]) == len(graph.nodes), f"the header tells of {len(header['maps'])} maps for {len(graph.nodes)} nodes")
    mask_ends, part_ends, channel_ends = [0], [0], [0]
    for node, entry in zip(graph.nodes, header["maps"], strict=True):
        keys = {"zero_elements", "mask", "part_max"} | ({"constant"} if header["format"] > 1 else set())
        known = set(entry) == keys and {type(entry["mask"]), type(entry["part_max"])} == {bool}
        _require(known, f"the map of {node.name}: {', '.join(sorted(keys))} are needed")
        channels, down, across = part_grid(node.shape, *fine_part)
        mask_ends.append(mask_ends[-1] + (-(-node.elements // 8) if entry["mask"] else 0))
        part_ends.append(part_ends[-1] + (channels * down * across if entry["part_max"] else 0))
        channel_ends.append(channel_ends[-1] + (0 if entry["mask"] else -(-channels // 8)))
    masks = member(MASKS, mask_ends[-1])
    part_max = _values(member(PART_MAX, 4 * part_ends[-1]))
    zero_channels = member(ZERO_CHANNELS, channel_ends[-1])
    maps = []
    for index, (node, entry) in enumerate(zip(graph.nodes, header["maps"], strict=True)):
        channels = node.shape[0]
        mask = masks[mask_ends[index] : mask_ends[index + 1]] if entry["mask"] else None
        if mask is None:
            dead = np.unpackbits(zero_channels[channel_ends[index] : channel_ends[index + 1]], count=channels).astype(np.bool_)
        else:
            dead = np.logical_not(np.unpackbits(mask, count=node.elements).reshape(channels, -1).any(axis=1))
        parts = part_max[part_ends[index] : part_ends[index + 1]].reshape(part_grid(node.shape, *fine_part)) if entry["part_max"] else None
        maps.append(FeatureMap(node.shape, dead, entry["zero_elements"], mask, parts, _constants(entry.get("constant"), node)))
    told = (header["image"], header["epsilon"], header["mode"])
    trace = Trace(graph, tuple(maps), *told, fine_part, header["source"], header["provenance"])
    _require(digest(trace) == header["hash"], "its content does not match its hash: it was damaged or edited")
    return trace


def _constants(numbers: object, node: Node) -> NDArray[np.bool_] | None:
    """Flags of the channels that a header names as constant."""
    if numbers is None:
        return None
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < node.shape[0] for number in numbers):
        raise TraceError(f"the map of {node.name}: constant {numbers!r:.80}: a list of its channels, or null, is needed")
    flags = np.zeros(node.shape[0], dtype=np.bool_)
    flags[numbers] = True
    return flags


def _header(trace: Trace) -> bytes:
    """All of the trace but its arrays and its hash: one text for one content, keys in order."""
    maps: list[dict[str, Any]] = [
        {"zero_elements": fmap.zero_elements, "mask": fmap.mask is not None, "part_max": fmap.part_max is not None} for fmap in trace.maps
    ]
    constants = [None if fmap.constant_channels is None else np.flatnonzero(fmap.constant_channels).tolist() for fmap in trace.maps]
    known = any(constants)
    if known:
        for entry, numbers in zip(maps, constants, strict=True):
            entry["constant"] = numbers
    told = {
        "format": FORMAT if known else 1,
        "maps": maps,
        "image": trace.image,
        "epsilon": trace.epsilon,
        "mode": trace.mode,
        "fine_part": trace.fine_part,
        "source": trace.source,
        "provenance": trace.provenance,
    }
    texts = {key: _canonical(value) for key, value in told.items()} | {"graph": _graph_text(Same(trace.graph))}
    return b"{%b}" % b",".join(b'"%b":%b' % (key.encode(), texts[key]) for key in sorted(texts))


@lru_cache(maxsize=4)
def _graph_text(graph: Same) -> bytes:
    """A graph in the header; it is the same for all images of a network."""
    nodes = [{key: getattr(node, key) for key in _NODE_KEYS} | {"attributes": dict(node.attributes)} for node in graph.graph.nodes]
    return _canonical({"name": graph.graph.name, "nodes": nodes})


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _npy_head(size: int) -> bytes:
    """The .npy preamble of uint8 [size], padded so that the data begins at a multiple of 64."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode("ascii")


def _joined(arrays: Iterable[Bytes]) -> Bytes:
    return np.concatenate([np.empty(0, dtype=np.uint8), *arrays])


def _planes(values: NDArray[np.float32]) -> Bytes:
    return np.ascontiguousarray(values.astype("<f4").view(np.uint8).reshape(-1, 4).T).ravel()


def _values(planes: Bytes) -> NDArray[np.float32]:
    return np.ascontiguousarray(planes.reshape(4, -1).T).view("<f4").ravel().astype(np.float32, copy=False)


def _tuple(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise TraceError(fault)
