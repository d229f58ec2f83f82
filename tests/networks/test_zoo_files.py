"""Zoo networks in network files, with and without random weights, and on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from accelsim import kinds, runfile, simulate, tracefile
from accelsim.errors import ConfigError
from accelsim.networks import synthetic

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "configs" / "accelerator" / "edge.yaml"
DIGITS = ROOT / "configs" / "network" / "digits"
ZOO = sorted((ROOT / "configs" / "network" / "zoo").glob("*.yaml"))

Program = Callable[..., tuple[int, str, str]]


def network_file(folder: Path, *lines: str) -> Path:
    file = folder / "net.yaml"
    file.write_text("network:\n  name: net\n  preprocessing: rgb\n" + "".join(f"  {line}\n" for line in lines), "utf-8")
    return file


@pytest.mark.parametrize("file", ZOO, ids=lambda file: file.stem)
def test_the_files_of_the_zoo_are_sound(file: Path) -> None:
    network = simulate.open_network(file)
    assert network.graph.name == file.stem
    assert network.provenance["network_file"] == f"zoo:{file.stem}"


def test_a_network_file_names_a_network_of_the_zoo(tmp_path: Path) -> None:
    network = simulate.open_network(network_file(tmp_path, "zoo: squeezenet_1.1@96"))
    assert network.graph.name == "net"
    assert network.graph.nodes[0].shape == (3, 96, 96)
    assert network.weights is None


def test_with_random_weights_it_runs_and_its_traces_are_synthetic_and_kept(program: Program, tmp_path: Path) -> None:
    network_file(tmp_path, "zoo: mobilenet_v3_small@32", "synthetic_weights: 3")
    run = tmp_path / "run.yaml"
    text = f"run:\n  name: r\n  accelerator: {EDGE}\n  keep_traces: kept\n  jobs: [{{network: net.yaml, images: [{tmp_path}/a.npz:a]}}]\n"
    run.write_text(text, "utf-8")
    np.savez(tmp_path / "a.npz", a=np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    code, out, err = program("run", run, "--results", tmp_path / "results", "--no-figures", "--no-layers")
    assert code == 0, err
    assert "synthetic" in out
    trace = tracefile.load(tmp_path / "kept" / "net_a.npz")
    assert trace.source == "synthetic"
    assert trace.provenance["weights"].endswith("seed 3")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("zoo: resnet",), r"net\.yaml:4:8: network\.zoo: zoo:resnet: 'resnet' is not in the zoo"),
        (("zoo: resnet18", f"darknet: {{cfg: {DIGITS}/digits.cfg}}"), r"one network is enough, darknet names another"),
        ((), r"no network is named\n(.*\n)+    give one of: darknet, .*zoo"),
        ((f"darknet: {{cfg: {DIGITS}/digits.cfg, weights: {DIGITS}/digits.weights}}", "synthetic_weights: 1"), "weights of its own"),
        (("zoo: resnet18", "synthetic_weights: -1"), "synthetic_weights"),
    ],
)
def test_a_file_that_names_no_network_or_too_many_is_refused(tmp_path: Path, lines: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        runfile.load_network_file(network_file(tmp_path, *lines))


def test_the_schema_knows_the_names_of_the_zoo() -> None:
    schema = kinds.schema("network")
    good = {"network": {"name": "n", "preprocessing": "rgb", "zoo": "squeezenet_1.1@227"}}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"network": {**good["network"], "zoo": "squeezenet_1x1"}}, schema)


def test_random_weights_go_into_a_cfg_without_weights_too(tmp_path: Path) -> None:
    network = simulate.open_network(network_file(tmp_path, f"darknet: {{cfg: {DIGITS}/digits.cfg}}", "synthetic_weights: 1"))
    assert network.provenance["weights_source"] == "synthetic"
    assert network.weights is not None


def test_check_prints_the_parameters_of_a_zoo_network(program: Program) -> None:
    code, out, _ = program("check", "zoo:resnet50")
    assert code == 0
    assert "4,089,184,256 MACs" in out
    assert "parameters: 25,557,032 before batch normalisation is folded" in out
    assert "He et al., CVPR 2016" in out
    code, _, err = program("check", "zoo:resnet51")
    assert code == 2
    assert "Did you mean 'resnet50'?" in err


def test_check_reads_topologies_and_machines_of_scale_sim(program: Program, tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("name,a,b,c,d,e,f,g,\nConv2, 27, 27, 5, 5, 96, 256, 1,\n", "utf-8")
    keys = "ArrayHeight: 16\nArrayWidth: 8\nIfmapSramSzkB: 64\nFilterSramSzkB: 64\nOfmapSramSzkB: 64\nDataflow: os\n"
    (tmp_path / "machine.cfg").write_text(f"[general]\nrun_name = m\n[architecture_presets]\n{keys}", "utf-8")
    code, out, _ = program("check", tmp_path / "net.csv", tmp_path / "machine.cfg")
    assert code == 0
    assert f"{23 * 23 * 25 * 96 * 256:,} MACs" in out
    assert "dataflow: os" in out
    assert "# note: words are bytes" in out


def test_a_synthetic_trace_is_made_and_replayed(program: Program, tmp_path: Path) -> None:
    trace = tmp_path / "t.npz"
    shares = ("--zero-channels", "0.25", "--sparsity", "0.5", "--seed", "3")
    code, out, err = program("trace", "synthetic", "--network", "zoo:squeezenet_1.1@64", *shares, "--out", trace)
    assert (code, out.strip()) == (0, str(trace)), err
    loaded = tracefile.load(trace)
    assert (loaded.source, loaded.has_masks) == ("synthetic", True)
    code, out, _ = program("replay", trace, "--accelerator", EDGE)
    assert code == 0
    assert "synthetic" in out


def test_shares_by_layer_statistics_and_likeness_reach_the_trace(program: Program, tmp_path: Path) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    network = ("--network", "zoo:alexnet@64")
    layers = ("--zero-channels", "conv1=0.5", "--zero-channels", "conv2=0.25", "--sparsity", "conv1=0.5", "--sparsity", "conv2=0.25")
    assert program("trace", "synthetic", *network, *layers, "--statistics", "--out", first)[0] == 0
    trace = tracefile.load(first)
    assert not trace.has_masks
    assert [int(trace.maps[index].zero_channels.sum()) for index in (1, 3, 5)] == [32, 48, 0]
    assert program("trace", "synthetic", "--like", first, "--out", second)[0] == 0
    again = tracefile.load(second)
    assert again.has_masks
    assert int(again.maps[3].zero_channels.sum()) == 48


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((), "a synthetic trace is made of one network"),
        (("--network", "zoo:alexnet", "--like", "x.npz"), "a synthetic trace is made of one network"),
        (("--like", "x.npz", "--statistics"), "--like takes the shares from its trace"),
        (("--network", "zoo:alexnet", "--sparsity", "half"), "shares 'half'; allowed: one number from 0 to 1"),
        (("--network", "zoo:alexnet", "--sparsity", "0.1", "--sparsity", "0.2"), "shares '0.1', '0.2'"),
        (("--network", "zoo:alexnet", "--sparsity", "2"), "sparsity 2.0; allowed: shares from 0 to 1"),
        (("--network", "zoo:alexnet", "--zero-channels", "conv9=0.1"), "zero_channels of 'conv9'"),
        (("--network", "model.pb"), "model.pb: is not known to hold a network"),
    ],
)
def test_a_synthetic_trace_that_makes_no_sense_is_refused(program: Program, tmp_path: Path, arguments: tuple[str, ...], fault: str) -> None:
    code, _, err = program("trace", "synthetic", *arguments, "--out", tmp_path / "t.npz")
    assert code == 2
    assert fault in err
    assert not list(tmp_path.iterdir())


def test_convert_writes_files_and_notes(program: Program, tmp_path: Path) -> None:
    code, out, _ = program("convert", "zoo:resnet18", tmp_path / "r.csv", "--to", "scalesim")
    assert code == 0
    assert out.splitlines() == [
        str(tmp_path / "r.csv"),
        "note: left out, SCALE-Sim has no such layers: add (8), avgpool (1), maxpool (1), softmax (1)",
    ]
    code, out, _ = program("convert", tmp_path / "r.csv", tmp_path / "problems", "--to", "timeloop")
    assert code == 0
    assert len(list((tmp_path / "problems").iterdir())) == 21
    code, _, err = program("convert", EDGE, tmp_path / "e.cfg", "--to", "scalesim")
    assert code == 2
    assert "SCALE-Sim has no dataflow 'spatial'" in err
    override = ("--set", "accelerator.pe_array.dataflow=os")
    assert program("convert", EDGE, tmp_path / "e.cfg", "--to", "scalesim", *override)[0] == 0
    assert program("convert", tmp_path / "e.cfg", tmp_path / "e.yaml", "--to", "accelsim")[0] == 0
    assert program("check", tmp_path / "e.yaml")[0] == 0


def test_shares_are_read_as_people_write_them() -> None:
    assert synthetic.shares(["0.25"]) == 0.25
    assert synthetic.shares(["a=0.1", "b=c=0.2"]) == {"a": 0.1, "b=c": 0.2}
