"""Pruning offline: which channels can go, and that the slim network does the same on the images looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import inference, slim
from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.layers import layer
from accelsim.networks.network import Network, check_graph
from accelsim.trace import PUBLISHED, FeatureMap, Trace, measure, spread

SHAPE = (3, 6, 6)
NODES = (
    Node(0, "input", "input", (), SHAPE),
    Node(1, "conv1", "conv", (0,), (6, 6, 6), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
    Node(2, "depthwise", "conv", (1,), (6, 6, 6), (3, 3), pad=(1, 1, 1, 1), groups=6, activation="relu"),
    Node(3, "pool", "maxpool", (2,), (6, 3, 3), (2, 2), (2, 2)),
    Node(4, "conv2", "conv", (3,), (5, 3, 3), activation="relu"),
    Node(5, "both", "concat", (3, 4), (11, 3, 3)),
    Node(6, "conv3", "conv", (5,), (5, 3, 3), activation="relu"),
    Node(7, "sum", "add", (6, 4), (5, 3, 3)),
    Node(8, "hidden", "fc", (7,), (4, 1, 1), activation="relu"),
    Node(9, "scores", "fc", (8,), (3, 1, 1)),
    Node(10, "softmax", "softmax", (9,), (3, 1, 1)),
)
GRAPH = Graph("slimmable", NODES)
DEAD = {1: (1, 4), 2: (1, 2), 4: (0, 3), 6: (0, 1), 8: (2,)}
"""Filters that never fire, by node."""
GOES = {1: {1, 4}, 2: {1, 4}, 3: {1, 4}, 4: {0}, 5: {1, 4, 6}, 6: {0}, 7: {0}, 8: {2}}
"""What can be removed: conv1's channel 4 is zero, so the depthwise one's is too; its channel 2 is dead, but reads a live one; of the two
sums of a dead channel with another, only channel 0 is dead in both."""


def network() -> Network:
    rng = np.random.default_rng(5)
    weights: dict[int, dict[str, np.ndarray]] = {}
    for node in NODES:
        shapes = layer(node.kind).weight_shapes(node, GRAPH.input_shapes(node.index))
        if not shapes:
            continue
        weights[node.index] = {role: rng.uniform(0.05, 0.5, shape).astype(np.float32) for role, shape in shapes.items()}
        # No bias in the depthwise convolution: its map is zero where the map it reads is.
        weights[node.index]["bias"] *= node.index != 2
        for channel in DEAD.get(node.index, ()):
            weights[node.index]["bias"][channel] = -1e3
    return Network(GRAPH, weights, {"network_file": "slimmable"})


def picture(seed: int) -> inference.Input:
    return inference.Input(f"image{seed}", np.random.default_rng(seed).random(SHAPE).astype(np.float32), {})


def always_zero(traces: list[Trace]) -> tuple[slim.Bool, ...]:
    zero = slim.ZeroChannels(traces[0])
    for trace in traces:
        zero.add(trace)
    assert len(zero.counts) == len(traces)
    assert all((ever | ~always).all() for always, ever in zip(zero.always, zero.ever, strict=True))
    return zero.always


def record(count: int = 3) -> list[Trace]:
    return list(inference.record(network(), [picture(seed) for seed in range(count)], fine_part=(2, 2)))


def gone(graph: Graph, traces: list[Trace]) -> dict[int, set[int]]:
    flags = slim.removable(graph, always_zero(traces))
    return {index: set(np.flatnonzero(own).tolist()) for index, own in enumerate(flags) if own.any()}


def test_what_goes_is_what_structure_allows() -> None:
    assert gone(GRAPH, record()) == GOES


def test_the_slim_network_computes_the_same_maps() -> None:
    """Cut the weights as the slim graph says, run it, and compare each map with the whole network's without its removed channels."""
    traces, whole = record(), network()
    removed = slim.removable(GRAPH, always_zero(traces))
    keep = [~flags for flags in removed]
    slimmed = slim.without(traces[0], removed, len(traces))
    weights = {}
    for node in NODES:
        if node.index not in whole.weights:
            continue
        cut = {role: values[keep[node.index]] for role, values in whole.weights[node.index].items()}
        (producer,) = node.inputs
        if node.kind == "fc":
            height, width = NODES[producer].shape[1:]
            cut["weight"] = cut["weight"][:, np.repeat(keep[producer], height * width)]
        elif node.groups == 1:
            cut["weight"] = cut["weight"][:, keep[producer]]
        weights[node.index] = {role: np.ascontiguousarray(values) for role, values in cut.items()}
    thin = Network(slimmed.graph, weights, {})
    for step, full in zip(inference.run(thin, picture(0).tensor), inference.run(whole, picture(0).tensor), strict=True):
        np.testing.assert_allclose(step.output, full.output[keep[step.node.index]], rtol=1e-5, atol=1e-6, err_msg=step.node.name)
    (made,) = inference.record(thin, [picture(0)], fine_part=(2, 2))
    for fmap, expected in zip(slimmed.maps, made.maps, strict=True):
        np.testing.assert_array_equal(fmap.nonzero(), expected.nonzero())
        np.testing.assert_allclose(fmap.part_max, expected.part_max, rtol=1e-5)
        assert fmap.zero_elements == expected.zero_elements
    assert slimmed.provenance["pruned_offline"] == f"{sum(map(len, GOES.values()))} channels that are zero on all of 3 images"


def test_a_channel_that_lives_once_stays() -> None:
    traces = record()
    fmap = traces[1].maps[1]
    alive = fmap.nonzero().copy()
    alive[4, 0, 0] = True
    other = replace(traces[1], maps=(traces[1].maps[0], measure(alive.astype(np.float32), (2, 2)), *traces[1].maps[2:]))
    assert always_zero([traces[0], other, traces[2]])[1].tolist() == [False, True, False, False, False, False]
    assert 4 not in gone(GRAPH, [traces[0], other])[1]


@given(st.integers(0, 2**32), st.sampled_from([0.2, 0.6, 1.0]), st.booleans())
def test_every_slim_trace_is_sound(seed: int, share: float, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    nodes = tuple(replace(node, groups=2) if grouped and node.name == "depthwise" else node for node in NODES)
    graph = Graph("random", nodes)
    maps = []
    for node in nodes:
        data = rng.random(node.shape).astype(np.float32) + 1
        data[rng.random(node.shape[0]) < share] = 0
        maps.append(measure(data, (2, 2)))
    trace = Trace(graph, tuple(maps), "random", 0.0, "channel", (2, 2), "synthetic", {})
    zero = always_zero([trace])
    removed = slim.removable(graph, zero)
    slimmed = slim.without(trace, removed, 1)
    check_graph(slimmed.graph)
    for node, flags, dead, fmap in zip(nodes, removed, zero, slimmed.maps, strict=True):
        assert not (flags & ~dead).any(), f"{node.name}: only what is zero goes"
        assert fmap.shape[0] == node.shape[0] - flags.sum() >= 1
        assert int(fmap.zero_channels.sum()) == int(dead.sum() - flags.sum())
    assert not removed[0].any()
    assert not removed[-1].any()


def test_traces_that_do_not_belong_together_are_refused() -> None:
    first, second = record(2)
    with pytest.raises(TraceError, match="made with different epsilons"):
        always_zero([first, replace(second, epsilon=0.1)])
    other = replace(second.graph, nodes=(*NODES[:8], replace(NODES[8], activation="linear"), *NODES[9:]))
    with pytest.raises(TraceError, match="are different networks"):
        always_zero([first, replace(second, graph=other)])
    counts = tuple(FeatureMap(node.shape, spread(0, node.shape[0]), None) for node in NODES)
    with pytest.raises(TraceError, match="not which they are"):
        always_zero([Trace(GRAPH, counts, "paper", 0.0, "channel", (8, 8), PUBLISHED, {})])
