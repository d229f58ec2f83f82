"""Images as arrays in `.npz` archives: which there are, and reading one, its header first."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError

MAX_PIXELS = 50_000_000
"""Largest image that is read or made (about 7000 x 7000)."""
MAX_STACK_BYTES = 256 << 20
"""Stacks up to this size are unpacked once; of larger ones each image is looked for by itself, past those before it."""

Pixels = NDArray[np.uint8]


def load(path: Path, key: str, text: str) -> Pixels:
    """Read one image of an archive (`text` in full), its header first: nothing is allocated or unpickled on a stranger's word."""
    name, _, position = key.partition(":")
    if not path.is_file():
        raise ModelError(f"{text}: no such file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(member.removesuffix(".npy") for member in archive.namelist())
            if name not in names:
                raise ModelError(f"{text}: no array {name!r}. Allowed: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}")
            with archive.open(f"{name}.npy") as member:
                return _read_npy(member, position, text)
    except ModelError:
        raise
    except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise ModelError(f"{text}: damaged .npz file: {' '.join(str(fault).split())}") from fault


def names(path: Path, key: str) -> Iterator[tuple[str, str]]:
    """Names and sources of the images of an archive, or of one of its arrays."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            shapes = {}
            for entry in archive.namelist():
                with archive.open(entry) as member:
                    shape, _, dtype = _npy_header(member)
                if dtype == np.uint8 and (len(shape) == 2 or (len(shape) in (3, 4) and shape[-1] in (1, 3, 4))):
                    shapes[entry.removesuffix(".npy")] = shape
    except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise ModelError(f"{path}: damaged .npz file: {' '.join(str(fault).split())}") from fault
    if key and key not in shapes:
        raise ModelError(
            f"{path}: {key!r} is no array of images (uint8 [H, W], [H, W, C], [N, H, W, C]). Allowed: {', '.join(shapes) or 'none'}"
        )
    for name in [key] if key else shapes:
        if len(shapes[name]) == 4:
            yield from ((f"{name}_{index}", f"{path}:{name}:{index}") for index in range(shapes[name][0]))
        else:
            yield name, f"{path}:{name}"


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order of columns and type of an array."""
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, column_major, dtype = read_header(member)
    return tuple(shape), bool(column_major), dtype


@lru_cache(maxsize=1)
def _stack(path: Path, name: str, changed: int) -> bytes:
    """All pixels of a stack of moderate size, unpacked once for all of its images."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        _npy_header(member)
        return member.read(MAX_STACK_BYTES)


def _read_npy(member: IO[bytes], position: str, text: str) -> Pixels:
    shape, column_major, dtype = _npy_header(member)
    stack = len(shape) == 4
    if dtype != np.uint8 or len(shape) not in (2, 3, 4) or min(shape) == 0 or (stack and column_major):
        raise ModelError(f"{text}: {dtype} {list(shape)}. Allowed: uint8 [H, W], [H, W, C], or [N, H, W, C] with an index")
    if stack != bool(position):
        raise ModelError(f"{text}: {list(shape)}; add ':<index>' for a stack [N, H, W, C], and only for one")
    index = 0
    if stack:
        if not (position.isascii() and position.isdigit() and len(position) < 10 and int(position) < shape[0]):
            raise ModelError(f"{text}: index {position!r}. Allowed: 0 to {shape[0] - 1}")
        index, shape = int(position), shape[1:]
    check_pixels(shape[0] * shape[1], f"{shape[0]} x {shape[1]}", text)
    if len(shape) == 3 and shape[2] not in (1, 3, 4):
        raise ModelError(f"{text}: {shape[2]} channels in {list(shape)}. Allowed: 1, 3, 4 as the last axis")
    size = math.prod(shape)
    if index and (index + 1) * size <= MAX_STACK_BYTES:
        file, _, key = text.partition(".npz:")
        path = Path(f"{file}.npz")
        raw = _stack(path, key.partition(":")[0], path.stat().st_mtime_ns)[index * size : (index + 1) * size]
    else:
        member.seek(index * size, io.SEEK_CUR)
        raw = member.read(size)
    if len(raw) != size:
        raise ModelError(f"{text}: damaged .npz file: {size:,} values wanted, {len(raw):,} there")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_major else "C")


def check_pixels(pixels: int, size: str, text: str) -> None:
    """Refuse an image of no pixels, or of more than `MAX_PIXELS`. Raises `ModelError`."""
    if not 0 < pixels <= MAX_PIXELS:
        raise ModelError(f"{text}: image of {size} = {pixels:,} pixels. Allowed: 1 to {MAX_PIXELS:,}")
