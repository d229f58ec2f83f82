"""Does the front of a DRAM channel give what the controller gives when every clock is stepped by hand?"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import technologies, technology

from accelsim.engines import fast
from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller, front, inorder, state
from accelsim.kernels.replay import REQUEST, Rows
from accelsim.validation import dram, streams

DDR4 = Path(__file__).parents[2] / "configs" / "memory" / "ddr4_2400.yaml"
READ, WRITE = state.READ, state.WRITE
requests = st.lists(
    st.tuples(st.sampled_from([0, 1, 3, 50, 5000]), st.integers(0, 4000), st.sampled_from([READ, READ, WRITE])), max_size=60
)


def through_front(
    memory: Memory, arrivals: list[tuple[int, int, int]], end: int, kind: int = front.FULL, *, ahead: bool = False
) -> tuple[dict[int, int], list[int]]:
    """When each access was taken (writes) or had its data (reads), and what was counted; as the engines use it."""
    layout = state if kind == front.FULL else inorder
    s, f = layout.new_state(*packed(memory, layout.PARAMETERS)), front.new_front(kind, max(1, len(arrivals)))
    requests, ended, done = open_requests(len(arrivals)), np.zeros(len(arrivals), np.int64), {}

    def until(clock: int) -> None:
        while front.due(f) < clock:
            if ahead:
                for tag in ended[: front.run(s, f, 7 * clock, 7, 0, 0, requests, ended, 3, 2)].tolist():
                    assert requests["left"][tag] == 0
                    assert requests["when"][tag] % 3 == 2
                    done[tag] = int(requests["when"][tag]) // 3
                continue
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


def open_requests(count: int) -> Rows:
    """As many requests of one access each."""
    return fast.rows(REQUEST, count, left=1)


def by_hand(memory: Memory, arrivals: list[tuple[int, int, int]], end: int) -> tuple[dict[int, int], list[int]]:
    """The same, clock by clock."""
    s, done, waiting, now = state.new_state(*packed(memory, state.PARAMETERS)), {}, list(enumerate(arrivals)), -1
    while True:
        now += 1
        if now == end:
            controller.flush(s, now)
        if state.next_event(s) <= now:
            e = controller.step(s, now)
            done.update({int(s[e + state.TAG]): int(s[state.LAST_DATA])} if e != state.NONE and s[e + state.KIND] == READ else {})
        if waiting and waiting[0][1][0] <= now and state.room(s, waiting[0][1][2]):
            tag, (_, burst, way) = waiting.pop(0)
            controller.admit(s, now, burst, way, tag)
            done.update({tag: now} if way == WRITE else {})
        if now >= end and not waiting and state.idle(s):
            break
    names = ("READS", "WRITES", "ACTIVATES", "REFRESHES", "HITS", "MISSES", "CONFLICTS", "LAST_DATA")
    return done, [int(s[getattr(state, name)]) for name in names]


def placed(drawn: list[tuple[int, int, int]]) -> tuple[list[tuple[int, int, int]], int]:
    """Arrivals at clocks instead of gaps, and an end after all of them."""
    clocks = accumulate(gap for gap, _, _ in drawn)
    arrivals = [(clock, burst, way) for clock, (_, burst, way) in zip(clocks, drawn, strict=True)]
    return arrivals, 200 * len(drawn) + sum(gap for gap, _, _ in drawn) + 3000


@settings(max_examples=60, deadline=None)
@given(technologies, requests)
def test_nothing_is_lost_by_leaving_clocks_and_idle_times_out(memory: Memory, drawn: list[tuple[int, int, int]]) -> None:
    arrivals, end = placed(drawn)
    assert through_front(memory, arrivals, end) == by_hand(memory, arrivals, end)


@settings(max_examples=60, deadline=None)
@given(technologies, requests, st.sampled_from([front.FULL, front.IN_ORDER]))
def test_running_ahead_of_arrivals_changes_nothing(memory: Memory, drawn: list[tuple[int, int, int]], kind: int) -> None:
    arrivals, end = placed(drawn)
    assert through_front(memory, arrivals, end, kind, ahead=True) == through_front(memory, arrivals, end, kind)


@given(st.lists(st.integers(0, 63), min_size=1))
def test_the_first_bank_of_a_set_is_its_lowest_bit(banks: list[int]) -> None:
    members = np.bitwise_or.reduce(np.int64(1) << np.array(banks))
    assert state.first_of(members) == state.BANK_AT + state.BANK_SIZE * min(banks)


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
