"""The numbers of a Darknet .weights file, made ready: batch normalisation folded into weights and bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Graph
from accelsim.layers import layer
from accelsim.layers.base import Tensor

BATCH_NORM = ("scales", "means", "variances")


@dataclass(frozen=True)
class Block:
    """What the file holds for one layer: names and counts of its arrays, in the order in which they lie."""

    index: int
    name: str
    shapes: Mapping[str, tuple[int, ...]]
    arrays: tuple[tuple[str, int], ...]

    @property
    def values(self) -> int:
        """Count of all values."""
        return sum(count for _, count in self.arrays)


def blocks(graph: Graph, batch_norm: frozenset[int]) -> tuple[Block, ...]:
    """Blocks of all layers with weights, in file order; `batch_norm` holds the nodes that normalise.

    Convolution: biases, [scales, means, variances], weights [O, I/groups, k, k]. Connected: biases, weights [outputs, inputs], then
    [scales, means, variances].
    """
    result = []
    for node in graph.nodes:
        shapes = layer(node.kind).weight_shapes(node, graph.input_shapes(node.index))
        if not shapes:
            continue
        biases, filters = shapes["bias"][0], ("weights", prod(shapes["weight"]))
        norm = tuple((name, biases) for name in BATCH_NORM) if node.index in batch_norm else ()
        arrays = (*norm, filters) if node.kind == "conv" else (filters, *norm)
        result.append(Block(node.index, node.name, shapes, (("biases", biases), *arrays)))
    return tuple(result)


def read(path: Path, wanted: Sequence[Block], epsilon: float) -> dict[int, dict[str, Tensor]]:
    """Read and fold all weights.

    The file's length is compared with what the cfg wants before anything is allocated.
    Raises:  `ModelError` that names the layer where values are missing, are not finite, or are left over
    """
    return {block.index: _fold(path, block, arrays, epsilon) for block, arrays in raw(path, wanted)}


def raw(path: Path, wanted: Sequence[Block]) -> Iterator[tuple[Block, dict[str, Tensor]]]:
    """Read all values as they lie in the file, layer by layer: biases, scales, means, variances, weights, by name.

    Raises:  `ModelError` as `read`
    """
    try:
        with path.open("rb") as stream:
            header = _header(path, stream)
            size = path.stat().st_size
            _check_length(path, size, header, wanted)
            for block in wanted:
                yield block, _arrays(path, block, stream)
    except OSError as fault:
        raise ModelError(f"{path}: weights file cannot be read: {fault.strerror or fault}") from fault


def _header(path: Path, stream: BinaryIO) -> int:
    """Read past the header and return its length: three int32 and `seen`, which has 8 bytes from version 0.2 on."""
    raw = stream.read(12)
    if len(raw) < 12:
        raise ModelError(f"{path}: {len(raw)} bytes; a weights file begins with a header of 16 or 20")
    major, minor, revision = (int(value) for value in np.frombuffer(raw, "<i4"))
    if min(major, minor, revision) < 0 or max(major % 1000, minor % 1000) > 99:
        raise ModelError(f"{path}: header says version {major}.{minor}.{revision}; this is no Darknet weights file")
    if major >= 1000 or minor >= 1000:
        raise ModelError(f"{path}: header says version {major}.{minor}: transposed matrices; save it again with a current Darknet")
    seen = 8 if major * 10 + minor >= 2 else 4
    stream.read(seen)
    return 12 + seen


def _check_length(path: Path, size: int, header: int, wanted: Sequence[Block]) -> None:
    total = sum(block.values for block in wanted)
    there, odd = divmod(max(size - header, 0), 4)
    if there == total and not odd:
        return
    sums = f"the cfg wants {total:,} values in all, the file has {there:,}" + (f" and {odd} bytes" if odd else "")
    advice = f"    {sums}; check that cfg and weights belong together"
    left = there
    for block in wanted:
        if left < block.values:
            parts = ", ".join(f"{count:,} {name}" for name, count in block.arrays)
            raise ModelError(f"{path}: ends inside {block.name}: {block.values:,} values wanted ({parts}), {left:,} there\n{advice}")
        left -= block.values
    last = f"after the last layer, {wanted[-1].name}" if wanted else "and the cfg has no layer with weights"
    raise ModelError(f"{path}: {left:,} values{f' and {odd} bytes' if odd else ''} left over {last}\n{advice}")


def _arrays(path: Path, block: Block, stream: BinaryIO) -> dict[str, Tensor]:
    found = {}
    for name, count in block.arrays:
        raw = stream.read(4 * count)
        if len(raw) != 4 * count:
            raise ModelError(f"{path}: {block.name}: {count:,} {name} wanted, {len(raw) // 4:,} there; the file changed while it was read")
        values = np.frombuffer(raw, "<f4").astype(np.float32)
        broken = np.flatnonzero(~np.isfinite(values))
        if broken.size:
            first = f"the first is {values[broken[0]]} at {broken[0]:,}"
            raise ModelError(f"{path}: {block.name}: {broken.size:,} of its {count:,} {name} are not finite ({first})")
        found[name] = values
    return found


def _fold(path: Path, block: Block, arrays: Mapping[str, Tensor], epsilon: float) -> dict[str, Tensor]:
    """(x - mean) * scale / sqrt(variance + epsilon) + bias as weights and bias, worked out in float64."""
    weight: NDArray[np.float64] = arrays["weights"].reshape(block.shapes["weight"]).astype(np.float64)
    bias: NDArray[np.float64] = arrays["biases"].astype(np.float64)
    if "scales" in arrays:
        # Training leaves tiny negative variances now and then; the authors clamp them.
        variance = np.maximum(arrays["variances"].astype(np.float64), 0.0)
        factor = arrays["scales"].astype(np.float64) / np.sqrt(variance + epsilon)
        weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = bias - arrays["means"] * factor
    limit = float(np.finfo(np.float32).max)
    if max(np.abs(weight).max(), np.abs(bias).max()) > limit:
        raise ModelError(f"{path}: {block.name}: folding its batch normalisation leaves the range of float32; its scales are damaged")
    return {"weight": np.ascontiguousarray(weight, np.float32), "bias": np.ascontiguousarray(bias, np.float32)}
