"""A small house for sweeps: a machine, a trace and a sweep file of 4 x 2 machines under two schemes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machine_samples import SMALL_MACHINE
from schedule_samples import conv, graph, maxpool, trace

from accelsim import sweeps, tracefile
from accelsim.designspace.store import FILE

ROOT = Path(__file__).parents[1]
SWEEP = """\
sweep:
  name: tried
  accelerator: small.yaml
  schemes: [channel_marker]
  axes:
    accelerator.buffer.size: {from: 2 KiB, to: 16 KiB, scale: powers_of_two}
    accelerator.link.bytes_per_cycle: [4, 16]
  jobs: [{trace: noise.npz}]
  processes: 1
  results: out
"""
PATH = "accelerator.buffer.size"
RATE = "accelerator.link.bytes_per_cycle"


def furnish(folder: Path) -> None:
    """Write the machine, the trace and the sweep."""
    (folder / "small.yaml").write_text(SMALL_MACHINE)
    (folder / "sweep.yaml").write_text(SWEEP)
    tracefile.save(trace(graph((4, 12, 12), conv(8, 3), maxpool(), conv(16, 3))), folder / "noise.npz")


def swept(**more: object) -> sweeps.Outcome:
    """What sweep.yaml of the current folder gives."""
    return sweeps.run("sweep.yaml", figures=False, **more)  # type: ignore[arg-type]


def many(rates: int = 40) -> None:
    """Let sweep.yaml have so many rates, under three sizes and two schemes; each size and scheme is one schedule."""
    Path("sweep.yaml").write_text(
        SWEEP.replace("[4, 16]", f"{{from: 1, to: {rates}, steps: {rates}}}").replace("from: 2 KiB", "from: 4 KiB")
    )


def start(*more: str) -> subprocess.Popen[str]:
    """A sweep of two processes in a session of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "accelsim", "sweep", "sweep.yaml", "--processes", "2", "--no-figures", *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]


def wait_for_points(driver: subprocess.Popen[str], more: int, seconds: float = 120) -> bool:
    """Until the driver has kept so many points more than it found; False where it ended before."""
    log, begin = Path("out") / f"{FILE}-wal", time.monotonic()
    first = None
    while driver.poll() is None:
        size = log.stat().st_size if log.exists() else 0
        first = size if first is None and size > 20_000 else first
        if first is not None and size >= first + more:
            return True
        if time.monotonic() - begin > seconds:
            driver.kill()
            pytest.fail(f"the sweep stood still: {driver.communicate()}")
        time.sleep(0.002)
    return False
