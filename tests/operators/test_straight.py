"""What is run straight through gives the same bits as what is run step by step, and operators tell what is so."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim import inference
from accelsim.graph import Graph, Node
from accelsim.networks.network import Network
from accelsim.operators.straight import hands_on, output

SHAPE = (3, 9, 8)


def network(weight=1.0) -> Network:
    """Every operator that tells, and some that do not."""
    rng = np.random.default_rng(0)
    nodes = (
        Node(0, "input", "input", (), SHAPE),
        Node(1, "conv", "conv", (0,), (4, 9, 8), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
        Node(2, "depthwise", "conv", (1,), (4, 9, 8), (3, 3), pad=(1, 1, 1, 1), groups=4, activation="relu6"),
        Node(3, "swish", "conv", (2,), (4, 9, 8), activation="swish"),
        Node(4, "sum", "add", (2, 3, 1), (4, 9, 8), activation="relu"),
        Node(5, "both", "concat", (1, 4), (8, 9, 8)),
        Node(6, "dropout", "dropout", (5,), (8, 9, 8)),
        Node(7, "pool", "maxpool", (6,), (8, 4, 4), (3, 2), (2, 2)),
        Node(8, "wide", "concat", (7, 7), (8, 4, 8), attributes={"axis": "columns"}),
        Node(9, "fc", "fc", (8,), (5, 1, 1)),
    )
    draw = lambda *size: (weight * rng.standard_normal(size)).astype(np.float32)  # noqa: E731 - seven uses, one line
    weights = {
        1: {"weight": draw(4, 3, 3, 3), "bias": np.array([0.1, -1e9, 0, 0.2], np.float32)},
        2: {"weight": draw(4, 1, 3, 3), "bias": draw(4)},
        3: {"weight": draw(4, 4, 1, 1), "bias": draw(4)},
        9: {"weight": draw(5, 256), "bias": draw(5)},
    }
    return Network(Graph("straight", nodes), weights, {})


def run_through(prepared, image, last):
    plan = prepared.graph.nodes[: last + 1], prepared.operators, prepared.telling, prepared.dropped
    return output(*plan, prepared.workspace.empty, image)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("last", [1, 5, 9])
def test_it_gives_the_bits_of_a_run_step_by_step(threads, last):
    prepared, image = inference.prepare(network(), threads=threads), np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    steps = {step.node.index: np.array(step.output) for step in inference.run(prepared, image)}
    assert run_through(prepared, image, last).tobytes() == steps[last].tobytes()
    assert run_through(prepared, image, last).tobytes() == steps[last].tobytes(), "memory that is used again"


def test_it_gives_nothing_where_a_map_is_not_finite():
    prepared = inference.prepare(network(weight=1e30))
    assert run_through(prepared, np.ones(SHAPE, np.float32), 9) is None


def test_operators_tell_what_is_in_their_maps():
    prepared = inference.prepare(network())
    assert {prepared.graph.nodes[index].name for index in prepared.telling} == {"conv", "depthwise", "sum", "pool"}
    for step in inference.run(prepared, np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)):
        np.testing.assert_array_equal(step.maxima, np.abs(step.output).max(axis=(1, 2)), err_msg=step.node.name)
        np.testing.assert_array_equal(step.zeros, (step.output == 0).sum(axis=(1, 2)), err_msg=step.node.name)
        np.testing.assert_array_equal(step.zero_channels, step.maxima == 0, err_msg=step.node.name)


def test_which_nodes_hand_their_channels_on():
    assert [node.name for node in network().graph.nodes if hands_on(node)] == ["both", "dropout"]
