"""What a whole network costs, warm, in one process: CPU seconds of each phase, peak memory, and the functions that take the time.

Warm means that kernels are loaded and the tilings of the network are known; the first replay of a process, beside it, searches them.
Data of 8 bits; synthetic traces with a tenth of the channels zero, drawn at random places, so that every network is there without assets.
Times are reported, never asserted: they belong to the machine and its load. That phases and `simulate.replay` give one result is asserted.
See the numbers: `-m benchmark -s`, or `--benchmark-json`.
"""

from __future__ import annotations

import cProfile
import itertools
import json
import os
import pstats
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from accelsim import engines, simulate
from accelsim.engines.check import check
from accelsim.engines.machine import resolve
from accelsim.hardware import Accelerator
from accelsim.networks import synthetic, zoo
from accelsim.networks.network import total_macs
from accelsim.report import Result
from accelsim.schedule import build
from accelsim.trace import Trace

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
EIGHT_BITS = ("accelerator.data.ifmap_bits=8", "accelerator.data.filter_bits=8")
NETWORKS = ("resnet50", "mobilenet_v2", "vgg16")
SCHEMES = ("dense", "channel_marker")
MACHINES = ("edge", "ddr4")
PHASES = ("schedule", "replay", "checks", "result")
ROUNDS = 7
FUNCTIONS = 12

CHILD = """
import json, resource, sys, time
from accelsim import simulate
from accelsim.networks import synthetic, zoo

def peak():
    # a process starts with the getrusage maximum of the one that started it; its own high-water mark is in /proc where there is one
    try:
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

machine, network, scheme, *overrides = sys.argv[1:]
imported = peak()
made = simulate.load_accelerator(machine, overrides)
simulate.replay(synthetic.trace(zoo.load("tinynet@64").graph), made, scheme)
trace = synthetic.trace(zoo.load(network).graph)
began = time.process_time()
simulate.replay(trace, made, scheme)
print(json.dumps({"imported": imported, "peak": peak(), "first": time.process_time() - began}))
"""


def accelerator_file(name: str) -> Path:
    return ROOT / "configs/accelerator" / f"{name}.yaml"


def accelerator(name: str) -> Accelerator:
    return simulate.load_accelerator(accelerator_file(name), EIGHT_BITS)


def phases(trace: Trace, machine: Accelerator, scheme: str) -> tuple[Result, list[float], dict[str, int]]:
    """One replay, step by step: its result, CPU seconds of each phase, and how large its tables are."""
    stamps = [time.process_time()]
    schedule = build(trace, machine, scheme)
    stamps.append(time.process_time())
    timeline = engines.run(schedule, resolve(machine))
    stamps.append(time.process_time())
    check(schedule, timeline, machine)
    stamps.append(time.process_time())
    result = Result.of(trace, machine, schedule, timeline, engine="fast")
    stamps.append(time.process_time())
    sizes = {
        "tiles": schedule.tiles.layer.size,
        "descriptors": schedule.descriptors.rows.size,
        "bursts": int(timeline.bursts.sum()),
    }
    return result, [after - before for before, after in itertools.pairwise(stamps)], sizes


def new_process(machine: str, network: str, scheme: str) -> dict[str, float]:
    """Bytes of a process of its own, after its imports and at most; CPU seconds of its first replay, kernels loaded, tilings not."""
    arguments = [sys.executable, "-c", CHILD, str(accelerator_file(machine)), network, scheme, *EIGHT_BITS]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_network_from_trace_to_result(
    benchmark: Any, machine: str, network: str, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, made = zoo.load(network).graph, accelerator(machine)
    trace = synthetic.trace(graph)
    whole = benchmark.pedantic(simulate.replay, (trace, made, scheme), rounds=ROUNDS, warmup_rounds=1)
    rounds = [phases(trace, made, scheme) for _ in range(ROUNDS)]
    result, _, sizes = rounds[-1]
    # the rounds differ in noise alone: the least of each phase is what it costs
    least = dict(zip(PHASES, map(min, zip(*(spent for _, spent, _ in rounds), strict=True)), strict=True))
    alone = new_process(machine, network, scheme)
    benchmark.extra_info.update(
        {f"{phase}: CPU ms": round(seconds * 1e3, 2) for phase, seconds in least.items()}
        | {"all: CPU ms": round(sum(least.values()) * 1e3, 2), "first of a process: CPU ms": round(alone["first"] * 1e3, 2)}
        | {"imports: MiB": round(alone["imported"] / 2**20), "peak: MiB": round(alone["peak"] / 2**20)}
        | sizes
    )
    with capsys.disabled():
        print(f"\n{network}, {scheme}, {made.name}:", ", ".join(f"{name} {value:,}" for name, value in benchmark.extra_info.items()))

    pd.testing.assert_frame_equal(result.as_frame(), whole.as_frame())
    assert result.totals["macs_done"] + result.totals["macs_skipped"] == total_macs(graph)


def test_resnet50_dense_and_marker_with_banks(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The two replays of a comparison, builds and checks and results included, and the memory of a process that makes them."""
    trace, made = synthetic.trace(zoo.load("resnet50").graph), accelerator("ddr4")
    both = benchmark.pedantic(lambda: [simulate.replay(trace, made, scheme) for scheme in SCHEMES], rounds=ROUNDS, warmup_rounds=1)
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for scheme in SCHEMES:
            simulate.replay(trace, made, scheme)
        spent.append(time.process_time() - began)
    peak = max(new_process("ddr4", "resnet50", scheme)["peak"] for scheme in SCHEMES) / 2**20
    benchmark.extra_info.update({"CPU seconds": round(min(spent), 3), "peak: MiB": round(peak)})
    with capsys.disabled():
        print(f"\nresnet50, 8 bit, dense and marker on ddr4: {min(spent):.3f} CPU seconds, peak {peak:.0f} MiB")
    assert both[0].totals["bytes_moved"] > both[1].totals["bytes_moved"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_which_functions_take_the_time(benchmark: Any, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    trace, made = synthetic.trace(zoo.load("resnet50").graph), accelerator("edge")
    benchmark.pedantic(simulate.replay, (trace, made, scheme), rounds=1, warmup_rounds=1)
    profile = cProfile.Profile()
    result = profile.runcall(simulate.replay, trace, made, scheme)
    found = pstats.Stats(profile).get_stats_profile()
    ours = sorted(found.func_profiles.items(), key=lambda item: -item[1].tottime)[:FUNCTIONS]
    lines = [f"{name} ({Path(entry.file_name).name}): {entry.ncalls} calls, {entry.tottime / found.total_tt:.0%}" for name, entry in ours]
    benchmark.extra_info["own time, of all"] = lines
    with capsys.disabled():
        print(f"\nresnet50, {scheme}, own time under the profiler:", *lines, sep="\n    ")
    assert result.totals["total_cycles"] > 0
