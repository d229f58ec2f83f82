"""`validate dataflow`: cycles of whole layers, exact on every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.errors import ModelError
from accelsim.validation import dataflow

TABLES = Path(__file__).parent / "tables"
HEADER = "ifm_h,ifm_w,flt_h,flt_w,ch,filters,stride,array_h,array_w,dataflow,total_cycles"


def test_the_table_in_the_repository_is_met_exactly():
    found = dataflow.validate(TABLES / "systolic.csv")
    assert found.passed, "\n".join(found.lines())
    assert all(row.model == row.reference for row in found.rows)
    assert {row.family for row in found.rows} == {"os", "ws", "is"}


def test_the_golden_table_is_met_exactly(shared):
    found = dataflow.validate(shared / "golden/dataflow/systolic_cycles.csv")
    assert found.passed, "\n".join(found.lines())
    assert len(found.rows) == 111
    assert all(row.model == row.reference for row in found.rows)


def table(tmp_path: Path, row: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\n{row}\n")
    return path


def test_one_cycle_off_misses(tmp_path):
    # One fold of four pixels, nine window elements, two filters on a 4 x 2 array: 4 + 2 + 9 - 2 cycles, printed as 12.
    assert dataflow.validate(table(tmp_path, "4,4,3,3,1,2,1,4,2,os,12")).passed
    found = dataflow.validate(table(tmp_path, "4,4,3,3,1,2,1,4,2,os,13"))
    assert not found.passed
    assert "differs by -1 cycles" in found.lines()[0]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("4,4,3,3,1,2,1,4,2,rs,12", "column 10 (dataflow): 'rs'; allowed: os, ws, is"),
        ("4,4,3,3,1,0,1,4,2,os,12", "column 6 (filters): 0; sizes are 1 or more"),
        ("2,4,3,3,1,1,1,4,2,os,12", "a filter of 3 x 3 is larger than its ifmap, 2 x 4"),
    ],
)
def test_a_layer_that_cannot_be_is_named_by_line(tmp_path, row, fault):
    with pytest.raises(ModelError) as told:
        dataflow.validate(table(tmp_path, row))
    assert fault in str(told.value)
