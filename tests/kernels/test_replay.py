"""Does the compiled loop, or the same loop as plain Python (NUMBA_DISABLE_JIT=1), do what `engines/reference.py` means?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import Machine, Schedule, jobs, machine, machines, one_tile, runs, strided

from accelsim.engines import fast, reference
from accelsim.kernels import replay as loop
from accelsim.kernels.recount import Descriptors, Limits, recount


def advance(schedule: Schedule, kit: Machine) -> loop.State:
    state = fast.pack(schedule, kit)
    loop.replay(fast.scalars(kit), state)
    return state


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_loop_equals_the_reference(drawn: tuple[Schedule, Machine]) -> None:
    assert fast.run(*drawn).differences(reference.run(*drawn)) == []


def test_a_request_passes_every_stage_in_turn() -> None:
    kit = machine(latency_up=10, dram_latency=20, latency_down=30)
    parts = fast.rows(loop.PART, 3)
    cost = fast.rows("up_time dram_time down_time overhead", 1, up_time=1, dram_time=2, down_time=3)[0]
    ends = [loop.travel(fast.scalars(kit), parts, cost, direction, 100) for direction in (loop.READ, loop.WRITE)]
    assert ends == [100 + 1 + 10 + 2 + 20 + 3 + 30, 100 + 1 + 10 + 2 + 2]  # the write comes a picosecond later, into a busy DRAM
    assert parts["busy"].tolist() == [2, 4, 3]
    assert parts["free"].tolist() == [102, 115, 136]


def test_an_idle_part_serves_at_once_and_a_busy_one_in_order() -> None:
    part = fast.rows(loop.PART, 1)
    assert [loop.occupy(part[0], arrival, 10) for arrival in (5, 6, 100)] == [15, 25, 110]


@pytest.mark.parametrize("columns", [loop.TILE, loop.BLOCK, loop.TRANSFER, loop.DESCRIPTOR, loop.LAYER, loop.CHANNEL, loop.PART, loop.SIZE])
def test_no_column_hides_behind_a_method_of_records(columns: str) -> None:
    assert not set(columns.split()) & set(dir(np.record))


def test_durations_are_rounded_up_once_a_request() -> None:
    costs = fast.costs(machine(access=32, burst=64, dram_rate=3 * 10**9, payload=32, read_overhead=20, request_overhead=24))
    assert costs["dram_time"].tolist() == [[0, 10_667, 21_334]] * 2
    assert costs["down_time"].tolist() == [[0, 52, 104], [0, 0, 0]]
    assert costs["overhead"][loop.READ].tolist() == [24, 44, 64]


def test_burst_tables_reach_the_longer_of_the_two_limits() -> None:
    costs = fast.costs(machine(access=32, read_burst=32, write_burst=128))
    assert costs.shape == (2, 5)


def test_registers_are_idle_again_after_the_last_transfer() -> None:
    state = advance(one_tile(strided(0, 640), stored=(strided(0, 640),)), machine())
    assert (state.channels["present"] == loop.NEVER).all()
    assert (state.channels["position"] == state.channels["stop_position"]).all()
    assert state.counters[loop.GRANTS] == 20
    assert state.counters[loop.NEXT_TILE] == 1


def test_inputs_may_be_read_only_and_strided() -> None:
    schedule = one_tile(strided(0, 640))
    wide = np.repeat(schedule.descriptors.row_bytes, 2)[::2]
    wide.flags.writeable = False
    object.__setattr__(schedule.descriptors, "row_bytes", wide)
    assert advance(schedule, machine()).transfers["bytes_moved"].tolist() == [640]


@pytest.mark.parametrize("far", [2**40, 2**55])
def test_far_addresses_do_not_wrap(far: int) -> None:
    assert advance(one_tile(strided(far - 32, 64)), machine(access=64)).transfers["bursts"].tolist() == [2]


def test_hours_of_simulated_time_do_not_wrap() -> None:
    hours = 10 * 3600 * 10**9  # cycles of a nanosecond
    assert advance(one_tile(strided(0, 64), busy=hours), machine()).tiles["end"].tolist() == [1000 + hours * 1000]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machines, st.lists(jobs, min_size=1, max_size=3), st.integers(0, 1))
def test_recount_equals_the_cut(kit: Machine, drawn: list[tuple[int, ...]], direction: int) -> None:
    cut = [size for job in drawn for _, size in kit.cut(direction, job)]
    counted = np.zeros((1, 3), np.int64)
    burst = kit.write_burst if direction else kit.read_burst
    table = Descriptors(*np.array(drawn, np.int64).T.copy())
    recount(table, Limits(kit.access, burst, kit.boundary, kit.payload), np.array([[0, 0, len(drawn)]]), counted)
    assert counted[0].tolist() == [len(cut), sum(cut), sum(-(-size // kit.payload) for size in cut)]
