"""SCALE-Sim 3.0.0 and this program on the same five layers and the same machine, in one run: equal cycles, and what each costs.

Both read one topology file and one configuration: AlexNet's convolutions, `os` on 128 x 128 PEs, buffers that hold what a tile of whole
windows needs, bandwidth never the limit. SCALE-Sim lists the operands of every PE in every cycle, which is not needed for the cycles; it
is run as it is fastest, without writing its traces, and its imports are not counted. Ours makes schedule, replay, checks and result in a
warm process; what a new one costs, imports included, is told beside it.
Times are reported, never asserted: they belong to the machine and its load. That both count the same cycles is asserted.
First use makes a virtual environment of 0.5 GB in pytest's cache; a run takes minutes. See the numbers: `-m benchmark -rA` or `-s`.
"""

from __future__ import annotations

import configparser
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accelsim import convert, simulate
from accelsim.graph import Graph
from accelsim.hardware import Accelerator
from accelsim.networks import scalesim as topology
from accelsim.networks import synthetic, zoo
from accelsim.trace import Trace

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ("scalesim==3.0.0", "numpy<2.4")
INSTALL_SECONDS, RUN_SECONDS = 900, 3600
ROUNDS = 15
MACHINE = (
    "accelerator.pe_array.rows=128",
    "accelerator.pe_array.cols=128",
    "accelerator.pe_array.dataflow=os",
    "accelerator.data.ifmap_bits=8",
    "accelerator.data.filter_bits=8",
)
KILOWORDS = 1024
"""Of each buffer. Smaller ones make our tiles cut the windows; SCALE-Sim's compute cycles do not depend on its buffers."""

PEAK = """
def peak():
    # a process starts with the getrusage maximum of the one that started it; its own high-water mark is in /proc where there is one
    try:
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource, sys
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""
THEIRS = (
    PEAK
    + """
import contextlib, importlib.metadata, json, sys, time
from scalesim.scale_sim import scalesim
config, layers, layout, results = sys.argv[1:]
began = time.process_time()
with contextlib.redirect_stdout(sys.stderr):
    scalesim(save_disk_space=True, verbose=False, config=config, topology=layers, layout=layout).run_scale(results)
spent = time.process_time() - began
print(json.dumps({"version": importlib.metadata.version("scalesim"), "seconds": spent, "peak": peak()}))
"""
)
OURS = (
    PEAK
    + """
import json, sys, time
from pathlib import Path
from accelsim import convert, simulate
from accelsim.networks import scalesim, synthetic
config, layers = map(Path, sys.argv[1:])
trace = synthetic.trace(scalesim.load(layers).graph, zero_channels=0, sparsity=0)
simulate.replay(trace, convert.scalesim.machine(config)[0], "dense")
print(json.dumps({"seconds": time.process_time(), "peak": peak()}))
"""
)


@dataclass(frozen=True)
class Files:
    """What both tools read; the layout is theirs alone, and empty: no custom layout is asked for."""

    config: Path
    layers: Path
    layout: Path


def alexnet() -> Graph:
    """The network up to its last convolution; pooling, which a topology file cannot say, drops out when it is written."""
    graph = zoo.load("alexnet_darknet").graph
    return Graph("alexnet", graph.nodes[: 1 + max(node.index for node in graph.nodes if node.kind == "conv")])


def written(folder: Path, kilowords: int) -> Files:
    """The layers and the machine as our converter writes them, but for the buffers and the bandwidth, which must never limit."""
    machine = simulate.load_accelerator(ROOT / "configs/accelerator/edge.yaml", MACHINE)
    config = configparser.ConfigParser()
    config.read_string(convert.scalesim.config(machine).files[0][1])
    config["run_presets"]["interfacebandwidth"] = "CALC"
    for buffer in ("ifmap", "filter", "ofmap"):
        config["architecture_presets"][f"{buffer}sramszkb"] = str(kilowords)
    files = Files(folder / "machine.cfg", folder / "alexnet.csv", folder / "layout.csv")
    with files.config.open("w", encoding="utf-8") as file:
        config.write(file)
    files.layers.write_text(convert.scalesim.topology(alexnet()).files[0][1], "utf-8")
    files.layout.write_text("Layer name,\n", "utf-8")
    return files


def call(python: Path | str, *arguments: str | Path, timeout: int, paths: str = "") -> str:
    """Run a Python and give what it printed; nothing of this process's own packages leaks in but `paths`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment |= {"PYTHONPATH": paths} if paths else {}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False, timeout=timeout, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}")
    return done.stdout


@pytest.fixture(scope="module")
def their_python(pytestconfig: pytest.Config) -> Path:
    """The Python of an environment that holds SCALE-Sim, made on first use; or a skip that says why there is none."""
    cache = pytestconfig.cache
    if cache is None:
        pytest.skip("pytest's cache is off: nowhere to keep SCALE-Sim's environment")
    folder = cache.mkdir(f"scalesim-3.0.0-py{sys.version_info.major}.{sys.version_info.minor}")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder)
        try:
            venv.create(folder, with_pip=True)
            call(python, "-m", "pip", "install", "--quiet", *REQUIREMENTS, timeout=INSTALL_SECONDS)
        except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
            pytest.skip(f"pip could not install {' '.join(REQUIREMENTS)}: {fault}")
        complete.touch()
    return python


def compute_cycles(results: Path) -> list[int]:
    """Cycles of each layer from SCALE-Sim's report, stalls taken off."""
    (report,) = results.glob("*/COMPUTE_REPORT.csv")
    with report.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    return [int(row["Total Cycles"]) - int(row["Stall Cycles"]) for row in rows]


def cpu_seconds(trace: Trace, machine: Accelerator) -> float:
    """The median of some rounds: the one run of SCALE-Sim is no best case either."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        simulate.replay(trace, machine, "dense")
        rounds.append(time.process_time() - began)
    return statistics.median(rounds)


def test_alexnet_on_128_x_128_pes_output_stationary(
    benchmark: Any, their_python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(tmp_path, KILOWORDS)
    results = tmp_path / "results"
    told = call(their_python, "-I", "-c", THEIRS, files.config, files.layers, files.layout, results, timeout=RUN_SECONDS)
    theirs = json.loads(told)
    assert theirs["version"] == "3.0.0"

    machine, _ = convert.scalesim.machine(files.config)
    trace = synthetic.trace(topology.load(files.layers).graph, zero_channels=0, sparsity=0)
    result = benchmark.pedantic(simulate.replay, (trace, machine, "dense"), rounds=ROUNDS, warmup_rounds=2)
    seconds = cpu_seconds(trace, machine)
    ours = json.loads(call(sys.executable, "-c", OURS, files.config, files.layers, timeout=RUN_SECONDS, paths=str(ROOT)))

    small = tmp_path / "small"
    small.mkdir()
    cut = cpu_seconds(trace, convert.scalesim.machine(written(small, 64).config)[0])

    numbers = {
        "SCALE-Sim: CPU seconds": round(theirs["seconds"], 2),
        "SCALE-Sim: peak MiB": round(theirs["peak"] / 2**20),
        "ours: CPU seconds": round(seconds, 5),
        "ours: peak MiB": round(ours["peak"] / 2**20),
        "ours, a new process with its imports: CPU seconds": round(ours["seconds"], 2),
        "times as fast": round(theirs["seconds"] / seconds),
        "ours with buffers of 64 KiB: CPU seconds": round(cut, 5),
        "times as fast with buffers of 64 KiB": round(theirs["seconds"] / cut),
    }
    benchmark.extra_info.update(numbers)
    with capsys.disabled():
        print("\nAlexNet, five convolutions, 128 x 128, os", *(f"{name:>50}  {value:,}" for name, value in numbers.items()), sep="\n")

    # SCALE-Sim gives the index of the last cycle, one less than their number (golden/dataflow/README.md)
    assert [row.busy_cycles + row.stall_fill_drain_cycles - 1 for row in result.layers] == compute_cycles(results)
