"""An activation scheme and a weight scheme together: in one text, in YAML, and wherever schemes are named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

import accelsim
from accelsim import schemes, weights
from accelsim.errors import ConfigError
from accelsim.schemes._written import Written

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "network" / "digits"
EDGE = ROOT / "configs" / "accelerator" / "edge.yaml"
WRITTEN = TypeAdapter(Written)


@pytest.mark.parametrize("activations", ["dense", "zero_block:height=8,width=8", "channel_marker:layout=slots"])
@pytest.mark.parametrize("of_weights", ["eie", "eie:columns=all", "pruned_csr:fallback=false", "filter_pruned"])
def test_a_pair_reads_back_as_the_same_pair(activations, of_weights):
    pair = schemes.load(f"{activations}+{of_weights}")
    assert pair.label == f"{activations}+{of_weights}"
    assert schemes.load(pair.label) == pair
    assert pair.weights == weights.load(of_weights)
    assert (pair.name, pair.options) == (schemes.load(activations).name, schemes.load(activations).options)


def test_dense_weights_need_not_be_named():
    assert schemes.load("zvc+dense") == schemes.load("zvc")
    assert schemes.load("zvc+dense").label == "zvc"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "zvc+ei",
            "scheme 'zvc+ei': 'ei' is not a known weight scheme\n    allowed: dense, eie, filter_pruned, pruned_csr.  Did you mean 'eie'?",
        ),
        ("zvc+", "scheme 'zvc+': '' is not a known weight scheme\n    allowed: dense, eie, filter_pruned, pruned_csr"),
        ("zvc+eie+dense", "scheme 'zvc+eie+dense': 'eie+dense' is not a known weight scheme\n    allowed: "),
        ("zvc+eie:column=all", "scheme 'zvc+eie:column=all': eie: unknown key 'column'\n    allowed: "),
        ("eie", "unknown scheme 'eie'\n    it is a weight scheme: write for example channel_marker+eie\n    allowed: "),
        ("eie+zvc", "unknown scheme 'eie'\n    it is a weight scheme: write for example channel_marker+eie\n    allowed: "),
    ],
)
def test_a_pair_that_cannot_be_read_says_what_can(text, said):
    with pytest.raises(ConfigError) as caught:
        schemes.load(text)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("zvc+eie", "zvc+eie"),
        ("zvc+eie:columns=connected", "zvc+eie"),
        ({"zero_block": {"height": 8}, "weights": "eie:columns=all"}, "zero_block:height=8+eie:columns=all"),
        ({"dense": {}, "weights": "dense"}, "dense"),
    ],
)
def test_yaml_takes_a_text_or_a_mapping_and_the_schema_agrees(written, label):
    assert WRITTEN.validate_python(written) == label
    assert Draft202012Validator(WRITTEN.json_schema()).is_valid(written)


@pytest.mark.parametrize("written", ["zvc+ei", "eie", "zvc+eie+eie", {"zvc": {}, "weights": "ei"}, {"weights": "eie"}])
def test_yaml_refuses_what_is_no_pair(written):
    with pytest.raises(ValidationError):
        WRITTEN.validate_python(written)


@pytest.mark.parametrize("written", ["zvc+ei", "eie", "zvc+eie+eie", {"zvc": {}, "weights": "ei"}])
def test_the_schema_marks_it_too(written):
    assert not Draft202012Validator(WRITTEN.json_schema()).is_valid(written)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A trace of the pruned digits network, and a run file that names the network beside it."""
    folder = tmp_path_factory.mktemp("pairs")
    from accelsim import simulate

    ((path, _),) = simulate.infer(DIGITS / "pruned.yaml", folder, [str(DIGITS / "images" / "3.png")])
    path.rename(folder / "digits.npz")
    (folder / "run.yaml").write_text(
        f"run:\n  name: pairs\n  accelerator: {EDGE}\n"
        "  schemes: [dense, dense+eie, {channel_marker: {}, weights: pruned_csr}]\n"
        f"  jobs:\n    - {{trace: digits.npz, network: {DIGITS / 'pruned.yaml'}}}\n"
        f"    - {{network: {DIGITS / 'pruned.yaml'}, images: [{DIGITS / 'images' / '3.png'}]}}\n"
    )
    return folder


def test_a_run_names_pairs_in_every_table_and_a_trace_with_its_network_gives_what_inference_gives(house, tmp_path):
    outcome = accelsim.run(house / "run.yaml", results=tmp_path, figures=False)
    first, second = outcome.comparisons
    assert first.schemes == ("dense", "dense+eie", "channel_marker+pruned_csr")
    assert [result.totals for result in first.results] == [result.totals for result in second.results]
    table = pd.read_csv(tmp_path / "layers.csv")
    assert list(table["scheme"].unique()) == list(first.schemes)
    assert first.result("dense+eie").totals["read_filter_bytes"] < first.baseline.totals["read_filter_bytes"]


def test_check_prints_the_pairs(house, program):
    code, out, _ = program("check", house / "run.yaml")
    assert code == 0
    assert "- dense+eie\n" in out
    assert "- channel_marker+pruned_csr\n" in out


def test_replay_takes_the_network_on_the_command_line(house, program):
    arguments = ("replay", house / "digits.npz", "--accelerator", EDGE, "--scheme", "dense+eie", "--no-layers")
    code, out, _ = program(*arguments, "--network", DIGITS / "pruned.yaml")
    assert (code, "dense+eie" in out) == (0, True)
    code, _, err = program(*arguments)
    assert (code, "needs the weights of digits_pruned" in err, "--network" in err) == (2, True, True)
    code, _, err = program(*arguments, "--network", DIGITS / "network.yaml")
    assert (code, "weights_pruned is absent" in err) == (2, True)


def test_a_sweep_varies_pairs_and_the_options_of_both_schemes(house, tmp_path):
    from accelsim import sweeps

    (tmp_path / "sweep.yaml").write_text(
        f"sweep:\n  name: pairs\n  accelerator: {EDGE}\n"
        "  schemes: [dense, channel_marker+eie:columns=all]\n"
        "  axes:\n    scheme.eie.index_bits: [2, 4]\n    scheme.channel_marker.layout: [raster, slots]\n"
        f"  jobs: [{{trace: {house / 'digits.npz'}, network: {DIGITS / 'pruned.yaml'}}}]\n"
    )
    outcome = sweeps.run(tmp_path / "sweep.yaml", results=tmp_path / "out", figures=False, processes=1)
    assert outcome is not None
    found = pd.read_csv(tmp_path / "out" / "sweep.csv")
    assert outcome.failed == 0
    assert set(found["label"]) == {
        "dense",
        "channel_marker+eie:index_bits=2,columns=all",
        "channel_marker+eie:columns=all",
        "channel_marker:layout=slots+eie:index_bits=2,columns=all",
        "channel_marker:layout=slots+eie:columns=all",
    }
    paired = found[found["label"].str.contains("eie")].groupby("scheme.eie.index_bits")["read_filter_bytes"].mean()
    assert paired[2] > paired[4]
