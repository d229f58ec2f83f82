"""What the buffer holds over time: by hand, as an area, and never more than there is room for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import FILTER, IFMAP, OFMAP, Machine, Schedule, Sketch, machine, runs, strided

from accelsim.engines import replay, run
from accelsim.engines.occupancy import HELD, Occupancy, spans
from accelsim.hardware import load_accelerator
from accelsim.schedule import build
from accelsim.schedule.tables import Kept
from accelsim.timeline import Timeline
from accelsim.tracefile import load

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "configs" / "accelerator" / "edge.yaml"


def two_tiles() -> tuple[Schedule, Timeline]:
    """An ifmap of 100 bytes for both tiles; the second one writes an ofmap of 64 bytes."""
    sketch = Sketch()
    sketch.layer()
    ifmap, ofmap = sketch.block(IFMAP, 100), sketch.block(OFMAP, 64)
    sketch.load(ifmap, strided(0, 64))
    sketch.tile(busy=10, ifmap=ifmap)
    sketch.tile(busy=5, ifmap=ifmap, ofmap=ofmap)
    sketch.store(ofmap, strided(4096, 64))
    schedule = sketch.build()
    return schedule, run(schedule, machine())


def test_a_block_is_held_from_its_first_request_to_its_release() -> None:
    schedule, timeline = two_tiles()
    held = Occupancy.of(schedule, timeline)
    start, ends = int(timeline.transfer_start[0]), timeline.tile_end.tolist()
    assert held.times.tolist() == [start, int(timeline.tile_start[1]), ends[1], timeline.end]
    assert held.held[HELD.index("ifmap")].tolist() == [100, 100, 0, 0]
    assert held.held[HELD.index("ofmap")].tolist() == [0, 64, 64, 0]
    assert held.peak == {"ifmap": 100, "filter": 0, "ofmap": 64, "kept": 0, "all": 164}


def test_what_ends_when_another_begins_does_not_add() -> None:
    sketch = Sketch(slots=(1, 1, 1))
    sketch.layer()
    for _ in range(3):
        filters = sketch.block(FILTER, 50)
        sketch.tile(busy=10, filters=filters)
    schedule = sketch.build()
    held = Occupancy.of(schedule, run(schedule, machine()))
    assert held.peak["filter"] == 50
    assert held.mean["filter"] == pytest.approx(50)


def test_the_mean_is_the_area_over_the_time() -> None:
    schedule, timeline = two_tiles()
    begin, end = spans(schedule, timeline)
    areas = (end - begin) * schedule.blocks.bytes / timeline.end
    mean = Occupancy.of(schedule, timeline).mean
    assert mean["ifmap"] == pytest.approx(areas[0])
    assert mean["ofmap"] == pytest.approx(areas[1])
    assert mean["all"] == pytest.approx(areas.sum())


def test_a_map_that_is_kept_is_held_until_its_reader_is_done() -> None:
    sketch = Sketch()
    for _ in range(2):
        sketch.layer()
        sketch.tile(busy=10)
    schedule = replace(sketch.build(), kept=(Kept(layer=0, reader=1, room=640, read=600, unwritten=0),))
    timeline = run(schedule, machine())
    held = Occupancy.of(schedule, timeline)
    assert held.peak["kept"] == held.peak["all"] == 640
    assert held.times[-1] == timeline.tile_end[1]


@settings(max_examples=60, deadline=None)
@given(runs())
def test_windows_share_the_area_out(drawn: tuple[Schedule, Machine]) -> None:
    schedule, kit = drawn
    timeline = run(schedule, kit)
    held = Occupancy.of(schedule, timeline)
    edges = np.unique(np.linspace(0, max(timeline.end, 1), 8).astype(np.int64))
    areas = (held.windows(edges) * np.diff(edges)).sum(axis=1)
    np.testing.assert_allclose(areas, [held.mean[name] * max(timeline.end, 1) for name in HELD], rtol=1e-9, atol=1e-6)
    begin, end = spans(schedule, timeline)
    for tensor in (IFMAP, FILTER, OFMAP):
        mine = schedule.blocks.tensor == tensor
        # byte by byte: what is held right after each change
        levels = [(schedule.blocks.bytes * mine * ((begin <= time) & (time < end))).sum() for time in held.times.tolist()]
        assert held.held[tensor].tolist() == levels
    assert (held.held[:, -1] == 0).all()


@pytest.mark.parametrize("keep", [False, True])
def test_a_network_never_holds_more_than_the_buffer_and_comes_near_it(keep: bool) -> None:
    accelerator = load_accelerator(EDGE, [f"buffer.keep_on_chip={str(keep).lower()}"])
    schedule = build(load(ROOT / "traces" / "squeezenet_v1.1_dog.npz"), accelerator, "dense")
    held = Occupancy.of(schedule, replay(schedule, accelerator))
    assert 0.9 * accelerator.buffer.size < held.peak["all"] <= accelerator.buffer.size  # type: ignore[union-attr]
    assert (held.peak["kept"] > 0) == keep
    assert 0 < held.mean["all"] < held.peak["all"]
