"""Are the two engines one model? The whole timeline must be equal, not the total alone, and its identities hold."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from strategies import Machine, Schedule, runs

from accelsim.engines import ENGINES, replay, run
from accelsim.engines.check import check_timeline
from accelsim.errors import EngineError
from accelsim.hardware import load_accelerator
from accelsim.schedule import build
from accelsim.timeline import Timeline
from accelsim.tracefile import load


def outcome(schedule: Schedule, machine: Machine, engine: str) -> Timeline | str:
    try:
        return run(schedule, machine, engine)
    except EngineError as error:
        return str(error)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_engines_give_the_same_timeline_and_its_identities_hold(drawn: tuple[Schedule, Machine]) -> None:
    fast, reference = run(*drawn, "fast"), run(*drawn, "reference")
    assert fast.differences(reference) == []
    check_timeline(drawn[0], fast, drawn[1])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(wild=True))
def test_engines_get_stuck_alike(drawn: tuple[Schedule, Machine]) -> None:
    fast, reference = outcome(*drawn, "fast"), outcome(*drawn, "reference")
    if isinstance(fast, Timeline) and isinstance(reference, Timeline):
        assert fast.differences(reference) == []
    else:
        assert fast == reference


def test_engines_agree_on_a_recorded_network() -> None:
    root = Path(__file__).parents[2]
    accelerator = load_accelerator(root / "configs" / "accelerator" / "paper.yaml")
    schedule = build(load(root / "traces" / "tiny_dog.npz"), accelerator, "channel_marker")
    fast, reference = (replay(schedule, accelerator, engine) for engine in ENGINES)
    assert fast.differences(reference) == []
