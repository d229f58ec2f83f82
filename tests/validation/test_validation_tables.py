"""Reference tables: every fault is named by line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.errors import ModelError
from accelsim.validation.tables import MAX_FAULTS, Column, count, magnitude, number, read_table, text

COLUMNS = {"name": Column(text, required=True), "n": Column(count), "x": Column(number, optional_cells=True), "eps": Column(magnitude)}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "t.csv"


def read(table: Path, content: str | bytes):
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(table, COLUMNS)


def test_known_columns_are_read_and_others_ignored(table):
    (first, second) = read(table, "name, n ,other,x\na,3,?,1e3\n\nb,0,!,\n")
    assert (first.number, dict(first.cells)) == (2, {"name": "a", "n": 3, "x": 1000.0})
    assert (second.number, dict(second.cells)) == (4, {"name": "b", "n": 0})


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(table):
    assert read(table, "\ufeffname,n\r\na,1\r\n")[0].cells == {"name": "a", "n": 1}


def test_all_faults_of_a_table_are_told_together(table):
    with pytest.raises(ModelError) as fault:
        read(table, "name,n,eps\n,1.5,0\na,-2,-1\nb,1\nc,7,nan\n")
    assert str(fault.value).splitlines() == [
        f"{table}:2: column 1 (name): empty; a text is needed",
        f"{table}:2: column 2 (n): '1.5' is not a whole number from 0",
        f"{table}:3: column 2 (n): '-2' is not a whole number from 0",
        f"{table}:3: column 3 (eps): '-1': allowed: numbers from 0",
        f"{table}:4: 2 cells, the header has 3",
        f"{table}:5: column 3 (eps): 'nan' is not a finite number",
    ]


def test_a_table_in_the_wrong_format_does_not_flood_the_terminal(table):
    with pytest.raises(ModelError) as fault:
        read(table, "name,n\n" + "a,x\n" * 100)
    assert len(str(fault.value).splitlines()) == MAX_FAULTS + 1
    assert str(fault.value).endswith("... and 80 more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; a header line is needed with name, n, x, eps"),
        ("name,n\n", "a header and no rows"),
        ("nam,n\na,1\n", "1: no column 'name'; found: nam, n\n    is 'nam' meant for 'name'?"),
        ("name,n,n\na,1,1\n", "1: column 2: 'n' stands more than once"),
        (b"name\n\xff\xfe\n", "not text in UTF-8 (byte 5); a CSV file is needed"),
        ('name\n"open\n', "2: not CSV: unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused(table, content, message):
    with pytest.raises(ModelError) as fault:
        read(table, content)
    assert message in str(fault.value)
    assert str(fault.value).startswith(str(table))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.csv: cannot be read: No such file or directory"):
        read_table(tmp_path / "absent.csv", COLUMNS)
