"""Does each verb run, and is each error as helpful as promised?"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from accelsim import tracefile
from accelsim.errors import EngineError

ROOT = Path(__file__).parent.parent
EDGE = ROOT / "configs" / "accelerator" / "edge.yaml"
DIGITS = ROOT / "configs" / "network" / "digits"
TINY_TRACE = ROOT / "traces" / "tiny_dog.npz"

Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def digits_run(tmp_path: Path) -> Path:
    """A run file of one small job."""
    file = tmp_path / "run.yaml"
    file.write_text(
        f"run:\n  name: small\n  accelerator: {EDGE}\n  jobs:\n"
        f"    - network: {DIGITS / 'network.yaml'}\n      images: [{DIGITS}/images/3.png]\n",
        "utf-8",
    )
    return file


def test_both_names_are_one_program() -> None:
    for command in ([sys.executable, "-m", "accelsim"], [str(Path(sys.executable).with_name("accelsim"))]):
        if Path(command[0]).exists():
            done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
            for verb in ("run", "infer", "replay", "check", "schema", "trace", "validate", "plot"):
                assert verb in done.stdout


def test_run_prints_the_comparison_and_writes_the_results_folder(program: Program, digits_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    code, out, _ = program("run", digits_run, "--results", folder)
    assert code == 0
    assert "dense" in out
    assert "channel_marker" in out
    assert "ratio" in out
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"layers.csv", "layers.parquet", "summary.json", "config.yaml"} <= written
    assert {"figures/digits_3_bytes_per_layer.png", "figures/digits_3_zero_channel_map.svg"} <= written
    code, _, _ = program("check", folder / "config.yaml")
    assert code == 0, "the resolved configuration is itself a sound run file"


def test_both_engines_give_the_same_table(program: Program, digits_run: Path, tmp_path: Path) -> None:
    tables = []
    for engine in ("fast", "reference"):
        assert program("run", digits_run, "--no-figures", "--engine", engine, "--results", tmp_path / engine)[0] == 0
        tables.append((tmp_path / engine / "layers.csv").read_bytes())
    assert tables[0] == tables[1]


def test_infer_writes_a_trace_that_show_and_replay_read(program: Program, tmp_path: Path) -> None:
    code, out, _ = program("infer", DIGITS / "network.yaml", "--image", DIGITS / "images" / "3.png", "--out", tmp_path)
    assert code == 0
    assert "3:0." in out, "the digit is recognised"
    trace = tmp_path / "digits_3.npz"
    code, out, _ = program("trace", "show", trace)
    assert code == 0
    assert "source: inference" in out
    code, out, _ = program("replay", trace, "--accelerator", EDGE, "--scheme", "part_marker", "--results", tmp_path / "r")
    assert code == 0
    assert "part_marker" in out
    assert (tmp_path / "r" / "layers.csv").is_file()


def test_plot_draws_again_without_simulating(program: Program, digits_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    program("run", digits_run, "--no-figures", "--results", folder)
    assert not (folder / "figures").exists()
    code, out, _ = program("plot", folder)
    assert code == 0
    assert "digits_3_stall_causes.png" in out
    assert (folder / "figures" / "digits_3_stall_causes.png").is_file()


def test_run_writes_a_timeline_of_each_replay(program: Program, digits_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert program("run", digits_run, "--no-figures", "--timeline", "--results", folder)[0] == 0
    names = sorted(path.name for path in (folder / "timelines").iterdir())
    assert names == ["digits_3_channel_marker.json", "digits_3_dense.json"]
    whole = json.loads((folder / "timelines" / "digits_3_dense.json").read_text("utf-8"))
    assert whole["otherData"]["schemes"] == ["dense"]
    assert any(event["ph"] == "X" for event in whole["traceEvents"])


def test_replay_writes_the_timelines_of_all_schemes_into_one_file(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.json"
    code, out, _ = program("replay", TINY_TRACE, "--accelerator", EDGE, "--timeline", file)
    assert code == 0
    assert f"timeline: {file}" in out
    assert json.loads(file.read_text("utf-8"))["otherData"]["schemes"] == ["dense", "channel_marker"]
    (tmp_path / "taken").write_text("")
    code, _, err = program("replay", TINY_TRACE, "--accelerator", EDGE, "--timeline", tmp_path / "taken" / "out.json")
    assert code == 2
    assert "cannot write results" in err
    assert "[0/2]" not in err, "refused before anything was simulated"


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "energy").glob("*.yaml")), ids=lambda path: path.stem)
def test_check_prints_energy_tables(program: Program, path: Path) -> None:
    code, out, _ = program("check", path)
    assert code == 0
    assert "source:" in out


def test_an_image_that_comes_twice_keeps_two_names(program: Program, tmp_path: Path) -> None:
    job = f"{{network: {DIGITS / 'network.yaml'}, images: [{DIGITS}/images/3.png], epsilon: %s}}"
    file = tmp_path / "run.yaml"
    file.write_text(f"run:\n  name: twice\n  accelerator: {EDGE}\n  jobs:\n    - {job % '0.0'}\n    - {job % '0.5'}\n", "utf-8")
    assert program("run", file, "--no-figures", "--results", tmp_path / "r")[0] == 0
    text = (tmp_path / "r" / "layers.csv").read_text("utf-8")
    assert "digits,3,dense" in text
    assert 'digits,"3 (eps 0.5, channel)",dense' in text


def test_statistics_are_made_from_a_table(program: Program, tmp_path: Path) -> None:
    made = tmp_path / "made.npz"
    code, _, _ = program("trace", "statistics", ROOT / "traces" / "drfmp_dog_eps0.csv", "--network", "alexnet", "--out", made)
    assert code == 0
    assert tracefile.digest(tracefile.load(made)) == tracefile.digest(tracefile.load(ROOT / "traces" / "alexnet_dog_statistics.npz"))


def test_check_prints_the_resolved_machine(program: Program) -> None:
    code, out, _ = program("check", EDGE, "--set", "accelerator.buffer.size=128 KiB")
    assert code == 0
    assert "size: 128 KiB" in out
    assert "peak: 204.8 GMAC/s" in out


def test_check_prints_the_totals_of_a_network(program: Program, shared: Path) -> None:
    code, out, _ = program("check", shared / "assets" / "cfg" / "mobilenet.cfg")
    assert code == 0
    assert "9,255,048 output elements" in out
    assert "no weights: shapes alone, it cannot be run" in out


@pytest.mark.parametrize("kind", ["accelerator", "energy", "network", "run"])
def test_schema_is_json(program: Program, kind: str) -> None:
    code, out, _ = program("schema", kind)
    assert code == 0
    assert kind in json.loads(out)["$defs"]


def test_validate_activations_exits_1_on_a_miss(program: Program, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "squeezenet_v1.1" / "layers.csv"
    head, *rows = golden.read_text("utf-8").splitlines()
    first = [row for row in rows if row.startswith("dog,0.0,")][:3]
    arguments = ("--network", ROOT / "configs/network/squeezenet_v1.1.yaml", "--images", shared / "assets/images/five_rgb.npz")
    table = tmp_path / "layers.csv"
    table.write_text("\n".join([head, *first]) + "\n", "utf-8")
    code, out, _ = program("validate", "activations", "--table", table, *arguments)
    assert code == 0, out
    columns = head.split(",")
    cells = first[2].split(",")
    cells[columns.index("pruned_ch")] = "3"
    table.write_text("\n".join([head, *first[:2], ",".join(cells)]) + "\n", "utf-8")
    code, out, _ = program("validate", "activations", "--table", table, *arguments)
    assert code == 1
    assert "MISS" in out


def machine(tmp_path: Path, old: str, new: str) -> Path:
    """The edge accelerator with one change."""
    text = EDGE.read_text("utf-8")
    assert old in text
    file = tmp_path / "machine.yaml"
    file.write_text(text.replace(old, new, 1), "utf-8")
    return file


def replayed(tmp_path: Path, accelerator: Path, trace: Path = TINY_TRACE) -> list[object]:
    return ["replay", trace, "--accelerator", accelerator, "--results", tmp_path / "results"]


def wrong_unit(tmp_path: Path) -> tuple[list[object], str]:
    remedy = "write '256 KiB' (262,144 bytes) or '256 kB' (256,000 bytes)"
    return replayed(tmp_path, machine(tmp_path, "size: 256 KiB", "size: 256 KB")), remedy


def unknown_key(tmp_path: Path) -> tuple[list[object], str]:
    return replayed(tmp_path, machine(tmp_path, "cols:", "colums:")), "Did you mean 'cols'?"


def duplicate_key(tmp_path: Path) -> tuple[list[object], str]:
    return replayed(tmp_path, machine(tmp_path, "clock: 800 MHz", "clock: 800 MHz\n  clock: 900 MHz")), "'clock'"


def missing_weights(tmp_path: Path) -> tuple[list[object], str]:
    network = tmp_path / "network.yaml"
    network.write_text(f"network: {{name: digits, darknet: {{cfg: {DIGITS}/digits.cfg}}, preprocessing: grey}}\n", "utf-8")
    return ["infer", network, "--image", DIGITS / "images/3.png", "--out", tmp_path / "results"], "weights"


def truncated_weights(tmp_path: Path) -> tuple[list[object], str]:
    (tmp_path / "short.weights").write_bytes((DIGITS / "digits.weights").read_bytes()[:-400])
    network = tmp_path / "network.yaml"
    darknet = f"{{cfg: {DIGITS}/digits.cfg, weights: short.weights}}"
    network.write_text(f"network: {{name: digits, darknet: {darknet}, preprocessing: grey}}\n", "utf-8")
    return ["infer", network, "--image", DIGITS / "images/3.png", "--out", tmp_path / "results"], "short.weights"


def corrupt_trace(tmp_path: Path) -> tuple[list[object], str]:
    data = bytearray(TINY_TRACE.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.npz").write_bytes(data)
    return replayed(tmp_path, EDGE, tmp_path / "bad.npz"), "make it again"


def pickle_in_a_trace(tmp_path: Path) -> tuple[list[object], str]:
    evil = BytesIO()
    np.save(evil, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(TINY_TRACE) as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for index, name in enumerate(good.namelist()):
            bad.writestr(name, evil.getvalue() if index == 1 else good.read(name))
    return replayed(tmp_path, EDGE, tmp_path / "bad.npz"), "bad.npz"


def image_that_is_no_image(tmp_path: Path) -> tuple[list[object], str]:
    (tmp_path / "note.png").write_text("a note", "utf-8")
    return ["infer", DIGITS / "network.yaml", "--image", tmp_path / "note.png", "--out", tmp_path / "results"], "note.png: not a JPEG"


def buffer_too_small(tmp_path: Path) -> tuple[list[object], str]:
    return replayed(tmp_path, machine(tmp_path, "size: 256 KiB", "size: 256 B")), "enlarge"


def unwritable_folder(tmp_path: Path) -> tuple[list[object], str]:
    (tmp_path / "file").write_text("", "utf-8")
    return ["replay", TINY_TRACE, "--accelerator", EDGE, "--results", tmp_path / "file" / "results"], "cannot write results"


def unknown_engine(tmp_path: Path) -> tuple[list[object], str]:
    return [*replayed(tmp_path, EDGE), "--engine", "refrence"], "Did you mean 'reference'?"


FAULTS = (
    wrong_unit,
    unknown_engine,
    unknown_key,
    duplicate_key,
    missing_weights,
    truncated_weights,
    corrupt_trace,
    pickle_in_a_trace,
    image_that_is_no_image,
    buffer_too_small,
    unwritable_folder,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_input_gives_one_message_exit_code_2_and_no_partial_file(
    program: Program, tmp_path: Path, fault: Callable[[Path], tuple[list[object], str]]
) -> None:
    arguments, expected = fault(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = program(*arguments)
    message = "\n".join(line for line in err.splitlines() if not line.startswith("["))
    assert code == 2, out + err
    assert expected in message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 6
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_engine_is_refused_before_anything_is_begun(program: Program, tmp_path: Path) -> None:
    arguments, _ = unknown_engine(tmp_path)
    assert program(*arguments) == (2, "", "engine: unknown engine 'refrence'\n    allowed: fast, reference.  Did you mean 'reference'?\n")


def test_a_broken_invariant_is_ours_and_says_so(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EngineError("busy + stalls = 7, total = 8")

    monkeypatch.setattr("accelsim.engines.replay", broken)
    code, _, err = program("replay", TINY_TRACE, "--accelerator", EDGE)
    assert code == 70
    assert "a fault in accelsim itself, please report it: tiny, dog, dense on edge (fast): busy + stalls = 7, total = 8" in err
