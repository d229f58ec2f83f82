"""Maps that are other maps seen differently: where their channels lie, and which nodes therefore cost nothing.

A node that only picks or reorders whole channels, or joins them, has no region of its own: its readers go to those of its producers.
One that keeps every element and says of other elements that they are one channel (`reshape`, or what `permute` reads) does so only in plain
memory: the maps under it are stored dense, without markers, since a marker of theirs is none of a channel that its readers know.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.graph import Graph, Node, Shape
from accelsim.layers import concat
from accelsim.layers.permute import channel_order
from accelsim.layers.slice import picks
from accelsim.schedule.geometry import COSTED_KINDS
from accelsim.schedule.memory import Segment

Segments = tuple[Segment, ...]

FUSED = {
    "reshape": "the same bytes, read as another number of channels, rows and columns",
    "permute": "its readers take the channels in another order",
    "slice": "its readers leave channels out",
    "constant": "the host stores it before the replay starts",
}
"""Why a node of these kinds costs nothing of its own, where it does not."""


def costs(node: Node, inputs: Sequence[Shape]) -> bool:
    """Whether a node moves elements or computes, so that it has tiles and a region of its own."""
    if node.kind == "permute":
        return channel_order(node, inputs[0]) is None
    if node.kind == "slice":
        return node.shape[1:] != inputs[0][1:] or any(picks(node, axis).step < 0 for axis in (1, 2))
    if node.kind == "concat":
        return concat.axis(node) != 0
    return node.kind in COSTED_KINDS


def alias(node: Node) -> Segments:
    """All channels of a map whose bytes are those of another; its region has the number of the node, negative."""
    return (Segment(0, node.shape[0], -node.index, 0),)


def operand(node: Node, segments: Segments, shape: Shape) -> tuple[Segments, Shape]:
    """What a node that costs reads of a producer's map: its segments, in the node's own count of channels, and its shape."""
    if node.kind == "permute":
        return alias(node), node.shape
    if node.kind == "slice":
        return reordered(segments, list(picks(node, 0))), (node.shape[0], *shape[1:])
    if node.kind == "pad":
        front = int(node.attributes.get("front", 0))
        return tuple(Segment(part.low + front, part.high + front, part.node, part.first) for part in segments), shape
    return segments, shape


def joined(graph: Graph, node: Node, segments: Sequence[Segments]) -> Segments:
    """Where the channels of a node without a region of its own lie."""
    if node.kind == "reshape":
        return alias(node)
    found: list[Segment] = []
    low = 0
    for index in node.inputs:
        found += [Segment(low + part.low, low + part.high, part.node, part.first) for part in segments[index]]
        low += graph.nodes[index].shape[0]
    order = channel_order(node, node.shape) if node.kind == "permute" else picks(node, 0) if node.kind == "slice" else None
    return tuple(found) if order is None else reordered(tuple(found), list(order))


def reordered(segments: Segments, channels: Sequence[int]) -> Segments:
    """Segments of some channels in the given order; neighbours that stay neighbours stay in one segment."""
    owner = {part.low + at: (part.node, part.first + at) for part in segments for at in range(part.high - part.low)}
    found: list[Segment] = []
    for at, channel in enumerate(channels):
        node, place = owner[channel]
        last = found[-1] if found else None
        if last is not None and last.node == node and last.first + at - last.low == place:
            found[-1] = Segment(last.low, at + 1, node, last.first)
        else:
            found.append(Segment(at, at + 1, node, place))
    return tuple(found)
