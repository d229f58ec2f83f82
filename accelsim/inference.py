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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import itemgetter
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import OVERWRITTEN, Graph, Node
from accelsim.images import Preprocessing, image_sha256, load_image, preprocess
from accelsim.kernels import marks
from accelsim.layers.base import Tensor
from accelsim.networks.beside import filters as network_filters
from accelsim.networks.network import Network, file_sha256, output_index
from accelsim.operators import operator, straight
from accelsim.operators.base import UNTOLD, Operator, Tally, Telling
from accelsim.operators.straight import INFINITY, hands_on
from accelsim.operators.team import Team
from accelsim.operators.workspace import Workspace
from accelsim.trace import INFERENCE, MODES, SYNTHETIC, FeatureMap, Trace, joined, measure

PRUNED_KINDS = OVERWRITTEN

ENGINE = "accelsim inference 2"
"""Counted up whenever the same network and image may give other bits."""

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

    `operators[i]` runs `graph.nodes[i]`, and tells of its output if it is in `telling` as well; `dropped[i]` are the nodes whose maps are
    no longer needed after that.
    """

    network: Network
    operators: tuple[Operator, ...]
    telling: Mapping[int, Telling]
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


def stamp(source: str) -> str:
    """Hash of the file that an image is in. Raises `ModelError` where it cannot be read."""
    file, separator, _ = source.partition(".npz:")
    path = Path(file + separator.rstrip(":"))
    try:
        status = path.stat()
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    return _file_hash(path, status.st_size, status.st_mtime_ns)


@cache
def _file_hash(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def prepare(network: Network, *, threads: int = 1) -> Prepared:
    """Pack the weights of a network for the kernels.

    Units:   `threads` that share the work of each large layer; what they make is the same for any number, bit for bit
    Raises:  `ModelError` where the network has no weights, and for fewer than one thread
    """
    weights, graph, team = network.require_weights(), network.graph, Team(threads)
    operators = tuple(operator(node, graph.input_shapes(node.index), weights.get(node.index, {}), team) for node in graph.nodes)
    telling = {index: made for index, made in enumerate(operators) if isinstance(made, Telling) and made.tells}
    last_use = list(range(len(graph.nodes)))
    for node in graph.nodes:
        for producer in node.inputs:
            last_use[producer] = node.index
    dropped = tuple(tuple(index for index, last in enumerate(last_use) if last == node.index) for node in graph.nodes)
    return Prepared(network, operators, MappingProxyType(telling), dropped)


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
    looking = _Looking.of(prepared.graph, mode, epsilon, part, through)
    # no name for the outputs here either
    return map(itemgetter(1), _walk(prepared, image, looking.marks, progress))


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
    look = partial(_Looking.of(prepared.graph, mode, epsilon, part, through).measured, fine_part=fine_part, values=values)
    for source in inputs:

        def advance(what: str, done: int, total: int, image: str = source.name) -> None:
            progress(f"{what} on {image}", done, total)

        maps: list[FeatureMap] = []
        provenance = {**prepared.network.provenance, **source.provenance, "engine": ENGINE}
        if isinstance(epsilon, Mapping):
            provenance["epsilon_by_layer"] = json.dumps({name: float(value) for name, value in epsilon.items()}, sort_keys=True)
        if largest(epsilon):
            provenance["pruned"] = f"{', '.join(sorted(PRUNED_KINDS))}" + (f", parts of {part[0]}x{part[1]}" if mode == "part" else "")
        for output, fmap in _walk(prepared, source.tensor, look, advance, told=bool(largest(epsilon))):
            if len(maps) == last and prepared.graph.nodes[last].kind == "softmax":
                provenance["top5"] = " ".join(f"{index}:{value:.4f}" for index, value in top(output))
            maps.append(fmap)
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
    if epsilon == 0 and through is as_it_is and mode in MODES and min(part) > 0:
        plan = prepared.graph.nodes[: last + 1], prepared.operators, prepared.telling, prepared.dropped
        made = straight.output(*plan, prepared.workspace.empty, _fitting(prepared.graph, image))
        if made is not None:
            return np.array(made)
    steps = run(prepared, image, epsilon=epsilon, mode=mode, part=part, through=through)
    outputs = (step.output for step in steps if step.node.index == last)
    return np.array(next(outputs))


def top(scores: Tensor, count: int = 5) -> list[tuple[int, float]]:
    """Find the largest scores, largest first, ties by index: (index in the flat output, score)."""
    flat = scores.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    return [(int(index), float(flat[index])) for index in order]


Seen = TypeVar("Seen", Activation, FeatureMap)
Look = Callable[[Node, Tensor, Sequence[Seen], Tally], tuple[Tensor, Seen]]
"""Given a node, its output, what was seen of its inputs, and what its operator told: what the next operators read, and what is seen."""


@dataclass(frozen=True)
class _Looking:
    """What becomes of values within epsilon, and what is told of the outputs: marks, or all that a trace holds."""

    graph: Graph
    mode: str
    epsilons: tuple[np.float32, ...]
    part: tuple[int, int]
    through: Through

    @classmethod
    def of(cls, graph: Graph, mode: str, epsilon: Epsilon, part: tuple[int, int], through: Through) -> _Looking:
        """Judge what was asked. Raises `ModelError`."""
        if mode not in MODES:
            raise ModelError(f"mode {mode!r}; allowed: {', '.join(MODES)}")
        epsilons = _by_node(graph, epsilon)
        if min(part) < 1:
            raise ModelError(f"part {part[0]} x {part[1]}; allowed: 1 x 1 or more")
        return cls(graph, mode, epsilons, part, through)

    def marks(self, node: Node, output: Tensor, producers: Sequence[Activation] = (), tally: Tally = UNTOLD) -> tuple[Tensor, Activation]:
        """Mark zero channels and overwrite what epsilon swallows."""
        channels, epsilon = output.shape[0], self.epsilons[node.index]
        if tally is UNTOLD:
            maxima, zeros, marked = np.empty(channels, np.float32), np.empty(channels, np.int64), np.empty(channels, np.bool_)
            most = marks.channel_marks(output.reshape(channels, -1).view(np.uint32), epsilon, maxima, zeros, marked)
        else:
            maxima, zeros, most = tally.largest.view(np.float32), tally.zeros, tally.largest.max()
            marked = maxima <= epsilon
        if most >= INFINITY:
            where = f"channel {int(maxima.view(np.uint32).argmax())} of {channels}"
            remedy = "change the preprocessing" if node.kind == "input" else "check the weights, the preprocessing and the layers before it"
            raise ModelError(f"{self.graph.name}: {node.name}: NaN or infinity in its output ({where}); {remedy}")
        prunes = node.kind in PRUNED_KINDS
        if prunes:
            self._overwrite(node, output, marked)
        zero_channels = marked if prunes else maxima == 0
        if self.through is not as_it_is:
            output = np.ascontiguousarray(self.through(node, output), dtype=np.float32)
            zero_channels = np.logical_not(output.reshape(channels, -1).any(axis=1))
        zero_channels.flags.writeable = False  # as those of measured maps: kernels are compiled for one kind of array
        shown = output.view()
        shown.flags.writeable = False
        return output, Activation(node, shown, maxima, zeros, marked, zero_channels)

    def measured(
        self, node: Node, output: Tensor, producers: Sequence[FeatureMap], tally: Tally, *, fine_part: tuple[int, int], values: bool
    ) -> tuple[Tensor, FeatureMap]:
        """Measure the map, after what epsilon swallows was overwritten; where nothing can be, the data is read once, or not at all."""
        if self.through is not as_it_is or (self.epsilons[node.index] and node.kind in PRUNED_KINDS):
            output, _ = self.marks(node, output, (), tally)
            return output, measure(output, fine_part, values=values)
        if not values and hands_on(node):
            return output, joined(producers)
        fmap = measure(output, fine_part, values=values)
        if fmap.part_max is None or fmap.part_max.max() == math.inf:
            self.marks(node, output)  # tells where
        return output, fmap

    def _overwrite(self, node: Node, output: Tensor, marked: NDArray[np.bool_]) -> None:
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


def _walk(prepared: Prepared, image: Tensor, look: Look[Seen], progress: Progress, *, told: bool = True) -> Iterator[tuple[Tensor, Seen]]:
    """Outputs of the nodes in order, and what is seen of them; `told`: operators tell what they can. Raises `ModelError` as `_fitting`."""
    graph, image = prepared.graph, _fitting(prepared.graph, image)
    telling = prepared.telling if told else {}

    def steps() -> Iterator[tuple[Tensor, Seen]]:
        # of each node that is still to be read: its output and what was seen of it
        live: dict[int, tuple[Tensor, Seen]] = {}
        for node in graph.nodes:
            # no name for it here: what nobody reads later must not wait for the next node
            yield _step(prepared, node, live, image, look, telling.get(node.index))
            progress(graph.name, node.index + 1, len(graph.nodes))

    return steps()


def _step(
    prepared: Prepared, node: Node, live: dict[int, tuple[Tensor, Seen]], image: Tensor, look: Look[Seen], teller: Telling | None
) -> tuple[Tensor, Seen]:
    """Run one node, and forget the maps that only it still wanted."""
    producers = [live[index] for index in node.inputs]
    inputs, zero_channels = [output for output, _ in producers] or [image], [seen.zero_channels for _, seen in producers]
    tally = UNTOLD
    if teller is None:
        output = prepared.operators[node.index](inputs, zero_channels, prepared.workspace.empty)
    else:
        tally = Tally.of(node.shape[0])
        output = teller(inputs, zero_channels, prepared.workspace.empty, tally)
    step = live[node.index] = look(node, output, [seen for _, seen in producers], tally)
    for index in prepared.dropped[node.index]:
        del live[index]
    return step


def _fitting(graph: Graph, image: Tensor) -> Tensor:
    """The image as kernels read it, writeable. Raises `ModelError` for another shape than the input node's."""
    if tuple(image.shape) != graph.nodes[0].shape:
        wanted, given = list(graph.nodes[0].shape), list(image.shape)
        raise ModelError(f"{graph.name} takes an image of {wanted}, given {given}; change the preprocessing")
    return np.require(image, np.float32, ["C", "W"])
