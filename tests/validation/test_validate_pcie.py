"""`validate pcie`: every published rate within 0.1 %."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.errors import ModelError
from accelsim.validation import pcie

TABLES = Path(__file__).parent / "tables"


@pytest.mark.parametrize("name", ["pcie_bandwidth", "pcie_sizes"])
def test_tables_in_the_repository_are_met_on_every_row(name):
    found = pcie.validate(TABLES / f"{name}.csv")
    assert found.passed, "\n".join(found.lines())
    assert max(abs(row.error) for row in found.rows) <= 1e-3
    assert len(found.rows) > 30


@pytest.mark.parametrize(("name", "rows"), [("bandwidth_gen3", 165), ("size_sweep_gen3_x8", 138)])
def test_golden_tables_are_met_on_every_row(shared, name, rows):
    found = pcie.validate(shared / f"golden/pcie/{name}.csv")
    assert found.passed, "\n".join(found.lines())
    assert len(found.rows) == rows
    assert max(abs(row.error) for row in found.rows) <= 1e-3


def table(tmp_path: Path, header: str, row: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n{row}\n")
    return path


def test_vendor_measurements_are_near(tmp_path):
    # Source: Intel AN 690, generation 3 x8: 7.1 GB/s each way; the closed forms give 7.11 and 7.22
    found = pcie.validate(table(tmp_path, "gen,lanes,mps,wr_sym_GBps,rd_sym_GBps", "3,8,256,7.1,7.1"))
    assert max(abs(row.error) for row in found.rows) < 0.02


def test_a_rate_that_is_off_misses(tmp_path):
    found = pcie.validate(table(tmp_path, "gen,lanes,mps,tlp_pub_GBps", "gen3,x8,256,7.25"))
    assert not found.passed
    assert found.lines()[0].startswith("MISS  gen3 x8  payload 256 B  4096 B  tlp_pub_GBps 7.2")


@pytest.mark.parametrize(
    ("header", "row", "fault"),
    [
        ("gen,lanes,mps,wr_pub_GBps", "gen9,x8,256,1", ":2: column 1 (gen): 'gen9'; allowed: gen1 to gen5"),
        ("gen,lanes,mps,wr_pub_GBps", "gen3,x3,256,1", "column 2 (lanes): 'x3'; allowed: x1, x2, x4, x8, x16"),
        ("gen,lanes,mps,wr_pub_GBps", "gen3,x8,300,1", "column 3 (mps): 300; allowed: 128, 256, 512"),
        ("gen,lanes,mps,size_B,wr_pub_GBps", "gen3,x8,256,0,1", "a transfer of 0 bytes"),
        ("gen,lanes,mps", "gen3,x8,256", "nothing to compare; allowed: raw_GBps, "),
    ],
)
def test_a_table_that_cannot_be_is_named_by_place(tmp_path, header, row, fault):
    with pytest.raises(ModelError) as told:
        pcie.validate(table(tmp_path, header, row))
    assert fault in str(told.value)
