"""How fast the fast engine is, and how many times the reference, on one schedule in one run.

Times are reported, never asserted: they belong to the machine and its load. That both engines agree is asserted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pytest
from strategies import FILTER, IFMAP, OFMAP, Machine, Schedule, Sketch, banked, machine, strided

from accelsim.engines import fast, reference, run
from accelsim.engines.check import check_timeline
from accelsim.engines.machine import resolve
from accelsim.hardware import load_accelerator
from accelsim.hardware.memory import load_memory
from accelsim.schedule import build
from accelsim.tracefile import load

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # of the CPU: others may be at work on the machine

ROOT = Path(__file__).parents[2]
DDR4 = ROOT / "configs" / "memory" / "ddr4_2400.yaml"

KIT: Machine = machine(
    setup_cycles=38,
    next_descriptor_cycles=2,
    access=64,
    burst=256,
    up_rate=16 * 10**9,
    down_rate=16 * 10**9,
    dram_rate=25_600_000_000,
    latency_up=10_000,
    latency_down=10_000,
    dram_latency=50_000,
    outstanding_reads=64,
)


def streams(tiles: int, rows: int, size: int) -> Schedule:
    """Ifmap and filter loads and ofmap stores side by side: `rows` descriptors of `size` bytes each, with holes of the same size."""
    sketch = Sketch()
    sketch.layer()
    for tile in range(tiles):
        blocks = {tensor: sketch.block(tensor) for tensor in (IFMAP, FILTER, OFMAP)}
        runs = {
            tensor: [strided((tensor << 32) + (tile * rows + row) * 2 * size, size) for row in range(rows)]
            for tensor in (IFMAP, FILTER, OFMAP)
        }
        sketch.load(blocks[IFMAP], *runs[IFMAP], channel=0)
        sketch.load(blocks[FILTER], *runs[FILTER], channel=1)
        sketch.tile(busy=100, ifmap=blocks[IFMAP], filters=blocks[FILTER], ofmap=blocks[OFMAP])
        sketch.store(blocks[OFMAP], *runs[OFMAP])
    return sketch.build()


SHAPES = {
    "streams of 64 KiB": (256, 4, 65_536),
    "channels of 3136 B": (64, 64, 3136),
    "channels of 196 B": (64, 256, 196),
    "transfers of 256 B": (4000, 1, 256),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_bursts_per_second(benchmark: Any, shape: str) -> None:
    schedule = streams(*SHAPES[shape])
    timeline = benchmark.pedantic(fast.run, args=(schedule, KIT), rounds=7, warmup_rounds=1)
    check_timeline(schedule, timeline, KIT)
    benchmark.extra_info["bursts"] = int(timeline.bursts.sum())
    benchmark.extra_info["million bursts per second"] = round(int(timeline.bursts.sum()) / benchmark.stats.stats.min / 1e6, 2)


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("shape", SHAPES)
def test_dram_bursts_per_second_with_banks(
    benchmark: Any, shape: str, mode: Literal["full", "fast"], capsys: pytest.CaptureFixture[str]
) -> None:
    kit, schedule = banked(KIT, load_memory(DDR4), mode, 30_000), streams(*SHAPES[shape])
    timeline = benchmark.pedantic(fast.run, args=(schedule, kit), rounds=5, warmup_rounds=1)
    check_timeline(schedule, timeline, kit)
    bursts = int(timeline.dram_counts[:, :2].sum())
    rate = benchmark.extra_info["million DRAM bursts per second"] = round(bursts / benchmark.stats.stats.min / 1e6, 2)
    with capsys.disabled():
        print(f"\n{mode}, {shape}: {rate} million DRAM bursts a second")


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("trace", ["mobilenet_v2_dog_statistics", "vgg16_dog_statistics"])
@pytest.mark.parametrize("scheme", ["dense", "channel_marker"])
def test_a_network_with_banks(benchmark: Any, trace: str, scheme: str, mode: str) -> None:
    accelerator = load_accelerator(ROOT / "configs" / "accelerator" / "ddr4.yaml", [f"dram.mode={mode}"])
    schedule, kit = build(load(ROOT / "traces" / f"{trace}.npz"), accelerator, scheme), resolve(accelerator)
    timeline = benchmark.pedantic(fast.run, args=(schedule, kit), rounds=3, warmup_rounds=1)
    benchmark.extra_info["DRAM bursts"] = int(timeline.dram_counts[:, :2].sum())


@pytest.mark.parametrize("tiles", [16, 160])
@pytest.mark.parametrize("memory", ["flat", "banks"])
def test_cost_grows_with_bursts(benchmark: Any, tiles: int, memory: str, capsys: pytest.CaptureFixture[str]) -> None:
    schedule, kit = streams(tiles, 4, 65_536), KIT if memory == "flat" else banked(KIT, load_memory(DDR4), "full", 30_000)
    timeline = benchmark.pedantic(fast.run, args=(schedule, kit), rounds=7, warmup_rounds=1)
    bursts = int(timeline.bytes_moved.sum()) // 64
    benchmark.extra_info["ns a burst of 64 bytes"] = round(benchmark.stats.stats.min / bursts * 1e9, 2)
    with capsys.disabled():
        print(f"\n{memory}, {bursts:,} bursts: {benchmark.stats.stats.min / bursts * 1e9:.1f} ns each")
    check_timeline(schedule, timeline, kit)


def against_the_reference(benchmark: Any, schedule: Schedule, kit: Machine) -> str:
    """Both engines in turn, both warm, the fast one as long as a quarter of the other's time: so slow moments meet both."""
    meaning, timeline = reference.run(schedule, kit), fast.run(schedule, kit)  # loads machine code
    assert timeline.differences(meaning) == []
    slow = quick = 0.0
    runs = rounds = 0
    for rounds in range(1, 4):
        began = time.process_time()
        reference.run(schedule, kit)
        slow += time.process_time() - began
        began = time.process_time()
        while time.process_time() - began < slow / rounds / 4:
            fast.run(schedule, kit)
            runs += 1
        quick += time.process_time() - began
    benchmark.pedantic(fast.run, args=(schedule, kit), rounds=5)
    ratio = (slow / rounds) / (quick / runs)
    benchmark.extra_info["times the reference"] = round(ratio)
    return f"reference {slow / rounds:.3f} s, fast {quick / runs * 1e3:.2f} ms, {ratio:,.0f} times"


@pytest.mark.parametrize("memory", ["flat", "banks"])
@pytest.mark.parametrize("shape", [(8, 4, 65_536), (8, 64, 3136), (2000, 1, 256)], ids=["streams", "channels", "transfers of one burst"])
def test_fast_engine_against_the_reference(
    benchmark: Any, shape: tuple[int, int, int], memory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule, kit = streams(*shape), KIT if memory == "flat" else banked(KIT, load_memory(DDR4), "full", 30_000)
    told = against_the_reference(benchmark, schedule, kit)
    with capsys.disabled():
        print(f"\n{memory}, {shape}: {told}")


@pytest.mark.parametrize("config", ["edge", "ddr4"])
@pytest.mark.parametrize("scheme", ["dense", "channel_marker"])
def test_fast_engine_against_the_reference_on_a_network(
    benchmark: Any, scheme: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerator = load_accelerator(ROOT / "configs" / "accelerator" / f"{config}.yaml")
    schedule = build(load(ROOT / "traces" / "squeezenet_v1.1_dog.npz"), accelerator, scheme)
    told = against_the_reference(benchmark, schedule, resolve(accelerator))
    with capsys.disabled():
        print(f"\nSqueezeNet 1.1, {scheme}, {config}.yaml: {told}")


def test_what_the_checks_cost(benchmark: Any) -> None:
    schedule = streams(64, 4, 65_536)
    timeline = run(schedule, KIT)
    benchmark.pedantic(check_timeline, args=(schedule, timeline, KIT), rounds=7, warmup_rounds=1)
    benchmark.extra_info["ns a burst"] = round(benchmark.stats.stats.min / int(timeline.bursts.sum()) * 1e9, 2)
