"""No operator of a network costs nothing in silence: it has cycles and bytes of its own, or a reason why it needs none."""

from __future__ import annotations

import pytest
from kind_samples import LAYERS, WHOLE_CHANNELS, network
from schedule_samples import accelerator, trace

from accelsim import simulate
from accelsim.graph import Graph
from accelsim.layers import kinds
from accelsim.report import Result
from accelsim.schedule import builder
from accelsim.schedule.geometry import COSTED_KINDS, MOVING_KINDS

BYTES = accelerator().data.ifmap_bits // 8


def test_there_is_a_sample_of_every_kind() -> None:
    assert set(LAYERS) == set(kinds())
    assert set(WHOLE_CHANNELS) == set(MOVING_KINDS)


def replayed(graph: Graph) -> tuple[Result, dict[str, str]]:
    schedules = []
    result = simulate.replay(trace(graph), accelerator(), "dense", keep=lambda _, schedule, times: schedules.append(schedule))
    return result, dict(schedules[0].fused)


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_has_cycles_and_bytes_of_its_own_or_a_reason_why_not(kind: str) -> None:
    graph = network(kind, LAYERS[kind])
    result, fused = replayed(graph)
    rows = {row["layer"]: row for row in result.as_frame().to_dict("records")}
    assert set(rows) | set(fused) == {node.name for node in graph.nodes}
    assert not set(rows) & set(fused)
    for node in graph.nodes:
        if node.kind != kind:
            continue
        if node.name in fused:
            assert len(fused[node.name].split()) >= 2, "a reason in words"
        else:
            row = rows[node.name]
            assert row["busy_cycles"] > 0 or kind in MOVING_KINDS, "the array works, but for what only moves"
            assert row["total_cycles"] > 0
            assert row["write_ofmap_bytes"] == node.elements * BYTES
            assert row["read_ifmap_bytes"] > 0


@pytest.mark.parametrize("kind", WHOLE_CHANNELS)
def test_a_kind_that_moves_whole_channels_says_why_it_is_free(kind: str) -> None:
    _, fused = replayed(network(kind, WHOLE_CHANNELS[kind]))
    assert fused[kind] == builder._FUSED[kind]


def test_kinds_that_compute_are_never_free() -> None:
    for kind in COSTED_KINDS:
        assert kind not in builder._FUSED or kind == "crop", "the host crops the image, and nothing else"
        _, fused = replayed(network(kind, LAYERS[kind]))
        assert kind not in fused
