"""Do both engines agree on every trace that the project ships, at full size?"""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.engines import ENGINES, replay
from accelsim.hardware import load_accelerator
from accelsim.schedule import build
from accelsim.tracefile import load

ROOT = Path(__file__).parents[2]
TRACES = sorted(path.stem for path in (ROOT / "traces").glob("*.npz"))
BIG = ("alexnet", "resnet50", "vgg16")
"""Networks for which the readable engine takes minutes where every access of the DRAM counts."""
LONG = "dma.burst=2 KiB"
"""It takes as long for a long request as for a short one."""
CASES = [
    *(("edge", (LONG,), trace, scheme) for trace in TRACES for scheme in ("dense", "channel_marker")),
    *(("ddr4", (LONG, "dram.mode=fast"), trace, "channel_marker") for trace in TRACES if not trace.startswith(BIG)),
    *(("ddr4", ("dram.mode=full",), trace, "channel_marker") for trace in TRACES if not trace.startswith(BIG)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "settings", "trace", "scheme"), CASES)
def test_engines_agree_on_every_trace(machine: str, settings: tuple[str, ...], trace: str, scheme: str) -> None:
    accelerator = load_accelerator(ROOT / "configs" / "accelerator" / f"{machine}.yaml", settings)
    schedule = build(load(ROOT / "traces" / f"{trace}.npz"), accelerator, scheme)
    fast, reference = (replay(schedule, accelerator, engine) for engine in ENGINES)
    assert fast.differences(reference) == []
