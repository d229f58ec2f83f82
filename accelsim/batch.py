"""Batches: one trace whose maps hold several images, one below the other.

Every node of such a graph says how many (its attribute `images`). Within a channel the rows of the first image come first, then those
of the second; no window crosses from one into another. So a filter that stays in the buffer serves all of them, and everything below the
trace (schemes, schedule, engines) sees maps that are taller and nothing else. A channel is zero only where it is zero in every image:
that is what the weights of a batch need (schemes.md, 2.2), and what the marker of the batch's map says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.trace import FeatureMap, Trace, pack

_BY_ELEMENT = ("input", "given", "constant", "scale", "add", "sub", "mul", "activation", "lrn", "concat", "dropout", "yolo", "cost")
_BY_WINDOW = ("conv", "fc", "maxpool", "avgpool", "softmax", "upsample", "resize", "crop", "pad", "slice")
_BY_IMAGE = ("reshape", "permute")
KINDS = frozenset((*_BY_ELEMENT, *_BY_WINDOW, *_BY_IMAGE))
"""Kinds that work on each image by itself when images lie one below the other.

`_BY_IMAGE` take the elements of an image for other channels, rows and columns, so what they make is of images below each other in its own
shape, as if each image had been turned by itself: as many bytes move, and no marker passes through them as it is.
"""


def repeat(trace: Trace, count: int) -> Trace:
    """A batch of `count` times the same image; a batch of that many stays as it is. Raises `TraceError` as `stack`."""
    return trace if count in (1, trace.graph.nodes[0].images) else stack([trace] * count)


def stack(traces: Sequence[Trace]) -> Trace:
    """One trace of several images of one network.

    Raises:  `TraceError` where the traces are of different networks, epsilons or modes, or are batches themselves, and for kinds of
             nodes that move rows about
    """
    first = traces[0]
    for other in traces:
        if other.graph.nodes != first.graph.nodes:
            raise TraceError(f"a batch needs one network: {first.graph.name} ({first.image}) and {other.graph.name} ({other.image}) differ")
        if (other.epsilon, other.mode, other.source) != (first.epsilon, first.mode, first.source):
            raise TraceError(f"a batch needs traces made alike: {first.image} and {other.image} differ in epsilon, mode or source")
    if first.graph.nodes[0].images > 1:
        raise TraceError(f"{first.image}: is a batch already")
    mixing = next((node for node in first.graph.nodes if node.kind not in KINDS), None)
    if mixing is not None:
        raise TraceError(f"{mixing.name}: a batch cannot hold a node of kind {mixing.kind!r}\n    allowed: {', '.join(sorted(KINDS))}")
    names = list(dict.fromkeys(trace.image for trace in traces))
    nodes = tuple(_taller(node, len(traces)) for node in first.graph.nodes)
    return replace(
        first,
        graph=Graph(first.graph.name, nodes),
        maps=tuple(_stacked(maps) for maps in zip(*(trace.maps for trace in traces), strict=True)),
        image=f"{len(traces)} x {names[0]}" if len(names) == 1 else "+".join(names),
    )


def _taller(node: Node, count: int) -> Node:
    channels, height, width = node.shape
    return replace(node, shape=(channels, count * height, width), attributes={**node.attributes, "images": count})


def _stacked(maps: Sequence[FeatureMap]) -> FeatureMap:
    """Maps one below the other. Part maxima are dropped: parts of the whole need not be parts of one image."""
    channels, height, width = maps[0].shape
    counts = [fmap.zero_elements for fmap in maps]
    known = [count for count in counts if count is not None]
    dead = np.logical_and.reduce([fmap.zero_channels for fmap in maps])
    mask = None
    if all(fmap.mask is not None for fmap in maps):
        mask = pack(np.concatenate([fmap.nonzero() for fmap in maps], axis=1))
    # Of different images each may have another constant; what follows from the graph for all of them is found there.
    constant = maps[0].constant_channels if all(fmap is maps[0] for fmap in maps) else None
    values = [fmap.values for fmap in maps if fmap.values is not None]
    whole = np.concatenate(values, axis=1) if len(values) == len(maps) else None
    shape = (channels, len(maps) * height, width)
    return FeatureMap(shape, dead, sum(known) if len(known) == len(counts) else None, mask, None, constant, whole)
