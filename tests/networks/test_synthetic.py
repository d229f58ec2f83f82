"""Synthetic traces have the shares of zeros that were asked for, follow the network, and say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import inference, tracefile
from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.inference import Input
from accelsim.networks import published, synthetic, zoo
from accelsim.networks.network import Network
from accelsim.trace import SYNTHETIC, Trace

TABLE = Path(__file__).parents[2] / "traces" / "drfmp_dog_eps0.csv"

GRAPH = Graph(
    "small",
    (
        Node(0, "input", "input", (), (3, 16, 16)),
        Node(1, "wide", "conv", (0,), (20, 16, 16), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
        Node(2, "deep", "conv", (1,), (20, 16, 16), (3, 3), pad=(1, 1, 1, 1), groups=20, activation="relu6"),
        Node(3, "flat", "conv", (2,), (20, 16, 16), activation="linear"),
        Node(4, "sum", "add", (3, 1), (20, 16, 16), activation="relu"),
        Node(5, "pool", "maxpool", (4,), (20, 8, 8), (2, 2), (2, 2)),
        Node(6, "both", "concat", (5, 5), (40, 8, 8)),
        Node(7, "mean", "avgpool", (6,), (40, 1, 1), (8, 8), (8, 8)),
        Node(8, "hidden", "fc", (7,), (50, 1, 1), activation="relu"),
        Node(9, "gate", "fc", (8,), (10, 1, 1), activation="logistic"),
    ),
)


def zeros(trace: Trace, name: str) -> tuple[int, float]:
    """Zero channels, and the share of zero elements."""
    index = next(node.index for node in trace.graph.nodes if node.name == name)
    fmap = trace.maps[index]
    assert fmap.zero_elements is not None
    return int(fmap.zero_channels.sum()), fmap.zero_elements / fmap.elements


def test_activated_maps_have_the_shares_that_were_asked_for() -> None:
    trace = synthetic.trace(GRAPH, zero_channels=0.25, sparsity=0.6)
    for name in ("wide", "sum"):
        channels, elements = zeros(trace, name)
        assert channels == 5
        assert elements == 0.6
    assert zeros(trace, "hidden") == (30, 0.6), "one element a channel: its sparsity counts"


def test_inputs_linear_layers_and_gates_have_no_zeros() -> None:
    trace = synthetic.trace(GRAPH, zero_channels=0.5, sparsity=0.9)
    assert zeros(trace, "input") == zeros(trace, "flat") == zeros(trace, "gate") == (0, 0.0)


def test_pools_copies_and_sums_follow_what_they_read() -> None:
    trace = synthetic.trace(GRAPH, zero_channels=0.25, sparsity=0.7, seed=3)
    summed, pooled, both, mean = (trace.maps[index].nonzero() for index in (4, 5, 6, 7))
    np.testing.assert_array_equal(pooled, summed.reshape(20, 8, 2, 8, 2).any(axis=(2, 4)))
    np.testing.assert_array_equal(both, np.concatenate([pooled, pooled]))
    np.testing.assert_array_equal(mean.reshape(-1), both.any(axis=(1, 2)))


def test_rounding_does_not_hide_elements_and_an_offset_leaves_no_zeros() -> None:
    shape = (20, 16, 16)
    coarse = Node(2, "coarse", "maxpool", (1,), shape, dtype="uint8", attributes={"quantum": 8.0})
    moved = Node(3, "moved", "crop", (1,), shape, attributes={"scale": 2.0, "offset": -1.0})
    trace = synthetic.trace(Graph("rounded", (*GRAPH.nodes[:2], coarse, moved)))
    np.testing.assert_array_equal(trace.maps[2].nonzero(), trace.maps[1].nonzero())
    assert trace.maps[3].zero_elements == 0


def test_a_depthwise_filter_makes_a_constant_of_a_zero_channel() -> None:
    shares = {"wide": 0.5, "deep": 0.2}
    trace = synthetic.trace(GRAPH, zero_channels=shares, sparsity={"wide": 0.5, "deep": 0.8})
    dead, made = trace.maps[1].zero_channels, trace.maps[2]
    assert made.zero_channels.sum() == 4
    assert not (made.zero_channels & ~dead).any(), "channels that are zero already come first"
    constant = made.nonzero()[dead & ~made.zero_channels]
    assert constant.all()
    assert not made.nonzero()[~dead].all(axis=(1, 2)).any()


def test_shares_by_name_reach_linear_layers_and_leave_the_rest_alone() -> None:
    trace = synthetic.trace(GRAPH, zero_channels={"flat": 0.1}, sparsity={"flat": 0.1})
    assert zeros(trace, "flat") == (2, 0.1)
    assert zeros(trace, "wide") == (0, 0.0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_every_share_makes_a_sound_trace(zero_channels: float, sparsity: float, seed: int) -> None:
    trace = synthetic.trace(GRAPH, zero_channels=zero_channels, sparsity=sparsity, seed=seed)
    channels, elements = zeros(trace, "wide")
    assert channels == round(zero_channels * 20)
    most = (20 - channels) * 255 + channels * 256
    assert elements * 20 * 256 == pytest.approx(max(channels * 256, min(round(sparsity * 20 * 256), most)))


def test_the_same_arguments_give_the_same_trace_and_another_seed_another() -> None:
    first, again, other = (tracefile.digest(synthetic.trace(GRAPH, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_trace_says_that_it_is_synthetic_and_how_it_was_made(tmp_path: Path) -> None:
    trace = synthetic.trace(GRAPH, zero_channels=0.2, sparsity=0.5, seed=7, provenance={"network_file": "small.cfg"})
    tracefile.save(trace, tmp_path / "t.npz")
    back = tracefile.load(tmp_path / "t.npz")
    assert back.source == SYNTHETIC
    assert back.image == "synthetic_z0.2_s0.5_seed7"
    assert back.provenance["zero_channels"] == "0.2 of every activated map"
    assert back.provenance["seed"] == "7"
    assert back.provenance["network_file"] == "small.cfg"


def test_without_masks_the_counts_are_the_same() -> None:
    full, counts = synthetic.trace(GRAPH, seed=5), synthetic.trace(GRAPH, seed=5, masks=False)
    assert full.has_masks
    assert not any(fmap.mask is not None for fmap in counts.maps)
    for left, right in zip(full.maps, counts.maps, strict=True):
        np.testing.assert_array_equal(left.zero_channels, right.zero_channels)
        assert left.zero_elements == right.zero_elements


def test_a_trace_like_published_counts_has_their_zero_channels_and_elements() -> None:
    counted = published.from_table(TABLE, "alexnet")
    made = synthetic.like(counted)
    assert made.source == SYNTHETIC
    assert made.has_masks
    assert made.provenance["like"] == "alexnet on dog (published statistics)"
    for node, theirs, ours in zip(made.graph.nodes, counted.maps, made.maps, strict=True):
        if node.kind == "conv":
            assert ours.zero_channels.sum() == theirs.zero_channels.sum()
            assert ours.zero_elements == theirs.zero_elements


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"zero_channels": 1.5}, "small: zero_channels 1.5; allowed: shares from 0 to 1"),
        ({"sparsity": float("nan")}, "small: sparsity nan"),
        (
            {"sparsity": {"wid": 0.5}},
            r"small: sparsity of 'wid': no activated map of that name\n    allowed: wide, deep, sum, hidden\.  Did",
        ),
        ({"zero_channels": {"pool": 0.5}}, "zero_channels of 'pool'"),
        ({"seed": -1}, "seed -1; allowed: whole numbers from 0"),
    ],
)
def test_shares_that_make_no_sense_are_refused(arguments: dict[str, object], fault: str) -> None:
    with pytest.raises(TraceError, match=fault):
        synthetic.trace(GRAPH, **arguments)  # type: ignore[arg-type]


def test_random_weights_keep_the_size_of_the_signal_and_are_the_same_for_the_same_seed() -> None:
    graph = zoo.load("resnet18").graph
    weights, again = synthetic.weights(graph, 1), synthetic.weights(graph, 1)
    assert weights[1]["weight"].std() == pytest.approx(np.sqrt(2 / 147), rel=0.02)
    assert not weights[1]["bias"].any()
    np.testing.assert_array_equal(weights[3]["weight"], again[3]["weight"])
    assert not np.array_equal(weights[3]["weight"], synthetic.weights(graph, 2)[3]["weight"])


@pytest.mark.parametrize("name", ["squeezenet_1.1@63", "mobilenet_v3_small@64", "densenet121@32"])
def test_a_zoo_network_runs_with_random_weights_and_its_trace_is_synthetic(name: str) -> None:
    network = synthetic.network(zoo.load(name), seed=4)
    assert isinstance(network, Network)
    image = np.random.default_rng(0).standard_normal(network.graph.nodes[0].shape).astype(np.float32)
    (trace,) = inference.record(network, [Input("noise", image, {})])
    assert trace.source == SYNTHETIC
    assert trace.provenance["weights"] == "random (He et al., 2015), seed 4"
    assert trace.provenance["network_file"] == f"zoo:{name}"
    assert sum(int(fmap.zero_elements or 0) for fmap in trace.maps) > 0
