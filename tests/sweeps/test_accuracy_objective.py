"""Accuracy as a column and as an objective: it is what an evaluation says, of the network as the axes set it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_sweep_samples import DIGITS, LABELS, ROOT, SPARSITY, furnish_data, refusal, write
from sweep_samples import swept

from accelsim import sweeps, tracefile
from accelsim.designspace import sweepfile
from accelsim.designspace.fronts import OBJECTIVES, front
from accelsim.evaluation.evaluate import evaluate
from accelsim.simulate import infer
from accelsim.sweeps.accuracy import Judged, Labels

SEARCH = "  search: {{objectives: [{0}], trials: {1}, batch: 6}}\n"


@pytest.fixture(autouse=True)
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_data(tmp_path)


def test_it_is_what_an_evaluation_of_the_same_network_says() -> None:
    write((SPARSITY, "mode"), ("[0, 0.8]", "[channel, part, element]"))
    table = swept().table
    settings = ["epsilons=[0, 0.2, 0.5]", "modes=[channel, part, element]", "auto=null"]
    judged = evaluate(ROOT / "configs/evaluate/digits.yaml", [*settings, "part=[8, 8]"], results="evaluated", figures=False).table
    found = table.groupby(["mode", "epsilon"])["accuracy"].first()
    for row in judged.to_dict("records"):
        assert found[row["mode"], row["epsilon"]] == row["top1_percent"], row
    assert found.nunique() > 3


def test_an_evaluate_file_stands_for_its_images() -> None:
    whole = swept().table
    write((f"accuracy: {LABELS}", f"accuracy: {ROOT}/configs/evaluate/digits.yaml"))
    assert swept(results="named").table["accuracy"].tolist() == whole["accuracy"].tolist()
    resolved = sweepfile.load("named/config.yaml").accuracy
    assert resolved is not None
    assert set(resolved.model_dump()) == {"images", "limit", "outputs", "preprocessing"}
    write((f"accuracy: {LABELS}", "accuracy:\n    include: more.yaml\n    limit: 5"))
    Path("more.yaml").write_text(LABELS[1:-1].replace("{", "\n  ", 1).replace("}", "").replace(", ", "\n  "))
    five = swept(results="five").table["accuracy"]
    assert set(five) <= {0.0, 20.0, 40.0, 60.0, 80.0, 100.0}


def test_the_front_weighs_it_and_more_of_it_is_better() -> None:
    table = swept().table
    assert table["pareto"].tolist() == front(table, [*OBJECTIVES, "accuracy"]).tolist()
    best = table[table["accuracy"] == table["accuracy"].max()]
    assert best["pareto"].any()
    assert not table.loc[table["bytes_moved"].idxmax(), "pareto"]
    without = front(table, OBJECTIVES)
    assert (table["pareto"] | ~without).all(), "one objective more takes none off the front"
    assert table["pareto"].sum() > without.sum()


def test_schemes_that_lose_data_have_none() -> None:
    write(("[channel_marker]", "[channel_marker, 'zero_block:threshold=0.1']"))
    table = swept().table
    lossy = table["scheme"].str.contains("threshold")
    assert lossy.any()
    assert table.loc[lossy, "accuracy"].isna().all()
    assert table.loc[~lossy, "accuracy"].notna().all()
    assert not table.loc[lossy, "pareto"].any()


def test_recorded_traces_have_that_of_the_network_beside_them_at_their_epsilon() -> None:
    list(infer(DIGITS / "network.yaml", "recorded", [str(DIGITS / "images/3.png")], epsilon=0.5))
    (path,) = Path("recorded").iterdir()
    jobs = f"trace: {path}\n      network: {DIGITS}/network.yaml"
    old = f"network: {DIGITS}/network.yaml\n      images: ['{DIGITS}/images/[35].png']"
    axes = f"    epsilon: [0, 0.2, 0.5]\n    {SPARSITY}: [0, 0.8]\n"
    write((old, jobs), (axes, ""))
    table = swept().table
    assert set(table["accuracy"]) == {20.0}
    assert set(table["epsilon"]) == {0.5}
    digest = tracefile.digest(tracefile.load(path))
    write((axes, "    epsilon: [0.5]\n"))
    assert swept().simulated == 4, "image 5; the trace of image 3 is the one that was recorded"
    assert digest in {tracefile.digest(tracefile.load(trace)) for trace in Path("out/traces").iterdir()}


def test_a_recorded_trace_without_a_network_has_none() -> None:
    axes = (f"    epsilon: [0, 0.2, 0.5]\n    {SPARSITY}: [0, 0.8]\n", "")
    job = (f"network: {DIGITS}/network.yaml\n      images: ['{DIGITS}/images/[35].png']", f"trace: {ROOT}/traces/tiny_dog.npz")
    assert "sweep.yaml:9:7: sweep.jobs.0: accuracy is that of a network, and none is named here" in refusal(axes, job)


def test_a_search_may_look_for_it() -> None:
    pytest.importorskip("optuna")
    write(("[0, 0.2, 0.5]", "[0, 0.1, 0.2, 0.3, 0.4, 0.5]"), ("[35].png", "3.png"), ("[channel_marker]", "[dense, channel_marker]"))
    grid = swept(results="grid").table
    names = ["accuracy", "bytes_moved"]
    text = Path("sweep.yaml").read_text() + SEARCH.format("accuracy, bytes_moved", 400).replace("batch: 6", "batch: 20, sampler: random")
    Path("sweep.yaml").write_text(text)
    found = swept().table
    best = grid[front(grid, names)][names].drop_duplicates().sort_values(names).to_numpy(float)
    np.testing.assert_array_equal(found[found["pareto"]][names].drop_duplicates().sort_values(names).to_numpy(float), best)
    trials = pd.read_csv("out/trials.csv")
    for trial in trials.to_dict("records"):
        row = found[(found["epsilon"] == trial["epsilon"]) & (found[SPARSITY] == trial[SPARSITY]) & (found["scheme"] == trial["scheme"])]
        assert set(row["accuracy"]) == {trial["accuracy"]}
    before = Path("out/trials.csv").read_bytes()
    assert swept().simulated == 0
    assert Path("out/trials.csv").read_bytes() == before
    kinds = ", with traces and networks of at most 12 kinds, 1 of each"
    assert sweeps.forecast("sweep.yaml") == f"sweep judged: 400 trials by random among 24 settings{kinds}"


def test_a_search_measures_what_it_tries_and_no_more() -> None:
    pytest.importorskip("optuna")
    write(("[0, 0.2, 0.5]", "{from: 0.0, to: 0.5, steps: 51}"), ("[35].png", "3.png"))
    Path("sweep.yaml").write_text(Path("sweep.yaml").read_text() + SEARCH.format("accuracy, total_cycles", 12))
    swept()
    trials = pd.read_csv("out/trials.csv")
    tried = trials[["epsilon", SPARSITY]].drop_duplicates()
    assert len(list(Path("out/traces").iterdir())) == len(list(Path("out/accuracy").iterdir())) == len(tried) <= 12


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [(f"  accuracy: {LABELS}\n", SEARCH.format("total_cycles, accuracy", 5))],
            r"sweep.yaml:9:\d+: sweep.search.objectives.1: accuracy needs labelled images, and this sweep names none(.|\n)*add for example",
        ),
        (
            [("[channel_marker]", "['zero_block:threshold=0.1']"), ("  jobs", SEARCH.format("accuracy", 5) + "  jobs")],
            r"sweep.search.objectives.0: accuracy is not measured under schemes that lose data: zero_block:threshold=0.1",
        ),
        (
            [(LABELS, f"{{images: {{files: ['{DIGITS}/images/3.png']}}}}")],
            r"sweep.yaml:9:\d+: sweep.accuracy.images: these images have no labels(.|\n)*give images.table or images.stack",
        ),
        ([(LABELS, "{images: {tabel: x.csv}}")], r"sweep.yaml:9:\d+: sweep.accuracy.images: which one\? One of these keys is needed"),
        ([(LABELS, "none.yaml")], r"sweep.yaml:9:\d+: no such file: none.yaml"),
        (
            [("label_column: digit", "label_column: class")],
            r"digits_labels.csv: no column 'class'\n    allowed: file, digit",
        ),
        (
            [(LABELS, "{images: {stack: stack.npz}}")],
            r"sweep.yaml:9: sweep.accuracy: stack.npz:images:0 becomes \[1, 6, 6\], digits takes \[1, 8, 8\]\n    name images of its kind",
        ),
        (
            [(LABELS, "{images: {stack: stack.npz, labels: large}}")],
            r"sweep.yaml:9: sweep.accuracy: the right output of stack.npz:images:1 is number 12, digits has 0 to 9\n    name images",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_done(changes: list[tuple[str, str]], told: str) -> None:
    np.savez("stack.npz", images=np.zeros((2, 6, 6, 1), np.uint8), labels=np.array([1, 2]), large=np.array([1, 12]))
    text = refusal(*changes)
    assert re.search(told, text), text
    assert not list(Path().glob("out/traces/*"))


def test_labels_say_what_they_are() -> None:
    asked = sweepfile.load("sweep.yaml")
    assert asked.accuracy is not None
    labels = Labels(asked, asked.accuracy, Path("out"))
    assert repr(labels) == "Labels(10 images, measured in out/accuracy)"
    network = asked.jobs[0].network
    assert network is not None
    how = Judged(network, 0.1, "channel")
    assert [len(block.samples) for block in labels.blocks(how)] == [10]
    assert labels.blocks(how) != labels.blocks(Judged(network, 0.1, "part"))
    assert labels.top1(how) is None
