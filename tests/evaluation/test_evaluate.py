"""Evaluations: what is measured, what is chosen, and that an interrupted one goes on where it was."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accelsim import images, inference
from accelsim.errors import ConfigError, ModelError
from accelsim.evaluation import evaluate as evaluation
from accelsim.evaluation import evaluatefile
from accelsim.evaluation.evaluatefile import Auto, Evaluate, Range
from accelsim.labelled import LabelledFiles
from accelsim.networks import darknet
from accelsim.report.counting import PaperCount

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "evaluate" / "digits.yaml"
TABLES = ("accuracy.csv", "by_layer.csv", "images.csv")
EPSILONS = (0.0, 0.3, 0.5)


def asked(**changes: object) -> Evaluate:
    """The digits evaluation that ships, smaller."""
    file = evaluatefile.load(DIGITS)
    return file.model_copy(update={"epsilons": EPSILONS, "auto": None, "modes": ("channel",), "block": 3, **changes})


def tables(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in TABLES]


def test_the_table_says_what_inference_finds_image_by_image(tmp_path: Path) -> None:
    found = evaluation.evaluate(asked(modes=("channel", "part", "element")), results=tmp_path / "r", figures=False)
    network = inference.prepare(darknet.load(CONFIGS / "network/digits/digits.cfg", CONFIGS / "network/digits/digits.weights", "digits"))
    sources = [inference.photograph(str(CONFIGS / f"network/digits/images/{digit}.png"), images.PRESETS["grey"]) for digit in range(10)]
    for row in found.table.to_dict("records"):
        settings = {"epsilon": row["epsilon"], "mode": row["mode"], "part": (2, 2)}
        best = [inference.top(inference.predict(network, source.tensor, **settings), 5) for source in sources]
        counts = [PaperCount.of(trace) for trace in inference.record(network, sources, fine_part=(2, 2), **settings)]
        assert row["top1_percent"] == 10 * sum(scores[0][0] == digit for digit, scores in enumerate(best))
        assert row["top5_percent"] == 10 * sum(digit in dict(scores) for digit, scores in enumerate(best))
        assert row["best_score"] == pytest.approx(np.mean([scores[0][1] for scores in best]))
        assert row["saved_elements"] == pytest.approx(np.mean([count.saved_elements for count in counts]))
        assert row["percent_of_conv"] == pytest.approx(np.mean([count.percent_of_conv for count in counts]))
        assert row["percent_of_outputs"] == pytest.approx(np.mean([count.percent_of_outputs for count in counts]))


def test_what_finer_modes_mark_contains_what_coarser_ones_mark(tmp_path: Path) -> None:
    found = evaluation.evaluate(asked(modes=("channel", "part", "element"), epsilons=(0.0,)), results=tmp_path / "r", figures=False)
    channel, part, element = found.table["marked_elements"]
    assert found.table["saved_elements"].nunique() == 1, "epsilon 0 changes nothing in any mode"
    assert 0 < channel == found.table["saved_elements"][0] < part < element
    layers = found.layers.groupby("mode", sort=False)[["saved_elements", "marked_elements"]].sum()
    np.testing.assert_allclose(layers["marked_elements"], [channel, part, element])
    per_image = found.images.groupby("mode", sort=False)["marked_elements"].mean()
    np.testing.assert_allclose(per_image, [channel, part, element])


def test_losses_are_counted_from_epsilon_0_which_is_always_there(tmp_path: Path) -> None:
    found = evaluation.evaluate(asked(epsilons=(0.5,)), results=tmp_path / "r", figures=False)
    assert list(found.table["epsilon"]) == [0.0, 0.5]
    lost = found.table["top1_percent"][0] - found.table["top1_percent"][1]
    assert lost > 0
    assert list(found.table["top1_loss"]) == [0.0, pytest.approx(lost)]


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken, measure = tmp_path / "whole", tmp_path / "broken", evaluation.measure
    evaluation.evaluate(asked(), results=whole, figures=False)
    done: list[object] = []

    def stops_after(most: int) -> None:
        def measured(block: object) -> Path:
            if len(done) == most:
                raise KeyboardInterrupt
            done.append(block)
            return measure(block)

        monkeypatch.setattr(evaluation, "measure", measured)

    stops_after(5)
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(asked(), results=broken, figures=False)
    assert [path.name for path in broken.iterdir()] == ["blocks"], "no table of half an evaluation"
    half = next((broken / "blocks").glob("*.csv"))
    half.write_text(half.read_text("utf-8")[:-40], "utf-8")
    done.clear()
    stops_after(1000)
    evaluation.evaluate(asked(), results=broken, figures=False)
    assert len(done) == 12 - 5 + 1, "what was whole is not measured again"
    assert tables(whole) == tables(broken)


def test_blocks_processes_and_order_do_not_change_the_tables(tmp_path: Path) -> None:
    settings = {"modes": ("channel", "part"), "epsilons": (0.0, 0.4)}
    evaluation.evaluate(asked(**settings, block=10), results=tmp_path / "one", figures=False)
    evaluation.evaluate(asked(**settings, block=2, processes=2), results=tmp_path / "two", figures=False)
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_other_weights_are_not_taken_for_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation.evaluate(asked(limit=2), results=tmp_path / "r", figures=False)
    weights = bytearray((CONFIGS / "network/digits/digits.weights").read_bytes())
    weights[-4:] = np.float32(9).tobytes()
    (tmp_path / "other.weights").write_bytes(weights)
    network = asked().network
    other = network.model_copy(update={"darknet": network.darknet.model_copy(update={"weights": tmp_path / "other.weights"})})
    done: list[object] = []
    measure = evaluation.measure
    monkeypatch.setattr(evaluation, "measure", lambda block: (done.append(block), measure(block))[1])
    evaluation.evaluate(asked(limit=2, network=other), results=tmp_path / "r", figures=False)
    assert len(done) == len(EPSILONS)


def test_chosen_epsilons_are_the_largest_that_keep_the_budget(tmp_path: Path) -> None:
    auto = Auto(candidates=(0.1, 0.4), budget=10.0)
    found = evaluation.evaluate(asked(auto=auto, epsilons=(0.0,)), results=tmp_path / "r", figures=False)
    chosen = found.chosen["channel"]
    row = found.table[found.table["setting"] == "auto"].iloc[0]
    assert chosen, "something can be pruned"
    assert row["top1_loss"] <= 10.0
    assert row["saved_elements"] > found.table["saved_elements"][0]
    network = darknet.load(CONFIGS / "network/digits/digits.cfg", CONFIGS / "network/digits/digits.weights", "digits")
    names = [node.name for node in inference.prunable(network.graph)]
    before: dict[str, float] = {}
    for name in names:
        if chosen.get(name) != 0.4:
            worse = evaluation.evaluate(asked(layer_epsilons={**before, name: 0.4}, epsilons=(0.0,)), results=tmp_path / "w", figures=False)
            assert worse.table["top1_loss"].iloc[-1] > 10.0, f"{name} could have had 0.4"
        before |= {name: chosen[name]} if name in chosen else {}
    text = (tmp_path / "r" / "chosen.yaml").read_text("utf-8")
    assert "layer_epsilons" in text
    assert all(f"{name}: {epsilon}" in text for name, epsilon in chosen.items())


def test_epsilons_by_layer_come_as_names_patterns_or_a_list(tmp_path: Path) -> None:
    def found(given: object) -> pd.Series:
        settings = asked(layer_epsilons=given, epsilons=(0.0,))
        return evaluation.evaluate(settings, results=tmp_path / "r", figures=False).table.iloc[-1]

    everywhere, listed = found({"*": 0.3}), found((0.3,) * 4)
    single = evaluation.evaluate(asked(epsilons=(0.3,)), results=tmp_path / "r", figures=False).table.iloc[-1]
    for row in (everywhere, listed):
        assert row["setting"] == "by layer"
        assert row["saved_elements"] == single["saved_elements"]
        assert row["top1_percent"] == single["top1_percent"]
    assert found({"003_*": 0.3})["saved_elements"] < single["saved_elements"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"conv9": 0.1}, "layer_epsilons: 'conv9' is no layer of digits that is overwritten\n    allowed: 000_convolutional, 001_maxpool"),
        ((0.1,), "layer_epsilons: 1 numbers\n    digits needs 4: 000_convolutional, 001_maxpool"),
    ],
)
def test_layers_that_are_not_there_are_refused(tmp_path: Path, given: object, message: str) -> None:
    with pytest.raises(ConfigError) as fault:
        evaluation.evaluate(asked(layer_epsilons=given), results=tmp_path / "r", figures=False)
    assert message in str(fault.value)


def test_images_without_labels_have_savings_and_no_accuracy(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    network, image = CONFIGS / "network/digits/network.yaml", CONFIGS / "network/digits/images/3.png"
    file.write_text(f"evaluate:\n  name: e\n  network: {network}\n  images: {{files: [{image}]}}\n  epsilons: [0.4]\n", "utf-8")
    found = evaluation.evaluate(file, results=tmp_path / "r")
    assert found.table["top1_percent"].isna().all()
    assert found.images["target"].isna().all()
    assert found.images["best"][0] == 3
    assert (tmp_path / "r" / "figures" / "epsilon_curve.svg").is_file()
    again = evaluatefile.load(tmp_path / "r" / "config.yaml")
    assert again.all_epsilons() == (0.0, 0.4)
    assert again.results == tmp_path / "r"


def test_a_target_beyond_the_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class_id\n3.png,11\n", "utf-8")
    where = LabelledFiles(table=tmp_path / "labels.csv", folder=CONFIGS / "network/digits/images")
    with pytest.raises(ConfigError, match=r"3\.png: its right output is number 11, digits has 0 to 9\n    say which"):
        evaluation.evaluate(asked(images=where), results=tmp_path / "r", figures=False)


def test_a_network_without_weights_is_refused(tmp_path: Path) -> None:
    network = asked().network
    bare = network.model_copy(update={"darknet": network.darknet.model_copy(update={"weights": None})})
    with pytest.raises(ModelError, match="no weights"):
        evaluation.evaluate(asked(network=bare), results=tmp_path / "r", figures=False)


def test_a_range_has_no_rounding_in_its_steps() -> None:
    assert Range(start=0.0, stop=0.5, step=0.1).values() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert Range(start=0.1, stop=0.35, step=0.1).values() == (0.1, 0.2, 0.3)
    assert Range(stop=0.0, step=1.0).values() == (0.0,)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("modes: [channel, chanel]", ["modes", "chanel"]),
        ("modes: [part, part]", ["'part' stands twice"]),
        ("epsilons: {start: 1, stop: 0, step: 0.1}", ["stop 0 lies below start 1"]),
        ("epsilons: {stop: 1, step: 0.000001}", ["more than 1,000 epsilons"]),
        ("epsilons: [-1]", ["epsilons"]),
        ("images: {fils: [a.png]}", ["One of these keys is needed: files, table, stack"]),
        ("images: {files: [none.png]}", ["no such file"]),
        ("auto: {budget: -1}", ["budget"]),
    ],
)
def test_faults_of_the_file_are_told_with_their_place(tmp_path: Path, text: str, messages: list[str]) -> None:
    lines = DIGITS.read_text("utf-8").replace("../", f"{CONFIGS}/").replace("digits_labels.csv", f"{CONFIGS}/evaluate/digits_labels.csv")
    key = text.partition(":")[0]
    kept = [line for line in lines.splitlines() if not line.startswith(f"  {key}:")]
    if key == "images":
        kept = [line for line in kept if not line.startswith("    ")]
    file = tmp_path / "e.yaml"
    file.write_text("\n".join([*kept, f"  {text}"]) + "\n", "utf-8")
    with pytest.raises(ConfigError) as fault:
        evaluatefile.load(file)
    assert "e.yaml:" in str(fault.value)
    for message in messages:
        assert message in str(fault.value)


def needs_compiled_kernels() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("real networks take hours without compiled kernels: unset NUMBA_DISABLE_JIT")


@pytest.mark.parametrize(("name", "top1", "top5"), [("squeezenet_imagenet100", 66.0, 85.0), ("tiny_imagenet100", 69.0, 84.0)])
def test_accuracies_on_100_photographs_are_reproduced_exactly(shared: Path, tmp_path: Path, name: str, top1: float, top5: float) -> None:
    """Source: shared/assets/README.md, section 4 (torch, an independent implementation)."""
    needs_compiled_kernels()
    file = evaluatefile.load(
        CONFIGS / "evaluate" / f"{name}.yaml", ["evaluate.epsilons=[0]", "evaluate.modes=[channel]", "evaluate.processes=1"]
    )
    found = evaluation.evaluate(file, results=tmp_path / "r", figures=False)
    assert (found.table["top1_percent"][0], found.table["top5_percent"][0]) == (top1, top5)


def test_squeezenet_saves_on_the_papers_photographs_what_table_4_says(shared: Path, tmp_path: Path) -> None:
    """Source: arXiv 1812.09922, Table 4, epsilon 0.1; golden/authors/paper_anchors.csv has the digits that the paper rounds away."""
    needs_compiled_kernels()
    found = evaluation.evaluate(CONFIGS / "evaluate/squeezenet_photographs.yaml", results=tmp_path / "r", figures=False)
    row = found.table.iloc[1]
    assert row["conv_saved_elements"] == pytest.approx(18283.8)
    assert row["conv_percent_of_outputs"] == pytest.approx(0.5557, abs=5e-5)
    scores = found.images[found.images["epsilon"] == 0.1]["best_score"]
    np.testing.assert_allclose(100 * scores, [92.67, 57.34, 58.60, 45.58, 93.17], atol=0.15)


def test_tinynet_saves_nothing_on_the_papers_photographs(shared: Path, tmp_path: Path) -> None:
    """Source: arXiv 1812.09922, Table 4, epsilon 0.1."""
    needs_compiled_kernels()
    found = evaluation.evaluate(CONFIGS / "evaluate/tiny_photographs.yaml", results=tmp_path / "r", figures=False)
    assert list(found.table["saved_elements"]) == [0.0, 0.0]
    scores = found.images[found.images["epsilon"] == 0.1]["best_score"]
    np.testing.assert_allclose(100 * scores, [15.25, 14.51, 54.11, 29.71, 25.59], atol=0.01)
