"""What the data was: the graph, and for each feature map which elements were not zero.

A trace says nothing of schemes; so a new scheme needs no new trace. How it lies in a file is told in `tracefile.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node, Shape

FORMAT = 1
MODES = ("channel", "part", "element")
INFERENCE, PUBLISHED, SYNTHETIC = "inference", "published statistics", "synthetic"
SOURCES = (INFERENCE, PUBLISHED, SYNTHETIC)
MAX_SIZE = 2**31 - 1
"""No length, window or number of groups is larger."""

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One node's output as a trace knows it.

    Shapes:  `zero_channels` bool [C], True where every element is zero (after pruning, so the consumer sees it so);
             `mask` uint8 [ceil(C*H*W/8)], packed big-endian non-zero bits in C, H, W order, or None in a statistics trace;
             `part_max` float32 [C, ceil(H/h), ceil(W/w)], max|x| per fine part (of the trace's `fine_part` h, w; NaN counts as infinity),
             or None.
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

    def __post_init__(self) -> None:
        _require(_sizes(self.shape, 3, 1), f"shape {self.shape!r}: three positive integers (channels, height, width) are needed")
        _require_array(self.zero_channels, "zero_channels", np.bool_, (self.shape[0],))
        for name in ("zero_channels", "mask", "part_max"):
            array = getattr(self, name)
            if array is not None:
                _require(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}: a numpy array is needed")
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)
        if self.mask is not None:
            self._agree_with_mask(self.mask)
        elif self.zero_elements is not None:
            least = int(np.count_nonzero(self.zero_channels)) * self.shape[1] * self.shape[2]
            known = type(self.zero_elements) is int and least <= self.zero_elements <= self.elements
            _require(known, f"zero_elements {self.zero_elements!r}: the zero channels alone are {least}, the map has {self.elements}")
        if self.part_max is not None:
            _require_array(self.part_max, "part_max", np.float32, None)
            _require(self.part_max.ndim == 3 and bool((self.part_max >= 0).all()), "part_max: magnitudes >= 0 [C, parts, parts] are needed")

    @property
    def elements(self) -> int:
        """Elements of the map."""
        return math.prod(self.shape)

    def nonzero(self) -> Bool:
        """Unpack the mask. Shapes: bool [C, H, W]. Raises `TraceError` for a statistics trace."""
        if self.mask is None:
            raise TraceError("this map has no mask: the trace holds statistics only; use a trace made by 'accelsim infer'")
        return np.unpackbits(self.mask, count=self.elements).view(np.bool_).reshape(self.shape)

    def _agree_with_mask(self, mask: NDArray[np.uint8]) -> None:
        _require_array(mask, "mask", np.uint8, (-(-self.elements // 8),))
        spare = -self.elements % 8
        _require(not int(mask[-1]) & ((1 << spare) - 1), "mask: bits beyond the last element are set")
        zeros = self.elements - int(np.bitwise_count(mask).sum(dtype=np.int64))
        counted = type(self.zero_elements) is int and self.zero_elements == zeros
        _require(counted, f"zero_elements {self.zero_elements!r}: the mask has {zeros} zeros")
        dead = ~self.nonzero().reshape(self.shape[0], -1).any(axis=1)
        wrong = np.flatnonzero(dead != self.zero_channels)
        _require(not wrong.size, f"zero_channels: {wrong.size} of them contradict the mask, the first is channel {wrong[:1].sum()}")


@dataclass(frozen=True, eq=False)
class Trace:
    """One network on one image at one epsilon.

    `maps[i]` belongs to `graph.nodes[i]`. `source`: 'inference', 'published statistics' or 'synthetic'; reports repeat it.
    `epsilon` and `mode` ('channel', 'part', 'element') say what inference did to the data. `fine_part`: (h, w).
    `provenance`: texts: network file and sha256, weights sha256, image and sha256, preprocessing, engine version, ...
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

    def __post_init__(self) -> None:
        check_graph(self.graph)
        _require(_sizes(self.fine_part, 2, 1), f"fine_part {self.fine_part!r}: two positive integers (height, width) are needed")
        _require(self.mode in MODES, f"mode {self.mode!r}: {', '.join(MODES)} are known")
        _require(self.source in SOURCES, f"source {self.source!r}: {', '.join(SOURCES)} are known")
        _require(type(self.epsilon) is float and 0 <= self.epsilon < math.inf, f"epsilon {self.epsilon!r}: a float >= 0 is needed")
        for text in (self.image, *self.provenance, *self.provenance.values()):
            _require(_printable(text), f"provenance: {text!r:.80} is not printable text of one line")
        object.__setattr__(self, "provenance", dict(self.provenance))
        _require(len(self.maps) == len(self.graph.nodes), f"{len(self.maps)} maps for {len(self.graph.nodes)} nodes")
        for node, fmap in zip(self.graph.nodes, self.maps, strict=True):
            _require(fmap.shape == node.shape, f"{node.name}: its map has shape {fmap.shape}, the node makes {node.shape}")
            self._check_part_max(node, fmap)
            stands = fmap.mask is not None or self.source != INFERENCE
            _require(stands, f"{node.name}: a map without a mask in a trace of source '{INFERENCE}'")

    def _check_part_max(self, node: Node, fmap: FeatureMap) -> None:
        if fmap.part_max is None:
            return
        grid = part_grid(fmap.shape, *self.fine_part)
        _require(fmap.part_max.shape == grid, f"{node.name}: part_max has shape {fmap.part_max.shape}, fine parts make {grid}")
        if fmap.mask is not None:
            agree = np.array_equal(fmap.part_max == 0, part_flags(fmap, *self.fine_part))
            _require(agree, f"{node.name}: part_max is 0 in other parts than the mask")

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


def spread(count: int, channels: int) -> Bool:
    """Spread `count` zero channels evenly over `channels`, always the same way. Shapes: bool [channels]."""
    _require(0 <= count <= channels, f"{count} zero channels of {channels}")
    steps = np.arange(channels + 1, dtype=np.int64) * count // max(channels, 1)
    return np.diff(steps).astype(np.bool_)


def measure(data: NDArray[np.float32], fine_part: tuple[int, int]) -> FeatureMap:
    """Make the feature map of real data (already pruned). Shapes: data [C, H, W]; `fine_part` (h, w). NaN is never zero."""
    channels, height, width = (int(size) for size in data.shape)
    nonzero = data != 0
    part_max = part_maxima(data, *fine_part)
    zeros = data.size - int(np.count_nonzero(nonzero))
    return FeatureMap((channels, height, width), ~nonzero.reshape(channels, -1).any(axis=1), zeros, pack(nonzero), part_max)


def part_grid(shape: Shape, h: int, w: int) -> Shape:
    """Channels and parts of h x w elements down and across, ragged at the bottom and at the right."""
    return shape[0], -(-shape[1] // h), -(-shape[2] // w)


def part_flags(fmap: FeatureMap, h: int, w: int) -> Bool:
    """Algorithm 1 on a grid: which parts are wholly zero, from the mask.

    Shapes:  bool [C, ceil(H/h), ceil(W/w)], True where every element of the part inside the map is zero.
    Raises:  `TraceError` for a map without a mask, or a part of no elements.
    Source:  Liang et al., arXiv 1812.09922, Algorithm 1, parts read as a grid.
    """
    _require(_sizes((h, w), 2, 1), f"part {h!r} x {w!r}: positive integers are needed")
    return ~_fold(fmap.nonzero(), h, w, np.logical_or)


def linear_flags(fmap: FeatureMap, h: int, w: int) -> Bool:
    """Algorithm 1 on raster runs: which runs of h*w successive elements of a channel are wholly zero.

    Shapes:  bool [C, ceil(H*W/(h*w))]; the last run of a channel may be shorter.
    Raises:  as `part_flags`.
    """
    _require(_sizes((h, w), 2, 1), f"part {h!r} x {w!r}: positive integers are needed")
    channels, run = fmap.shape[0], h * w
    flat = fmap.nonzero().reshape(channels, -1)
    runs = -(-flat.shape[1] // run)
    whole = np.zeros((channels, runs * min(run, flat.shape[1])), dtype=np.bool_)
    whole[:, : flat.shape[1]] = flat
    return np.logical_not(whole.reshape(channels, runs, -1).any(axis=2))


def open_loop_flags(trace: Trace, index: int, h: int, w: int, epsilon: float) -> Bool:
    """Which parts of the map of node `index` are zero for an epsilon that inference did not use, from `part_max`.

    Open loop: later maps do not feel what this one lost, so every report must say so. The trace's own zeros stay zero.
    Shapes:  bool [C, ceil(H/h), ceil(W/w)].
    Raises:  `TraceError` where the trace has no `part_max`, or where (h, w) cannot be put together from fine parts: each of h, w
             must be a multiple of the fine part's, or reach over the whole map.
    """
    node, fmap, (fine_h, fine_w) = trace.graph.nodes[index], trace.maps[index], trace.fine_part
    _require(_sizes((h, w), 2, 1) and epsilon >= 0, f"part {h!r} x {w!r} at epsilon {epsilon!r}: positive sizes, epsilon >= 0 are needed")
    if fmap.part_max is None:
        raise TraceError(f"{node.name}: epsilon {epsilon} at replay needs part maxima, the trace of {trace.graph.name} has none")
    _, height, width = fmap.shape
    if (h % fine_h and h < height) or (w % fine_w and w < width):
        raise TraceError(
            f"{node.name}: epsilon {epsilon} at replay needs parts that are multiples of the trace's fine part {fine_h}x{fine_w}, "
            f"not {h}x{w}; make the trace again with a fine part that divides them"
        )
    # A part that reaches over the map holds all fine parts of it, whether or not its own size is a multiple.
    return _fold(fmap.part_max, max(1, -(-h // fine_h)), max(1, -(-w // fine_w)), np.maximum) <= np.float32(epsilon)


def part_maxima(data: NDArray[np.float32], h: int, w: int) -> NDArray[np.float32]:
    """Largest magnitude in each part, NaN as infinity. Shapes: float32 [C, H, W] -> float32 [C, ceil(H/h), ceil(W/w)]."""
    magnitude = np.abs(data, dtype=np.float32)
    magnitude[np.isnan(magnitude)] = np.inf
    folded: NDArray[np.float32] = _fold(magnitude, h, w, np.maximum)
    return folded


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


def check_graph(graph: Graph) -> None:
    """Refuse a graph that is none: `TraceError` names the node and the field. What a kind means is for `layers/` to judge."""
    _require(_printable(graph.name), f"graph name {graph.name!r:.80} is not printable text of one line")
    _require(bool(graph.nodes) and graph.nodes[0].kind == "input", "the graph must begin with an 'input' node")
    for position, node in enumerate(graph.nodes):
        where = f"node {position}"
        for field in ("name", "kind", "activation", "dtype"):
            text = getattr(node, field)
            _require(_printable(text) and bool(text), f"{where}: {field} {text!r:.80} is not printable text of one line")
        where = f"{where} ({node.name:.80})"
        _require(type(node.index) is int and node.index == position, f"{where}: index {node.index!r} at position {position}")
        producers = isinstance(node.inputs, tuple) and all(type(index) is int and 0 <= index < position for index in node.inputs)
        _require(producers, f"{where}: inputs {node.inputs!r:.80}: each must be an integer from 0 to {position - 1}")
        _require(bool(node.inputs) == bool(position), f"{where}: inputs {node.inputs!r:.80}: only node 0 has none")
        for field, count, least in (("shape", 3, 1), ("kernel", 2, 1), ("stride", 2, 1), ("pad", 4, 0), ("dilation", 2, 1)):
            value = getattr(node, field)
            _require(_sizes(value, count, least), f"{where}: {field} {value!r:.80}: {count} integers >= {least} are needed")
        _require(_sizes((node.groups,), 1, 1), f"{where}: groups {node.groups!r}: an integer >= 1 is needed")
        _require(type(node.zero_point) is int, f"{where}: zero_point {node.zero_point!r}: an integer is needed")
        _require(_finite(node.slope), f"{where}: slope {node.slope!r}: a finite number is needed")
        for key, value in node.attributes.items():
            known = _printable(value) or type(value) in (bool, int) or _finite(value)
            _require(_printable(key) and known, f"{where}: attribute {key!r:.80} = {value!r:.80}: text, number or truth value is needed")
        images = node.attributes.get("images", 1)
        _require(_sizes((images,), 1, 1) and node.shape[1] % node.images == 0, f"{where}: {images!r:.80} images in {node.shape[1]} rows")
        _require(node.images == graph.nodes[0].images, f"{where}: {node.images} images, the input has {graph.nodes[0].images}")
        if node.kind == "conv":
            _check_conv(where, node, graph.nodes[node.inputs[0]].shape)


def _check_conv(where: str, node: Node, ifmap: Shape) -> None:
    top, left, bottom, right = node.pad
    padded = (ifmap[1] // node.images + top + bottom, ifmap[2] + left + right)
    reach = [(size - 1) * step + 1 for size, step in zip(node.kernel, node.dilation, strict=True)]
    down, across = ((size - window) // step + 1 for size, window, step in zip(padded, reach, node.stride, strict=True))
    sizes = (down * node.images, across)
    _require(node.shape[1:] == sizes, f"{where}: a window of {node.kernel} on {ifmap} makes {sizes}, not {node.shape[1:]}")
    divides = ifmap[0] % node.groups == 0 and node.shape[0] % node.groups == 0
    _require(divides, f"{where}: {node.groups} groups do not divide {ifmap[0]} and {node.shape[0]} channels")


def _fold(array: NDArray[Any], h: int, w: int, combine: np.ufunc) -> NDArray[Any]:
    """Combine the elements of each h x w part, row by row and then column by column: long contiguous runs, so it is fast."""
    rows = array[:, ::h].copy()
    for offset in range(1, min(h, array.shape[1])):
        piece = array[:, offset::h]
        head = rows[:, : piece.shape[1]]
        combine(head, piece, out=head)
    parts = rows[:, :, ::w].copy()
    for offset in range(1, min(w, array.shape[2])):
        piece = rows[:, :, offset::w]
        head = parts[:, :, : piece.shape[2]]
        combine(head, piece, out=head)
    return parts


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise TraceError(fault)


def _require_array(array: object, name: str, dtype: type[np.generic], shape: tuple[int, ...] | None) -> None:
    fits = isinstance(array, np.ndarray) and array.dtype == dtype and (shape is None or array.shape == shape)
    if not fits:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        needed = np.dtype(dtype).name + ("" if shape is None else f" {list(shape)}")
        raise TraceError(f"{name} is {found}: {needed} is needed")


def _sizes(values: Iterable[object], count: int, least: int) -> bool:
    """Whether `values` is a tuple of `count` plain integers from `least` up (numpy integers would leak into JSON and SimPy)."""
    return isinstance(values, tuple) and len(values) == count and all(type(value) is int and least <= value <= MAX_SIZE for value in values)


def _finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _printable(text: object) -> bool:
    """Text that a terminal shows as it is: no line breaks, no escape sequences."""
    return isinstance(text, str) and text.isprintable()
