"""Do `validate dram|pcie|dataflow` and memory files work from the command line?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DDR4 = ROOT / "configs" / "memory" / "ddr4_2400.yaml"
TABLES = Path(__file__).parent / "validation" / "tables"

Program = Callable[..., tuple[int, str, str]]


def short(tmp_path: Path, table: str, rows: int) -> Path:
    """The first rows of a table."""
    path = tmp_path / table
    path.write_text("\n".join((TABLES / table).read_text("utf-8").splitlines()[: rows + 1]) + "\n", "utf-8")
    return path


def test_dram_prints_a_line_a_row_and_a_summary(program: Program, tmp_path: Path) -> None:
    table, second = short(tmp_path, "dram_ddr4_2400.csv", 3), TABLES / "dram_ddr4_2400_ramulator.csv"
    code, out, err = program("validate", "dram", "--table", table, "--config", DDR4, "--second-oracle", second)
    assert code == 0
    assert out.splitlines()[-1] == "3 of 3 rows pass"
    assert "seq: 3 rows, mean error" in out
    assert "DDR4-2400" in err


def test_dram_exits_1_on_a_miss(program: Program, tmp_path: Path) -> None:
    table = short(tmp_path, "dram_ddr4_2400.csv", 3)
    code, out, _ = program("validate", "dram", "--table", table, "--config", DDR4, "--mode", "fast", "--set", "timing.nCCD_S=8")
    assert code == 1
    assert "MISS" in out


def test_an_unknown_mode_is_refused(program: Program) -> None:
    code, _, err = program("validate", "dram", "--table", TABLES / "dram_ddr4_2400.csv", "--config", DDR4, "--mode", "ful")
    assert code == 2
    assert err == "--mode: 'ful' is unknown\n    allowed: full, fast.  Did you mean 'full'?\n"


@pytest.mark.parametrize(("kind", "table"), [("pcie", "pcie_bandwidth.csv"), ("dataflow", "systolic.csv")])
def test_tables_pass_and_a_wrong_one_exits_1(program: Program, tmp_path: Path, kind: str, table: str) -> None:
    code, out, _ = program("validate", kind, "--table", TABLES / table)
    assert code == 0
    assert out.splitlines()[-1].endswith("rows pass")
    header, first, *rest = (TABLES / table).read_text("utf-8").splitlines()
    cells = first.split(",")
    column = (
        header.split(",").index("total_cycles")
        if kind == "dataflow"
        else next(k for k, name in enumerate(header.split(",")) if "GBps" in name)
    )
    cells[column] = "1"
    wrong = tmp_path / table
    wrong.write_text("\n".join([header, ",".join(cells), *rest]) + "\n", "utf-8")
    code, out, _ = program("validate", kind, "--table", wrong)
    assert code == 1
    assert "1 miss" in out.splitlines()[-1]


def test_check_prints_what_a_memory_can_do(program: Program, tmp_path: Path) -> None:
    code, out, _ = program("check", DDR4)
    assert code == 0
    assert "# peak 19.208 GB/s over 1 channel(s), 95.51 % of it beside refresh; capacity 8 GiB" in out
    again = tmp_path / "again.yaml"
    again.write_text(out, "utf-8")
    assert program("check", again)[1].splitlines()[1:] == out.splitlines()[1:]


def test_check_prints_a_machine_with_banks_that_reads_back(program: Program, tmp_path: Path) -> None:
    code, out, _ = program("check", ROOT / "configs" / "accelerator" / "ddr4.yaml")
    assert code == 0
    assert "DRAM 19.208 GB/s" in out
    assert "unloaded read latency 63.32 ns" in out
    again = tmp_path / "again.yaml"
    again.write_text(out, "utf-8")
    assert program("check", again)[1].splitlines()[1:] == out.splitlines()[1:]


def test_accesses_must_be_whole_bursts(program: Program) -> None:
    code, _, err = program("check", ROOT / "configs" / "accelerator" / "ddr4.yaml", "--set", "dma.access=32 B")
    assert code == 2
    assert "access 32 B is not a multiple of the DRAM's burst of 64 bytes\n    write dma.access: 64 B" in err


def test_a_run_file_finds_the_memory_of_its_accelerator(program: Program, tmp_path: Path) -> None:
    machine = ROOT / "configs" / "accelerator" / "ddr4.yaml"
    file = tmp_path / "run.yaml"
    file.write_text(
        f"run:\n  name: rows\n  accelerator: {machine}\n  jobs: [{{trace: {ROOT}/traces/alexnet_dog_statistics.npz}}]\n", "utf-8"
    )
    folder = tmp_path / "results"
    code, _, err = program("run", file, "--results", folder, "--no-figures", "--no-layers", "--set", "accelerator.dram.mode=fast")
    assert code == 0, err
    told = json.loads((folder / "summary.json").read_text("utf-8"))["comparisons"][0]["schemes"]["dense"]
    assert told["dram"]["hits"] + told["dram"]["misses"] + told["dram"]["conflicts"] == told["dram"]["reads"] + told["dram"]["writes"]
    assert 50 < told["dram"]["row_hit_percent"] < 100
    assert told["totals"]["bytes_moved"] == 64 * (told["dram"]["reads"] + told["dram"]["writes"])
    assert program("check", folder / "config.yaml")[0] == 0


def test_schema_of_memory_is_json(program: Program) -> None:
    code, out, _ = program("schema", "memory")
    assert code == 0
    assert "memory" in json.loads(out)["$defs"]
