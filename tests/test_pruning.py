"""Magnitude pruning: which weights become zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim import runfile, simulate
from accelsim.errors import ConfigError, ModelError
from accelsim.graph import Graph, Node
from accelsim.networks.network import Network
from accelsim.pruning import Pruning, prune

DIGITS = Path(__file__).parent.parent / "configs" / "network" / "digits"


def network(first: np.ndarray, second: np.ndarray) -> Network:
    """Two convolutions of 1 x 1 and 3 x 3."""
    nodes = (
        Node(0, "input", "input", (), (first.shape[1], 4, 4)),
        Node(1, "conv1", "conv", (0,), (first.shape[0], 4, 4)),
        Node(2, "conv2", "conv", (1,), (second.shape[0], 4, 4), (3, 3), pad=(1, 1, 1, 1)),
    )
    weights = {
        index: {"weight": np.ascontiguousarray(weight, np.float32), "bias": np.ones(len(weight), np.float32)}
        for index, weight in ((1, first), (2, second))
    }
    return Network(Graph("small", nodes), weights, {})


def sample(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return network(rng.normal(size=(6, 3, 1, 1)), rng.normal(size=(4, 6, 3, 3)))


def weight(found: Network, index: int) -> np.ndarray:
    return found.require_weights()[index]["weight"]


def every(found: Network) -> np.ndarray:
    return np.concatenate([weight(found, 1).ravel(), weight(found, 2).ravel()])


def test_a_threshold_is_inclusive_and_larger_weights_stay():
    given_weights = np.array([0.5, -0.5, 0.25, -0.75, 0.5000001, 0.0], np.float32).reshape(6, 1, 1, 1)
    found = weight(prune(network(given_weights, np.ones((2, 6, 3, 3))), Pruning(threshold=0.5)), 1)
    assert found.ravel().tolist() == [0, 0, 0, -0.75, np.float32(0.5000001), 0]


def test_biases_and_the_given_network_stay_and_provenance_says_what_was_done():
    before = sample()
    copy = every(before).copy()
    after = prune(before, Pruning(threshold=0.5))
    assert (every(before) == copy).all()
    assert (after.require_weights()[1]["bias"] == 1).all()
    zero = int((every(after) == 0).sum())
    assert after.provenance["weights_pruned"] == f'{{"threshold": 0.5}}: {zero} of 234 weights of conv and fc are zero'


@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_a_share_of_the_network_takes_the_smallest_weights_of_all(share, seed):
    before, after = sample(seed), prune(sample(seed), Pruning(sparsity=share))
    zero = every(after) == 0
    assert zero.sum() - 1 < share * zero.size <= zero.sum() + 1e-6 or zero.sum() == share == 0
    if zero.any() and not zero.all():
        assert np.abs(every(before)[zero]).max() < np.abs(every(before)[~zero]).min()


@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_a_share_of_each_layer_is_that_of_each_layer(share, seed):
    after = prune(sample(seed), Pruning(sparsity=share, per="layer"))
    for index in (1, 2):
        zero = weight(after, index) == 0
        assert zero.sum() - 1 < share * zero.size <= zero.sum() + 1e-6 or zero.sum() == share == 0


@given(share=st.floats(0, 1), seed=st.integers(0, 50), per=st.sampled_from(["network", "layer"]))
def test_filters_go_as_a_whole_the_weakest_first(share, seed, per):
    before, after = sample(seed), prune(sample(seed), Pruning(sparsity=share, unit="filter", per=per))
    for index in (1, 2):
        old, new = (weight(one, index).reshape(len(weight(one, index)), -1) for one in (before, after))
        gone = (new == 0).all(axis=1)
        assert (new[~gone] == old[~gone]).all()
        if gone.any() and not gone.all():
            assert np.abs(old[gone]).mean(axis=1).max() < np.abs(old[~gone]).mean(axis=1).min()
    if per == "layer":
        assert (weight(after, 2) == 0).sum() >= share * weight(after, 2).size - 1e-6
    else:
        assert (every(after) == 0).sum() >= share * every(after).size - 1e-6


def test_layers_have_thresholds_of_their_own_and_others_stay_out():
    after = prune(sample(), Pruning(threshold=9.0, layers={"conv*": 0.0, "conv2": 0.5}, exclude=("conv1",)))
    assert (weight(after, 1) == weight(sample(), 1)).all()
    assert ((weight(after, 2) == 0) == (np.abs(weight(sample(), 2)) <= 0.5)).all()
    only = prune(sample(), Pruning(layers={"conv1": 9.0}))
    assert not weight(only, 1).any()
    assert (weight(only, 2) == weight(sample(), 2)).all()


def test_what_the_file_stores_is_compared_where_that_is_not_what_runs():
    stored = np.arange(18, dtype=np.float32).reshape(6, 3)
    after = prune(sample(), Pruning(threshold=8.0), {1: stored})
    assert ((weight(after, 1).reshape(6, 3) == 0) == (stored <= 8)).all()


def test_a_layer_that_is_not_there_is_refused_with_a_guess():
    with pytest.raises(ConfigError) as caught:
        prune(sample(), Pruning(layers={"cov1": 0.1}))
    assert str(caught.value) == (
        "prune.layers: 'cov1' is no layer of small that can be pruned\n    allowed: conv1, conv2.  Did you mean 'conv1'?"
    )


def test_a_network_without_weights_is_refused():
    with pytest.raises(ModelError, match="no weights"):
        prune(Network(sample().graph, None, {}), Pruning(threshold=1.0))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing says what becomes zero"),
        ({"threshold": 0.1, "sparsity": 0.1}, "two ways to say the same"),
        ({"sparsity": 0.5, "layers": {"conv1": 0.1}}, "need per: layer"),
        ({"sparsity": 0.5, "per": "layer", "layers": {"conv1": 1.5}}, "a share of 1.5"),
        ({"threshold": -0.1}, "greater than or equal to 0"),
    ],
)
def test_what_contradicts_itself_is_refused(asked, said):
    with pytest.raises(ValidationError, match=said):
        Pruning(**asked)


def test_a_network_file_prunes_and_check_and_sparsity_show_it(tmp_path, program):
    file = tmp_path / "pruned.yaml"
    file.write_text(
        "network:\n  name: pruned\n"
        f"  darknet: {{cfg: {DIGITS / 'digits.cfg'}, weights: {DIGITS / 'digits.weights'}}}\n"
        "  preprocessing: grey\n  prune: {sparsity: 0.75}\n"
    )
    loaded = simulate.load_network(runfile.load_network_file(file))
    values = [roles["weight"] for roles in loaded.require_weights().values()]
    zero, size = sum(int((value == 0).sum()) for value in values), sum(value.size for value in values)
    assert zero == 0.75 * size
    code, out, _ = program("check", file)
    assert code == 0
    assert f"{zero:,} of {size:,} weights of conv and fc are zero" in out
    code, out, _ = program("sparsity", file, "--thresholds", "0")
    assert code == 0
    assert f"{size - 7680:,}" in out  # weights of convolutions, counted as pruned


def test_a_mistake_in_a_file_has_its_place_and_a_guess(tmp_path, program):
    file = tmp_path / "pruned.yaml"
    file.write_text("network:\n  name: pruned\n  zoo: resnet18\n  preprocessing: grey\n  prune: {treshold: 0.1}\n")
    code, _, err = program("check", file)
    assert code == 2
    assert "pruned.yaml:5:11: network.prune: unknown key 'treshold'" in err
    assert "Did you mean 'threshold'?" in err


def test_evaluate_measures_what_pruning_costs(tmp_path, program):
    labels = "file,digit\n" + "".join(f"{digit}.png,{digit}\n" for digit in range(10))
    (tmp_path / "labels.csv").write_text(labels)
    right = []
    for share in (0.5, 0.99):
        file = tmp_path / f"{share}.yaml"
        file.write_text(
            "evaluate:\n  name: pruned\n  epsilons: [0]\n  modes: [channel]\n  processes: 1\n"
            f"  network:\n    include: {DIGITS / 'network.yaml'}\n    prune: {{sparsity: {share}, layers: {{}}}}\n"
            f"  images: {{table: labels.csv, folder: {DIGITS / 'images'}, label_column: digit}}\n"
        )
        code, _, err = program("evaluate", file, "--results", tmp_path / f"out{share}", "--no-figures")
        assert (code, err.count("Error")) == (0, 0), err
        right.append(float((tmp_path / f"out{share}" / "accuracy.csv").read_text().splitlines()[1].split(",")[5]))
    assert right[0] > right[1]


def test_a_threshold_takes_what_sparsity_counts_batch_normalisation_or_not(shared):
    """TinyNet's file has batch normalisation, so what is stored is not what runs."""
    from accelsim.studies import sparsity

    file = runfile.load_network_file(DIGITS.parent / "tiny.yaml")
    stored = [values for _, _, role, values in sparsity.parameters(file, simulate.load_network(file)) if role == "weights"]
    wanted = sum(int(sparsity.within(values, [0.02])[0]) for values in stored)
    pruned = simulate.load_network(file.model_copy(update={"prune": Pruning(threshold=0.02)}))
    assert sum(int((roles["weight"] == 0).sum()) for roles in pruned.require_weights().values()) == wanted
    assert f": {wanted:,} of {sum(values.size for values in stored):,} weights" in pruned.provenance["weights_pruned"]
