"""The results folder."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from report_samples import comparison, dense

from accelsim.errors import ConfigError
from accelsim.report import COLUMNS, Comparison, read_bandwidth, read_layers, require_writable, write, write_files

CONFIG = "run:\n  name: test\n"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_holds_tables_summary_config_and_further_files(tmp_path: Path) -> None:
    paths = write(tmp_path / "a" / "results", [comparison()], CONFIG, {"figures/x.png": b"png"})
    found = everything(tmp_path)
    names = {"layers.csv", "layers.parquet", "bandwidth.csv", "summary.json", "config.yaml", "figures/x.png"}
    assert set(found) == {f"a/results/{name}" for name in names}
    assert {str(path.relative_to(tmp_path)) for path in paths} == set(found)
    assert found["a/results/config.yaml"].decode() == CONFIG
    assert found["a/results/figures/x.png"] == b"png"


def test_csv_and_parquet_hold_the_same_rows_and_types(tmp_path: Path) -> None:
    write(tmp_path / "results", [comparison(), comparison(image="cat")], CONFIG)
    frame = pd.read_parquet(tmp_path / "results" / "layers.parquet")
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 8
    pd.testing.assert_frame_equal(read_layers(tmp_path / "results"), frame)
    assert frame["total_cycles"].dtype == "int64"


def test_the_same_comparison_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, [comparison()], CONFIG)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_names_that_look_like_missing_values_survive(tmp_path: Path) -> None:
    odd = Comparison.of([replace(dense(), network="NA", image='null, "quoted"')])
    write(tmp_path / "results", [odd], CONFIG)
    frame = read_layers(tmp_path / "results")
    assert (frame["network"][0], frame["image"][0]) == ("NA", 'null, "quoted"')


def test_the_summary_says_what_where_from_and_how_counted(tmp_path: Path) -> None:
    write(tmp_path / "results", [comparison("published statistics", later=5)], CONFIG)
    text = (tmp_path / "results" / "summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    entry = summary["comparisons"][0]
    assert (entry["network"], entry["image"], entry["source"]) == ("two_layers", "checks", "published statistics")
    assert entry["trace"]["provenance"] == {"note": "made by hand"}
    assert entry["accelerator"]["pe_array"]["rows"] == 2
    assert entry["paper"] == {
        "saved_elements": 16,
        "output_elements": 72,
        "percent_of_outputs": 22.222222,
        "conv_saved_elements": 16,
        "conv_elements": 72,
        "percent_of_conv": 22.222222,
        "conv_layers": 2,
        "conv_layers_with_zero": 1,
    }
    marked = entry["schemes"]["channel_marker"]
    assert marked["totals"]["total_cycles"] == 100
    assert marked["ratios"]["speed_up"] == pytest.approx(0.95)
    assert marked["slower_layers"] == {"conv2": 5}
    assert marked["busy_percent"] == {"dma_port": 19.0, "link_down": 38.0, "link_up": 0.0, "dram": 57.0}
    assert marked["notes"] == ["made by hand", "marker bits in raster order"]
    assert marked["without_own_row"] == {"dropout": "does nothing at inference"}
    assert {"cycles", "stalls", "bytes_moved", "saved_elements"} <= set(summary["accounting"])
    assert summary["accelsim"]


def test_an_existing_folder_is_replaced_file_by_file_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write(folder, [comparison()], "old")
    (folder / "my_notes.txt").write_text("mine")
    write(folder, [comparison(later=5)], "new", {"figures/x.png": b"png"})
    assert (folder / "my_notes.txt").read_text() == "mine"
    assert (folder / "config.yaml").read_text() == "new"
    assert read_layers(folder)["total_cycles"].sum() == 95 + 100
    assert not [name for name in everything(tmp_path) if ".accelsim" in name]


def test_a_path_through_a_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError) as error:
        write(tmp_path / "file" / "results", [comparison()], CONFIG)
    assert str(error.value) == (
        f"{tmp_path / 'file' / 'results'}: cannot write results: Not a directory\n"
        "    name a folder, new or existing, whose path holds no file"
    )
    assert everything(tmp_path) == {"file": b"a file"}


def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ConfigError, match="cannot write results"):
        write(tmp_path / "results", [comparison()], CONFIG)
    assert everything(tmp_path) == {"results": b"a file"}


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "a folder that you may write to"), (errno.EROFS, "change its permissions")],
)
def test_a_disk_that_fails_half_way_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, code: int, remedy: str
) -> None:
    folder = tmp_path / "a" / "results"
    if exists:
        write(folder, [comparison()], "old")
    before = everything(tmp_path)
    real = Path.write_bytes

    def failing(path: Path, content: bytes) -> int:
        if path.name == "config.yaml":
            raise OSError(code, "the disk says no")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(ConfigError, match="cannot write results: the disk says no") as error:
        write(folder, [comparison(later=5)], "new")
    assert remedy in str(error.value)
    assert everything(tmp_path) == before
    assert (tmp_path / "a").exists() == exists


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, content: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a" / "results", [comparison()], CONFIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "figures/../../x.png"])
def test_a_file_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a path inside the results folder"):
        write(tmp_path / "results", [comparison()], CONFIG, {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_reading_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read layers: No such file"):
        read_layers(tmp_path / "nowhere")
    (tmp_path / "layers.csv").write_text("network,image\na,b\n")
    with pytest.raises(ConfigError, match="no column scheme, layer, kind"):
        read_layers(tmp_path)


def test_reading_refuses_a_count_that_is_none(tmp_path: Path) -> None:
    write(tmp_path / "results", [comparison()], CONFIG)
    path = tmp_path / "results" / "layers.csv"
    path.write_text(path.read_text().replace(",46,30,", ",many,30,"))
    with pytest.raises(ConfigError, match="a count is not a whole number"):
        read_layers(path)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError, match="cannot write results: Not a directory"):
        require_writable(tmp_path / "file" / "results")
    require_writable(tmp_path / "new" / "results")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_further_files_are_put_into_a_folder_that_is_there(tmp_path: Path) -> None:
    write(tmp_path / "results", [comparison()], CONFIG)
    before = everything(tmp_path)
    paths = write_files(tmp_path / "results", {"figures/x.svg": b"<svg/>"})
    assert paths == (tmp_path / "results" / "figures" / "x.svg",)
    assert everything(tmp_path) == before | {"results/figures/x.svg": b"<svg/>"}


def test_bandwidth_reads_back_as_it_was_written(tmp_path: Path) -> None:
    both = comparison(image="007")
    write(tmp_path / "results", [both], CONFIG)
    pd.testing.assert_frame_equal(read_bandwidth(tmp_path / "results"), both.bandwidth_frame(), check_dtype=False)


def test_a_folder_without_bandwidth_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bandwidth\.csv: cannot read bandwidth: No such file or directory\n    give a results folder"):
        read_bandwidth(tmp_path)
    (tmp_path / "bandwidth.csv").write_text("network,image\na,b\n")
    with pytest.raises(ConfigError, match="no column scheme, source, time_us"):
        read_bandwidth(tmp_path)


def test_the_summary_tells_energy_by_part_and_what_was_estimated(tmp_path: Path) -> None:
    both = comparison()
    write(tmp_path / "results", [both], CONFIG)
    told = json.loads((tmp_path / "results" / "summary.json").read_text())["comparisons"][0]
    energy = told["schemes"]["dense"]["energy_uj"]
    assert energy["total"] == pytest.approx(sum(value for part, value in energy.items() if part != "total"), abs=1e-8)
    assert told["schemes"]["channel_marker"]["ratios"]["energy"] == pytest.approx(both.ratios("channel_marker")["energy"])
    assert told["energy_estimates"] == list(both.accelerator.prices.estimates)
    assert told["accelerator"]["energy"]["dram"]["source"] == both.accelerator.energy.dram.source
