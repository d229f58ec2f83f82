"""Feature maps against an independent implementation, and how clearly a table that does not fit is refused."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from accelsim import inference
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node
from accelsim.images import PRESETS, Preprocessing
from accelsim.networks import darknet
from accelsim.networks.network import Network
from accelsim.validation import activations
from accelsim.validation.activations import validate

PREPROCESSING = Preprocessing(scale=255.0)


@pytest.fixture(scope="module")
def squeezenet(shared: Path) -> Network:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("a real network takes hours without compiled kernels: unset NUMBA_DISABLE_JIT")
    folder = shared / "assets/squeezenet_v1.1"
    return darknet.load(folder / "squeezenet.cfg", folder / "squeezenet.weights")


@pytest.fixture(scope="module")
def golden(shared: Path, squeezenet: Network) -> activations.Validation:
    reference, images = shared / "golden/squeezenet_v1.1", shared / "assets/images/five_rgb.npz"
    return validate(squeezenet, reference / "layers.csv", images, PRESETS["squeezenet_v1.1"], tensors=reference / "tensors.npz")


class TestSqueezeNet:
    """Source: golden/README.md; cat and dog, all 26 convolutions, six epsilons."""

    def test_every_layer_at_every_epsilon_passes(self, golden):
        assert [str(row) for row in golden.rows if not row.passed] == []
        assert golden.passed
        layers = {(row.image, row.epsilon, row.layer) for row in golden.rows if row.reference_zeros is not None}
        assert len(layers) == 2 * 6 * 26

    def test_zero_counts_are_within_one_hundredth_of_a_percent(self, golden):
        assert max(abs(row.zero_difference) for row in golden.rows if row.zero_difference is not None) <= 1e-4

    def test_channel_counts_are_exact_at_all_epsilons(self, golden):
        rows = [row for row in golden.rows if row.reference_zeros is not None]
        assert [row.pruned_channels for row in rows] == [row.reference_pruned_channels for row in rows]
        assert [row.zero_input_channels for row in rows] == [row.reference_zero_input_channels for row in rows]

    def test_every_maximum_is_that_of_the_reference_bit_for_bit(self, golden):
        """All 7,888: our inputs and our sums are rounded as the reference's are (`operators/order.py`)."""
        compared = [row for row in golden.rows if row.maxima_error is not None]
        assert len(compared) == 2 * 26
        assert {row.maxima_error for row in compared} == {0.0}

    def test_all_probabilities_are_within_1e_4(self, golden):
        ends = {(row.image, row.layer): row.output_error for row in golden.rows if row.output_error is not None}
        assert set(ends) == {(image, end) for image in ("cat", "dog") for end in ("input", "output")}
        assert max(ends["cat", "output"], ends["dog", "output"]) <= 1e-4
        assert ends["cat", "input"] == ends["dog", "input"] == 0.0


@pytest.fixture
def network() -> Network:
    rng = np.random.default_rng(0)
    nodes = (
        Node(0, "input", "input", (), (3, 6, 6)),
        Node(1, "000_convolutional", "conv", (0,), (4, 6, 6), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
        Node(2, "001_maxpool", "maxpool", (1,), (4, 3, 3), (2, 2), (2, 2)),
        Node(3, "002_convolutional", "conv", (2,), (5, 3, 3), activation="relu"),
    )
    weights = {
        1: {"weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "bias": np.array([0, -99, 0.2, 0], np.float32)},
        3: {"weight": rng.standard_normal((5, 4, 1, 1)).astype(np.float32), "bias": np.zeros(5, np.float32)},
    }
    return Network(Graph("small", nodes), weights, {})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", cat=pixels)
    return tmp_path / "images.npz"


@pytest.fixture
def measured(network: Network, images: Path) -> list[dict[str, object]]:
    """A reference table of the small network, made of numpy alone."""
    rows: list[dict[str, object]] = []
    source = inference.photograph(f"{images}:cat", PREPROCESSING)
    for epsilon in (0.0, 1.5):
        steps = {step.node.index: step for step in inference.run(network, source.tensor, epsilon=epsilon)}
        before = {0: source.tensor} | {i: step.output for i, step in steps.items()}
        for place, index in enumerate((1, 3)):
            step, inputs = steps[index], before[index - 1]
            statistics = {name: f"{getattr(step.output, name)():.6g}" for name in ("min", "max", "mean", "std")}
            rows.append(
                {
                    "image": "cat",
                    "eps": epsilon,
                    "idx": place,
                    "layer": step.node.name,
                    "cin": inputs.shape[0],
                    "cout": step.node.shape[0],
                    "act": "relu",
                    "zeros": int(step.zeros.sum()),
                    "pruned_ch": int((step.maxima <= epsilon).sum()),
                    "zero_in_ch": int((~inputs.any(axis=(1, 2))).sum()),
                    **(statistics if epsilon == 0 else dict.fromkeys(statistics, "")),
                    "remark": "an extra column",
                }
            )
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_in_the_format_passes_one_row_a_line(network, images, measured, tmp_path):
    table = write(tmp_path / "t.csv", measured)
    told = []
    found = validate(network, table, images, PREPROCESSING, progress=lambda *step: told.append(step))
    assert found.passed
    assert [(row.epsilon, row.layer) for row in found.rows] == [(row["eps"], row["layer"]) for row in measured]
    assert found.lines()[-1] == "4 of 4 rows pass"
    assert found.lines()[0].startswith("pass  cat  eps 0  000_convolutional  zeros ")
    assert told[-1] == ("small", 2, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        (0, "zeros", 0, "zeros: differs by "),
        (3, "pruned_ch", 9, "pruned_ch: "),
        (1, "zero_in_ch", 4, "zero_in_ch: 1, reference 4, 0 channels near epsilon"),
        (0, "max", "99.5", "max: "),
        (0, "mean", "-1", "mean: "),
        (1, "cout", 6, "another layer: cout 5/6"),
        (1, "act", "leaky", "another layer: act relu/leaky"),
    ],
)
def test_a_number_that_is_off_is_a_miss_of_its_row_alone(network, images, measured, tmp_path, wrong):
    place, column, value, fault = wrong
    measured[place][column] = value
    found = validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING)
    assert not found.passed
    assert [row.passed for row in found.rows] == [other != place for other in range(4)]
    assert fault in found.lines()[place]
    assert found.lines()[place].startswith("MISS")
    assert found.lines()[-1] == "3 of 4 rows pass, 1 miss"


def test_only_columns_that_are_there_are_compared(network, images, measured, tmp_path):
    rows = [{name: row[name] for name in ("image", "layer", "zeros")} for row in measured[:2]]
    found = validate(network, write(tmp_path / "t.csv", rows), images, PREPROCESSING)
    assert found.passed
    assert found.rows[0].reference_pruned_channels is None
    assert "pruned" not in found.lines()[0]


def test_a_channel_near_epsilon_may_fall_on_either_side(network, images, measured, tmp_path):
    source = inference.photograph(f"{images}:cat", PREPROCESSING)
    conv1 = next(step for step in inference.run(network, source.tensor) if step.node.index == 1)
    edge = float(np.sort(conv1.maxima)[1])
    rows = [{"image": "cat", "layer": "000_convolutional", "eps": edge + 0.0005, "pruned_ch": 1}]
    assert validate(network, write(tmp_path / "t.csv", rows), images, PREPROCESSING).passed
    rows[0]["eps"] = edge + 0.002
    assert not validate(network, write(tmp_path / "t.csv", rows), images, PREPROCESSING).passed


@pytest.mark.parametrize(
    "wrong",
    [
        ("cat/000/maxabs", 0.01, "largest magnitude off by"),
        ("cat/001/first4", 0.01, "first four channels"),
        ("cat/000/zeros", 3, "zeros of channels"),
        ("cat/output", 0.001, "output differs by"),
        ("cat/input", 0.001, "input differs by"),
    ],
)
def test_tensors_are_compared_channel_by_channel(network, images, measured, tmp_path, wrong):
    table = write(tmp_path / "t.csv", measured)
    source = inference.photograph(f"{images}:cat", PREPROCESSING)
    steps = list(inference.run(network, source.tensor))
    tensors = {"cat/input": source.tensor, "cat/output": steps[-1].output}
    for place, step in enumerate((steps[1], steps[3])):
        tensors |= {f"cat/{place:03d}/maxabs": step.maxima, f"cat/{place:03d}/zeros": step.zeros}
        tensors |= {f"cat/{place:03d}/first4": step.output[:4]}
    np.savez(tmp_path / "good.npz", **tensors)
    good = validate(network, table, images, PREPROCESSING, tensors=tmp_path / "good.npz")
    assert good.passed
    assert [row.layer for row in good.rows[2:4]] == ["input", "output"]
    key, offset, fault = wrong
    tensors[key] = tensors[key] + np.asarray(offset, tensors[key].dtype)
    np.savez(tmp_path / "bad.npz", **tensors)
    bad = validate(network, table, images, PREPROCESSING, tensors=tmp_path / "bad.npz")
    assert [fault in str(row) for row in bad.rows if not row.passed] == [True]


@pytest.mark.parametrize(
    "wrong",
    [
        (np.zeros(3), r"cat/000/maxabs is float64 \[3\]; 4 numbers are needed"),
        (np.full(4, np.nan), "numbers that are not finite"),
        (np.array(["a"] * 4), "4 numbers are needed"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(network, images, measured, tmp_path, wrong):
    array, fault = wrong
    np.savez(tmp_path / "tensors.npz", **{"cat/000/maxabs": array})
    with pytest.raises(ModelError, match=fault):
        validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING, tensors=tmp_path / "tensors.npz")


def test_pickled_tensors_are_never_opened(network, images, measured, tmp_path):
    np.savez(tmp_path / "tensors.npz", **{"cat/000/maxabs": np.array([{}] * 4, dtype=object)})
    with pytest.raises(ModelError, match="cat/000/maxabs is object"):
        validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING, tensors=tmp_path / "tensors.npz")


def test_a_file_that_is_no_archive_of_tensors_is_refused(network, images, measured, tmp_path):
    (tmp_path / "tensors.npz").write_text("no archive")
    with pytest.raises(ModelError, match=r"tensors\.npz: cannot be read: not an \.npz archive"):
        validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING, tensors=tmp_path / "tensors.npz")


def test_an_unknown_layer_is_refused_with_a_guess(network, images, measured, tmp_path):
    measured[2]["layer"] = "000_convolutionl"
    with pytest.raises(ModelError) as fault:
        validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING)
    told = "t.csv:4: column 4 (layer): small has no layer '000_convolutionl'.  Did you mean '000_convolutional'?"
    assert str(fault.value) == f"{tmp_path}/{told}"


def test_an_unknown_image_is_refused(network, images, measured, tmp_path):
    measured[0]["image"] = "bird"
    with pytest.raises(ModelError, match=r"images\.npz:bird: no array 'bird'"):
        validate(network, write(tmp_path / "t.csv", measured), images, PREPROCESSING)
    with pytest.raises(ModelError, match="no file named 'bird', which the table asks for"):
        validate(network, tmp_path / "t.csv", tmp_path, PREPROCESSING)


def test_a_table_with_nothing_to_compare_is_refused(network, images, tmp_path):
    table = write(tmp_path / "t.csv", [{"image": "cat", "layer": "000_convolutional"}])
    with pytest.raises(ModelError, match=r"t\.csv:1: nothing to compare; allowed: cin, hin"):
        validate(network, table, images, PREPROCESSING)
