"""Channels that are zero on every image, and traces as they would be of a network from which such channels were pruned offline.

Removing a channel that is zero on an image changes nothing on that image, so on the images looked at the slim network does the same; on
others it may not. What can be removed is what structure allows:
* a convolution or fully connected layer loses the filter, and each convolution or fully connected layer that reads the map loses the
  weights of that channel;
* kinds that work channel by channel (pooling, sums and products of equal shapes, depthwise convolution, activation, ...) have an input
  channel exactly where they have an output channel, so it goes only where all of them are zero on every image; concatenations likewise;
* whatever else reads or makes a map keeps it whole: grouped convolution, the network's input and outputs, and kinds that move or mix
  channels. A map keeps at least one channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.trace import FeatureMap, Trace, pack

Bool = NDArray[np.bool_]

CHANNELWISE = frozenset(("maxpool", "avgpool", "add", "sub", "mul", "upsample", "resize", "crop", "dropout", "activation", "scale"))


class ZeroChannels:
    """Which channels of each node's map are zero in every trace, looked at one after the other; of a trace only counts are kept.

    Shapes:  `always`, `ever`: channels zero in all of them, and in one at least: a bool [C] a node; `counts`: a number a node, for each
    """

    def __init__(self, first: Trace) -> None:
        self.first = first
        self.always = tuple(np.ones(node.shape[0], np.bool_) for node in first.graph.nodes)
        self.ever = tuple(np.zeros(node.shape[0], np.bool_) for node in first.graph.nodes)
        self.counts: list[list[int]] = []

    def add(self, trace: Trace) -> None:
        """Look at a trace. Raises `TraceError` where it is of another network or made otherwise, or positions are not known."""
        first = self.first
        if not trace.positions_known:
            raise TraceError(
                f"{trace.graph.name}, {trace.image}: the trace holds counts of zero channels, not which they are; "
                "use traces made by 'accelsim infer'"
            )
        if trace.graph.nodes != first.graph.nodes:
            raise TraceError(f"{first.graph.name} ({first.image}) and {trace.graph.name} ({trace.image}) are different networks")
        if (trace.epsilon, trace.mode) != (first.epsilon, first.mode):
            raise TraceError(f"{first.image} and {trace.image} were made with different epsilons or modes; compare those made alike")
        for always, ever, fmap in zip(self.always, self.ever, trace.maps, strict=True):
            np.logical_and(always, fmap.zero_channels, out=always)
            np.logical_or(ever, fmap.zero_channels, out=ever)
        self.counts.append([int(np.count_nonzero(fmap.zero_channels)) for fmap in trace.maps])


def removable(graph: Graph, zero: Sequence[Bool]) -> tuple[Bool, ...]:
    """Which of the channels that are always zero structure allows to remove. Shapes: one bool [C] a node, both ways."""
    goes = [flags.copy() for flags in zero]
    for node in graph.nodes:
        if node.kind == "input" or not graph.consumers(node.index):
            goes[node.index][:] = False
        if not _can_shrink(graph, node):
            for index in (node.index, *node.inputs):
                goes[index][:] = False
    while True:
        before = [flags.copy() for flags in goes]
        for node in graph.nodes:
            for mine, theirs in _ties(goes, node):
                mine[:] = theirs[:] = mine & theirs
            if goes[node.index].all():
                goes[node.index][0] = False
        if all(np.array_equal(old, new) for old, new in zip(before, goes, strict=True)):
            return tuple(goes)


def without(trace: Trace, removed: Sequence[Bool], images: int) -> Trace:
    """The trace without some channels, as `removable` says. `images`: on how many images they were found to be zero; provenance says so."""
    graph = trace.graph
    keep = [~flags for flags in removed]
    nodes = []
    for node in graph.nodes:
        channels = int(keep[node.index].sum())
        groups = channels if _is_depthwise(graph, node) else node.groups
        nodes.append(replace(node, shape=(channels, *node.shape[1:]), groups=groups))
    count = sum(int(flags.sum()) for flags in removed)
    provenance = {**trace.provenance, "pruned_offline": f"{count} channels that are zero on all of {images} images"}
    maps = tuple(_chosen(fmap, flags) for fmap, flags in zip(trace.maps, keep, strict=True))
    return replace(trace, graph=Graph(graph.name, tuple(nodes)), maps=maps, provenance=provenance, filters=None)


def _ties(goes: Sequence[Bool], node: Node) -> Iterator[tuple[Bool, Bool]]:
    """Channels of a node and of its producers that can only go together, as views."""
    if node.kind in CHANNELWISE or (node.kind == "conv" and node.groups > 1):
        yield from ((goes[node.index], goes[producer]) for producer in node.inputs)
    elif node.kind == "concat":
        start = 0
        for producer in node.inputs:
            stop = start + goes[producer].size
            yield goes[node.index][start:stop], goes[producer]
            start = stop


def _can_shrink(graph: Graph, node: Node) -> bool:
    """Whether a node still means the same when its input and output lose channels."""
    inputs = graph.input_shapes(node.index)
    if node.kind == "conv":
        return node.groups == 1 or _is_depthwise(graph, node)
    if node.kind == "concat":
        return sum(shape[0] for shape in inputs) == node.shape[0]
    if node.kind in CHANNELWISE:
        return all(shape[0] == node.shape[0] for shape in inputs)
    return node.kind == "fc"


def _is_depthwise(graph: Graph, node: Node) -> bool:
    return node.kind == "conv" and node.groups > 1 and node.groups == node.shape[0] == graph.input_shapes(node.index)[0][0]


def _chosen(fmap: FeatureMap, keep: Bool) -> FeatureMap:
    """Some channels of a map."""
    if keep.all():
        return fmap
    shape = (int(keep.sum()), *fmap.shape[1:])
    gone = (fmap.shape[0] - shape[0]) * fmap.shape[1] * fmap.shape[2]
    mask = None if fmap.mask is None else pack(fmap.nonzero()[keep])
    part_max = None if fmap.part_max is None else np.ascontiguousarray(fmap.part_max[keep])
    zeros = None if fmap.zero_elements is None else fmap.zero_elements - gone
    constant = None if fmap.constant_channels is None else fmap.constant_channels[keep]
    values = None if fmap.values is None else fmap.values[keep]
    return FeatureMap(shape, fmap.zero_channels[keep], zeros, mask, part_max, constant, values)
