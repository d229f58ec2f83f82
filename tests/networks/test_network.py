"""A network checks itself when it is built, and counts as the paper does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accelsim.errors import ModelError
from accelsim.graph import Graph, Node
from accelsim.networks.network import Network, check_graph, output_index, total_elements, total_macs, total_weights

NODES = (
    Node(0, "input", "input", (), (2, 6, 6)),
    Node(1, "c", "conv", (0,), (4, 6, 6), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
    Node(2, "p", "maxpool", (1,), (4, 3, 3), (2, 2), (2, 2)),
    Node(3, "r", "concat", (2, 2), (8, 3, 3)),
    Node(4, "f", "fc", (3,), (5, 1, 1)),
    Node(5, "s", "softmax", (4,), (5, 1, 1)),
    Node(6, "k", "cost", (5,), (5, 1, 1)),
)
GRAPH = Graph("small", NODES)


def weights() -> dict[int, dict[str, np.ndarray]]:
    return {
        1: {"weight": np.zeros((4, 2, 3, 3), np.float32), "bias": np.zeros(4, np.float32)},
        4: {"weight": np.zeros((5, 72), np.float32), "bias": np.zeros(5, np.float32)},
    }


def test_totals_count_what_the_paper_counts() -> None:
    assert total_elements(GRAPH) == 4 * 36 + 4 * 9 + 5
    assert total_macs(GRAPH) == 4 * 36 * 2 * 9 + 5 * 72
    assert total_weights(GRAPH) == 4 * 18 + 4 + 5 * 72 + 5
    assert output_index(GRAPH) == 5


def test_without_weights_shapes_are_known_and_running_is_refused() -> None:
    network = Network(GRAPH, None, {"network_file": "small.cfg"})
    assert network.graph.nodes[4].shape == (5, 1, 1)
    with pytest.raises(ModelError, match=r"small: no weights, so it cannot be run .*\n    give a weights file beside small.cfg"):
        network.require_weights()
    assert Network(GRAPH, weights(), {}).require_weights().keys() == {1, 4}


@pytest.mark.parametrize(
    ("index", "change", "fault"),
    [
        (0, {"kind": "dropout"}, "node 0 must be the input"),
        (2, {"inputs": (2,)}, "inputs must come before"),
        (2, {"index": 3}, "index 3 at place 2"),
        (2, {"shape": (4, 3, 4)}, r"shape \[4, 3, 4\], but its layer makes \[4, 3, 3\]"),
        (2, {"kind": "maxpul"}, "unknown kind of layer 'maxpul'"),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(index: int, change: dict[str, object], fault: str) -> None:
    nodes = list(NODES)
    nodes[index] = replace(nodes[index], **change)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=fault):
        check_graph(Graph("small", tuple(nodes)))


def test_weights_that_do_not_fit_are_refused() -> None:
    given = weights()
    del given[4]["bias"]
    with pytest.raises(ModelError, match=r"small: f: weights \['weight'\], wanted \['bias', 'weight'\]"):
        Network(GRAPH, given, {})
    for wrong in (np.zeros((5, 71), np.float32), np.zeros((5, 72)), np.zeros((72, 5), np.float32).T):
        given = weights()
        given[4]["weight"] = wrong
        with pytest.raises(ModelError, match=r"f: weight is .*, wanted contiguous float32 \[5, 72\]"):
            Network(GRAPH, given, {})
    given = weights()
    given[4]["weight"][1, 1] = np.nan
    with pytest.raises(ModelError, match="f: 1 of 360 values of its weight are not finite"):
        Network(GRAPH, given, {})
    with pytest.raises(ModelError, match=r"small: p: weights \['bias'\], wanted \[\]"):
        Network(GRAPH, {**weights(), 2: {"bias": np.zeros(4, np.float32)}}, {})
