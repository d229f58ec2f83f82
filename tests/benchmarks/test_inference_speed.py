"""How our inference compares with ONNX Runtime: the same network, the same image, the same threads, in one run.

Also what more threads, and zero channels that are left out, are worth, and how much memory a process of its own takes.
Times are reported, never asserted: they belong to the machine and its load. On one thread they are CPU seconds of that thread, to which
other processes add only by what they take of the caches. Of each round's times the ratio is taken, as both engines then feel the same load;
the median of these is what is printed. That both compute the same is asserted.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_writer import onnx_bytes

from accelsim import inference, simulate
from accelsim.networks.network import Network
from accelsim.runfile import load_network_file

ROOT = Path(__file__).parents[2]
IMAGES = {
    "mobilenet_v2": "images/five_rgb.npz:dog",
    "resnet20": "cifar10_test500.npz:images:17",
    "resnet56": "cifar10_test500.npz:images:42",
    "squeezenet_v1.0": "images/five_rgb.npz:cat",
    "squeezenet_v1.1": "images/five_rgb.npz:dog",
    "tiny": "images/five_rgb.npz:dog",
}
ROUNDS = 40
REST = 0.02
"""Seconds after which idle threads have gone to sleep."""
RATIOS: dict[str, float] = {}
TWO_THREADS: dict[str, float] = {}
Clock = Callable[[], float]

CHILD = """
import json, resource, sys
import numpy as np
from pathlib import Path

image, file = np.load(sys.argv[2]), sys.argv[3:]

def peak():
    # a process starts with the getrusage maximum of the one that started it; its own high-water mark is in /proc where there is one
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

if sys.argv[1] == "ours":
    import onnx
    from accelsim import inference
    from accelsim.kernels import marks
    from accelsim.networks import darknet
    from accelsim.networks import onnx as models
    one = np.zeros(1, np.float32)
    marks.channel_marks(one.view(np.uint32)[None], one[0], one, np.zeros(1, np.int64), np.zeros(1, np.bool_))  # reads what all need
    imported = peak()
    ready = inference.prepare((models if len(file) == 1 else darknet).load(*map(Path, file)))
    run = lambda: inference.predict(ready, image)
else:
    import onnxruntime
    imported = peak()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file[0], options, providers=["CPUExecutionProvider"])
    run = lambda: session.run(None, {session.get_inputs()[0].name: image[None]})
run()
run()
print(json.dumps([imported, peak()]))
"""


def opened(shared: Path, name: str, tmp_path: Path) -> tuple[Network, np.ndarray, Path]:
    """A network, its photograph, and its ONNX file: the one it comes from, or one written of it."""
    file = load_network_file(ROOT / f"configs/network/{name}.yaml")
    network = simulate.load_network(file)
    model = file.onnx or tmp_path / f"{name}.onnx"
    if file.onnx is None:
        model.write_bytes(onnx_bytes(network))
    return network, inference.photograph(f"{shared}/assets/{IMAGES[name]}", file.preprocessing).tensor, model


def onnx_runtime(model: Path, image: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[dev]'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image[None]})[0]


def seconds(run: Callable[[], Any], clock: Clock) -> float:
    begin = clock()
    run()
    return clock() - begin


def compared(
    benchmark: Any, ours: Callable[[], Any], theirs: Callable[[], Any], clock: Clock = time.thread_time
) -> tuple[float, float, float]:
    """Least seconds of either, and the median of the ratios of each round: theirs runs before each of ours."""
    before: list[float] = []
    after: list[float] = []
    for run in (ours, theirs) * 2:
        run()
    benchmark.pedantic(lambda: after.append(seconds(ours, clock)), setup=lambda: before.append(seconds(theirs, clock)), rounds=ROUNDS)
    return min(after), min(before), statistics.median(own / other for own, other in zip(after, before, strict=True))


@pytest.mark.benchmark
@pytest.mark.parametrize("name", IMAGES)
def test_inference_against_onnx_runtime_on_one_thread(
    benchmark: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    network, image, model = opened(shared, name, tmp_path)
    prepared, theirs = inference.prepare(network), onnx_runtime(model, image, 1)
    ours, other, ratio = compared(benchmark, lambda: inference.predict(prepared, image), theirs)
    RATIOS[name] = ratio
    found, expected = inference.predict(prepared, image).reshape(-1), theirs().reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * max(1.0, float(np.abs(expected).max())))
    mean = math.exp(statistics.fmean(map(math.log, RATIOS.values())))
    benchmark.extra_info |= {"onnxruntime_ms": 1e3 * other, "accelsim_ms": 1e3 * ours, "ratio": ratio}
    with capsys.disabled():
        print(f"\n{name}: accelsim {1e3 * ours:.2f} ms, ONNX Runtime {1e3 * other:.2f} ms, ratio {ratio:.2f}")
        print(f"geometric mean of {len(RATIOS)}: {mean:.2f}")


@pytest.mark.benchmark
@pytest.mark.parametrize("name", IMAGES)
def test_peak_memory_against_onnx_runtime(
    benchmark: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Bytes of a process that loads the network and runs it twice, kernels compiled before: after its imports, and at most."""
    _, image, model = opened(shared, name, tmp_path)
    np.save(tmp_path / "image.npy", image)
    file = load_network_file(ROOT / f"configs/network/{name}.yaml")
    ours = [model] if file.darknet is None else [file.darknet.cfg, file.darknet.weights]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found: dict[str, list[float]] = {}
    for engine, files in (("ours", ours), ("theirs", [model])) * 2:
        command = [sys.executable, "-c", CHILD, engine, tmp_path / "image.npy", *files]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=environment)
        found[engine] = [size / 2**20 for size in json.loads(done.stdout)]
    benchmark.pedantic(lambda: None, rounds=1)
    (imports, peak), (other_imports, other) = found["ours"], found["theirs"]
    benchmark.extra_info |= {"accelsim_mib": peak, "onnxruntime_mib": other}
    with capsys.disabled():
        print(f"\n{name}: peak {peak:.0f} MiB ({imports:.0f} of it imports), ONNX Runtime {other:.0f} MiB ({other_imports:.0f})", end="")
        print(f", ratio {peak / other:.2f}; beyond imports {(peak - imports) / (other - other_imports):.2f}")
    assert peak > imports > 0


@pytest.mark.benchmark
@pytest.mark.parametrize("name", IMAGES)
def test_two_threads_against_one_and_against_onnx_runtime(
    benchmark: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """By the clock on the wall, the least of many rounds: only where two cores are free for a moment is there anything to see.

    Threads of ours and of ONNX Runtime look for work for a while after a run; each measured run comes after a rest and an unmeasured one.
    """
    network, image, model = opened(shared, name, tmp_path)
    one, two = inference.prepare(network), inference.prepare(network, threads=2)
    runs = {
        "one": lambda: inference.predict(one, image),
        "two": lambda: inference.predict(two, image),
        "theirs": onnx_runtime(model, image, 2),
        "theirs alone": onnx_runtime(model, image, 1),
    }
    wall: dict[str, list[float]] = {key: [] for key in runs}
    spent: dict[str, list[float]] = {key: [] for key in runs}

    def round_of_all() -> None:
        for key, run in runs.items():
            time.sleep(REST)
            run()
            processor = time.process_time()
            wall[key].append(seconds(run, time.perf_counter))
            spent[key].append(time.process_time() - processor)

    benchmark.pedantic(round_of_all, rounds=ROUNDS)
    least = {key: 1e3 * min(times) for key, times in wall.items()}
    processors = {key: 1e3 * min(times) for key, times in spent.items()}
    TWO_THREADS[name] = least["two"] / least["theirs"]
    mean = math.exp(statistics.fmean(map(math.log, TWO_THREADS.values())))
    benchmark.extra_info |= {f"{key}_ms": time for key, time in least.items()} | {"ratio": TWO_THREADS[name]}
    with capsys.disabled():
        print(
            f"\n{name}: one thread {least['one']:.2f} ms, two {least['two']:.2f} ms: {least['one'] / least['two']:.2f} times as fast",
            end="",
        )
        print(f" (CPU {processors['one']:.2f} and {processors['two']:.2f} ms); ONNX Runtime {least['theirs alone']:.2f} and", end=" ")
        print(f"{least['theirs']:.2f} ms: {least['theirs alone'] / least['theirs']:.2f} times; ratio with two {TWO_THREADS[name]:.2f}")
        print(f"geometric mean of {len(TWO_THREADS)}: {mean:.2f}")
    assert inference.predict(two, image).tobytes() == inference.predict(one, image).tobytes()


@pytest.mark.benchmark
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
def test_zero_channels_are_left_out(benchmark: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float) -> None:
    """All convolutions of SqueezeNet v1.1 on the maps of a photograph, some channels zero, which the kernels are told or not."""
    network, image, _ = opened(shared, "squeezenet_v1.1", tmp_path)
    prepared, rng = inference.prepare(network), np.random.default_rng(0)
    steps = {step.node.index: step for step in inference.run(prepared, image)}
    layers = []
    for node in network.graph.nodes:
        if node.kind == "conv":
            data = np.array(steps[node.inputs[0]].output)
            data[rng.random(len(data)) < share] = 0
            layers.append((prepared.operators[node.index], data, ~data.any(axis=(1, 2))))

    def convolve(told: bool) -> list[np.ndarray]:
        return [run([data], [zeros & told], prepared.workspace.empty) for run, data, zeros in layers]

    ours, dense, ratio = compared(benchmark, lambda: convolve(True), lambda: convolve(False))
    zeros, channels = (sum(int(measure(zeros)) for _, _, zeros in layers) for measure in (np.sum, np.size))
    benchmark.extra_info |= {"skipping_ms": 1e3 * ours, "dense_ms": 1e3 * dense, "zero_channels": zeros, "channels": channels}
    with capsys.disabled():
        print(f"\nsqueezenet_v1.1: {zeros} of {channels} input channels zero: convolutions {1e3 * dense:.2f} ms,", end=" ")
        print(f"{1e3 * ours:.2f} ms without them: {1 / ratio:.2f} times as fast")
    for skipped, whole in zip(convolve(True), convolve(False), strict=True):
        assert skipped.tobytes() == whole.tobytes()
