"""Tables on a terminal."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from report_samples import comparison, dense, marker, wide_result
from rich.console import Console, RenderableType

from accelsim.report import Comparison, layer_table, notes, tables, totals_table


def shown(thing: RenderableType, width: int = 120) -> str:
    """What a terminal of that width shows."""
    console = Console(width=width, file=StringIO(), color_system=None, legacy_windows=False)
    console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def header(text: str) -> str:
    """The lines above the rule, without their line breaks."""
    return " ".join(text.partition("──")[0].split())


@pytest.fixture(scope="module")
def wide() -> Comparison:
    return Comparison.of([wide_result(30, "dense"), wide_result(30, "channel_marker", 0.9)])


def test_every_header_has_its_unit(wide: Comparison) -> None:
    text = header(shown(layer_table(wide)))
    assert text.count("MB") == 2
    assert "cycles" in text
    assert text.count("ratio") == 2
    assert text.count("%") == 3


def test_a_wide_comparison_fits_120_columns_with_nothing_dropped(wide: Comparison) -> None:
    text = shown(layer_table(wide))
    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
    assert "029_convolutional" in text
    assert "12.76" in text
    assert "1,345,678" in text
    assert "maxpool" in text
    assert "1,234" in text


@pytest.mark.parametrize("width", [100, 80, 60, 50])
def test_narrow_terminals_lose_columns_but_never_digits(wide: Comparison, width: int) -> None:
    text = shown(layer_table(wide), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "029_convolutional" in text
    assert "0.900" in text
    assert "maxpool" not in text


def test_numbers_stand_on_the_right_and_names_on_the_left(wide: Comparison) -> None:
    justified = {str(column.header): column.justify for column in tables(wide)[0].at(120).columns}
    assert {name for name, side in justified.items() if side == "left"} == {"layer", "kind"}
    assert len(justified) == 12


def test_small_layers_are_told_in_kilobytes() -> None:
    text = shown(layer_table(comparison()))
    assert "kB" in header(text)
    assert "0.7" in text


def test_the_foot_adds_up_and_the_caption_names_slower_layers() -> None:
    text = shown(layer_table(comparison(later=5)))
    assert "all" in text
    assert "100" in text
    caption = " ".join(text.split())
    assert "Slower with channel_marker than with dense: conv2 (+5 cycles: +5 waiting for its ifmap; 2 more descriptors," in caption


def test_a_single_scheme_has_a_table_without_ratios() -> None:
    text = shown(layer_table(Comparison.of([dense()])))
    assert "ratio" not in text
    assert "conv2" in text


def test_each_further_scheme_has_its_own_table() -> None:
    both = Comparison.of([dense(), marker(), marker(scheme="part_marker")])
    assert len(tables(both)) == 2
    assert "part" in shown(layer_table(both))


@pytest.mark.parametrize("width", [120, 80, 60])
def test_the_totals_keep_the_source_at_every_width(width: int) -> None:
    text = shown(totals_table([comparison("published statistics"), comparison(image="cat", later=5)]), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("published") == text.count("statistics") == 2
    assert text.count("1.053") == 1
    assert "two_layers" in text


def test_the_totals_say_where_layers_became_slower() -> None:
    text = shown(totals_table([comparison(), comparison(image="cat", later=5)]))
    text = " ".join(text.split())
    assert "two_layers, cat: 1 of 2 layers take longer with channel_marker than with dense, 5 cycles in all; most: conv2 (+5 cycles" in text


def test_layer_tables_name_the_source_in_their_title() -> None:
    assert "source: published statistics" in shown(layer_table(comparison("published statistics")))


def test_square_brackets_in_names_are_shown_as_they_are() -> None:
    result = replace(dense(), network="[bold]net[/bold]", image="[/]")
    assert "[bold]net[/bold], [/]" in shown(layer_table(Comparison.of([result])))
    assert "[bold]net[/bold]" in shown(totals_table([Comparison.of([result])]))


def test_notes_of_all_comparisons_are_listed_once() -> None:
    assert notes([comparison(), comparison(image="cat")]) == ("made by hand", "marker bits in raster order")
