"""Data that no image made: zeros at random places for a graph that has no weights, and random weights. Always labelled 'synthetic'.

Zeros are drawn where networks make them, in the outputs of activations (of a smooth or leaky one, they stand for what an epsilon
swallowed), but not in gates; outputs of other layers follow from their inputs: a pooled window is zero where all of it is, a sum where
all its summands are. The network's input has no zeros, nor has what a linear layer makes. A filter of a depthwise convolution sees one
channel, so of a zero channel it makes a constant: zero, or nowhere zero.
Each zero stands alone, at a random place of a live channel. Real zeros lie in patches, so schemes that skip parts or runs find fewer here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import TraceError, choices, quoted
from accelsim.graph import Graph, Node
from accelsim.layers import layer
from accelsim.layers.base import NO_TENSORS, Tensor
from accelsim.networks.network import Network, Weights
from accelsim.trace import SYNTHETIC, FeatureMap, Trace, pack

Bool = NDArray[np.bool_]
Shares = float | Mapping[str, float]
"""One share for all activated maps, or shares by name of node; nodes that are not named have 0."""

DRAWN = frozenset({"conv", "fc", "scale", "add", "sub", "mul", "activation", "given"})
"""Kinds whose maps can be drawn; `given` stands for the output of a layer that is not in the graph."""
MAX_ELEMENTS = 2**29
"""Of all maps together: drawing takes some ten bytes for each element of the largest."""
NEVER_ZERO = frozenset({"linear", "logistic", "hardsigmoid", "softplus", "tanh", "erf"})
"""Activations without zeros worth drawing: none at all, and gates."""


def trace(
    graph: Graph,
    *,
    zero_channels: Shares = 0.1,
    sparsity: Shares = 0.5,
    seed: int = 0,
    masks: bool = True,
    fine_part: tuple[int, int] = (8, 8),
    name: str = "",
    provenance: Mapping[str, str] | None = None,
) -> Trace:
    """Make a trace of `graph` as if an image had left these shares of zeros; the same arguments give the same trace.

    Units:   shares from 0 to 1 of each drawn map: `zero_channels` of its channels (rounded to whole ones), `sparsity` of its elements,
             those of the zero channels included, so never less than them, and less than 1 while a channel is left. Maps of one element a
             channel know `sparsity` alone.
             `masks` False leaves out which elements are zero (a statistics trace). `name` of the image: by default says the shares.
    Raises:  `TraceError` for a share outside 0 to 1, a name that is no such map of the graph, or a negative seed
    """
    named = {name for shares in (zero_channels, sparsity) if isinstance(shares, Mapping) for name in shares}
    drawn = {node.index for node in graph.nodes if _activates(node) or (node.name in named and node.kind in DRAWN)}
    for shares, what in ((zero_channels, "zero_channels"), (sparsity, "sparsity")):
        _check(graph, [graph.nodes[index].name for index in sorted(drawn)], shares, what)
    if seed < 0:
        raise TraceError(f"seed {seed}; allowed: whole numbers from 0")
    elements = sum(node.elements for node in graph.nodes)
    if elements > MAX_ELEMENTS:
        raise TraceError(f"{graph.name}: maps of {elements:,} elements in all; a trace can hold {MAX_ELEMENTS:,}")
    alive: list[Bool] = []
    maps = []
    last_use = {producer: node.index for node in graph.nodes for producer in node.inputs}
    for node in graph.nodes:
        inputs = [alive[index] for index in node.inputs]
        nonzero = _follow(node, inputs)
        if node.index in drawn:
            rng = np.random.Generator(np.random.PCG64([seed, node.index]))
            dead = _dead(node, inputs)
            nonzero &= _draw(node, _share(zero_channels, node), _share(sparsity, node), dead, rng)
        maps.append(_map(nonzero, masks))
        alive.append(nonzero)
        for index in node.inputs:
            if last_use[index] == node.index:
                alive[index] = alive[index][:0]  # nobody reads it again
    label = name or f"synthetic_z{_told(zero_channels)}_s{_told(sparsity)}_seed{seed}"
    told = {"zero_channels": _sentence(zero_channels), "sparsity": _sentence(sparsity), "seed": str(seed), "generator": "numpy PCG64"}
    return Trace(graph, tuple(maps), label, 0.0, "channel", fine_part, SYNTHETIC, {**(provenance or {}), **told})


def shares(texts: Sequence[str]) -> Shares:
    """Read shares as people write them: one number for all, or 'layer=number' for each. Raises `TraceError` for anything else."""
    pairs = [text.rpartition("=") for text in texts]
    try:
        numbers = [float(value) for _, _, value in pairs]
    except ValueError:
        numbers = []
    if not numbers or (len(texts) > 1 and not all(equals for _, equals, _ in pairs)):
        raise TraceError(
            f"shares {', '.join(map(quoted, texts)) or 'are missing'}; allowed: one number from 0 to 1, or layer=number for each"
        )
    return {name: number for (name, _, _), number in zip(pairs, numbers, strict=True)} if pairs[0][1] else numbers[0]


def like(given: Trace, seed: int = 0) -> Trace:
    """Make a trace with masks that has each layer's shares of zeros in common with another, such as one of published statistics.

    Zero elements that are unknown count as those of the zero channels alone. What pools and copies have is left to follow.
    """
    pairs = [(node, fmap) for node, fmap in zip(given.graph.nodes, given.maps, strict=True) if node.kind in DRAWN]
    channels = {node.name: np.count_nonzero(fmap.zero_channels) / fmap.shape[0] for node, fmap in pairs}
    elements = {
        node.name: channels[node.name] if fmap.zero_elements is None else fmap.zero_elements / fmap.elements for node, fmap in pairs
    }
    told = {"like": f"{given.graph.name} on {given.image} ({given.source})"}
    return trace(given.graph, zero_channels=channels, sparsity=elements, seed=seed, name=f"{given.image}_synthetic", provenance=told)


def weights(graph: Graph, seed: int = 0) -> Weights:
    """Random weights for every layer: normal with variance 2 / fan-in, biases 0; scales 1, slopes of a `prelu` 0.25.

    Raises:  `ModelError` where the graph contradicts itself
    Source:  He et al., Delving deep into rectifiers, ICCV 2015, equation 10 (slopes: section 2.1)
    """
    made: dict[int, dict[str, Tensor]] = {}
    for node in graph.nodes:
        shapes = layer(node.kind).weight_shapes(node, graph.input_shapes(node.index))
        rng = np.random.Generator(np.random.PCG64([seed, node.index]))
        roles = {role: _weight(node, role, shape, rng) for role, shape in shapes.items()}
        if roles:
            made[node.index] = roles
    return made


def network(model: Network, seed: int = 0) -> Network:
    """The same network with random weights, so that it runs on images; traces of it say 'synthetic'.

    Raises:  `ModelError` as `weights`
    """
    told = {"weights_source": SYNTHETIC, "weights": f"random (He et al., 2015), seed {seed}"}
    return Network(model.graph, weights(model.graph, seed), {**model.provenance, **told})


def _weight(node: Node, role: str, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    if role == "slope":
        return np.full(shape, 0.25, dtype=np.float32)
    if role == "bias" or node.kind == "scale":
        return np.full(shape, float(role != "bias"), dtype=np.float32)
    fan_in = prod(shape[1:]) if role == "weight" else 1
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))


def _activates(node: Node) -> bool:
    return node.kind == "given" or (node.kind in DRAWN and node.activation not in NEVER_ZERO)


def _follow(node: Node, inputs: Sequence[Bool]) -> Bool:
    """Which elements are not zero because of what the layer reads: its own arithmetic on ones and zeros.

    A layer with weights mixes everything it reads, so nothing is zero because of them; and where a number is added, zeros do not stay.
    """
    if node.attributes.get("offset"):
        return np.ones(node.shape, dtype=np.bool_)
    if node.kind == "input" or not inputs or node.kind == "given" or layer(node.kind).weight_shapes(node, [i.shape for i in inputs]):
        return np.ones(node.shape, dtype=np.bool_)
    plain = replace(node, activation="linear", attributes={key: value for key, value in node.attributes.items() if key != "quantum"})
    ones = [nonzero.astype(np.float32) for nonzero in inputs]
    made: Bool = layer(node.kind).forward(plain, ones, NO_TENSORS) != 0
    return made


def _dead(node: Node, inputs: Sequence[Bool]) -> Bool | None:
    """Channels of a depthwise convolution's ifmap that are zero; None where channels are mixed. Shapes: bool [C]."""
    if node.kind == "scale" or (node.kind == "conv" and node.groups == node.shape[0] == inputs[0].shape[0]):
        return np.asarray(~inputs[0].any(axis=(1, 2)))
    return None


def _draw(node: Node, zero_channels: float, sparsity: float, dead: Bool | None, rng: np.random.Generator) -> Bool:
    """Which elements are not zero, drawn. Channels that are dead already are the first to be zero, the rest of them constant."""
    channels, height, width = node.shape
    count = round(zero_channels * channels)
    if height * width == 1:
        count = round(sparsity * channels)
    order = rng.permutation(channels)
    if dead is not None:
        order = order[np.argsort(~dead[order], kind="stable")]
    zero = np.zeros(channels, dtype=np.bool_)
    zero[order[:count]] = True
    nonzero = np.repeat(~zero[:, None], height * width, axis=1)
    rest = ~zero if dead is None else ~zero & ~dead
    lanes, elements = int(rest.sum()), height * width
    wanted = min(round(sparsity * channels * elements) - count * elements, lanes * (elements - 1))
    if elements > 1 and wanted > 0:
        keys = rng.random((lanes, elements), dtype=np.float32)
        keys[np.arange(lanes), rng.integers(elements, size=lanes)] = 1.0  # a live channel has something in it
        live = np.ones(lanes * elements, dtype=np.bool_)
        live[np.argpartition(keys.reshape(-1), wanted - 1)[:wanted]] = False
        nonzero[rest] = live.reshape(lanes, elements)
    return nonzero.reshape(node.shape)


def _map(nonzero: Bool, masks: bool) -> FeatureMap:
    channels = nonzero.shape[0]
    shape = (channels, nonzero.shape[1], nonzero.shape[2])
    zeros = nonzero.size - int(np.count_nonzero(nonzero))
    dead = np.asarray(~nonzero.reshape(channels, -1).any(axis=1))
    return FeatureMap(shape, dead, zeros, pack(nonzero) if masks else None)


def _share(shares: Shares, node: Node) -> float:
    return shares.get(node.name, 0.0) if isinstance(shares, Mapping) else shares


def _told(shares: Shares) -> str:
    return "_by_layer" if isinstance(shares, Mapping) else f"{shares:g}"


def _sentence(shares: Shares) -> str:
    return "by layer" if isinstance(shares, Mapping) else f"{shares:g} of every activated map"


def _check(graph: Graph, drawn: Sequence[str], shares: Shares, what: str) -> None:
    for share in shares.values() if isinstance(shares, Mapping) else (shares,):
        if not 0 <= share <= 1:
            raise TraceError(f"{graph.name}: {what} {share!r}; allowed: shares from 0 to 1")
    for name in shares if isinstance(shares, Mapping) else ():
        if name not in drawn:
            raise TraceError(f"{graph.name}: {what} of {quoted(name)}: no activated map of that name\n    {choices(drawn, name)}")
