"""Run a network on images: feature maps node by node, and the traces that record which of their elements are zero.

Epsilon lives here, because it changes the data. The tested value is the activated output, and zero means abs(x) <= epsilon.
What is overwritten with zeros before the next layer reads it, by mode:
* `channel` each channel whose every element is zero (what the authors' code does);
* `part`    each h x w part of a channel whose every element is zero;
* `element` each zero element.
Only the outputs of `PRUNED_KINDS` are overwritten: the layers that write feature maps. Fully connected, average pooling and softmax
outputs are left as they are, since a channel of theirs is one element (a score, often); copies (concat, upsample, slice) bring nothing new.
With epsilon 0 the data does not change in any mode. Epsilon is one number for all layers, or one a layer by name; the others then have 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import OVERWRITTEN, Graph, Node
from accelsim.images import Preprocessing, image_sha256, load_image, preprocess
from accelsim.kernels import marks
from accelsim.layers.base import Tensor
from accelsim.networks.beside import filters as network_filters
from accelsim.networks.network import Network, output_index
from accelsim.operators import Operator, operator
from accelsim.operators.team import Team
from accelsim.operators.workspace import Workspace
from accelsim.trace import INFERENCE, MODES, SYNTHETIC, FeatureMap, Trace, measure

PRUNED_KINDS = OVERWRITTEN

ENGINE = "accelsim inference 2"
"""Counted up whenever the same network and image may give other bits."""

INFINITY = np.uint32(0x7F800000)

Epsilon = float | Mapping[str, float]
"""One number for all layers, or numbers by layer name; layers that are not named have 0."""

Through = Callable[[Node, Tensor], Tensor]
"""Called with a node and its output (after overwriting); gives what its consumers see instead, of the same shape. For codes of maps."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


def as_it_is(node: Node, output: Tensor) -> Tensor:
    """Change nothing."""
    return output


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network whose weights are packed for the kernels; make it once with `prepare` and run it on as many images as you like.

    `operators[i]` runs `graph.nodes[i]`; `dropped[i]` are the nodes whose maps are no longer needed after that.
    """

    network: Network
    operators: tuple[Operator, ...]
    dropped: tuple[tuple[int, ...], ...]
    workspace: Workspace = field(default_factory=Workspace, repr=False)

    @property
    def graph(self) -> Graph:
        """The graph of the network."""
        return self.network.graph


@dataclass(frozen=True, eq=False)
class Activation:
    """The output of one node.

    Shapes:  `output` float32 [C, H, W], read-only, as the consumers see it (after overwriting);
             of the activated output before overwriting: `maxima` float32 [C] largest magnitudes, `zeros` int64 [C] exact zeros,
             `marked` bool [C] channels whose every element is within epsilon;
             `zero_channels` bool [C] of `output`
    """

    node: Node
    output: Tensor
    maxima: NDArray[np.float32]
    zeros: NDArray[np.int64]
    marked: NDArray[np.bool_]
    zero_channels: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Input:
    """One preprocessed image. Shapes: `tensor` float32 [C, H, W]. `provenance`: image, image_sha256, preprocessing."""

    name: str
    tensor: Tensor
    provenance: Mapping[str, str]


def photograph(source: str, preprocessing: Preprocessing) -> Input:
    """Load and preprocess one image; `name` is its file's stem or its key in an `.npz` file.

    Raises:  `ModelError` as `images.load_image` and `images.preprocess`
    """
    pixels = load_image(source)
    file, separator, key = str(source).partition(".npz:")
    place = PurePath(file + separator).name + key
    settings = json.dumps(preprocessing.model_dump(exclude_defaults=True), sort_keys=True)
    provenance = {"image": place, "image_sha256": image_sha256(pixels), "preprocessing": settings}
    return Input(key.replace(":", "_") or PurePath(file).stem, preprocess(pixels, preprocessing), provenance)


def prepare(network: Network, *, threads: int = 1) -> Prepared:
    """Pack the weights of a network for the kernels.

    Units:   `threads` that share the work of each large layer; what they make is the same for any number, bit for bit
    Raises:  `ModelError` where the network has no weights, and for fewer than one thread
    """
    weights, graph, team = network.require_weights(), network.graph, Team(threads)
    operators = tuple(operator(node, graph.input_shapes(node.index), weights.get(node.index, {}), team) for node in graph.nodes)
    last_use = list(range(len(graph.nodes)))
    for node in graph.nodes:
        for producer in node.inputs:
            last_use[producer] = node.index
    dropped = tuple(tuple(index for index, last in enumerate(last_use) if last == node.index) for node in graph.nodes)
    return Prepared(network, operators, dropped)


def run(
    network: Network | Prepared,
    image: Tensor,
    *,
    epsilon: Epsilon = 0.0,
    mode: str = "channel",
    part: tuple[int, int] = (8, 8),
    through: Through = as_it_is,
    progress: Progress = silent,
) -> Iterator[Activation]:
    """Run one image through a network, one node at a time, in the order of the graph.

    Maps are dropped once no later node reads them, unless the caller keeps them. Every output goes `through` before anyone reads it.
    Shapes:  image float32 [C, H, W] as the input node states; `part` (h, w), used by mode `part`
    Units:   epsilon in the units of the data
    Raises:  `ModelError` at once for a network without weights, an image of another shape, an unknown mode, an epsilon that is
             negative or not finite, or one of a layer that is not overwritten; while running, where an output is not finite
    """
    prepared = network if isinstance(network, Prepared) else prepare(network)
    if mode not in MODES:
        raise ModelError(f"mode {mode!r}; allowed: {', '.join(MODES)}")
    epsilons = _by_node(prepared.graph, epsilon)
    if min(part) < 1:
        raise ModelError(f"part {part[0]} x {part[1]}; allowed: 1 x 1 or more")
    graph, shape = prepared.graph, tuple(image.shape)
    if shape != graph.nodes[0].shape:
        raise ModelError(f"{graph.name} takes an image of {list(graph.nodes[0].shape)}, given {list(shape)}; change the preprocessing")
    return _walk(prepared, np.ascontiguousarray(image, dtype=np.float32), _Pruning(mode, epsilons, part, through), progress)


def record(
    network: Network | Prepared,
    inputs: Iterable[Input],
    *,
    epsilon: Epsilon = 0.0,
    mode: str = "channel",
    part: tuple[int, int] = (8, 8),
    fine_part: tuple[int, int] = (8, 8),
    through: Through = as_it_is,
    values: bool = False,
    progress: Progress = silent,
) -> Iterator[Trace]:
    """Run a batch of images and make one trace of each; weights are packed once.

    Of epsilons by layer, the trace's `epsilon` is the largest and its provenance (`epsilon_by_layer`) has them all.
    `values`: keep the data of every map in the trace, for schemes that need it; it is not saved with the trace.
    Shapes:  `fine_part` (h, w) of the trace's part maxima
    Raises:  `ModelError` as `run`
    """
    prepared = network if isinstance(network, Prepared) else prepare(network)
    last = output_index(prepared.graph)
    for source in inputs:

        def advance(what: str, done: int, total: int, image: str = source.name) -> None:
            progress(f"{what} on {image}", done, total)

        maps: list[FeatureMap] = []
        provenance = {**prepared.network.provenance, **source.provenance, "engine": ENGINE}
        if isinstance(epsilon, Mapping):
            provenance["epsilon_by_layer"] = json.dumps({name: float(value) for name, value in epsilon.items()}, sort_keys=True)
        if largest(epsilon):
            provenance["pruned"] = f"{', '.join(sorted(PRUNED_KINDS))}" + (f", parts of {part[0]}x{part[1]}" if mode == "part" else "")
        for activation in run(prepared, source.tensor, epsilon=epsilon, mode=mode, part=part, through=through, progress=advance):
            maps.append(measure(activation.output, fine_part, values=values))
            if activation.node.index == last and activation.node.kind == "softmax":
                provenance["top5"] = " ".join(f"{index}:{value:.4f}" for index, value in top(activation.output))
        origin = SYNTHETIC if provenance.get("weights_source") == SYNTHETIC else INFERENCE
        filters = network_filters(prepared.network)
        yield Trace(prepared.graph, tuple(maps), source.name, largest(epsilon), mode, fine_part, origin, provenance, filters)


def largest(epsilon: Epsilon) -> float:
    """The one number that says most of an epsilon: of numbers by layer the largest."""
    return max(map(float, epsilon.values()), default=0.0) if isinstance(epsilon, Mapping) else float(epsilon)


def prunable(graph: Graph) -> tuple[Node, ...]:
    """Nodes whose output is overwritten where it is within epsilon, in running order."""
    return tuple(node for node in graph.nodes if node.kind in PRUNED_KINDS)


def predict(
    network: Network | Prepared,
    image: Tensor,
    *,
    epsilon: Epsilon = 0.0,
    mode: str = "channel",
    part: tuple[int, int] = (8, 8),
    through: Through = as_it_is,
) -> Tensor:
    """Run one image and give the output of the last node that is not a training cost. Shapes: image [C, H, W] -> float32 [C, H, W]."""
    prepared = network if isinstance(network, Prepared) else prepare(network)
    last = output_index(prepared.graph)
    steps = run(prepared, image, epsilon=epsilon, mode=mode, part=part, through=through)
    outputs = (step.output for step in steps if step.node.index == last)
    return np.array(next(outputs))


def top(scores: Tensor, count: int = 5) -> list[tuple[int, float]]:
    """Find the largest scores, largest first, ties by index: (index in the flat output, score)."""
    flat = scores.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    return [(int(index), float(flat[index])) for index in order]


@dataclass(frozen=True)
class _Pruning:
    """What becomes of values within epsilon."""

    mode: str
    epsilons: tuple[np.float32, ...]
    part: tuple[int, int]
    through: Through = as_it_is

    def apply(self, node: Node, output: Tensor, marked: NDArray[np.bool_]) -> None:
        """Overwrite with zeros, in place."""
        epsilon = self.epsilons[node.index]
        if epsilon == 0:
            return
        if self.mode == "channel":
            output[marked] = 0
        elif self.mode == "element":
            marks.clear_elements(output.reshape(-1), epsilon)
        else:
            (h, w), (channels, height, width) = self.part, output.shape
            largest_bits = np.empty((channels, -(-height // h), -(-width // w)), dtype=np.uint32)
            marks.part_maxima(output.view(np.uint32), h, w, largest_bits)
            marks.clear_parts(output, largest_bits.view(np.float32) <= epsilon, h, w)


def _by_node(graph: Graph, epsilon: Epsilon) -> tuple[np.float32, ...]:
    """Epsilon of each node; judged."""
    for name, value in epsilon.items() if isinstance(epsilon, Mapping) else [("", epsilon)]:
        if not (math.isfinite(value) and value >= 0):
            raise ModelError(f"epsilon {value}{f' of {name}' if name else ''}; allowed: finite numbers from 0")
    if not isinstance(epsilon, Mapping):
        return (np.float32(epsilon),) * len(graph.nodes)
    names = [node.name for node in prunable(graph)]
    for name in epsilon:
        if name not in names:
            raise ModelError(f"{graph.name}: epsilon of {quoted(name)}, which is no layer that is overwritten\n    {choices(names, name)}")
    return tuple(np.float32(epsilon.get(node.name, 0.0)) for node in graph.nodes)


def _walk(prepared: Prepared, image: Tensor, pruning: _Pruning, progress: Progress) -> Iterator[Activation]:
    name, nodes = prepared.graph.name, prepared.graph.nodes
    # of each node that is still to be read: its output and its zero channels
    live: dict[int, tuple[Tensor, NDArray[np.bool_]]] = {}
    for node in nodes:
        # no name for it here: what nobody reads later must not wait for the next node
        yield _step(prepared, node, live, image, pruning)
        progress(name, node.index + 1, len(nodes))


def _step(
    prepared: Prepared, node: Node, live: dict[int, tuple[Tensor, NDArray[np.bool_]]], image: Tensor, pruning: _Pruning
) -> Activation:
    """Run one node, and forget the maps that only it still wanted."""
    producers = [live[index] for index in node.inputs]
    inputs = [output for output, _ in producers] or [image]
    output = prepared.operators[node.index](inputs, [zero_channels for _, zero_channels in producers], prepared.workspace.empty)
    output, step = _marked(prepared.graph, node, output, pruning)
    live[node.index] = output, step.zero_channels
    for index in prepared.dropped[node.index]:
        del live[index]
    return step


def _marked(graph: Graph, node: Node, output: Tensor, pruning: _Pruning) -> tuple[Tensor, Activation]:
    """Mark zero channels and overwrite what epsilon swallows: what the next operators read, and what the caller sees of it."""
    channels = output.shape[0]
    maxima, zeros, marked = np.empty(channels, np.float32), np.empty(channels, np.int64), np.empty(channels, np.bool_)
    most = marks.channel_marks(output.reshape(channels, -1).view(np.uint32), pruning.epsilons[node.index], maxima, zeros, marked)
    if most >= INFINITY:
        where = f"channel {int(maxima.view(np.uint32).argmax())} of {channels}"
        remedy = "change the preprocessing" if node.kind == "input" else "check the weights, the preprocessing and the layers before it"
        raise ModelError(f"{graph.name}: {node.name}: NaN or infinity in its output ({where}); {remedy}")
    prunes = node.kind in PRUNED_KINDS
    if prunes:
        pruning.apply(node, output, marked)
    zero_channels = marked if prunes else maxima == 0
    if pruning.through is not as_it_is:
        output = np.ascontiguousarray(pruning.through(node, output), dtype=np.float32)
        zero_channels = np.logical_not(output.reshape(channels, -1).any(axis=1))
    shown = output.view()
    shown.flags.writeable = False
    return output, Activation(node, shown, maxima, zeros, marked, zero_channels)
