"""Networks of which only published counts exist: statistics traces from a table of zero channels per layer.

The table is a CSV with the columns of `COLUMNS`, one row per layer, several networks in one file. Lines before the titles that begin with
'#' and say `key: value` (source, image, ...) go into the provenance of every trace. How a row is read:
* `layer` is Darknet's section number, counted from 0 behind [net]; `inputs` are the layers it reads, joined by '+', -1 the network's input.
* `kind`: conv, dwconv, maxpool, avgpool, fc, shortcut, route, crop, dropout; `input` (layer -1) where the table tells the input's shape.
* Empty counts mean 'not published' (shortcut, fc, avgpool): the map then has no zero channel that anybody may use.
* Layers without a row hand their input on: `dropout`, or `crop` when they stand before the first row. dropout repeats the zero channels of
  its producer, route (concat) puts those of its producers one after another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node, Shape
from accelsim.soundness import MAX_SIZE
from accelsim.trace import PUBLISHED, FeatureMap, Trace, spread

COLUMNS = (
    *("net", "layer", "kind", "kernel", "stride", "groups", "act", "C", "H", "W"),
    *("elements", "zero_channels", "zero_elements", "weights", "inputs"),
)
KINDS = {
    "input": ("input", "input"),
    "conv": ("conv", "convolutional"),
    "dwconv": ("conv", "convolutional"),
    "maxpool": ("maxpool", "maxpool"),
    "avgpool": ("avgpool", "avgpool"),
    "fc": ("fc", "connected"),
    "shortcut": ("add", "shortcut"),
    "route": ("concat", "route"),
    "crop": ("crop", "crop"),
    "dropout": ("dropout", "dropout"),
}
"""Kind in the table -> kind of node, title of the Darknet section (which names the node)."""
COUNTED = ("conv", "maxpool")
"""Kinds whose zero channels the authors counted."""
MAX_LAYERS = 10_000
LEAKY_SLOPE = 0.1
"""Darknet's."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of the table. Units: elements; `weights` counts them without biases. None: the cell is empty."""

    where: str
    layer: int
    kind: str
    kernel: int | None
    stride: int | None
    groups: int
    activation: str
    shape: Shape
    zero_channels: int | None
    zero_elements: int | None
    weights: int | None
    inputs: tuple[int, ...]


def from_table(path: Path | str, net: str, *, name: str | None = None, input_shape: Shape | None = None, image: str | None = None) -> Trace:
    """Make graph and statistics trace of one network from the table alone.

    What the table leaves open is settled by shapes: the pad of a convolution is kernel // 2 where that makes its output, else 0 or the
    least that does; a max-pool without kernel takes the smallest window; without `input_shape` or an `input` row, the input is as large
    as the first convolution's output times its stride, with the channels that its weights tell.
    Raises:  `TraceError` naming file, line and row for a table that contradicts itself.
    """
    path = Path(path)
    notes, rows = read_table(path, net)
    graph = _graph(name or net, rows, input_shape)
    return _trace(graph, rows, path, notes, image)


def statistics_trace(graph: Graph, path: Path | str, net: str, *, image: str | None = None) -> Trace:
    """Join published counts with a graph that came from elsewhere (a Darknet cfg).

    Rows find their nodes by layer number, the digits that a Darknet node's name begins with.
    Raises:  `TraceError` naming the row whose kind, shape or geometry the graph contradicts, or that has no node.
    """
    path = Path(path)
    notes, rows = read_table(path, net)
    nodes = {layer_number(node): node for node in graph.nodes}
    for row in rows:
        node = nodes.get(row.layer)
        if node is None:
            raise TraceError(f"{row.where}: the network {graph.name} has no layer of this number")
        _compare(row, node)
    return _trace(graph, rows, path, notes, image)


def layer_number(node: Node) -> int:
    """Darknet's number of a node: -1 for the input, else the digits of its name; `TraceError` where there are none."""
    if node.kind == "input":
        return -1
    digits = node.name.partition("_")[0]
    if not digits.isdecimal():
        raise TraceError(f"{node.name}: the name begins with no layer number, published counts cannot be matched")
    return int(digits)


def read_table(path: Path, net: str) -> tuple[Mapping[str, str], tuple[Row, ...]]:
    """Read the notes at the top and the rows of one network, in ascending order of layers. Raises `TraceError` naming line and cell."""
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: not a text file; a CSV with the columns {','.join(COLUMNS)} is needed") from None
    comments = [line[1:].partition(":") for line in lines if line.startswith("#")]
    notes = {key.strip(): value.strip() for key, _, value in comments if value}
    notes["counts"] = f"{path.name}, sha256 {hashlib.sha256(content).hexdigest()}"
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    titles = numbered[0][1].split(",") if numbered else []
    if tuple(titles) != COLUMNS:
        raise TraceError(f"{path}: its columns are {','.join(titles) or 'missing'!s:.120}; needed: {','.join(COLUMNS)}")
    rows, names = [], set()
    for number, line in numbered[1:]:
        cells = line.split(",")  # numbers and bare words: nothing is ever quoted
        names.add(cells[0])
        if cells[0] == net:
            rows.append(_row(path, number, cells))
    if not rows:
        raise TraceError(f"{path}: no row of network {net!r}; it has {', '.join(sorted(names)) or 'none'}")
    for before, row in pairwise(rows):
        if before.layer >= row.layer:
            raise TraceError(f"{row.where}: comes after layer {before.layer}; rows must ascend")
    return notes, tuple(rows)


def _row(path: Path, number: int, cells: Sequence[str]) -> Row:
    where = f"{path}:{number}"
    if len(cells) != len(COLUMNS):
        raise TraceError(f"{where}: {len(cells)} cells, {len(COLUMNS)} are needed")
    cell = dict(zip(COLUMNS, cells, strict=True))
    where = f"{where}: {cell['net']} layer {cell['layer']} ({cell['kind']})"
    if cell["kind"] not in KINDS:
        raise TraceError(f"{where}: unknown kind; known: {', '.join(KINDS)}")

    def whole(column: str, least: int, most: int = MAX_SIZE) -> int | None:
        text = cell[column]
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isdecimal() and len(digits) <= 10 and least <= int(text) <= most):
            raise TraceError(f"{where}: {column} is {text!r:.40}; a whole number from {least} to {most} is needed")
        return int(text)

    def needed(column: str, least: int, most: int = MAX_SIZE) -> int:
        value = whole(column, least, most)
        if value is None:
            raise TraceError(f"{where}: {column} is empty; a whole number >= {least} is needed")
        return value

    layer, shape = needed("layer", -1, MAX_LAYERS), (needed("C", 1), needed("H", 1), needed("W", 1))
    producers = cell["inputs"].split("+") if layer >= 0 else []
    if not all(text.removeprefix("-").isdecimal() and len(text) <= 10 and -1 <= int(text) < layer for text in producers):
        raise TraceError(f"{where}: inputs are {cell['inputs']!r}; earlier layers joined by '+' are needed")
    row = Row(
        where=where,
        layer=layer,
        kind=cell["kind"],
        kernel=whole("kernel", 1),
        stride=whole("stride", 1),
        groups=whole("groups", 1) or 1,
        activation=cell["act"] or "linear",
        shape=shape,
        zero_channels=whole("zero_channels", 0),
        zero_elements=whole("zero_elements", 0),
        weights=whole("weights", 1),
        inputs=tuple(map(int, producers)),
    )
    if needed("elements", 1) != shape[0] * shape[1] * shape[2]:
        raise TraceError(f"{where}: elements is {cell['elements']}, its shape {shape} has {shape[0] * shape[1] * shape[2]}")
    if row.kind in ("conv", "dwconv", "maxpool") and row.zero_channels is None:
        raise TraceError(f"{where}: zero_channels is empty; a whole number >= 0 is needed")
    if (row.kind == "input") != (layer == -1) or (row.kind in ("conv", "dwconv") and None in (row.kernel, row.stride, row.weights)):
        raise TraceError(f"{where}: layer -1 is the input, and a convolution needs kernel, stride and weights")
    return row


def _graph(name: str, rows: Sequence[Row], input_shape: Shape | None) -> Graph:
    by_layer = {row.layer: row for row in rows}
    first = next(row for row in rows if row.layer >= 0) if rows[-1].layer >= 0 else rows[-1]
    if -1 in by_layer:
        input_shape = by_layer[-1].shape
    elif input_shape is None:
        if first.kind != "conv" or first.stride is None:
            raise TraceError(f"{first.where}: the shape of the network's input must be given; the first layer is no convolution")
        input_shape = (_filter_channels(first) * first.groups, first.shape[1] * first.stride, first.shape[2] * first.stride)
    nodes = [Node(0, "input", "input", (), input_shape)]
    for layer in range(rows[-1].layer + 1):
        row = by_layer.get(layer)
        if row is None:
            kind = "crop" if layer < first.layer else "dropout"
            nodes.append(Node(layer + 1, f"{layer:03d}_{kind}", kind, (layer,), nodes[layer].shape))
        else:
            nodes.append(_node(row, [nodes[producer + 1] for producer in row.inputs]))
    return Graph(name, tuple(nodes))


def _node(row: Row, producers: Sequence[Node]) -> Node:
    kind, title = KINDS[row.kind]
    ifmap = producers[0].shape
    kernel, stride, pad = (1, 1), (1, 1), (0, 0, 0, 0)
    if kind == "conv":
        size, step = row.kernel or 1, row.stride or 1
        kernel, stride = (size, size), (step, step)
        pads = [(around,) * 2 for around in (size // 2, 0, *range(size))]
        pad = _pad(row, ifmap, size, step, pads)
        if _filter_channels(row) * row.groups != ifmap[0] or row.shape[0] % row.groups:
            raise TraceError(
                f"{row.where}: {row.weights} weights are for {_filter_channels(row) * row.groups} ifmap channels, not {ifmap[0]}"
            )
    elif kind == "maxpool":
        step = row.stride or max(1, round(ifmap[1] / row.shape[1]))
        size = row.kernel or step
        kernel, stride = (size, size), (step, step)
        pad = _pad(row, ifmap, size, step, [((size - 1) // 2, size - 1 - (size - 1) // 2), (0, 0)])
    elif kind == "avgpool":
        kernel = stride = ifmap[1:]
    elif kind == "fc" and row.weights not in (None, row.shape[0] * producers[0].elements):
        raise TraceError(f"{row.where}: {row.weights} weights; its input {ifmap} needs {row.shape[0] * producers[0].elements}")
    expected = {
        "maxpool": (ifmap[0], *row.shape[1:]),
        "avgpool": (ifmap[0], 1, 1),
        "fc": (row.shape[0], 1, 1),
        "add": ifmap,
        "concat": (sum(producer.shape[0] for producer in producers), *ifmap[1:]),
        "crop": (ifmap[0], min(row.shape[1], ifmap[1]), min(row.shape[2], ifmap[2])),
        "dropout": ifmap,
    }.get(kind, row.shape)
    if row.shape != expected:
        raise TraceError(
            f"{row.where}: shape {row.shape}; from {', '.join(str(producer.shape) for producer in producers)} it makes {expected}"
        )
    return Node(
        index=row.layer + 1,
        name=f"{row.layer:03d}_{title}",
        kind=kind,
        inputs=tuple(producer.index for producer in producers),
        shape=row.shape,
        kernel=kernel,
        stride=stride,
        pad=pad,
        groups=row.groups,
        activation=row.activation,
        slope=LEAKY_SLOPE if row.activation == "leaky" else 0.0,
    )


def _filter_channels(row: Row) -> int:
    """Channels of one filter: weights / (K * R * S)."""
    size = row.kernel or 1
    channels, rest = divmod(row.weights or 0, row.shape[0] * size * size)
    if rest or not channels:
        raise TraceError(f"{row.where}: {row.weights} weights are no multiple of {row.shape[0]} filters of {size} x {size}")
    return channels


def _pad(row: Row, ifmap: Shape, size: int, step: int, pads: Sequence[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Return the first (before, after) that makes the row's height and width, on both axes alike."""
    for before, after in pads:
        if all((length + before + after - size) // step + 1 == made for length, made in zip(ifmap[1:], row.shape[1:], strict=True)):
            return (before, before, after, after)
    raise TraceError(f"{row.where}: no padding makes {row.shape[1:]} of {ifmap[1:]} with a window of {size} and a stride of {step}")


def _compare(row: Row, node: Node) -> None:
    kind = KINDS[row.kind][0]
    checks: list[tuple[str, object, object]] = [("kind", kind, node.kind), ("shape", row.shape, node.shape)]
    if kind == "conv":
        checks += [("groups", row.groups, node.groups), ("activation", row.activation, node.activation)]
    if kind in COUNTED and row.kernel is not None:
        checks.append(("kernel", (row.kernel,) * 2, node.kernel))
    if kind in COUNTED and row.stride is not None:
        checks.append(("stride", (row.stride,) * 2, node.stride))
    for what, told, found in checks:
        if told != found:
            raise TraceError(f"{row.where}: {what} is {told} in the table, {found} in node {node.name}")


def _trace(graph: Graph, rows: Sequence[Row], path: Path, notes: Mapping[str, str], image: str | None) -> Trace:
    counted = {row.layer: row for row in rows if row.zero_channels is not None}
    maps: list[FeatureMap] = []
    unknown = []
    for node in graph.nodes:
        row = counted.get(layer_number(node))
        producers = [maps[index] for index in node.inputs]
        if row is not None and row.zero_channels is not None:
            if row.zero_channels > node.shape[0]:
                raise TraceError(f"{row.where}: {row.zero_channels} zero channels of {node.shape[0]}")
            try:
                maps.append(FeatureMap(node.shape, spread(row.zero_channels, node.shape[0]), row.zero_elements))
            except TraceError as error:
                raise TraceError(f"{row.where}: {error}") from None
        elif node.kind in ("concat", "dropout"):
            zeros = [fmap.zero_elements for fmap in producers]
            known = [count for count in zeros if count is not None]
            joined = np.concatenate([fmap.zero_channels for fmap in producers])
            maps.append(FeatureMap(node.shape, joined, sum(known) if len(known) == len(zeros) else None))
        elif node.kind in COUNTED:
            raise TraceError(f"{path}: no row for {node.name} of network {graph.name}")
        else:
            unknown.append(node.kind)
            maps.append(FeatureMap(node.shape, spread(0, node.shape[0]), None))
    told = {"uncounted": f"taken as free of zero channels: {', '.join(sorted(set(unknown)))}"} if unknown else {}
    named = image or notes.get("image", "not stated")
    return Trace(graph, tuple(maps), named, 0.0, "channel", (1, 1), PUBLISHED, {**notes, **told})
