"""What a sweep costs: points per second on one and on two processes, and the memory of all of them.

A part of configs/sweep/thousand.yaml: its five links and five schemes, three of its buffers and two of its arrays are 150 points, with the
DRAM in full and in fast mode. Every run is the command line, kernels compiled before. Times are reported, never asserted: they belong to
the machine and its load, so the processors' time stands beside the wall clock's. That tables are equal is asserted.
See the numbers: `python -m pytest tests/benchmarks/test_sweep_speed.py -m benchmark -s`, or `--benchmark-json`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
AXES = (
    "axes={accelerator.buffer.size: [32 KiB, 128 KiB, 1 MiB], accelerator.link.bytes_per_cycle: [4, 8, 16, 32, 64], "
    "accelerator.pe_array.rows: [16, 32], accelerator.pe_array.cols: [16, 32]}"
)
POINTS = 150
ROUNDS = 2


@dataclass(frozen=True)
class Cost:
    """What a command took. Units: seconds of the wall clock and of all processors; MiB of all processes at once, shared pages once."""

    wall: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f"{POINTS / self.wall:.1f} points/s, {self.wall:.1f} s, {self.processor:.1f} s of processors, {self.memory:.0f} MiB"


def sweep(folder: Path, processes: int, mode: str) -> Cost:
    """Run the sweep into an empty folder."""
    settings = [f"--set={text}" for text in (AXES, f"sweep.accelerator.dram.mode={mode}")]
    command = [sys.executable, "-m", "accelsim", "sweep", "configs/sweep/thousand.yaml", "--no-figures", *settings]
    begin = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [*command, "--processes", str(processes), "--results", str(folder)], cwd=ROOT, env=environment, stdout=-3, stderr=-3
    )
    most, spent = 0.0, dict[int, float]()
    while driver.poll() is None:
        members = family(driver.pid)
        most = max(most, sum(map(proportional, members)))
        spent |= {member: seconds for member in members if (seconds := processor(member))}
        time.sleep(0.2)
    wall = time.perf_counter() - begin
    assert driver.returncode == 0
    return Cost(wall, sum(spent.values()), most / 1024)


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        children = []
    return [pid, *(member for child in children for member in family(int(child)))]


def processor(pid: int) -> float:
    """Seconds that a process has had of all processors, its own alone; 0 where the system does not tell, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional(pid: int) -> int:
    """Resident KiB of a process, each shared page divided by those that share it; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@pytest.mark.parametrize("mode", ["full", "fast"])
def test_a_sweep_on_one_and_two_processes(mode: str, tmp_path: Path, benchmark: Any) -> None:
    sweep(tmp_path / "warm", 1, mode)  # compiles what is not compiled
    costs = {count: [sweep(tmp_path / f"{count}_{turn}", count, mode) for turn in range(ROUNDS)] for count in (1, 2)}
    best = {count: min(found, key=lambda cost: cost.wall) for count, found in costs.items()}
    benchmark.pedantic(lambda: sweep(tmp_path / "last", 2, mode), rounds=1)
    scaling = best[1].wall / best[2].wall
    benchmark.extra_info.update({"points_per_second": POINTS / best[2].wall, "scaling": scaling, "memory_mib": best[2].memory})
    print(f"\n{mode} DRAM, load {os.getloadavg()[0]:.1f}")
    for count, cost in best.items():
        print(f"  {count} process{'es' * (count > 1)}: {cost}")
    print(f"  scaling from one to two: {scaling:.2f}")
    tables = {(tmp_path / name / "sweep.csv").read_bytes() for name in ("1_0", "2_0", "last")}
    assert len(tables) == 1
