"""Printed numbers beside measured ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import ModelError
from accelsim.paper import show
from accelsim.paper.numbers import COLUMNS, Gap, Key, Measured, Printed, read_printed, side_by_side

PRINTED = Path(__file__).parents[2] / "configs/paper/printed.csv"


def key(network: str = "Net", at: str = "0", item: str = "Table 1") -> Key:
    return Key(item, network, "within", at, "%")


@pytest.mark.parametrize(
    ("text", "note", "measured", "agrees"),
    [
        ("0.56", "", 0.5557, True),
        ("0.56", "", 0.5549, False),
        ("781", "cut, not rounded", 781.736, True),
        ("782", "cut, not rounded", 781.736, False),
        ("782", "", 781.736, True),
        ("-0.01", "", -0.0141, True),
        ("0.00", "", -0.0001, True),
        ("99.80", "", 99.8, True),
        ("0.29", "cut", 0.29, True),
        ("60", "at least: says over 60 %", 61.5, True),
        ("60", "at least: says over 60 %", 59.9, False),
    ],
)
def test_a_number_agrees_where_its_digits_are_the_printed_ones(text: str, note: str, measured: float, agrees: bool) -> None:
    assert Printed(key(), text, note).agrees(measured) is agrees


@given(st.decimals(-1000, 1000, places=2))
def test_a_printed_number_agrees_with_itself(value: object) -> None:
    assert Printed(key(), str(value), "").agrees(float(str(value)))


def test_numbers_stand_side_by_side_and_what_is_missing_says_why() -> None:
    printed = [Printed(key(at=at), "1.00", "") for at in ("0", "1")] + [Printed(key("Other"), "2", "note")]
    measured = [Measured(key(), 1.5, "here"), Measured(key(), 1.0, "there"), Measured(key(at="9"), 3.0, "beyond")]
    gaps = [Gap("Table 1", "Other", "no weights"), Gap("", "Other", "nothing"), Gap("", "Net", "absent")]
    table = side_by_side(printed, measured, gaps)
    assert tuple(table.columns) == COLUMNS
    rows = [
        tuple(row) for row in table[["network", "at", "printed", "measured", "deviation", "agrees", "data", "why"]].itertuples(index=False)
    ]
    assert rows[0] == ("Net", "0", "1.00", 1.5, 0.5, "no", "here", "")
    assert rows[1] == ("Net", "0", "1.00", 1.0, 0.0, "yes", "there", "")
    assert rows[2][:3] + rows[2][5:] == ("Net", "1", "1.00", "", "", "absent")
    assert math.isnan(rows[2][3])
    assert rows[3][-1] == "no weights"
    assert rows[4][:4] == ("Net", "9", "", 3.0)
    counts = show.tally(table)
    assert counts.iloc[0].tolist() == ["Table 1", 3, 1, 1]


def test_the_tables_of_the_paper_are_whole() -> None:
    printed = read_printed(PRINTED)
    counts = {item: sum(one.key.item == item for one in printed) for item in dict.fromkeys(one.key.item for one in printed)}
    # six networks, times: 9 thresholds; 6 epsilons x top-1 and top-5; 5 images x 2 epsilons, outputs, saved, share of them
    assert {name: counts[name] for name in ("Table 1", "Table 2", "Table 3", "Table 4")} == {
        "Table 1": 54,
        "Table 2": 54,
        "Table 3": 72,
        "Table 4": 78,
    }
    assert len({one.key for one in printed}) == len(printed), "no number stands twice"
    for table in ("Table 1", "Table 2"):
        for network in dict.fromkeys(one.key.network for one in printed if one.key.item == table):
            row = [one.value for one in printed if (one.key.item, one.key.network) == (table, network)]
            assert row == sorted(row), f"{table}, {network}: more lies within a larger threshold"


def test_a_faulty_table_is_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "printed.csv"
    path.write_text("item,network,quantity,at,unit,printed,note\nTable 1,Net,within,0,%,x,\nTable 1,,within,0,%,nan,\n", "utf-8")
    with pytest.raises(ModelError) as fault:
        read_printed(path)
    for part in (f"{path}:2: column 6 (printed)", f"{path}:3: column 2 (network): empty", f"{path}:3: column 6 (printed): 'nan'"):
        assert part in str(fault.value)


def test_lines_of_a_grid_hold_printed_measured_and_deviation() -> None:
    printed = [Printed(key(at="1"), "2.0", "cut"), Printed(key(at="0"), "1.000", "")]
    measured = [Measured(key(at="0"), 1.0625, "weights; of another training"), Measured(key(at="1"), 2.05, "weights; of another training")]
    (grid,) = show.grids(side_by_side(printed, measured, []))
    assert grid.columns == ("0", "1")
    assert grid.lines == (
        ("Net", "within (%)", "printed", "1.000", "2.0"),
        ("Net", "within (%)", "weights*", "1.062", "2.05"),
        ("Net", "within (%)", "deviation", "+0.062", "+0.05"),
    )
    assert grid.notes == ("* Net: of another training", "Net: cut")
    page = show.markdown(side_by_side(printed, measured, []), side_by_side([], [], []), ["figures/x.png"])
    assert "| Net | within (%) | weights* | 1.062 | 2.05 |" in page
    assert "![x](figures/x.png)" in page
