"""Figures as files, and that drawing leaves no trace elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from report_samples import comparison, layers_frame, trace

from accelsim import plots, simulate
from accelsim.errors import ConfigError
from accelsim.plots.style import slug
from accelsim.report import read_layers, write


def test_a_figure_is_saved_as_png_and_svg(tmp_path: Path) -> None:
    paths = plots.save(plots.bytes_per_layer(layers_frame(3)), tmp_path / "figures", "traffic")
    assert [path.name for path in paths] == ["traffic.png", "traffic.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in paths[1].read_bytes()[:1000]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["traffic.png", "traffic.svg"]


def test_a_png_has_200_dots_an_inch() -> None:
    png = plots.render(plots.bytes_per_layer(layers_frame(3), 3.5))["png"]
    assert int.from_bytes(png[16:20], "big") == 700


def test_the_same_data_give_the_same_bytes() -> None:
    first, second = (plots.render(plots.stall_causes(layers_frame(4))) for _ in range(2))
    assert first == second
    assert b"dc:date" not in first["svg"]


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path, target: Path) -> Path:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="no"):
        plots.save(plots.bytes_per_layer(layers_frame(2)), tmp_path, "traffic")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("a b/c", "a-b-c"),
        ("图", "figure"),
        ("", "figure"),
        ("x" * 500, "x" * 120),
        ("v1.1_dog", "v1.1_dog"),
    ],
)
def test_names_become_harmless_file_names(name: str, file: str) -> None:
    assert slug(name) == file


def test_drawing_changes_no_setting_and_follows_none() -> None:
    plain = plots.render(plots.bytes_per_layer(layers_frame(3)))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other", "text.usetex": False}):
        before = dict(mpl.rcParams)
        odd = plots.render(plots.bytes_per_layer(layers_frame(3)))
        assert dict(mpl.rcParams) == before
    assert odd == plain


def test_drawing_needs_no_pyplot_and_no_screen() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests'); from report_samples import layers_frame; from accelsim import plots; "
        "plots.render(plots.cycles_per_layer(layers_frame(2))); assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_results_folder_holds_every_figure_and_draws_them_again(tmp_path: Path) -> None:
    both = comparison()
    figures = dict(plots.files([*plots.of_layers(both.as_frame()), *plots.of_trace(trace())]))
    write(tmp_path / "results", [both], "", figures)
    names = ["bytes_per_layer", "cycles_per_layer", "energy_breakdown", "paper_figure6", "stall_causes", "stall_shares", "zero_channel_map"]
    stems = sorted(path.stem for path in (tmp_path / "results" / "figures").glob("*.svg"))
    assert stems == [f"two_layers_checks_{name}" for name in names]
    again = dict(plots.files(plots.of_layers(read_layers(tmp_path / "results"))))
    assert again == {name: content for name, content in figures.items() if name in again}
    assert len(again) == 10


def test_each_network_and_image_has_its_own_figures() -> None:
    table = pd.concat([layers_frame(2, network="a"), layers_frame(2, network="a", image="cat"), layers_frame(3, network="b")])
    names = [name for name, _ in plots.of_layers(table)]
    assert len(set(names)) == 15
    assert [name for name in names if name.endswith("bytes_per_layer")] == [
        "a_dog_bytes_per_layer",
        "a_cat_bytes_per_layer",
        "b_dog_bytes_per_layer",
    ]


def test_a_slide_is_1920_pixels_wide_and_its_text_larger(tmp_path: Path) -> None:
    look = plots.look("screen")
    png = plots.render(plots.bytes_per_layer(layers_frame(3), look.width), look.dpi)["png"]
    assert int.from_bytes(png[16:20], "big") == 1920
    assert look.width < plots.look("paper").width


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'screen'"):
        plots.look("scren")


def test_the_figures_of_a_folder_are_drawn_again_in_another_style(tmp_path: Path) -> None:
    write(tmp_path, [comparison()], "run:\n  name: x\n")
    drawn = list(simulate.plot(tmp_path, "column"))
    names = {path.name for path in drawn}
    assert {"two_layers_checks_bytes_per_layer.png", "two_layers_checks_bandwidth_over_time.svg"} <= names
    png = (tmp_path / "figures" / "two_layers_checks_bytes_per_layer.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == 700
