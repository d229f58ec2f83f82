"""Axes that decide the data: each of their combinations is inferred once, and all promises of a sweep hold for them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from data_sweep_samples import DIGITS, LABELS, ROOT, SPARSITY, furnish_data, refusal, write
from sweep_samples import start, swept

import accelsim
from accelsim import configfile, simulate, sweeps, tracefile
from accelsim.configfile.schema import json_schema
from accelsim.designspace import sweepfile, sweeptable
from accelsim.designspace.sweepspace import settings
from accelsim.errors import ModelError
from accelsim.kinds import KINDS
from accelsim.runfile import load_network_file
from accelsim.sweeps import inferring

LINK = "accelerator.link.bytes_per_cycle"
LARGER = "{channels: grey, scale: 255, resize: stretch, size: 9}"


@pytest.fixture(autouse=True)
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_data(tmp_path)


def traces(folder: str = "out") -> list[Path]:
    return sorted(Path(folder, "traces").glob("*.npz"))


def same_tables(one: str, other: str) -> bool:
    return all(Path(one, name).read_bytes() == Path(other, name).read_bytes() for name in ("sweep.csv", "sweep.parquet"))


def test_a_trace_is_inferred_for_each_combination_and_each_row_says_what_a_replay_of_it_says() -> None:
    table = swept().table
    assert len(table) == 2 * 3 * 2 * 2 * 2
    assert len(traces()) == 2 * 3 * 2, "points that differ in the link alone share a trace"
    assert list(table.columns[:10]) == ["job", "network", "image", "source", "scheme", "label", "engine", "epsilon", SPARSITY, LINK]
    assert table.groupby("job")["image"].first().tolist() == ["3", "5"]
    network = simulate.load_network(load_network_file(DIGITS / "pruned.yaml"))
    (trace,) = accelsim.infer(DIGITS / "pruned.yaml", "by_hand", [str(DIGITS / "images/5.png")], epsilon=0.2)
    assert network.provenance["weights_pruned"] == trace[1].provenance["weights_pruned"]
    comparison = simulate.compare(trace[1], simulate.load_accelerator("small.yaml", ["link.bytes_per_cycle=16"]), ["channel_marker"])
    row = table[(table["image"] == "5") & (table["epsilon"] == 0.2) & (table[SPARSITY] == 0.8) & (table[LINK] == 16)].iloc[1]
    assert row["scheme"] == "channel_marker"
    for name in ("bytes_moved", "total_cycles", "macs_skipped"):
        assert row[name] == comparison.result("channel_marker").totals[name]
    assert row["bytes_moved_ratio"] == comparison.ratios("channel_marker")["bytes_moved"]


def test_nothing_is_inferred_measured_or_simulated_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    attempt = inferring.attempt
    monkeypatch.setattr(inferring, "attempt", lambda work: did.append(work.path.name) or attempt(work))
    first = swept()
    assert len(did) == len(set(did)) == 12 + 6, "12 traces, and 6 networks on one block of images"
    again = swept()
    assert (again.simulated, len(did)) == (0, 18)
    assert first.table.equals(again.table)
    write(("[0, 0.2, 0.5]", "[0, 0.2, 0.5, 0.6]"))
    assert swept().simulated == 2 * 2 * 2 * 2
    assert len(did) == 18 + 4 + 2, "what is new, and no more"


def test_without_epsilon_all_modes_are_one_trace() -> None:
    write((f"{SPARSITY}: [0, 0.8]", "mode: [channel, part, element]"))
    outcome = swept()
    assert len(traces()) == 2 * (1 + 2 * 3)
    assert len(outcome.table) == 2 * 3 * 3 * 2 * 2
    assert outcome.simulated == 2 * (1 + 2 * 3) * 2 * 2
    judged = outcome.table.groupby(["epsilon", "mode"])["accuracy"].first()
    assert judged[0.0].nunique() == 1
    assert judged[0.5].nunique() > 1


def test_they_go_in_step_and_meet_conditions_as_others_do() -> None:
    write(("[0, 0.8]\n", "[0, 0.5, 0.8]\n"), ("  accuracy:", f"  zip: [[epsilon, {SPARSITY}]]\n  where: ['sparsity < 0.8']\n  accuracy:"))
    found = settings(sweepfile.load("sweep.yaml"))
    assert [tuple(one.values.values()) for one in found] == [(0, 0, 4), (0, 0, 16), (0.2, 0.5, 4), (0.2, 0.5, 16)]
    assert [one.jobs[0].network.prune.sparsity for one in found] == [0, 0, 0.5, 0.5]  # type: ignore[union-attr]
    assert found[0].jobs is found[1].jobs, "one object, so that nothing is hashed or loaded again"


def test_images_and_whole_networks_can_be_axes() -> None:
    networks = f"[{DIGITS}/network.yaml, {DIGITS}/pruned.yaml]"
    write(
        (f"{SPARSITY}: [0, 0.8]", f"network: {networks}"),
        ("epsilon: [0, 0.2, 0.5]", f"image: ['{DIGITS}/images/[135].png']"),
        (f"\n      images: ['{DIGITS}/images/[35].png']", ""),
        ("  accuracy:", "  where: [image != 1]\n  accuracy:"),
    )
    table = swept().table
    assert table["job"].unique().tolist() == [1]
    assert table["image"].unique().tolist() == ["3", "5"]
    assert table["network"].unique().tolist() == ["digits", "digits_pruned"]
    assert list(sweeptable.axes(table)) == ["image", "network", LINK]
    assert table.groupby("network")["accuracy"].first().to_dict() == {"digits": 90.0, "digits_pruned": 80.0}
    loaded = sweepfile.load("out/config.yaml")
    assert [Path(value).name for value in loaded.values("image")] == ["1.png", "3.png", "5.png"]
    assert len(settings(loaded)) == len(settings(sweepfile.load("sweep.yaml"))), "its paths hold from anywhere"


def test_a_key_may_be_absent_at_a_value_and_a_mapping_is_a_value() -> None:
    write((f"{SPARSITY}: [0, 0.8]", "network.prune: [null, {sparsity: 0.8, unit: weight}]"))
    table = swept().table
    assert table["network.prune"].unique().tolist() == ["none", "sparsity=0.8, unit=weight"]
    assert pd.read_csv("out/sweep.csv")["network.prune"].isna().sum() == 0


def test_bits_and_calibration_images_are_axes_whose_paths_start_from_the_file() -> None:
    (Path("sub")).mkdir()
    Path("sub/one.png").write_bytes((DIGITS / "images/1.png").read_bytes())
    write(
        (f"{SPARSITY}: [0, 0.8]", "network.quantise: [{images: [one.png]}, {images: [one.png], map_bits: 3}]"),
        ("small.yaml", "../small.yaml"),
    )
    Path("sweep.yaml").rename("sub/sweep.yaml")
    table = accelsim.sweep("sub/sweep.yaml", figures=False)
    assert (table["error"] == "").all()
    assert table["accuracy"].nunique() > 2
    before = traces()
    Path("sub/one.png").write_bytes((DIGITS / "images/2.png").read_bytes())
    accelsim.sweep("sub/sweep.yaml", figures=False)
    assert len(traces()) == 2 * len(before), "another calibration image makes another network"


def test_a_dry_run_counts_and_times_what_is_to_be_inferred_and_measured_and_writes_nothing(
    program: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = program("sweep", "sweep.yaml", "--dry-run")
    assert code == 0
    assert re.fullmatch(
        r"sweep judged: 48 points, 2 machines, 24 schedules; before them 12 traces to infer, accuracy of 6 network settings on 10 images "
        r"to measure, in about [0-9.]+ s; about [0-9.]+ s on 1 process\n",
        out,
    )
    assert not Path("out").exists()
    swept()
    write(("[0, 0.2, 0.5]", "[0, 0.2, 0.5, 0.6]"))
    text = sweeps.forecast("sweep.yaml")
    assert (
        "64 points, 2 machines, 32 schedules; 48 already simulated; before them 4 traces to infer, accuracy of 2 network settings" in text
    )


def test_lines_tell_how_much_is_to_be_made_before_it_is(program: Callable[..., tuple[int, str, str]]) -> None:
    code, out, errors = program("sweep", "sweep.yaml", "--no-figures")
    assert code == 0
    told = out.splitlines()
    what = "12 traces to infer, accuracy of 6 network settings on 10 images to measure"
    assert told[0] == f"sweep judged: 48 points; before them {what}"
    assert re.fullmatch(rf"sweep judged: {what}: about [0-9.]+ s more on 1 process", told[1])
    assert told[2] == "sweep judged: 48 points, 2 machines, 24 schedules"
    assert told[4] == "48 points, 48 simulated now"
    assert errors.splitlines()[0] == f"[0/18] sweep judged: {what}"
    assert f"[18/18] sweep judged: {what}: done" in errors


def test_a_kill_while_traces_are_inferred_changes_nothing() -> None:
    many = "epsilon: {from: 0.0, to: 0.5, steps: 40}"
    write(("epsilon: [0, 0.2, 0.5]", many), ("[4, 16]", "[4]"), ("[channel_marker]", "[dense]"))
    driver = start()
    begin = time.monotonic()
    while len(traces()) < 20:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() - begin < 120
        time.sleep(0.002)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    made = len(traces())
    assert 20 <= made < 160
    assert not Path("out/sweep.csv").exists()
    assert not list(Path("out").rglob("*.png"))
    seen: list[tuple[int, int]] = []
    resumed = swept(progress=lambda what, done, total: seen.append((done, total)))
    assert seen[0][1] <= 160 + 80 - made, "what is there is not made again"
    assert len(resumed.table) == 160
    swept(results="whole")
    assert same_tables("out", "whole")


def test_accuracy_that_is_lost_is_measured_again_while_traces_are_there() -> None:
    whole = swept().table
    shutil.rmtree("out/accuracy")
    outcome = swept()
    assert outcome.simulated == 0
    assert outcome.table.equals(whole)


def test_ctrl_c_while_traces_are_inferred_says_how_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, did = inferring.attempt, []

    def stop_after_some(work: inferring.Work) -> str:
        did.append(work)
        if len(did) == 8:
            raise KeyboardInterrupt
        return attempt(work)

    monkeypatch.setattr(inferring, "attempt", stop_after_some)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted: 7 of 18 traces and blocks of labelled images are kept"):
        swept()
    monkeypatch.setattr(inferring, "attempt", attempt)
    assert swept().simulated == 48
    swept(results="whole")
    assert same_tables("out", "whole")


def test_several_processes_infer_to_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inferring, "SPAWN", 0.0)
    swept(processes=2)
    swept(results="alone", processes=1)
    assert same_tables("out", "alone")
    for folder in ("traces", "accuracy"):
        made, alone = ({path.name: path.read_bytes() for path in Path(where, folder).iterdir()} for where in ("out", "alone"))
        assert made == alone


def test_a_setting_that_cannot_be_inferred_is_rows_with_their_error_and_is_tried_again() -> None:
    write((f"{SPARSITY}: [0, 0.8]", f"network.preprocessing: [grey, {LARGER}]"), (f"  accuracy: {LABELS}\n", ""))
    outcome = swept()
    lost = outcome.table[outcome.table["network.preprocessing"] != "grey"]
    assert lost["error"].str.contains(re.escape("digits takes an image of [1, 8, 8], given [1, 9, 9]")).all()
    assert lost["bytes_moved"].isna().all()
    assert outcome.failed == len(lost) == 24
    assert outcome.simulated == 24
    told: list[str] = []
    assert swept(announce=told.append).failed == 24
    assert told[0].endswith("before them 6 traces to infer")
    write((f"{SPARSITY}: [0, 0.8]", f"network.preprocessing: [{LARGER}]"), (f"  accuracy: {LABELS}\n", ""))
    with pytest.raises(ModelError, match="digits takes an image of"):
        swept()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("epsilon: [0", "epsilom: [0", r"sweep.yaml:6:14: sweep.axes.epsilom: 'epsilom' is no path of a key(.|\n)*Did you mean 'epsilon'?"),
        ("epsilon: [0", "epsilon.conv: [0", r"sweep.yaml:6:\d+: .*'epsilon.conv' is no path of a key(.|\n)*write epsilon"),
        (SPARSITY, "network.prun.sparsity", r"sweep.yaml:7: network: unknown key 'prun'(.|\n)*Did you mean 'prune'?"),
        (SPARSITY, "network.prune.sparsety", r"sweep.yaml:7: network.prune: unknown key 'sparsety'(.|\n)*Did you mean 'sparsity'?"),
        ("[0, 0.8]", "[0, 1.8]", r"sweep.yaml:7: network.prune.sparsity: 1.8 is too large"),
        ("[0, 0.2, 0.5]", "[-1, 0.2]", r"sweep.yaml:6: sweep.jobs.0.epsilon: -1 is too small\n    allowed: 0.0 or more"),
        (f"{SPARSITY}: [0, 0.8]", "mode: [channel, chanel]", r"sweep.yaml:7: sweep.jobs.0.mode: 'chanel' is not allowed(.|\n)*'channel'"),
        (f"{SPARSITY}: [0, 0.8]", "network: [none.yaml]", r"sweep.yaml:7: sweep.axes.network: none.yaml:\nnone.yaml: no such file"),
        (f"{SPARSITY}: [0, 0.8]", "image: [none.png]", r"sweep.yaml:7:13: sweep.axes.image.0: no such file: none.png"),
        (
            f"{SPARSITY}: [0, 0.8]",
            f"image: [{DIGITS}/images/1.png]",
            r"sweep.yaml:12:15: sweep.jobs.0.images: the axis image names the images",
        ),
        (f"      images: ['{DIGITS}/images/[35].png']\n", "", r"sweep.yaml:11:7: sweep.jobs.0: no image is named"),
        (
            f"network: {DIGITS}/network.yaml\n      images: ['{DIGITS}/images/[35].png']",
            f"trace: {ROOT}/traces/tiny_dog.npz",
            r"sweep.yaml:11:7: sweep.jobs.0: what was recorded cannot change with epsilon",
        ),
    ],
)
def test_what_they_cannot_be_is_refused_with_its_place(old: str, new: str, told: str) -> None:
    assert re.search(told, refusal((old, new))), Path("sweep.yaml").read_text()


def test_the_schema_knows_the_paths_of_axes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema("sweep", KINDS["sweep"]))
    write()
    tree = {
        "sweep": {
            "name": "x",
            "accelerator": "a.yaml",
            "axes": {
                "epsilon": [0, 1],
                SPARSITY: [0],
                "accelerator.buffer.size": {"from": "1 KiB", "to": "4 KiB", "scale": "powers_of_two"},
            },
            "accuracy": "digits.yaml",
            "jobs": [{"network": "n.yaml", "images": ["a.png"]}, {"traces": "store", "numbers": [1], "network": "n.yaml"}],
        }
    }
    assert not list(validator.iter_errors(tree))
    tree["sweep"]["axes"]["epsilom"] = [0]  # type: ignore[index]
    assert list(validator.iter_errors(tree))


def test_python_gets_them_as_columns_and_the_folder_gives_them_back_with_a_page() -> None:
    write(("[35].png", "3.png"), ("    accelerator.link.bytes_per_cycle: [4, 16]\n", ""))
    table = accelsim.sweep("sweep.yaml")
    pd.testing.assert_frame_equal(table, sweeptable.read(Path("out")), check_dtype=False)
    assert table["accuracy"].notna().all()
    assert "accuracy" in repr(table).splitlines()[1]
    html = Path("out/report.html").read_text()
    assert "top-1 accuracy lies between" in html
    assert ">accuracy<" in html
    names = {path.stem for path in Path("out/figures").iterdir()}
    assert {"1_digits_3_front_accuracy_bytes_moved", "1_digits_3_accuracy", "1_digits_3_curves_0.8"} <= names, sorted(names)
    assert configfile.root_key("out/config.yaml") == "sweep"


def test_a_trace_file_that_is_damaged_is_told_by_name() -> None:
    swept()
    traces()[0].write_bytes(b"no trace")
    with pytest.raises(accelsim.TraceError, match=re.escape(traces()[0].name)):
        swept()
    assert tracefile.load(traces()[1]).graph.name == "digits"
