"""A hundred ImageNet photographs through SqueezeNet v1.1 into a store of traces, against ONNX Runtime's bare inference, in one run.

ONNX Runtime: `session.run` on tensors that are preprocessed already, two threads, nothing else.
Ours, in two processes of one thread each: JPEG decoding, preprocessing, inference, extraction of masks, marks and part maxima, hashes,
compression, shards and index. Three times are told:
* `filled`: processes that have imported everything and loaded the network before; what a long set costs an image. The ratio is of this.
* `new processes`: the same with their start: copies of a process that has imported everything, which load weights and machine code.
* `command`: `accelsim infer ... --store`, from typing it to the prompt.
Beside them CPU milliseconds an image, ours in one process and ONNX Runtime's with one thread: what others do on the machine moves it less.
Times are reported, never asserted: they belong to the machine and its load, which both sides of a round feel. Each is the least of some
rounds. That traces are sound is asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from onnx_writer import onnx_bytes

from accelsim import imageset, inference, runfile, simulate
from accelsim.imageset import Block
from accelsim.runfile import NetworkFile
from accelsim.tracestore import TraceStore, writing
from accelsim.workers import Workers, workers

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "configs/network/squeezenet_v1.1.yaml"
FOR_256 = "network.preprocessing=squeezenet_v1.1_resize"
PROCESSES = 2
ROUNDS = 5


@contextmanager
def ready(network: NetworkFile, images: dict[str, str], folder: Path) -> Iterator[Workers[Block, int]]:
    """Processes that have done a block each."""
    few = tuple(images.items())[:2]
    with workers(imageset.record, PROCESSES) as crew:
        # more blocks than processes: one that starts late gets some too
        for _ in crew.run([Block(network, few, 0.0, "channel", folder / f"{number}.parquet") for number in range(20 * PROCESSES)]):
            pass
        yield crew


def fill(crew: Workers[Block, int], network: NetworkFile, images: dict[str, str], store: Path) -> float:
    """Seconds in which waiting processes fill a store."""
    begin = time.perf_counter()
    with writing(store, {}, tuple(images), imageset.BLOCK) as writer:
        blocks = {
            Block(network, tuple((name, images[name]) for name in writer.blocks[number]), 0.0, "channel", writer.shard(number)): number
            for number in writer.todo
        }
        for block, _ in crew.run(blocks):
            writer.take_in(blocks[block])
    return time.perf_counter() - begin


def cpu_milliseconds(work: Callable[[], object]) -> float:
    """The least CPU time of some rounds, for each image of a block."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return 1e3 * min(spent) / imageset.BLOCK


def test_a_hundred_photographs_into_a_store(benchmark: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[dev]'")
    network = runfile.load_network_file(NETWORK, [FOR_256])
    folder = shared / "assets/imagenet100"
    images = dict(imageset.named([folder]))
    tensors = [inference.photograph(source, network.preprocessing).tensor[None] for source in images.values()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = PROCESSES, 1
    session = onnxruntime.InferenceSession(onnx_bytes(simulate.load_network(network)), options, providers=["CPUExecutionProvider"])
    theirs, ours = [], []

    def bare() -> None:
        for tensor in tensors:
            session.run(None, {"image": tensor})

    bare()
    with ready(network, images, tmp_path / "warm") as crew:
        for number in range(ROUNDS):
            begin = time.perf_counter()
            bare()
            theirs.append(time.perf_counter() - begin)
            ours.append(fill(crew, network, images, tmp_path / f"store{number}"))
        benchmark.pedantic(fill, (crew, network, images, tmp_path / "store"), rounds=1)
    options.intra_op_num_threads = 1
    alone = onnxruntime.InferenceSession(onnx_bytes(simulate.load_network(network)), options, providers=["CPUExecutionProvider"])
    few = Block(network, tuple(images.items())[: imageset.BLOCK], 0.0, "channel", tmp_path / "cpu.parquet")
    cpu = {
        "ours": cpu_milliseconds(lambda: imageset.record(few)),
        "ONNX Runtime": cpu_milliseconds(lambda: [alone.run(None, {"image": tensor}) for tensor in tensors[: imageset.BLOCK]]),
    }
    begin = time.perf_counter()
    imageset.infer(network, [folder], tmp_path / "new", processes=PROCESSES)
    new = time.perf_counter() - begin
    command = [sys.executable, "-m", "accelsim", "infer", NETWORK, "--set", FOR_256, "--images", folder, "--store", tmp_path / "typed"]
    begin = time.perf_counter()
    subprocess.run([*command, "--processes", str(PROCESSES)], check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    typed = time.perf_counter() - begin
    store = TraceStore(tmp_path / "typed")
    size = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    seconds = {"ONNX Runtime, bare": min(theirs), "filled": min(ours), "new processes": new, "command": typed}
    lines = [f"{name}: {took:.3f} s, {took / min(theirs):.2f} times ONNX Runtime" for name, took in seconds.items()]
    rounds = ", ".join(f"{mine / other:.2f}" for mine, other in zip(ours, theirs, strict=True))
    lines += [f"CPU ms an image: ours {cpu['ours']:.2f}, ONNX Runtime {cpu['ONNX Runtime']:.2f}"]
    lines += [f"ratio round by round: {rounds}", f"bytes a trace: {size / len(store):,.0f}"]
    benchmark.extra_info.update(seconds | {"ratio": min(ours) / min(theirs), "bytes a trace": size / len(store), "CPU ms": cpu})
    with capsys.disabled():
        print(f"\n{len(images)} photographs, SqueezeNet v1.1:", *lines, sep="\n    ")
    assert (len(store), store.failed) == (len(images), {})
    assert [trace.image for trace in store] == list(images)
