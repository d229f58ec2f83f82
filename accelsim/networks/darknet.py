"""Networks from Darknet: a cfg and, where there is one, its .weights file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import Graph, Node
from accelsim.layers import layer
from accelsim.layers.base import Tensor
from accelsim.networks import darknet_cfg, darknet_weights
from accelsim.networks.darknet_cfg import Section
from accelsim.networks.network import Network, file_sha256

ACTIVATIONS = ("linear", "relu", "leaky", "relu6", "logistic", "swish", "tanh", "mish")
LEAKY_SLOPE = 0.1
AUTHORS_EPSILON = 1e-6
FORK_EPSILON = 1e-5
"""Epsilon of batch normalisation: in the authors' Darknet, and in the forks that brought the yolo networks."""

MAX_COUNT = 1_000_000
MAX_SIDE = 65_536
MAX_KERNEL = 1_024
MAX_ELEMENTS = 2**28
MAX_SECTIONS = 10_000
"""Bounds of what a cfg may ask for, so that a hostile one is refused before anything is allocated."""


def load(cfg_path: str | Path, weights_path: str | Path | None = None, name: str | None = None, epsilon: float | None = None) -> Network:
    """Load a network; without `weights_path` only its shapes.

    Node 0 is the input; section i (from 0, after [net]) becomes node i + 1, named like `003_convolutional`.
    `name` is by default the cfg's file name without suffix. `epsilon` of batch normalisation is by default 1e-5 where the cfg has
    [yolo] sections (those forks use it), else 1e-6 (the authors' Darknet); negative variances count as 0.
    Raises:  `ModelError` with file and line, or with layer and counts of values
    """
    cfg_path = Path(cfg_path)
    sections = darknet_cfg.read(cfg_path)
    graph = _graph(str(cfg_path), sections, name or cfg_path.stem)
    if epsilon is None:
        epsilon = FORK_EPSILON if any(node.kind == "yolo" for node in graph.nodes) else AUTHORS_EPSILON
    if not 0 < epsilon < 1:
        raise ModelError(f"{cfg_path}: batch normalisation epsilon {epsilon}; allowed: more than 0, less than 1")
    provenance = {"network_file": cfg_path.name, "network_sha256": file_sha256(cfg_path)}
    if weights_path is None:
        return Network(graph, None, provenance)
    weights_path = Path(weights_path)
    for section in sections[1:]:
        section.refuse("transpose", "dontload", "dontloadscales")
    weights = darknet_weights.read(weights_path, _blocks(graph, sections), epsilon)
    provenance |= {
        "weights_file": weights_path.name,
        "weights_sha256": file_sha256(weights_path),
        "batch_norm_epsilon": f"{epsilon:g}",
    }
    return Network(graph, weights, provenance)


def parameters(cfg_path: str | Path, weights_path: str | Path) -> Iterator[tuple[Node, Mapping[str, Tensor]]]:
    """Read the values of a network as its file stores them, batch normalisation not folded in: biases, scales, means, variances, weights.

    Raises:  `ModelError` as `load`
    """
    cfg_path = Path(cfg_path)
    sections = darknet_cfg.read(cfg_path)
    graph = _graph(str(cfg_path), sections, cfg_path.stem)
    for block, arrays in darknet_weights.raw(Path(weights_path), _blocks(graph, sections)):
        yield graph.nodes[block.index], arrays


def _blocks(graph: Graph, sections: Sequence[Section]) -> tuple[darknet_weights.Block, ...]:
    normalised = frozenset(index for index, section in enumerate(sections) if section.integer("batch_normalize", 0, 0, 1))
    return darknet_weights.blocks(graph, normalised)


def _graph(path: str, sections: Sequence[Section], name: str) -> Graph:
    if not sections or sections[0].title != "net":
        first = f"[{sections[0].title}]" if sections else "an empty file"
        raise ModelError(f"{path}:{sections[0].line if sections else 1}: {first}; a cfg begins with [net]")
    if not 1 < len(sections) <= MAX_SECTIONS:
        raise ModelError(f"{path}: {len(sections) - 1:,} layers; allowed: 1 to {MAX_SECTIONS - 1:,}")
    net = sections[0]
    net.check_keys(("height", "width", "channels"))
    shape = (net.integer("channels", None, 1, MAX_COUNT), *(net.integer(key, None, 1, MAX_SIDE) for key in ("height", "width")))
    nodes = [Node(index=0, name="input", kind="input", inputs=(), shape=(shape[0], shape[1], shape[2]))]
    _check_elements(net, nodes[0])
    for index, section in enumerate(sections[1:], 1):
        reader = _READERS.get(section.title)
        if reader is None:
            raise section.fault(f"unknown section\n    {choices(('net', *_READERS), section.title)}")
        if reader.keys:
            section.check_keys(reader.keys)
        draft = Node(index, f"{index - 1:03d}_{section.title}", reader.kind, (index - 1,), nodes[-1].shape)
        node = reader.read(section, draft, nodes)
        try:
            made = layer(node.kind).output_shape(node, [nodes[producer].shape for producer in node.inputs])
        except ModelError as fault:
            raise section.fault(str(fault)) from fault
        nodes.append(replace(node, shape=made))
        _check_elements(section, nodes[-1])
    return Graph(name, tuple(nodes))


def _check_elements(section: Section, node: Node) -> None:
    if node.elements > MAX_ELEMENTS:
        size = " x ".join(f"{side:,}" for side in node.shape)
        raise section.fault(f"a feature map of {size} = {node.elements:,} elements; allowed: up to {MAX_ELEMENTS:,}")


def _activated(section: Section, node: Node, default: str) -> Node:
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.fault(f"unknown activation {quoted(name)}\n    {choices(ACTIVATIONS, name)}", "activation")
    return replace(node, activation=name, slope=LEAKY_SLOPE if name == "leaky" else 0.0)


def _geometry(section: Section, stride: int) -> tuple[int, int]:
    stride = section.integer("stride", stride, 1, MAX_KERNEL)
    return section.integer("stride_y", stride, 1, MAX_KERNEL), section.integer("stride_x", stride, 1, MAX_KERNEL)


def _source(section: Section, node: Node, key: str, position: int) -> int:
    """Turn a section number, absolute or counted back from this one, into a node index."""
    section_number = node.index - 1
    number = section_number + position if position < 0 else position
    if not 0 <= number < section_number:
        raise section.fault(f"{key}={position} means section {number}; allowed: sections before this one, 0 to {section_number - 1}", key)
    return number + 1


def _convolutional(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    section.refuse("binary", "xnor", "flipped", "antialiasing", "share_index", "deform", "clip", "counters_per_class")
    size = section.integer("size", 1, 1, MAX_KERNEL)
    dilation = section.integer("dilation", 1, 1, MAX_KERNEL)
    section.integer("batch_normalize", 0, 0, 1)
    # pad=1 asks for "same" padding and overrides an explicit number; Darknet widens both by the dilation
    side = size // 2 if section.integer("pad", 0, 0, 1) else section.integer("padding", 0, 0, MAX_KERNEL)
    side *= dilation
    node = replace(
        node,
        shape=(section.integer("filters", 1, 1, MAX_COUNT), 1, 1),
        kernel=(size, size),
        stride=_geometry(section, 1),
        pad=(side, side, side, side),
        dilation=(dilation, dilation),
        groups=section.integer("groups", 1, 1, MAX_COUNT),
    )
    return _activated(section, node, "logistic")


def _connected(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    section.integer("batch_normalize", 0, 0, 1)
    return _activated(section, replace(node, shape=(section.integer("output", 1, 1, MAX_COUNT), 1, 1)), "logistic")


def _maxpool(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    section.refuse("maxpool_depth", "antialiasing")
    stride = _geometry(section, 1)
    size = section.integer("size", stride[1], 1, MAX_KERNEL)
    # Darknet counts padding in total: windows start at -(padding // 2), the rest hangs over the far edge
    padding = section.integer("padding", size - 1, 0, MAX_KERNEL)
    near, far = padding // 2, padding - padding // 2
    return replace(node, kernel=(size, size), stride=stride, pad=(near, near, far, far))


def _avgpool(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    size = nodes[-1].shape[1:]
    return replace(node, kernel=size, stride=size)


def _route(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    if section.integer("groups", 1, 1, MAX_COUNT) != 1:
        raise section.fault("a route of channel groups is not supported; allowed: groups=1", "groups")
    positions = section.integers("layers", -MAX_SECTIONS, MAX_SECTIONS)
    return replace(node, inputs=tuple(_source(section, node, "layers", position) for position in positions))


def _shortcut(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    section.refuse("weights_type", "weights_normalization")
    positions = section.integers("from", -MAX_SECTIONS, MAX_SECTIONS)
    if len(positions) != 1:
        raise section.fault(f"from names {len(positions)} sections; allowed: one", "from")
    other = _source(section, node, "from", positions[0])
    return _activated(section, replace(node, inputs=(node.index - 1, other)), "linear")


def _upsample(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    if section.number("scale", 1.0) != 1.0:
        raise section.fault(f"scale={section.text('scale', '')} is not supported; allowed: 1", "scale")
    return replace(node, attributes={"factor": section.integer("stride", 2, 1, MAX_KERNEL)})


def _crop(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    adjust = not section.integer("noadjust", 0, 0, 1)
    height, width = (section.integer(key, 1, 1, MAX_SIDE) for key in ("crop_height", "crop_width"))
    attributes = {"scale": 2.0 if adjust else 1.0, "offset": -1.0 if adjust else 0.0}
    return replace(node, shape=(1, height, width), attributes=attributes)


def _softmax(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    section.refuse("tree", "spatial")
    temperature = section.number("temperature", 1.0)
    if temperature <= 0:
        raise section.fault(f"temperature={temperature:g}; allowed: more than 0", "temperature")
    return replace(node, groups=section.integer("groups", 1, 1, MAX_COUNT), attributes={"temperature": temperature})


def _unchanged(section: Section, node: Node, nodes: Sequence[Node]) -> Node:
    return node


@dataclass(frozen=True)
class _Reader:
    """How a section becomes a node: its kind, the keys that are read, and the function that fills in the geometry."""

    kind: str
    keys: tuple[str, ...]
    read: Callable[[Section, Node, Sequence[Node]], Node]


_STRIDES = ("size", "stride", "stride_x", "stride_y", "padding")
_READERS: Mapping[str, _Reader] = {
    "convolutional": _Reader("conv", ("filters", *_STRIDES, "pad", "groups", "dilation", "batch_normalize", "activation"), _convolutional),
    "connected": _Reader("fc", ("output", "batch_normalize", "activation"), _connected),
    "maxpool": _Reader("maxpool", _STRIDES, _maxpool),
    "avgpool": _Reader("avgpool", (), _avgpool),
    "route": _Reader("concat", ("layers", "groups"), _route),
    "shortcut": _Reader("add", ("from", "activation"), _shortcut),
    "upsample": _Reader("upsample", ("stride", "scale"), _upsample),
    "crop": _Reader("crop", ("crop_height", "crop_width", "noadjust"), _crop),
    "dropout": _Reader("dropout", (), _unchanged),
    "softmax": _Reader("softmax", ("groups", "temperature"), _softmax),
    "yolo": _Reader("yolo", (), _unchanged),
    "cost": _Reader("cost", (), _unchanged),
}
