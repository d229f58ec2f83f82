"""Whether a graph is one, whatever file it came from: types, sizes and references, so that nothing below need look again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node, Shape

MAX_SIZE = 2**31 - 1
"""No length, window or number of groups is larger."""


class Same:
    """A graph as a key: itself, not what it equals."""

    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __hash__(self) -> int:
        return id(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.graph is self.graph


@lru_cache(maxsize=4)
def _check_once(graph: Same) -> None:
    check_graph(graph.graph)


def check_once(graph: Graph) -> None:
    """`check_graph`, but one graph is not checked again for the traces of further images: it takes as long as packing their masks."""
    _check_once(Same(graph))


def check_graph(graph: Graph) -> None:
    """Refuse a graph that is none: `TraceError` names the node and the field. What a kind means is for `layers/` to judge."""
    require(printable(graph.name), f"graph name {graph.name!r:.80} is not printable text of one line")
    require(bool(graph.nodes) and graph.nodes[0].kind == "input", "the graph must begin with an 'input' node")
    for position, node in enumerate(graph.nodes):
        where = f"node {position}"
        for name in ("name", "kind", "activation", "dtype"):
            text = getattr(node, name)
            require(printable(text) and bool(text), f"{where}: {name} {text!r:.80} is not printable text of one line")
        where = f"{where} ({node.name:.80})"
        require(type(node.index) is int and node.index == position, f"{where}: index {node.index!r} at position {position}")
        producers = isinstance(node.inputs, tuple) and all(type(index) is int and 0 <= index < position for index in node.inputs)
        require(producers, f"{where}: inputs {node.inputs!r:.80}: each must be an integer from 0 to {position - 1}")
        require(bool(node.inputs) == bool(position), f"{where}: inputs {node.inputs!r:.80}: only node 0 has none")
        for name, count, least in (("shape", 3, 1), ("kernel", 2, 1), ("stride", 2, 1), ("pad", 4, 0), ("dilation", 2, 1)):
            value = getattr(node, name)
            require(sizes(value, count, least), f"{where}: {name} {value!r:.80}: {count} integers >= {least} are needed")
        require(sizes((node.groups,), 1, 1), f"{where}: groups {node.groups!r}: an integer >= 1 is needed")
        require(type(node.zero_point) is int, f"{where}: zero_point {node.zero_point!r}: an integer is needed")
        require(finite(node.slope), f"{where}: slope {node.slope!r}: a finite number is needed")
        for key, value in node.attributes.items():
            known = printable(value) or type(value) in (bool, int) or finite(value)
            require(printable(key) and known, f"{where}: attribute {key!r:.80} = {value!r:.80}: text, number or truth value is needed")
        images = node.attributes.get("images", 1)
        require(sizes((images,), 1, 1) and node.shape[1] % node.images == 0, f"{where}: {images!r:.80} images in {node.shape[1]} rows")
        require(node.images == graph.nodes[0].images, f"{where}: {node.images} images, the input has {graph.nodes[0].images}")
        if node.kind == "conv":
            _check_conv(where, node, graph.nodes[node.inputs[0]].shape)


def _check_conv(where: str, node: Node, ifmap: Shape) -> None:
    top, left, bottom, right = node.pad
    padded = (ifmap[1] // node.images + top + bottom, ifmap[2] + left + right)
    reach = [(size - 1) * step + 1 for size, step in zip(node.kernel, node.dilation, strict=True)]
    down, across = ((size - window) // step + 1 for size, window, step in zip(padded, reach, node.stride, strict=True))
    made = (down * node.images, across)
    require(node.shape[1:] == made, f"{where}: a window of {node.kernel} on {ifmap} makes {made}, not {node.shape[1:]}")
    divides = ifmap[0] % node.groups == 0 and node.shape[0] % node.groups == 0
    require(divides, f"{where}: {node.groups} groups do not divide {ifmap[0]} and {node.shape[0]} channels")


def require(holds: bool, fault: str) -> None:
    """Raise `TraceError` with this text where something does not hold."""
    if not holds:
        raise TraceError(fault)


def sizes(values: Iterable[object], count: int, least: int) -> bool:
    """Whether `values` is a tuple of `count` plain integers from `least` up (numpy integers would leak into JSON and SimPy)."""
    return isinstance(values, tuple) and len(values) == count and all(type(value) is int and least <= value <= MAX_SIZE for value in values)


def finite(value: object) -> bool:
    """Whether `value` is a plain number, not infinity or NaN."""
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # `type() in` narrows nothing


def printable(text: object) -> bool:
    """Text that a terminal shows as it is: no line breaks, no escape sequences."""
    return isinstance(text, str) and text.isprintable()
