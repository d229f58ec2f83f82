"""Does the front of a DRAM channel give what the controller gives when every clock is stepped by hand?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import technologies, technology

from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller, front, inorder, state
from accelsim.validation import dram, streams

DDR4 = Path(__file__).parents[2] / "configs" / "memory" / "ddr4_2400.yaml"
READ, WRITE = state.READ, state.WRITE
requests = st.lists(
    st.tuples(st.sampled_from([0, 1, 3, 50, 5000]), st.integers(0, 4000), st.sampled_from([READ, READ, WRITE])), max_size=60
)


def through_front(
    memory: Memory, arrivals: list[tuple[int, int, int]], end: int, kind: int = front.FULL
) -> tuple[dict[int, int], list[int]]:
    """When each access was taken (writes) or had its data (reads), and what was counted; as an engine uses it."""
    layout = state if kind == front.FULL else inorder
    s, f = layout.new_state(*packed(memory, layout.PARAMETERS)), front.new_front(kind, max(1, len(arrivals)))
    done: dict[int, int] = {}

    def until(clock: int) -> None:
        while front.due(f) < clock:
            now = front.due(f)
            taken, read, time = front.tick(s, f)
            done.update({taken: now} if taken >= 0 else {})
            done.update({read: time} if read >= 0 else {})

    for tag, (clock, burst, way) in enumerate(arrivals):
        until(clock)
        front.arrive(s, f, clock, burst, 1, way, tag)
    until(state.NEVER)
    front.close(s, f, end)
    names = ("READS", "WRITES", "ACTIVATES", "REFRESHES", "HITS", "MISSES", "CONFLICTS", "LAST_DATA")
    return done, [int(s[getattr(layout, name)]) for name in names]


def by_hand(memory: Memory, arrivals: list[tuple[int, int, int]], end: int) -> tuple[dict[int, int], list[int]]:
    """The same, clock by clock."""
    s, done, waiting, now = state.new_state(*packed(memory, state.PARAMETERS)), {}, list(enumerate(arrivals)), -1
    while True:
        now += 1
        if now == end:
            controller.flush(s, now)
        if state.next_event(s) <= now:
            controller.step(s, now)
        if waiting and waiting[0][1][0] <= now and state.room(s, waiting[0][1][2]):
            tag, (_, burst, way) = waiting.pop(0)
            controller.admit(s, now, burst, way, tag)
            done.update({tag: now} if way == WRITE else {})
        while state.done_time(s) < state.NEVER:
            time = state.done_time(s)
            tag, way, _ = state.take_done(s)
            done.update({tag: time} if way == READ else {})
        if now >= end and not waiting and state.idle(s):
            break
    names = ("READS", "WRITES", "ACTIVATES", "REFRESHES", "HITS", "MISSES", "CONFLICTS", "LAST_DATA")
    return done, [int(s[getattr(state, name)]) for name in names]


@settings(max_examples=60, deadline=None)
@given(technologies, requests)
def test_nothing_is_lost_by_leaving_clocks_and_idle_times_out(memory: Memory, drawn: list[tuple[int, int, int]]) -> None:
    clock, arrivals = 0, []
    for gap, burst, way in drawn:
        clock += gap
        arrivals.append((clock, burst, way))
    end = 200 * len(drawn) + clock + 3000
    assert through_front(memory, arrivals, end) == by_hand(memory, arrivals, end)


@pytest.mark.parametrize("kind", [front.FULL, front.IN_ORDER])
def test_refreshes_of_an_idle_day_are_counted_without_a_step_each(kind: int) -> None:
    day = 10**14
    done, counts = through_front(technology(refresh=200), [(1, 0, READ), (day, 0, READ)], day + 1000, kind)
    assert counts[3] == pytest.approx(day // 200, abs=6)
    assert done[1] - day < 200


def test_a_saturated_channel_is_the_validated_one() -> None:
    memory, count = load_memory(DDR4), 4000
    words = streams.make("seq_r", {}, count)
    driven = dram.drive(memory, words, 32)
    done, counts = through_front(memory, [(1, burst, READ) for burst in range(count)], 10**6)
    assert max(done.values()) == pytest.approx(driven.cycles, rel=0.01)
    assert counts[0] == count
