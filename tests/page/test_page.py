"""The page of a results folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_samples import comparison

from accelsim import page, report
from accelsim.errors import ConfigError
from accelsim.page.tables import Table

CONFIG = "run:\n  name: test & <more>\n"
Program = Callable[..., tuple[int, str, str]]


class Balance(HTMLParser):
    """Finds tags that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "input", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def html(**changes: bytes) -> str:
    return page.of_folder(report.contents([comparison()], CONFIG) | changes).decode()


def test_a_page_of_a_run_tells_headline_tables_machine_source_and_the_command() -> None:
    text = html()
    first = comparison()
    assert Balance(text).open == []
    assert f"{first.network}, {first.image}" in text
    assert "channel_marker against dense: DRAM bytes" in text
    ratio = first.ratios("channel_marker")["bytes_moved"]
    assert ratio is not None
    assert f"{abs(100 * (ratio - 1)):.2f}\N{NO-BREAK SPACE}%" in text
    assert "name: test &amp; &lt;more&gt;" in text
    assert "accelsim run config.yaml" in text
    for row in first.baseline.layers:
        assert f"<td>{row.layer}</td>" in text


def test_names_from_outside_are_text_never_markup() -> None:
    text = page.of_folder(report.contents([comparison(image='<script src="x">')], CONFIG)).decode()
    assert "<script src" not in text
    assert "&lt;script src" in text


def test_a_page_names_no_address_it_would_fetch() -> None:
    text = html(**{"figures/x.png": b"png"})
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_figures_stand_with_their_trace() -> None:
    first = comparison()
    name = f"{first.network}_{first.image}"
    text = html(**{f"figures/{name}_bytes_per_layer.png": b"one", "figures/other_map.png": b"two"})
    assert 'alt="bytes per layer"' in text
    assert 'alt="map"' not in text


def test_the_same_folder_gives_the_same_bytes() -> None:
    assert html() == html()


def test_a_page_is_written_into_the_folder_it_shows(tmp_path: Path, program: Program) -> None:
    report.write(tmp_path / "results", [comparison()], CONFIG)
    code, out, _ = program("report", tmp_path / "results")
    assert code == 0
    assert out.strip() == str(tmp_path / "results" / "report.html")
    assert (tmp_path / "results" / "report.html").read_text("utf-8") == html()


@pytest.mark.parametrize("damage", ["summary.json", "layers.csv"])
def test_a_damaged_folder_is_refused_and_nothing_is_written(tmp_path: Path, program: Program, damage: str) -> None:
    report.write(tmp_path / "results", [comparison()], CONFIG)
    (tmp_path / "results" / damage).write_text("{}")
    code, _, err = program("report", tmp_path / "results")
    assert code == 2
    assert "cannot be read" in err
    assert "accelsim run" in err
    assert not (tmp_path / "results" / "report.html").exists()


def test_a_folder_without_results_is_refused(tmp_path: Path, program: Program) -> None:
    code, _, err = program("report", tmp_path)
    assert code == 2
    assert "summary.json" in err
    with pytest.raises(ConfigError):
        page.add(tmp_path / "nowhere")


def test_cells_of_a_column_have_the_same_digits_and_quantities_their_size() -> None:
    frame = pd.DataFrame(
        {"ratio": [1.0, 0.97555, None], "count": [1, 2000, 3], "size": ["64 KiB", "1 MiB", "32 KiB"], "name": ["b", "a", "1"]}
    )
    table = Table.of(frame, "all")
    shown = dict(zip(frame.columns, zip(*table.rows, strict=True), strict=True))
    assert [cell.text for cell in shown["ratio"]] == ["1.0000", "0.9756", ""]
    assert [cell.text for cell in shown["count"]] == ["1", "2,000", "3"]
    assert [cell.value for cell in shown["size"]] == ["65536", "1048576", "32768"]
    assert [column.is_number for column in table.columns] == [True, True, True, False]
