"""Weights that do not lie dense: where their pieces lie, what a filling of the buffer loads of one, and what the array is left to do.

A piece is what one filling loads; its head and units lie together, from an access on. A column of a fully connected layer is loaded where
its ifmap element is not zero; that a piece of hardware knows from a flag for each element, which the producer keeps with the markers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from accelsim.errors import TraceError
from accelsim.graph import Node
from accelsim.hardware import Accelerator
from accelsim.schedule.geometry import Geometry, Int
from accelsim.schedule.memory import FilterRegion, Piece
from accelsim.schedule.nest import Nest
from accelsim.schedule.plan import Plan
from accelsim.schedule.runs import Bool, Rules, join
from accelsim.schedule.work import Work
from accelsim.schemes import Scheme
from accelsim.trace import Trace
from accelsim.weights.base import Cut, EncodedWeights, matrix


@dataclass(frozen=True, eq=False)
class CodedFilters:
    """The filters of one layer under a weight scheme.

    Shapes:  `dense` int64 [pieces]: what the dense scheme wants of each; `columns` bool [C * T]: elements of a flat ifmap that are not zero
             in every image, where columns of the others are left out; else None
    Units:   bytes; `access`: what pieces begin with
    """

    address: int
    encoded: EncodedWeights
    dense: Int
    columns: Bool | None
    access: int

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return int(self._begins[-1])

    @cached_property
    def pieces(self) -> Int:
        """Bytes of each piece as a whole. Shape: int64 [pieces]."""
        ends = np.concatenate(([0], self.encoded.units.cumsum()))[self.encoded.edges]
        return np.diff(ends) + self.encoded.heads

    @cached_property
    def _begins(self) -> Int:
        return np.concatenate(([0], (-(-self.pieces // self.access) * self.access).cumsum()))

    def piece(self, number: int, live: Bool, low: int, rules: Rules) -> Piece:
        """What moves a piece, units of skipped ifmap channels and columns left out; where no unit is needed, the head is not either.

        Shapes:  `live` bool [channels of the piece]; `low`: the first of them
        """
        sizes = self.encoded.units[self.encoded.edges[number] : self.encoded.edges[number + 1]]
        needed = self._needed(live, low, sizes.size)
        begin, head = self.address + int(self._begins[number]), int(self.encoded.heads[number])
        starts = begin + head + sizes.cumsum() - sizes
        head = head if needed.any() else 0
        needed = needed & (sizes > 0)
        starts, ends = starts[needed], (starts + sizes)[needed]
        if head:
            starts, ends = np.concatenate(([begin], starts)), np.concatenate(([begin + head], ends))
        return join(starts, ends, rules), head + int(sizes[needed].sum()), int(self.dense[number])

    def _needed(self, live: Bool, low: int, units: int) -> Bool:
        """Which units of a piece are needed."""
        if self.encoded.granularity == "piece":
            return np.array([live.any()])
        taps = units // live.size
        needed = np.repeat(live, taps)
        return needed if self.columns is None else needed & self.columns[low * taps : low * taps + units]


@dataclass(frozen=True, eq=False)
class Coder:
    """The weights of a run as its tiles load them; equal cuts of a layer are coded once.

    `known`: maps whose producer has seen their elements.
    """

    trace: Trace
    accelerator: Accelerator
    scheme: Scheme
    known: frozenset[int]
    _codes: dict[tuple[object, ...], EncodedWeights | None] = field(default_factory=dict)

    def code(self, nest: Nest, plan: Plan) -> EncodedWeights | None:
        """The code of a layer's weights; None where they lie dense, or there are none.

        Raises:  `TraceError` where the weights are not at hand
        """
        if not (plan.layer.weights and self.scheme.weights.needs_weights):
            return None
        key = (nest.node.index, plan.tiling.sizes()[:3], plan.tiling.filters_at_once)
        if key not in self._codes:
            self._codes[key] = self._code(nest.node, plan)
        return self._codes[key]

    def _code(self, node: Node, plan: Plan) -> EncodedWeights | None:
        if self.trace.filters is None or node.index not in self.trace.filters:
            raise TraceError(
                f"scheme {self.scheme.label!r} needs the weights of {self.trace.graph.name}; a trace holds none, and no network is named "
                "beside it\n    name it: {trace: ..., network: ...} in a run file, --network on the command line"
            )
        layer = plan.layer
        values = matrix(self.trace.filters[node.index], layer.groups, layer.channels)
        edges = (np.append(plan.low[axis], plan.high[axis][-1]) for axis in range(3))
        return self.scheme.weights.encode(values, self.accelerator.data.filter_bits, cut=Cut(*edges), connected=node.kind == "fc")

    def columns(self, nest: Nest, plan: Plan) -> Bool | None:
        """Elements that are not zero, by image, where columns of the others are left out: a producer must have seen them; else None.

        Shapes:  bool [images, C * H * W]
        """
        code = self.code(nest, plan)
        if code is None or code.granularity != "column" or not {index for index in nest.reads if index >= 0} <= self.known:
            return None
        return nonzero_columns(self.trace, nest.node, plan.layer)

    def region(self, nest: Nest, plan: Plan) -> FilterRegion | CodedFilters:
        """How the filters of a layer lie, from address 0 on."""
        plain = FilterRegion(0, plan.layer, self.accelerator.data.filter_bits, self.accelerator.layout.filter)
        code, columns = self.code(nest, plan), self.columns(nest, plan)
        if code is None:
            return plain
        needed = None if columns is None else np.asarray(columns.any(axis=0))
        return CodedFilters(0, code, dense_pieces(plan, plain), needed, self.accelerator.dma.access)


def dense_pieces(plan: Plan, plain: FilterRegion) -> Int:
    """What the dense scheme wants of each piece, as `FilterRegion.piece` counts it. Shape: int64 [pieces]. Units: bytes."""
    element = plan.layer.taps * plain.bits
    groups, filters, channels = (plan.length(axis) for axis in range(3))
    filter_bytes, channel_bytes = (-(-plan.high[axis] * element // 8) - plan.low[axis] * element // 8 for axis in (1, 2))
    parts = (filter_bytes, channels) if plain.sliced else (filters, channel_bytes)
    return np.multiply.outer(np.multiply.outer(groups, parts[0]), parts[1]).ravel()


def nonzero_columns(trace: Trace, node: Node, layer: Geometry) -> Bool:
    """Elements of the flat ifmap of a fully connected layer that are not zero. Shapes: bool [images, C * H * W]."""
    fmap, images = trace.maps[node.inputs[0]], layer.images
    channels, height, width = fmap.shape
    known = fmap.mask is not None
    elements = fmap.nonzero() if known else np.repeat(~fmap.zero_channels, height * width)
    return elements.reshape(channels, images, height // images, width).transpose(1, 0, 2, 3).reshape(images, -1)


def skim(work: Work, plan: Plan, encoded: EncodedWeights, columns: Bool | None) -> Work:
    """The work of a fully connected layer without its zero weights and, where they are known, without the columns of zero elements.

    Cycles shrink as multiply-accumulates do, rounded up.
    """
    if encoded.nonzero is None:
        return work
    of_filters = np.add.reduceat(encoded.nonzero, plan.low[1], axis=0, dtype=np.int64)
    images = np.ones((plan.layer.images, of_filters.shape[1]), dtype=np.bool_) if columns is None else columns
    counts = np.array([np.add.reduceat(of_filters * image, plan.low[2] * plan.layer.taps, axis=1) for image in images])
    counts = np.add.reduceat(counts, plan.low[3], axis=0)
    _, filters, channels, rows, _ = plan.at
    macs = counts[rows, filters, channels]
    busy = -(-work.busy * macs // np.maximum(work.macs, 1))
    return replace(work, busy=busy, fill=np.where(macs > 0, work.fill, 0), macs=macs)
