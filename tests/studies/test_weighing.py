"""What weights take in memory: the table, the command, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accelsim import runfile, simulate, weights
from accelsim.errors import ConfigError, ModelError
from accelsim.pruning import Pruning
from accelsim.studies import weighing

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "network" / "digits" / "network.yaml"


def digits(**prune):
    file = runfile.load_network_file(DIGITS)
    return simulate.load_network(file.model_copy(update={"prune": Pruning(**prune)} if prune else {}))


def test_every_layer_has_a_row_under_every_scheme_and_totals_add_up():
    network = digits(sparsity=0.8)
    found = weighing.weigh(network, weights.names())
    assert len(found) == 4 * len(weights.names())
    values = np.concatenate([roles["weight"].ravel() for roles in network.require_weights().values()])
    totals = weighing.totals(found).set_index("scheme")
    assert (totals["weights"] == values.size).all()
    assert (totals["zeros"] == (values == 0).sum()).all()
    assert (totals["dense_bytes"] == 2 * values.size).all()
    assert totals.loc["dense", "stored_bytes"] == 2 * values.size
    assert (totals["stored_bytes"] <= totals["dense_bytes"]).all()
    assert totals.loc["pruned_csr", "entries"] == np.count_nonzero(values)
    assert totals.loc["eie", "entries"] - totals.loc["eie", "fillers"] == np.count_nonzero(values)
    assert totals.loc["eie", "ratio"] < 0.4


def test_a_code_that_would_be_larger_is_counted_but_not_stored():
    found = weighing.weigh(digits(), ["eie"])
    assert (found["entries"] == found["weights"]).all()
    assert (found["code_bytes"] > found["dense_bytes"]).all()
    assert (found["stored_bytes"] == found["dense_bytes"]).all()


def test_narrower_weights_take_less():
    network = digits(sparsity=0.8)
    sizes = [weighing.weigh(network, ["eie"], bits)["stored_bytes"].sum() for bits in (32, 16, 8, 4)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("bits", [3, 33])
def test_widths_that_no_machine_has_are_refused(bits):
    with pytest.raises(ConfigError) as caught:
        weighing.weigh(digits(), ["eie"], bits)
    assert str(caught.value) == f"bits: {bits}\n    allowed: 4 to 32"


def test_a_codebook_that_is_too_small_names_the_layer():
    with pytest.raises(ModelError, match=r"002_convolutional: 4,.* different weights in a layer, and a codebook of 8 bits holds 256"):
        weighing.weigh(digits(), ["eie:codebook_bits=8"])


def test_the_command_prints_and_writes_what_the_call_gives(tmp_path, program):
    code, out, _ = program("weights", DIGITS, "--scheme", "pruned_csr", "--scheme", "eie", "--results", tmp_path)
    assert code == 0
    assert "004_connected" in out
    written = pd.read_csv(tmp_path / "weights_by_layer.csv")
    expected = weighing.weigh(digits(), ["pruned_csr", "eie"])
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "weights.csv"), weighing.totals(expected), check_dtype=False)


def test_the_command_guesses_what_was_meant(program):
    code, _, err = program("weights", DIGITS, "--scheme", "pruned_cs")
    assert (code, "Did you mean 'pruned_csr'?" in err) == (2, True)
    code, _, err = program("weights", "zoo:resnet18", "--scheme", "eie")
    assert (code, "no weights" in err) == (2, True)


def test_the_released_deep_compression_squeezenet_by_command(shared, program):
    code, out, _ = program("weights", ROOT / "configs/network/squeezenet_v1.0.yaml", "--scheme", "eie", "--no-layers")
    assert code == 0
    assert "422,083" in out
    assert "6,162" in out
