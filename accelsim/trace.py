"""What the data was: the graph, and for each feature map which elements were not zero.

A trace says nothing of schemes; so a new scheme needs no new trace. How it lies in a file is told in `tracefile.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node, Shape
from accelsim.kernels import marks
from accelsim.soundness import check_once, printable, require, sizes

FORMAT = 2
"""The newest; a trace that knows of no constant channels is written as format 1, which had none."""
MODES = ("channel", "part", "element")
INFERENCE, PUBLISHED, SYNTHETIC = "inference", "published statistics", "synthetic"
SOURCES = (INFERENCE, PUBLISHED, SYNTHETIC)

INFINITY = np.float32(np.inf).view(np.uint32)
"""Bits of infinity; those of NaN are larger."""

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One node's output as a trace knows it.

    Shapes:  `zero_channels` bool [C], True where every element is zero (after pruning, so the consumer sees it so);
             `mask` uint8 [ceil(C*H*W/8)], packed big-endian non-zero bits in C, H, W order, or None in a statistics trace;
             `part_max` float32 [C, ceil(H/h), ceil(W/w)], max|x| per fine part (of the trace's `fine_part` h, w; NaN counts as infinity),
             or None; `constant_channels` bool [C], True where a channel of several elements is one value, not zero; None where unknown;
             `values` [C, H, W] of any number type, the data itself, or None: kept in memory where asked for, never in a file.
    `measured`: `measure` made it, so its arrays agree; all others are checked.
    Units:   `zero_elements`: count, or None where unknown.
    Raises:  `TraceError` when the arrays contradict each other; the arrays are read-only afterwards.
    In a statistics trace only the number of zero channels is known; `zero_channels` then spreads them evenly, and
    `Trace.positions_known` is False. `measure` builds one from data, `spread` spreads a count.
    """

    shape: Shape
    zero_channels: Bool
    zero_elements: int | None
    mask: NDArray[np.uint8] | None = None
    part_max: NDArray[np.float32] | None = None
    constant_channels: Bool | None = None
    values: NDArray[Any] | None = None
    measured: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        require(sizes(self.shape, 3, 1), f"shape {self.shape!r}: three positive integers (channels, height, width) are needed")
        _require_array(self.zero_channels, "zero_channels", np.bool_, (self.shape[0],))
        for name in ("zero_channels", "mask", "part_max", "constant_channels", "values"):
            array = getattr(self, name)
            if array is not None:
                require(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}: a numpy array is needed")
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)
        if self.mask is not None:
            self._agree_with_mask(self.mask)
        elif self.zero_elements is not None:
            least = int(np.count_nonzero(self.zero_channels)) * self.shape[1] * self.shape[2]
            known = type(self.zero_elements) is int and least <= self.zero_elements <= self.elements
            require(known, f"zero_elements {self.zero_elements!r}: the zero channels alone are {least}, the map has {self.elements}")
        if self.part_max is not None:
            _require_array(self.part_max, "part_max", np.float32, None)
            require(self.part_max.ndim == 3 and bool((self.part_max >= 0).all()), "part_max: magnitudes >= 0 [C, parts, parts] are needed")
        if self.constant_channels is not None:
            self._agree_with_constants(self.constant_channels)
        if self.values is not None:
            same = self.values.shape == self.shape and (self.mask is None or np.array_equal(self.values != 0, self.nonzero()))
            require(same, f"values {list(self.values.shape)}: not the shape {list(self.shape)}, or other zeros than the mask's")

    @property
    def elements(self) -> int:
        """Elements of the map."""
        return math.prod(self.shape)

    def nonzero(self) -> Bool:
        """Unpack the mask. Shapes: bool [C, H, W]. Raises `TraceError` for a statistics trace."""
        if self.mask is None:
            raise TraceError("this map has no mask: the trace holds statistics only; use a trace made by 'accelsim infer'")
        return np.unpackbits(self.mask, count=self.elements).view(np.bool_).reshape(self.shape)

    def _agree_with_constants(self, constant: Bool) -> None:
        _require_array(constant, "constant_channels", np.bool_, (self.shape[0],))
        wrong = constant & self.zero_channels if self.shape[1] * self.shape[2] > 1 else constant
        if self.mask is not None and not wrong.any() and constant.any():
            wrong = constant & ~self.nonzero().reshape(self.shape[0], -1).all(axis=1)
        require(not wrong.any(), f"constant_channels: channel {int(wrong.argmax())} has zeros, or is one element")

    def _agree_with_mask(self, mask: NDArray[np.uint8]) -> None:
        _require_array(mask, "mask", np.uint8, (-(-self.elements // 8),))
        spare = -self.elements % 8
        require(not int(mask[-1]) & ((1 << spare) - 1), "mask: bits beyond the last element are set")
        zeros = self.elements - _ones(mask)
        counted = type(self.zero_elements) is int and self.zero_elements == zeros
        require(counted, f"zero_elements {self.zero_elements!r}: the mask has {zeros} zeros")
        live = np.empty(self.shape[0], dtype=np.bool_)
        marks.live_channels(mask, self.shape[1] * self.shape[2], live)
        wrong = np.flatnonzero(live == self.zero_channels)
        require(not wrong.size, f"zero_channels: {wrong.size} of them contradict the mask, the first is channel {wrong[:1].sum()}")


@dataclass(frozen=True, eq=False)
class Trace:
    """One network on one image at one epsilon.

    `maps[i]` belongs to `graph.nodes[i]`. `source`: 'inference', 'published statistics' or 'synthetic'; reports repeat it.
    `epsilon` and `mode` ('channel', 'part', 'element') say what inference did to the data. `fine_part`: (h, w).
    `provenance`: texts: network file and sha256, weights sha256, image and sha256, preprocessing, engine version, ...
    `filters`: weights by node, for weight schemes; kept in memory, never in a file (`networks.beside` puts them there).
    Raises:  `TraceError` when the graph is not one, or a map does not fit its node. Texts are printable and of one line.
    """

    graph: Graph
    maps: tuple[FeatureMap, ...]
    image: str
    epsilon: float
    mode: str
    fine_part: tuple[int, int]
    source: str
    provenance: Mapping[str, str]
    filters: Mapping[int, NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        check_once(self.graph)
        require(sizes(self.fine_part, 2, 1), f"fine_part {self.fine_part!r}: two positive integers (height, width) are needed")
        require(self.mode in MODES, f"mode {self.mode!r}: {', '.join(MODES)} are known")
        require(self.source in SOURCES, f"source {self.source!r}: {', '.join(SOURCES)} are known")
        require(type(self.epsilon) is float and 0 <= self.epsilon < math.inf, f"epsilon {self.epsilon!r}: a float >= 0 is needed")
        for text in (self.image, *self.provenance, *self.provenance.values()):
            require(printable(text), f"provenance: {text!r:.80} is not printable text of one line")
        object.__setattr__(self, "provenance", dict(self.provenance))
        require(len(self.maps) == len(self.graph.nodes), f"{len(self.maps)} maps for {len(self.graph.nodes)} nodes")
        for node, fmap in zip(self.graph.nodes, self.maps, strict=True):
            self._check(node, fmap)

    def _check(self, node: Node, fmap: FeatureMap) -> None:
        """Raises `TraceError`; texts are made where there is a fault alone, for a trace has many maps and is made of many images."""
        if fmap.shape != node.shape:
            raise TraceError(f"{node.name}: its map has shape {fmap.shape}, the node makes {node.shape}")
        if fmap.part_max is not None:
            grid = part_grid(fmap.shape, *self.fine_part)
            if fmap.part_max.shape != grid:
                raise TraceError(f"{node.name}: part_max has shape {fmap.part_max.shape}, fine parts make {grid}")
            checked = fmap.measured or fmap.mask is None
            if not checked and not np.array_equal(fmap.part_max == 0, part_flags(fmap, *self.fine_part)):
                raise TraceError(f"{node.name}: part_max is 0 in other parts than the mask")
        if fmap.mask is None and self.source == INFERENCE:
            raise TraceError(f"{node.name}: a map without a mask in a trace of source '{INFERENCE}'")

    @property
    def has_masks(self) -> bool:
        """Whether every map has its mask."""
        return all(fmap.mask is not None for fmap in self.maps)

    @property
    def positions_known(self) -> bool:
        """Whether `zero_channels` are the real ones, not spread from a count."""
        return self.has_masks or self.source != PUBLISHED


def pack(nonzero: Bool) -> NDArray[np.uint8]:
    """Pack non-zero flags into a mask. Shapes: bool [C, H, W] -> uint8 [ceil(C*H*W/8)], first element in the highest bit."""
    return np.packbits(nonzero, axis=None)


def _ones(mask: NDArray[np.uint8]) -> int:
    """Bits that are set; eight bytes at a time, and the rest."""
    words = np.ascontiguousarray(mask[: mask.size - mask.size % 8]).view(np.uint64)
    return int(np.bitwise_count(words).sum(dtype=np.int64)) + int(np.bitwise_count(mask[words.nbytes :]).sum(dtype=np.int64))


def spread(count: int, channels: int) -> Bool:
    """Spread `count` zero channels evenly over `channels`, always the same way. Shapes: bool [channels]."""
    require(0 <= count <= channels, f"{count} zero channels of {channels}")
    steps = np.arange(channels + 1, dtype=np.int64) * count // max(channels, 1)
    return np.diff(steps).astype(np.bool_)


def measure(data: NDArray[Any], fine_part: tuple[int, int] | None = None, *, values: bool = False) -> FeatureMap:
    """Make the feature map of real data (already pruned).

    Shapes:  data [C, H, W]; `fine_part` (h, w), None for no part maxima. NaN is never zero, -0.0 is. `values`: keep a copy of the data
    """
    channels, height, width = shape = (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))
    part = fine_part or (height, width)
    part_max = np.empty(part_grid(shape, *part), dtype=np.float32)
    words = np.empty(-(-data.size // 64), dtype=np.uint64)
    zero, constant = np.empty(channels, dtype=np.bool_), np.empty(channels, dtype=np.bool_)
    bits = _bits(data)
    live = marks.measure(bits, *part, part_max.view(np.uint32), words, zero, constant)
    mask = words.view(np.uint8)[: -(-data.size // 8)]
    exact = data.dtype == np.float32
    if not exact:  # the least values of other types are zero as float32, and neighbours are alike
        mask, live = pack(data != 0), int(np.count_nonzero(data))
        flat = data.reshape(channels, -1)
        constant = (flat == flat[:, :1]).all(axis=1) & (flat[:, 0] != 0) & (flat.shape[1] > 1)
    kept, maxima = data.copy() if values else None, None if fine_part is None else part_max
    if exact:
        return _sound(shape, zero, data.size - live, mask, maxima, constant, kept)
    return FeatureMap(shape, zero, data.size - live, mask, maxima, constant, kept)


def joined(maps: Sequence[FeatureMap]) -> FeatureMap:
    """The map that holds the channels of several measured ones, one map after another: what `measure` would find, without the data.

    Shapes:  of equal H, W and fine parts, without values
    """
    if len(maps) == 1:
        return maps[0]
    arrays = {
        name: np.concatenate([getattr(fmap, name) for fmap in maps]) for name in ("zero_channels", "mask", "part_max", "constant_channels")
    }
    if any(fmap.elements % 8 for fmap in maps[:-1]):
        arrays["mask"] = pack(np.concatenate([fmap.nonzero() for fmap in maps]))
    shape = (arrays["zero_channels"].size, *maps[0].shape[1:])
    zeros = sum(fmap.zero_elements or 0 for fmap in maps)
    return _sound(shape, arrays["zero_channels"], zeros, arrays["mask"], arrays["part_max"], arrays["constant_channels"], None)


def _sound(
    shape: Shape,
    zero_channels: Bool,
    zero_elements: int,
    mask: NDArray[np.uint8],
    part_max: NDArray[np.float32] | None,
    constant_channels: Bool,
    values: NDArray[Any] | None,
) -> FeatureMap:
    """A measured map. Checks would take twice as long as measuring, and could find nothing: every array is of the same data."""
    for array in (zero_channels, mask, part_max, constant_channels, values):
        if array is not None:
            array.setflags(write=False)
    made = object.__new__(FeatureMap)
    made.__dict__.update(
        shape=shape,
        zero_channels=zero_channels,
        zero_elements=zero_elements,
        mask=mask,
        part_max=part_max,
        constant_channels=constant_channels,
        values=values,
        measured=True,
    )
    return made


def part_grid(shape: Shape, h: int, w: int) -> Shape:
    """Channels and parts of h x w elements down and across, ragged at the bottom and at the right."""
    return shape[0], -(-shape[1] // h), -(-shape[2] // w)


def part_flags(fmap: FeatureMap, h: int, w: int) -> Bool:
    """Algorithm 1 on a grid: which parts are wholly zero, from the mask.

    Shapes:  bool [C, ceil(H/h), ceil(W/w)], True where every element of the part inside the map is zero.
    Raises:  `TraceError` for a map without a mask, or a part of no elements.
    Source:  Liang et al., arXiv 1812.09922, Algorithm 1, parts read as a grid.
    """
    require(sizes((h, w), 2, 1), f"part {h!r} x {w!r}: positive integers are needed")
    live = np.empty(part_grid(fmap.shape, h, w), dtype=np.bool_)
    marks.live_parts(fmap.nonzero().view(np.uint8), h, w, live.view(np.uint8))
    return ~live


def linear_flags(fmap: FeatureMap, h: int, w: int) -> Bool:
    """Algorithm 1 on raster runs: which runs of h*w successive elements of a channel are wholly zero.

    Shapes:  bool [C, ceil(H*W/(h*w))]; the last run of a channel may be shorter.
    Raises:  as `part_flags`.
    """
    require(sizes((h, w), 2, 1), f"part {h!r} x {w!r}: positive integers are needed")
    channels, run = fmap.shape[0], h * w
    flat = fmap.nonzero().reshape(channels, -1)
    runs = -(-flat.shape[1] // run)
    whole = np.zeros((channels, runs * min(run, flat.shape[1])), dtype=np.bool_)
    whole[:, : flat.shape[1]] = flat
    return np.logical_not(whole.reshape(channels, runs, -1).any(axis=2))


def open_loop_flags(trace: Trace, index: int, h: int, w: int, epsilon: float | NDArray[np.float32]) -> Bool:
    """Which parts of the map of node `index` are zero for an epsilon that inference did not use, from `part_max`.

    Open loop: later maps do not feel what this one lost, so every report must say so. The trace's own zeros stay zero.
    Shapes:  bool [C, ceil(H/h), ceil(W/w)]; `epsilon` one number, or one a channel: [C].
    Raises:  `TraceError` where the trace has no `part_max`, or where (h, w) cannot be put together from fine parts: each of h, w
             must be a multiple of the fine part's, or reach over the whole map.
    """
    node, fmap, (fine_h, fine_w) = trace.graph.nodes[index], trace.maps[index], trace.fine_part
    told, limits = f"{epsilon}" if isinstance(epsilon, float) else "by channel", np.asarray(epsilon, dtype=np.float32)
    require(
        sizes((h, w), 2, 1) and bool((limits >= 0).all()), f"part {h!r} x {w!r} at epsilon {told}: positive sizes, epsilon >= 0 are needed"
    )
    if fmap.part_max is None:
        raise TraceError(f"{node.name}: epsilon {told} at replay needs part maxima, the trace of {trace.graph.name} has none")
    _, height, width = fmap.shape
    if (h % fine_h and h < height) or (w % fine_w and w < width):
        raise TraceError(
            f"{node.name}: epsilon {told} at replay needs parts that are multiples of the trace's fine part {fine_h}x{fine_w}, "
            f"not {h}x{w}; make the trace again with a fine part that divides them"
        )
    # A part that reaches over the map holds all fine parts of it, whether or not its own size is a multiple.
    folded = part_maxima(fmap.part_max, max(1, -(-h // fine_h)), max(1, -(-w // fine_w)))
    return np.asarray(folded <= limits.reshape(-1, 1, 1))


def part_maxima(data: NDArray[Any], h: int, w: int) -> NDArray[np.float32]:
    """Largest magnitude in each part, NaN as infinity. Shapes: float32 [C, H, W] -> float32 [C, ceil(H/h), ceil(W/w)]."""
    bits = _bits(data)
    largest = np.empty(part_grid((bits.shape[0], bits.shape[1], bits.shape[2]), h, w), dtype=np.uint32)
    marks.part_maxima(bits, h, w, largest)
    return np.minimum(largest, INFINITY).view(np.float32)


def _bits(data: NDArray[Any]) -> NDArray[np.uint32]:
    """The bits of float32 values, always read-only: a kernel is compiled for one kind of array."""
    bits = np.ascontiguousarray(data, dtype=np.float32).view(np.uint32)
    bits.flags.writeable = False
    return bits


def summary(trace: Trace, h: int = 8, w: int = 8) -> list[dict[str, Any]]:
    """One row per feature map, for people: sizes, zeros, and how many h x w parts are zero.

    Units:   `live_bytes`: bytes of the channels that are not zero, 2 bytes an element; `zero_percent`: of elements.
             None stands where the trace does not know.
    """
    rows = []
    for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
        channels, height, width = node.shape
        dead = int(np.count_nonzero(fmap.zero_channels))
        zero_parts = None if fmap.mask is None else int(np.count_nonzero(part_flags(fmap, h, w)))
        rows.append(
            {
                "layer": node.name,
                "kind": node.kind,
                "channels": channels,
                "height": height,
                "width": width,
                "zero_channels": dead,
                "zero_percent": None if fmap.zero_elements is None else 100 * fmap.zero_elements / fmap.elements,
                "live_bytes": 2 * (channels - dead) * height * width,
                "parts": math.prod(part_grid(node.shape, h, w)),
                "zero_parts": zero_parts,
            }
        )
    return rows


def _require_array(array: object, name: str, dtype: type[np.generic], shape: tuple[int, ...] | None) -> None:
    fits = isinstance(array, np.ndarray) and array.dtype == dtype and (shape is None or array.shape == shape)
    if not fits:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        needed = np.dtype(dtype).name + ("" if shape is None else f" {list(shape)}")
        raise TraceError(f"{name} is {found}: {needed} is needed")
