"""Bursts per second of the DRAM channel, full and in order.

Times are reported, never asserted: they belong to the machine and its load. That the cost grows linearly is shown by two sizes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from accelsim.hardware.memory import load_memory
from accelsim.validation import dram, streams

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # of the CPU: others may be at work on the machine

FOLDER = Path(__file__).parents[2] / "configs/memory"
PATTERNS = {
    "stream of reads": ("seq_r", ""),
    "stream of writes": ("seq_w", ""),
    "holes": ("holes", "C=3136;p=0.5"),
    "reads and writes": ("rw", "T=64;off=0;rr=1"),
    "random bursts": ("rand", "L=1;F=67108864"),
}


def timed(benchmark: Any, technology: str, pattern: str, count: int, mode: str) -> None:
    name, params = PATTERNS[pattern]
    memory = load_memory(FOLDER / f"{technology}.yaml")
    words = streams.make(name, streams.parse(params), count)
    run = benchmark.pedantic(dram.drive, (memory, words, 32), {"mode": mode}, rounds=5, warmup_rounds=1)
    benchmark.extra_info["million_bursts_per_second"] = round(count / benchmark.stats.stats.min / 1e6, 1)
    assert run.counts.reads + run.counts.writes >= count - 8


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("technology", ["ddr4_2400", "lpddr4_3200", "hbm2"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_bursts_per_second(benchmark: Any, pattern: str, technology: str, mode: str) -> None:
    timed(benchmark, technology, pattern, 200_000, mode)


@pytest.mark.parametrize("count", [100_000, 1_000_000])
def test_cost_grows_with_bursts(benchmark: Any, count: int) -> None:
    timed(benchmark, "ddr4_2400", "stream of reads", count, "full")
