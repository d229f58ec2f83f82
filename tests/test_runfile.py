"""Network files and run files: paths, globs, defaults, faults, and the JSON Schema for editors."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from machine_samples import SMALL_MACHINE

from accelsim.configfile import root_key
from accelsim.errors import ConfigError
from accelsim.hardware import PcieLink, UnifiedBuffer
from accelsim.images import PRESETS
from accelsim.kinds import KINDS, schema
from accelsim.runfile import InferenceJob, Run, TraceJob, describe, load_network_file, load_run

CONFIGS = Path(__file__).parent.parent / "configs"
NETWORK = """\
network:
  name: net
  darknet: {cfg: files/net.cfg, weights: files/net.weights}
  preprocessing: tiny_letterbox
  labels: {file: files/labels.csv, index: darknet_id}
"""
RUN = """\
run:
  name: quick
  accelerator: ../accelerator/small.yaml
  jobs:
    - network: ../network/net.yaml
      images: ["photos/*.jpg", photos.npz:dog, "stack.npz:images:3"]
      epsilon: 1e-3
    - trace: dog.npz
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a machine, a network, a run and the files they name."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "accelerator/small.yaml": SMALL_MACHINE,
        "network/net.yaml": NETWORK,
        "run/quick.yaml": RUN,
        "network/files/net.cfg": "",
        "network/files/net.weights": "",
        "network/files/labels.csv": "",
        "run/photos/b.jpg": "",
        "run/photos/a.jpg": "",
        "run/photos/c.png": "",
        "run/photos.npz": "",
        "run/stack.npz": "",
        "run/dog.npz": "",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def inference(run: Run) -> InferenceJob:
    """The first job of a run, which infers."""
    assert isinstance(run.jobs[0], InferenceJob)
    return run.jobs[0]


def fault(text: str, *overrides: str) -> str:
    Path("run/bad.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_run("run/bad.yaml", overrides)
    return str(raised.value)


def test_a_run_file_names_files_from_where_it_lies(house: Path) -> None:
    run = load_run("run/quick.yaml")
    first, second = run.jobs
    assert isinstance(first, InferenceJob)
    assert isinstance(second, TraceJob)
    assert first.network.darknet.cfg == Path("network/files/net.cfg")
    assert first.images == ("run/photos/a.jpg", "run/photos/b.jpg", "run/photos.npz:dog", "run/stack.npz:images:3")
    assert (first.epsilon, first.mode) == (0.001, "channel")
    assert second.trace == Path("run/dog.npz")
    assert run.accelerator.place("clock") == "accelerator/small.yaml:3"


def test_what_is_not_said_has_defaults(house: Path) -> None:
    run = load_run("run/quick.yaml")
    assert (run.schemes, run.engine, run.keep_traces) == (("dense", "channel_marker"), "fast", None)
    assert run.results == Path("results/quick")
    assert load_run("run/quick.yaml", ["results=elsewhere"]).results == Path("elsewhere")
    assert load_run("run/quick.yaml", ["name=other"]).results == Path("results/other")


def test_traces_are_kept_beside_the_run_file(house: Path) -> None:
    Path("run/keep.yaml").write_text(RUN + "  keep_traces: traces\n")
    assert load_run("run/keep.yaml").keep_traces == Path("run/traces")


def test_machine_and_network_may_stand_in_the_run_file_itself(house: Path) -> None:
    inline = RUN.replace(
        "  accelerator: ../accelerator/small.yaml\n", "  accelerator:\n    include: ../accelerator/small.yaml\n    link: {kind: pcie}\n"
    ).replace(
        "network: ../network/net.yaml",
        "network: {name: own, darknet: {cfg: ../network/files/net.cfg}, preprocessing: {scale: 255.0, resize: stretch, size: [8, 9]}}",
    )
    Path("run/inline.yaml").write_text(inline)
    run = load_run("run/inline.yaml")
    assert run.accelerator.link == PcieLink(kind="pcie")
    network = inference(run).network
    assert network.darknet.cfg == Path("network/files/net.cfg")
    assert network.darknet.weights is None
    assert network.preprocessing.size == (8, 9)


def test_overrides_reach_into_the_files_a_run_names(house: Path) -> None:
    run = load_run("run/quick.yaml", ["run.accelerator.buffer.size=128 KiB", "accelerator.pe_array.rows=8", "jobs.0.epsilon=0.5"])
    assert (run.accelerator.buffer, run.accelerator.pe_array.rows) == (UnifiedBuffer(organisation="unified", size=131072), 8)
    assert inference(run).epsilon == 0.5
    assert fault(RUN, "accelerator.buffer.size=128 KB").startswith("--set accelerator.buffer.size: '128 KB' can mean two sizes")


def test_a_network_file_is_read_alone(house: Path) -> None:
    network = load_network_file("network/net.yaml")
    assert network.preprocessing == PRESETS["tiny_letterbox"]
    assert network.labels is not None
    assert (network.labels.column, network.labels.index) == ("name", "darknet_id")
    assert network.darknet.weights == Path("network/files/net.weights")


def test_the_resolved_files_read_back_the_same(house: Path) -> None:
    run = load_run("run/quick.yaml")
    Path("deeper/still").mkdir(parents=True)
    Path("deeper/still/resolved.yaml").write_text(describe(run))
    again = load_run("deeper/still/resolved.yaml")
    assert again.accelerator == run.accelerator
    assert again.results == run.results.resolve()
    assert [Path(image) for image in inference(again).images] == [Path(image).absolute() for image in inference(run).images]
    assert describe(again) == describe(run)
    assert pickle.loads(pickle.dumps(run)) == run


def test_every_fault_is_shown_in_the_file_it_is_in(house: Path) -> None:
    Path("accelerator/small.yaml").write_text(SMALL_MACHINE.replace("rows: 4", "rows: 0"))
    Path("network/net.yaml").write_text(NETWORK.replace("tiny_letterbox", "tiny_leterbox").replace("net.weights", "net.weight"))
    presets = ", ".join(sorted(PRESETS))
    assert (
        fault(RUN.replace("photos/*.jpg", "photos/*.gif").replace("photos.npz:dog", "photos.npz"))
        == f"""\
accelerator/small.yaml:4:20: accelerator.pe_array.rows: 0 is too small
      4 |   pe_array: {{rows: 0, cols: 4}}
        |                    ^
    allowed: 1 or more
network/net.yaml:3:42: network.darknet.weights: no such file: network/files/net.weight
      3 |   darknet: {{cfg: files/net.cfg, weights: files/net.weight}}
        |                                          ^^^^^^^^^^^^^^^^
    Did you mean 'net.weights'?
network/net.yaml:4:18: network.preprocessing: 'tiny_leterbox' is not a known preset
      4 |   preprocessing: tiny_leterbox
        |                  ^^^^^^^^^^^^^
    allowed: {presets}.  Did you mean 'tiny_letterbox'?
run/bad.yaml:6:16: run.jobs.0.images.0: no file matches 'run/photos/*.gif'
      6 |       images: ["photos/*.gif", photos.npz, "stack.npz:images:3"]
        |                ^^^^^^^^^^^^^^
    * stands for any letters, ? for one, [ab] for one of these, ** for folders
run/bad.yaml:6:32: run.jobs.0.images.1: photos.npz may hold many images
      6 |       images: ["photos/*.gif", photos.npz, "stack.npz:images:3"]
        |                                ^^^^^^^^^^
    name one: file.npz:key"""
    )


def test_a_missing_file_does_not_hide_other_faults(house: Path) -> None:
    message = fault(RUN.replace("net.yaml", "nat.yaml").replace("quick", "../quick"))
    assert [line for line in message.split("\n") if line.startswith("run/")] == [
        "run/bad.yaml:2:9: run.name: '../quick' cannot name a folder",
        "run/bad.yaml:5:16: no such file: network/nat.yaml",
    ]


def test_a_file_that_is_used_twice_is_blamed_once(house: Path) -> None:
    Path("network/net.yaml").write_text(NETWORK.replace("name: net", "nam: net"))
    twice = RUN.replace("- trace: dog.npz", "- {network: ../network/net.yaml, images: [photos/a.jpg]}")
    assert fault(twice).count("unknown key 'nam'") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("jobs:\n", "jobs: []\n  other:\n", "run.jobs: too few items"),
        ("epsilon: 1e-3", "epsilon: -1", "run.jobs.0.epsilon: -1 is too small"),
        ("epsilon: 1e-3", "mode: chanel", "run.jobs.0.mode: 'chanel' is not allowed"),
        ("- trace: dog.npz", "- {trace: dog.npz, epsilon: 0.1}", "run.jobs.1: unknown key 'epsilon'"),
        ("- trace: dog.npz", "- {trace: dgo.npz}", "run.jobs.1.trace: no such file: run/dgo.npz"),
        ("- trace: dog.npz", "- {images: [photos/a.jpg]}", "run.jobs.1: missing key 'network'"),
        ("- trace: dog.npz", "- dog.npz", "run.jobs.1: 'dog.npz' is not a mapping"),
        ("  name: quick", "  name: quick\n  engine: fsat", "run.engine: 'fsat' is not allowed"),
        ("  name: quick", "  name: quick\n  schemes: [dense, dense]", "run.schemes.1: 'dense' stands twice"),
        ("  name: quick", "  name: quick\n  schemes: []", "run.schemes: too few items"),
        ("  name: quick", "  name: quick\n  schemes: [dens]", "run.schemes.0: 'dens' is not a known scheme"),
        ("../accelerator/small.yaml", "../network/net.yaml", "../network/net.yaml".removeprefix("../") + ":1:1: a file of kind 'network'"),
    ],
)
def test_a_faulty_run_is_refused(house: Path, old: str, new: str, message: str) -> None:
    assert old in RUN
    assert message in fault(RUN.replace(old, new))


# JSON Schema.


def validator(kind: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(schema(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_a_schema(kind: str) -> None:
    checker = validator(kind)
    checker.check_schema(checker.schema)


def test_an_unknown_kind_of_schema_is_refused() -> None:
    known = re.escape(", ".join(sorted(KINDS)))
    with pytest.raises(ConfigError, match=rf"schema: 'runn' is not a kind of file\n    allowed: {known}\.  Did you mean 'run'\?"):
        schema("runn")


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_that_ships_fits_its_schema(path: Path) -> None:
    validator(root_key(path)).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        ("accelerator", SMALL_MACHINE, True),
        ("network", NETWORK, True),
        ("run", RUN.replace("1e-3", "0.001"), True),
        ("accelerator", SMALL_MACHINE.replace("rows", "rosw"), False),
        ("accelerator", SMALL_MACHINE.replace("64 KiB", "64KB"), False),
        ("accelerator", SMALL_MACHINE.replace("64 KiB", "64"), False),
        ("accelerator", SMALL_MACHINE.replace("64 KiB", "'${SIZE}'"), True),
        ("accelerator", SMALL_MACHINE.replace("kind: bus", "kind: bsu"), False),
        ("accelerator", SMALL_MACHINE.replace("kind: bus", "kind: bus, latency: 0"), True),
        ("accelerator", SMALL_MACHINE.replace("kind: bus", "kind: bus, latency: 5"), False),
        ("accelerator", "accelerator: {name: x}", False),
        ("accelerator", "accelerator: {include: edge.yaml, name: x, buffer: {size: 1 KiB}}", True),
        ("accelerator", "include: edge.yaml\naccelerator: {buffer: {size: 1 KiB}}", True),
        ("accelerator", "accelerator: {include: edge.yaml, nmae: x}", False),
        ("run", "run: {name: x, accelerator: {include: edge.yaml, dma: {dims: 2}}, jobs: [{trace: a.npz}]}", True),
        ("run", "run: {name: x, accelerator: edge.yaml, jobs: []}", False),
        ("run", "run: {name: x, accelerator: edge.yaml, jobs: [{trace: a.npz, mode: part}]}", False),
        ("network", NETWORK.replace("tiny_letterbox", "tiny_leterbox"), False),
        ("network", NETWORK.replace("tiny_letterbox", "{scale: 255, size: [1, 2]}"), True),
    ],
)
def test_the_schema_marks_what_loading_would_refuse(kind: str, text: str, fits: bool) -> None:
    assert validator(kind).is_valid(yaml.safe_load(text)) == fits


def test_defaults_in_the_schema_carry_their_units() -> None:
    dma = schema("accelerator")["$defs"]["Dma.part"]["properties"]
    assert dma["access"]["default"] == "64 B"
    assert dma["setup_cycles"]["default"] == 38
    assert dma["access"]["description"] == "Smallest piece that the memory moves; a power of two."
