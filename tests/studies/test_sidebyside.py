"""All schemes in one table: the same numbers as replays give, on traces and on networks with an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import accelsim
from accelsim import inference, runfile, schemes, simulate, tracefile
from accelsim.errors import ConfigError, EngineError, TraceError
from accelsim.studies import sidebyside
from accelsim.studies.sidebyside import TENSORS, compare_schemes, round_trip

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs/network/digits/network.yaml"
IMAGE = str(ROOT / "configs/network/digits/images/3.png")
EDGE = ROOT / "configs/accelerator/edge.yaml"


@pytest.fixture(scope="module")
def network():
    """All schemes, and two lossy ones, on the digits network, its outputs verified."""
    return compare_schemes(DIGITS, EDGE, ["all", "zero_block:threshold=0.1", "zero_block:threshold=99"], image=IMAGE, verify=True)


@pytest.fixture(scope="module")
def digits():
    file = runfile.load_network_file(DIGITS)
    prepared = inference.prepare(simulate.load_network(file))
    return prepared, inference.photograph(IMAGE, file.preprocessing)


def test_a_network_with_an_image_serves_every_scheme(network):
    assert set(network.table["scheme"]) == {*schemes.names(), "zero_block:threshold=0.1", "zero_block:threshold=99"}
    assert network.table["scheme"].iloc[0] == "dense"
    assert not network.left_out
    assert len(network.table[["network", "image", "source", "accelerator"]].drop_duplicates()) == 1


def test_lossless_schemes_leave_outputs_bit_identical_and_lossy_ones_tell(network):
    table = network.table.set_index("scheme")
    lossless = table[table["lossless"]]
    assert len(lossless) == len(schemes.names())
    assert set(lossless["outputs"]) == {"identical (verified)"}
    assert table["outputs"]["zero_block:threshold=0.1"].startswith("top 1 kept, its score ")
    assert table["outputs"]["zero_block:threshold=99"].startswith("top 1 lost (3 -> ")


def test_every_row_adds_up_and_is_that_of_a_replay(network, digits):
    prepared, image = digits
    table = network.table
    assert (table[list(TENSORS)].sum(axis=1) == table["bytes_wanted"]).all()
    assert (table["metadata_stored_bytes"] > 0).eq(table["scheme"] != "dense").all()
    assert (table["busy_cycles"] + table["stall_cycles"] == table["total_cycles"]).all()
    assert (table["macs_done"] + table["macs_skipped"]).nunique() == 1
    trace = next(inference.record(prepared, [image], values=True))
    for name in ("dense", "channel_marker", "ebpc", "constant_marker"):
        totals = simulate.replay(trace, EDGE, name).totals
        row = table[table["scheme"] == name].iloc[0]
        assert {key: row[key] for key in ("bytes_moved", "total_cycles", "macs_skipped")} == {
            key: totals[key] for key in ("bytes_moved", "total_cycles", "macs_skipped")
        }


def test_a_lossy_scheme_is_replayed_on_a_run_that_loses_what_it_loses(network, digits):
    prepared, image = digits
    scheme = schemes.load("zero_block:threshold=0.1")
    closed = next(inference.record(prepared, [image], through=scheme.seen, values=True))
    by_epsilon = next(inference.record(prepared, [image], epsilon=0.1, mode="part", part=(4, 4)))
    for mine, theirs in zip(closed.maps, by_epsilon.maps, strict=True):
        assert (mine.nonzero() == theirs.nonzero()).all(), "what evaluate measures in mode part is what the scheme does"
    row = network.table.set_index("scheme").loc[scheme.label]
    assert row["bytes_moved"] == simulate.replay(closed, EDGE, scheme.label).totals["bytes_moved"]
    assert f"{scheme.label}: replayed on a run of its own, which loses what it loses" in network.notes
    assert not any("open loop" in note for note in network.notes)
    assert row["bytes_moved"] < network.table.set_index("scheme")["bytes_moved"]["zero_block"]


def test_values_that_are_kept_are_the_outputs_and_are_not_saved(digits, tmp_path):
    prepared, image = digits
    trace = next(inference.record(prepared, [image], values=True))
    for step, fmap in zip(inference.run(prepared, image.tensor), trace.maps, strict=True):
        assert (fmap.values == step.output).all()
    tracefile.save(trace, tmp_path / "digits.npz")
    again = tracefile.load(tmp_path / "digits.npz")
    assert all(fmap.values is None for fmap in again.maps)
    assert tracefile.digest(again) == tracefile.digest(trace)


def test_what_goes_through_reaches_the_consumers_and_the_output(digits):
    prepared, image = digits
    plain = inference.predict(prepared, image.tensor)
    assert (inference.predict(prepared, image.tensor, through=lambda node, output: output) == plain).all()
    first = prepared.graph.nodes[1].index
    changed = inference.predict(prepared, image.tensor, through=lambda node, output: output * (node.index != first))
    assert not np.array_equal(changed, plain)
    steps = inference.run(prepared, image.tensor, through=lambda node, output: output * (node.index != first))
    assert next(step for step in steps if step.node.index == first).zero_channels.all()


def test_a_trace_leaves_out_what_it_cannot_serve():
    found = compare_schemes(ROOT / "traces/squeezenet_v1.1_dog.npz", EDGE, ["all", "zero_block:height=8,width=8,threshold=0.1"])
    assert set(found.left_out) == {name for name in schemes.names() if schemes.load(name).needs == "values"}
    assert any(note.startswith("ebpc is left out: it needs the values") for note in found.notes)
    table = found.table.set_index("scheme")
    assert table["bytes_moved"]["dense"] > table["bytes_moved"]["zvc"]
    assert table["outputs"]["zero_block:height=8,width=8,threshold=0.1"] == "open loop: not known"
    assert any("open loop" in note for note in found.notes)
    assert table["outputs"]["zvc"] == "identical"
    counts = compare_schemes(ROOT / "traces/mobilenet_v2_dog_statistics.npz", EDGE)
    assert set(counts.table["scheme"]) == {name for name in schemes.names() if schemes.load(name).needs == "counts"}


def test_a_slow_codec_takes_its_time_and_moves_the_same_bytes():
    trace = ROOT / "traces/squeezenet_v1.1_dog.npz"
    table = compare_schemes(trace, EDGE, ["zvc", "zvc:rate=1", "zvc:rate=2", "zvc:latency=1000"]).table.set_index("scheme")
    assert table["bytes_moved"][["zvc", "zvc:rate=1", "zvc:rate=2", "zvc:latency=1000"]].nunique() == 1
    cycles = table["total_cycles"]
    assert cycles["zvc:rate=1"] > cycles["zvc:rate=2"] > cycles["zvc"] < cycles["zvc:latency=1000"]


def test_a_scheme_that_is_asked_for_and_cannot_be_replayed_is_a_fault():
    with pytest.raises(TraceError, match="scheme 'ebpc' needs the values of feature maps"):
        compare_schemes(ROOT / "traces/squeezenet_v1.1_dog.npz", EDGE, ["all", "ebpc"])


@pytest.mark.parametrize(
    ("arguments", "more", "fault"),
    [
        ((DIGITS, EDGE), {}, "a network needs an image\n    give one: --image photo.jpg"),
        ((ROOT / "traces/tiny_dog.npz", EDGE), {"image": IMAGE}, "a trace has its image and its network"),
        ((ROOT / "traces/tiny_dog.npz", EDGE), {"verify": True}, "outputs are verified by running the network"),
        ((DIGITS, EDGE), {"image": str(Path(IMAGE).with_name("*.png"))}, "10 images\n    give one"),
        ((DIGITS, EDGE, "zvx"), {"image": IMAGE}, "unknown scheme 'zvx'"),
    ],
)
def test_faults_are_explained(arguments, more, fault):
    with pytest.raises(ConfigError) as caught:
        compare_schemes(*arguments, **more)
    assert fault in str(caught.value)


def test_a_lossless_scheme_that_changes_an_output_is_our_fault(monkeypatch):
    def wrong(code):
        return np.zeros(code.shape, np.float32)

    monkeypatch.setattr(sidebyside, "decode", wrong)
    with pytest.raises(EngineError, match="dense: lossless, but the network's outputs differ"):
        compare_schemes(DIGITS, EDGE, "dense", image=IMAGE, verify=True)


def test_a_round_trip_of_a_lossy_scheme_gives_what_consumers_see(digits):
    prepared, image = digits
    scheme, machine = schemes.load("zero_block:threshold=0.1"), accelsim.load_accelerator(EDGE)
    found = inference.predict(prepared, image.tensor, through=round_trip(scheme, machine))
    assert (found == inference.predict(prepared, image.tensor, through=scheme.seen)).all()


def test_the_command_prints_the_table_and_writes_it(program, tmp_path):
    code, out, _ = program(
        "compare", DIGITS, "--image", IMAGE, "--accelerator", EDGE, "--set", "accelerator.buffer.size=64 KiB", "--results", tmp_path
    )
    assert code == 0
    for name in schemes.names():
        assert f"\n {name} " in out
    table = pd.read_csv(tmp_path / "schemes.csv")
    assert set(table["scheme"]) == set(schemes.names())
    assert yaml.safe_load((tmp_path / "accelerator.yaml").read_text())["accelerator"]["buffer"]["size"] == "64 KiB"
    assert set(pd.read_csv(tmp_path / "layers.csv")["scheme"]) == set(schemes.names())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"digits_3_schemes.png", "digits_3_schemes.svg"}


def test_a_run_file_keeps_values_where_a_scheme_needs_them(tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"run:\n  name: values\n  accelerator: {EDGE}\n  schemes: [ebpc, zvc]\n  jobs: [{{network: {DIGITS}, images: [{IMAGE}]}}]\n"
    )
    outcome = accelsim.run(tmp_path / "run.yaml", results=tmp_path / "results", figures=False)
    by_hand = compare_schemes(DIGITS, EDGE, ["ebpc", "zvc"], image=IMAGE).table
    assert [result.totals["bytes_moved"] for result in outcome.comparisons[0].results] == by_hand["bytes_moved"].tolist()


def test_a_weight_scheme_goes_with_it_in_a_column_of_its_own(program):
    code, out, _ = program(
        "compare", DIGITS, "--image", IMAGE, "--accelerator", EDGE, "--scheme", "channel_marker+pruned_csr", "--scheme", "channel_marker"
    )
    assert code == 0
    assert "weights" in out
    assert "pruned_csr" in out


def test_the_schemes_are_listed_with_what_they_save(program):
    code, out, _ = program("schemes")
    assert code == 0
    lines = {line.split()[0]: line.split()[1:8] for line in out.splitlines() if line.split() and line.split()[0] in schemes.names()}
    assert set(lines) == set(schemes.names())
    assert lines["zvc"][:7] == ["yes", "yes", "-", "-", "-", "yes", "yes"]
    assert lines["channel_marker"][:7] == ["yes"] * 5 + ["-", "yes"]
    assert "at threshold 0" in out


@pytest.mark.parametrize("name", schemes.names())
def test_the_options_of_a_scheme_are_listed_with_their_meaning(program, name):
    code, out, _ = program("schemes", name)
    assert code == 0
    for option in type(schemes.load(name).options).model_fields:
        assert f"\n {option} " in out
    assert f"The `{name}` scheme" in out


def test_an_unknown_scheme_is_not_listed(program):
    code, _, err = program("schemes", "zvx")
    assert code == 2
    assert err.startswith("unknown scheme 'zvx'\n    allowed: ")
