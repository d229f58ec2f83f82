"""Weights files: headers, folding, and files that do not belong to their cfg."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import ModelError
from accelsim.networks import darknet
from accelsim.networks.darknet_weights import blocks, read

CFG = """[net]
height=4
width=4
channels=2
[convolutional]
batch_normalize=1
filters=3
size=3
pad=1
activation=relu
[maxpool]
size=2
stride=2
[connected]
output=5
activation=linear
"""
CONV, FC = 3 + 9 + 3 * 2 * 9, 5 + 5 * 12
TOTAL = CONV + FC
NEW, OLD = struct.pack("<iiiQ", 0, 2, 0, 77), struct.pack("<iiiI", 0, 1, 0, 77)


def write(folder: Path, values: np.ndarray[tuple[int], np.dtype[np.float32]], header: bytes = NEW, cfg: str = CFG) -> tuple[Path, Path]:
    (folder / "a.cfg").write_text(cfg)
    (folder / "a.weights").write_bytes(header + values.astype("<f4").tobytes())
    return folder / "a.cfg", folder / "a.weights"


def numbers(count: int = TOTAL) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.arange(1, count + 1, dtype=np.float32)


@pytest.mark.parametrize("header", [NEW, OLD, struct.pack("<iiiQ", 1, 0, 3, 0)])
def test_headers_of_both_lengths_are_read(tmp_path: Path, header: bytes) -> None:
    network = darknet.load(*write(tmp_path, numbers(), header))
    weights = network.require_weights()
    assert set(weights) == {1, 3}
    np.testing.assert_array_equal(weights[3]["bias"], np.arange(CONV + 1, CONV + 6))
    np.testing.assert_array_equal(weights[3]["weight"].ravel(), np.arange(CONV + 6, TOTAL + 1))
    assert weights[1]["weight"].shape == (3, 2, 3, 3)


@given(st.integers(0, 1000), st.floats(1e-7, 1e-2))
def test_folding_equals_normalising_afterwards(tmp_path_factory: pytest.TempPathFactory, seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(TOTAL).astype(np.float32)
    bias, scale, mean = (values[3 * i : 3 * i + 3].astype(np.float64) for i in range(3))
    variance = np.maximum(values[9:12].astype(np.float64), 0)
    paths = write(tmp_path_factory.mktemp("fold"), values)
    folded = darknet.load(*paths, epsilon=epsilon).require_weights()[1]
    raw = values[12:CONV].astype(np.float64).reshape(3, 18)
    patch = rng.standard_normal(18)
    expected = (raw @ patch - mean) / np.sqrt(variance + epsilon) * scale + bias
    size = np.abs(raw) @ np.abs(patch) / np.sqrt(variance + epsilon) * np.abs(scale) + np.abs(bias) + np.abs(folded["bias"])
    made = folded["weight"].reshape(3, 18).astype(np.float64) @ patch + folded["bias"]
    assert (np.abs(made - expected) <= 1e-6 * size).all()


def test_connected_layers_keep_their_normalisation_after_the_weights(tmp_path: Path) -> None:
    cfg = "[net]\nheight=1\nwidth=1\nchannels=2\n[connected]\noutput=1\nbatch_normalize=1\nactivation=linear\n"
    bias, weight, scale, mean, variance = 10.0, (1.0, 2.0), 3.0, 4.0, 0.25
    network = darknet.load(*write(tmp_path, np.array([bias, *weight, scale, mean, variance], np.float32), cfg=cfg))
    made = network.require_weights()[1]
    np.testing.assert_allclose(made["weight"], [[6, 12]], rtol=1e-5)
    np.testing.assert_allclose(made["bias"], [10 - 4 * 6], rtol=1e-5)


def test_epsilon_follows_the_origin_of_the_cfg(tmp_path: Path) -> None:
    values = np.ones(TOTAL, np.float32)
    values[9:12] = -1.0
    factor = {}
    for name, cfg in (("authors", CFG), ("forks", CFG + "[yolo]\n")):
        network = darknet.load(*write(tmp_path, values, cfg=cfg))
        factor[name] = network.require_weights()[1]["weight"][0, 0, 0, 0]
    np.testing.assert_allclose([factor["authors"], factor["forks"]], [1e3, 1e5**0.5], rtol=1e-5)
    assert network.provenance["batch_norm_epsilon"] == "1e-05"
    with pytest.raises(ModelError, match="batch normalisation epsilon 0; allowed"):
        darknet.load(*write(tmp_path, values), epsilon=0)


def fault_of(paths: tuple[Path, Path]) -> str:
    with pytest.raises(ModelError) as caught:
        darknet.load(*paths)
    message = str(caught.value)
    assert message.startswith(str(paths[1]))
    return message.removeprefix(f"{paths[1]}: ")


def test_a_truncated_file_names_the_layer_and_the_counts(tmp_path: Path) -> None:
    advice = "check that cfg and weights belong together"
    assert fault_of(write(tmp_path, numbers(CONV + 7))) == (
        "ends inside 002_connected: 65 values wanted (5 biases, 60 weights), 7 there\n"
        f"    the cfg wants 131 values in all, the file has 73; {advice}"
    )
    assert fault_of(write(tmp_path, numbers(4))) == (
        "ends inside 000_convolutional: 66 values wanted (3 biases, 3 scales, 3 means, 3 variances, 54 weights), 4 there\n"
        f"    the cfg wants 131 values in all, the file has 4; {advice}"
    )
    assert "ends inside 000_convolutional" in fault_of(write(tmp_path, numbers(0)))


def test_values_left_over_are_counted(tmp_path: Path) -> None:
    assert fault_of(write(tmp_path, numbers(TOTAL + 1000))) == (
        "1,000 values left over after the last layer, 002_connected\n"
        "    the cfg wants 131 values in all, the file has 1,131; check that cfg and weights belong together"
    )
    paths = write(tmp_path, numbers())
    paths[1].write_bytes(paths[1].read_bytes() + b"ab")
    assert fault_of(paths).startswith("0 values and 2 bytes left over after the last layer")


def test_weights_for_a_cfg_without_any_are_left_over(tmp_path: Path) -> None:
    message = fault_of(write(tmp_path, numbers(3), cfg="[net]\nheight=1\nwidth=1\nchannels=2\n[softmax]\n"))
    assert message.startswith("3 values left over and the cfg has no layer with weights")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"", "0 bytes; a weights file begins with a header"),
        (b"\x89PNG\r\n\x1a\n0000", "this is no Darknet weights file"),
        (struct.pack("<iiiQ", 0, 1002, 0, 0), "transposed matrices"),
        (struct.pack("<iii", 0, 2, 0), "ends inside 000_convolutional"),
    ],
)
def test_a_strange_header_is_refused(tmp_path: Path, header: bytes, fault: str) -> None:
    assert fault in fault_of(write(tmp_path, numbers(0), header))


@pytest.mark.parametrize(("at", "array"), [(1, "biases"), (10, "variances"), (CONV - 1, "weights")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_name_layer_and_array(tmp_path: Path, at: int, array: str, value: float) -> None:
    values = numbers()
    values[at] = value
    assert f"000_convolutional: 1 of its {54 if array == 'weights' else 3} {array} are not finite (the first is {value}" in fault_of(
        write(tmp_path, values)
    )


def test_scales_that_leave_float32_are_noticed(tmp_path: Path) -> None:
    values = numbers()
    values[3] = 3e38
    values[9] = 0
    assert "000_convolutional: folding its batch normalisation leaves the range of float32" in fault_of(write(tmp_path, values))


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, numbers())
    for path in (tmp_path / "absent.weights", tmp_path):
        with pytest.raises(ModelError, match="weights file cannot be read"):
            darknet.load(tmp_path / "a.cfg", path)


def test_options_that_change_the_file_are_refused_only_with_weights(tmp_path: Path) -> None:
    paths = write(tmp_path, numbers(), cfg=CFG.replace("output=5", "output=5\ntranspose=1"))
    assert darknet.load(paths[0]).weights is None
    with pytest.raises(ModelError, match="transpose=1 is not supported"):
        darknet.load(*paths)


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path, numbers(CONV + 7))
    monkeypatch.setattr("accelsim.networks.darknet_weights._check_length", lambda *_: None)
    with pytest.raises(ModelError, match="002_connected: 60 weights wanted, 2 there"):
        read(paths[1], blocks(darknet.load(paths[0]).graph, frozenset({1})), 1e-6)
