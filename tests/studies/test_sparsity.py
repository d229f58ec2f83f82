"""Value sparsity: the paper's tables, and that what is counted is what is stored."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import inference, runfile, simulate
from accelsim.errors import ConfigError, ModelError
from accelsim.networks import darknet
from accelsim.studies import sparsity
from accelsim.studies.sparsity import ALL, CONV, MAPS

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "network/digits/network.yaml"
IMAGES = [str(CONFIGS / f"network/digits/images/{digit}.png") for digit in (3, 5)]

# Source: arXiv 1812.09922, Tables 1 and 2, per cent within 0, .005, .01, .02, .04, .06, .08, .1, .2
TABLES = {
    ("tiny", ALL): (0.0, 19.71, 37.70, 64.25, 86.39, 93.05, 95.91, 97.36, 98.95),
    ("tiny", CONV): (0.0, 19.90, 38.05, 64.85, 87.19, 93.89, 96.78, 98.22, 99.80),
    ("squeezenet_v1.1", ALL): (0.0, 9.18, 18.17, 35.14, 62.84, 80.38, 89.82, 94.52, 99.35),
    ("squeezenet_v1.1", CONV): (0.0, 9.15, 18.12, 35.07, 62.79, 80.36, 89.81, 94.52, 99.35),
}


def percents(table: pd.DataFrame, scope: str) -> list[float]:
    return [round(value, 2) for value in table[table["scope"] == scope]["percent"]]


@pytest.mark.parametrize("scope", [ALL, CONV])
def test_tables_1_and_2_come_out_to_the_digit_for_tinynet(shared: Path, scope: str) -> None:
    found = sparsity.sparsity(CONFIGS / "network/tiny.yaml")
    assert tuple(percents(found.weights, scope)) == TABLES["tiny", scope]


@pytest.mark.parametrize("scope", [ALL, CONV])
def test_tables_1_and_2_come_out_within_a_hundredth_for_squeezenet(shared: Path, scope: str) -> None:
    """Its weights are a copy in half precision."""
    found = sparsity.sparsity(CONFIGS / "network/squeezenet_v1.1.yaml")
    np.testing.assert_allclose(percents(found.weights, scope), TABLES["squeezenet_v1.1", scope], atol=0.0101)


def test_half_of_squeezenets_maps_is_zero_and_none_of_tinynets(shared: Path) -> None:
    """Source: arXiv 1812.09922, Figure 4; zeros of the dog photograph from golden/squeezenet_v1.1/summary.csv."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("a real network takes hours without compiled kernels: unset NUMBA_DISABLE_JIT")
    dog = f"{shared}/assets/images/five_rgb.npz:dog"
    squeezenet, tiny = (sparsity.sparsity(CONFIGS / f"network/{name}.yaml", [dog], [0.0]).maps for name in ("squeezenet_v1.1", "tiny"))
    assert squeezenet["values"][0] == 2_915_944
    assert squeezenet["within"][0] == pytest.approx(1_569_254, rel=1e-4)
    assert tiny["percent"][0] < 0.01


def test_every_value_of_the_file_is_counted_and_batch_normalisation_is_not_folded() -> None:
    found = sparsity.sparsity(DIGITS, thresholds=[0.05, 1e9])
    stored = (DIGITS.parent / "digits.weights").stat().st_size
    whole = found.weights[(found.weights["scope"] == ALL) & (found.weights["threshold"] == 1e9)].iloc[0]
    assert whole["values"] * 4 in (stored - 16, stored - 20)
    assert whole["within"] == whole["values"]
    by_role = found.weights_by_layer.groupby("role", sort=False)["values"].sum()
    assert by_role.sum() == 2 * whole["values"]
    raw = list(darknet.parameters(DIGITS.parent / "digits.cfg", DIGITS.parent / "digits.weights"))
    rows = found.weights_by_layer[(found.weights_by_layer["threshold"] == 0.05) & (found.weights_by_layer["role"] == "weights")]
    expected = {node.name: int((np.abs(arrays["weights"]) <= 0.05).sum()) for node, arrays in raw}
    assert dict(zip(rows["layer"], rows["within"], strict=True)) == expected


def test_raw_values_fold_into_the_loaded_ones() -> None:
    network = darknet.load(DIGITS.parent / "digits.cfg", DIGITS.parent / "digits.weights")
    for node, arrays in darknet.parameters(DIGITS.parent / "digits.cfg", DIGITS.parent / "digits.weights"):
        loaded = network.weights[node.index]
        assert loaded["weight"].size == arrays["weights"].size
        factor = arrays["scales"] / np.sqrt(arrays["variances"] + 1e-6) if "scales" in arrays else np.ones(node.shape[0])
        np.testing.assert_allclose(
            loaded["weight"].reshape(node.shape[0], -1), arrays["weights"].reshape(node.shape[0], -1) * factor[:, None], rtol=1e-5
        )


def test_maps_of_several_images_are_counted_together() -> None:
    found = sparsity.sparsity(DIGITS, IMAGES, [0.0, 0.1])
    network = simulate.load_network(runfile.load_network_file(DIGITS))
    expected = [0, 0]
    for image in IMAGES:
        source = inference.photograph(image, runfile.load_network_file(DIGITS).preprocessing)
        for step in inference.run(network, source.tensor):
            if step.node.kind == "conv":
                expected = [count + int((np.abs(step.output) <= limit).sum()) for count, limit in zip(expected, (0.0, 0.1), strict=True)]
    assert list(found.maps["within"]) == expected
    assert set(found.maps["scope"]) == {MAPS}
    assert set(found.maps["images"]) == {2}
    conv = found.maps_by_layer[found.maps_by_layer["kind"] == "conv"]
    assert list(conv.groupby("threshold")["within"].sum()) == expected


@given(st.lists(st.floats(width=32), max_size=30), st.lists(st.floats(0, 1e6), min_size=1, max_size=5, unique=True))
def test_counts_grow_with_the_threshold_and_include_it(values: list[float], limits: list[float]) -> None:
    data = np.array(values, np.float32)
    counts = sparsity.within(data, sorted(limits))
    assert list(counts) == sorted(counts)
    assert list(counts) == [sum(abs(float(value)) <= limit for value in data) for limit in sorted(limits)]


def test_tables_and_figure_are_written(tmp_path: Path) -> None:
    found = sparsity.sparsity(DIGITS, IMAGES)
    paths = {path.relative_to(tmp_path).as_posix() for path in sparsity.write(found, tmp_path / "r")}
    names = (
        "weights.csv",
        "weights_by_layer.csv",
        "maps.csv",
        "maps_by_layer.csv",
        "figures/digits_sparsity.png",
        "figures/digits_sparsity.svg",
    )
    assert paths == {f"r/{name}" for name in names}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "r" / "maps.csv"), found.maps, check_dtype=False)


@pytest.mark.parametrize("text", ["", "a", "0.1,-1", "nan", "inf", "0.1,,0.2"])
def test_thresholds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"thresholds: .*\n    allowed: finite numbers from 0"):
        sparsity.parse_thresholds(text)


def test_a_network_without_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text(f"network: {{name: bare, darknet: {{cfg: {DIGITS.parent}/digits.cfg}}, preprocessing: grey}}\n", "utf-8")
    with pytest.raises(ModelError, match="bare: no weights"):
        sparsity.sparsity(file)
