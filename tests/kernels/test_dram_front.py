"""Do the kernels of a DRAM channel give what the readable channel gives, access by access, however they are called?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import technologies, technology

from accelsim.engines import fast
from accelsim.engines.banks import resolve
from accelsim.engines.dram import new_channel
from accelsim.hardware.dram import BankedDram
from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller, front, inorder, state
from accelsim.kernels.replay import REQUEST, Rows
from accelsim.timeline import DRAM_COUNTS
from accelsim.validation import dram, streams

DDR4 = Path(__file__).parents[2] / "configs" / "memory" / "ddr4_2400.yaml"
READ, WRITE = state.READ, state.WRITE
Arrival = tuple[int, int, int]
"""Clock, burst, READ or WRITE."""
Outcome = tuple[dict[int, int], list[int]]
Mode = Literal["full", "fast"]
requests = st.lists(
    st.tuples(st.sampled_from([0, 1, 3, 50, 5000]), st.integers(0, 4000), st.sampled_from([READ, READ, WRITE])), max_size=60
)


def through_front(memory: Memory, arrivals: list[Arrival], end: int, mode: str = "full") -> Outcome:
    """When each access was taken (writes) or had its data (reads), and what was counted; as the fast engine uses it."""
    layout, kind = (inorder, front.IN_ORDER) if mode == "fast" else (state, front.FULL)
    s, f = layout.new_state(*packed(memory, layout.PARAMETERS)), front.new_front(kind, max(1, len(arrivals)))
    requests, ended, done = open_requests(len(arrivals)), np.zeros(len(arrivals), np.int64), {}

    def until(clock: int) -> None:
        while front.due(f) < clock:
            for tag in ended[: front.run(s, f, 7 * clock, 7, 0, 0, requests, ended, 3, 2)].tolist():
                assert requests["left"][tag] == 0
                assert requests["when"][tag] % 3 == 2
                done[tag] = int(requests["when"][tag]) // 3

    for tag, (clock, burst, way) in enumerate(arrivals):
        until(clock)
        front.arrive(s, f, clock, burst, 1, way, tag)
    until(state.NEVER)
    front.close(s, f, end)
    return done, [int(s[getattr(layout, name.upper())]) for name in DRAM_COUNTS]


def by_the_readable_one(memory: Memory, arrivals: list[Arrival], end: int, mode: Mode = "full") -> Outcome:
    """The same by the objects of the reference engine, which share nothing with the kernels."""
    channel, done = new_channel(resolve(BankedDram(kind="banked", technology=memory, mode=mode), 1)), {}

    def until(clock: int) -> None:
        while (due := channel.due()) is not None and due < clock:
            done.update({end.access.tag: end.clock for end in channel.work(due)})

    for tag, (clock, burst, way) in enumerate(arrivals):
        until(clock)
        channel.arrive(burst, way, tag, clock)
    until(state.NEVER)
    counts = channel.close(end)
    return done, [counts[name] for name in DRAM_COUNTS]


def open_requests(count: int) -> Rows:
    """As many requests of one access each."""
    return fast.rows(REQUEST, count, left=1)


def by_hand(memory: Memory, arrivals: list[Arrival], end: int) -> Outcome:
    """The same, with the kernels of the controller called at every clock."""
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
    return done, [int(s[getattr(state, name.upper())]) for name in DRAM_COUNTS]


def placed(drawn: list[Arrival]) -> tuple[list[Arrival], int]:
    """Arrivals at clocks instead of gaps, and an end after all of them."""
    clocks = accumulate(gap for gap, _, _ in drawn)
    arrivals = [(clock, burst, way) for clock, (_, burst, way) in zip(clocks, drawn, strict=True)]
    return arrivals, 200 * len(drawn) + sum(gap for gap, _, _ in drawn) + 3000


@settings(max_examples=60, deadline=None)
@given(technologies, requests)
def test_nothing_is_lost_by_leaving_clocks_and_idle_times_out(memory: Memory, drawn: list[Arrival]) -> None:
    arrivals, end = placed(drawn)
    assert through_front(memory, arrivals, end) == by_hand(memory, arrivals, end)


@settings(max_examples=200, deadline=None)
@given(technologies.map(lambda memory: memory.alone), requests, st.sampled_from(["full", "fast"]))
def test_the_kernels_do_what_the_readable_channel_does(memory: Memory, drawn: list[Arrival], mode: Mode) -> None:
    arrivals, end = placed(drawn)
    assert through_front(memory, arrivals, end, mode) == by_the_readable_one(memory, arrivals, end, mode)


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("preset", ["dramsim3", "ramulator"])
@pytest.mark.parametrize("pattern", ["runs", "strides", "chance"])
@pytest.mark.parametrize("name", ["ddr4_2400", "lpddr4_3200", "hbm2"])
def test_they_do_under_load_too(name: str, pattern: str, preset: str, mode: Mode) -> None:
    random, count = np.random.default_rng(7), 1500
    memory = load_memory(DDR4.with_name(f"{name}.yaml"), [f"controller.preset={preset}"]).alone
    bursts = {
        "runs": np.repeat(random.integers(0, 2**14, count // 6), 6) + np.tile(np.arange(6), count // 6),
        "strides": np.stack([np.arange(count // 3), np.arange(count // 3) + 2**18, np.arange(count // 3) + 2**19 + 64]).T.ravel(),
        "chance": random.integers(0, 2**13, count),
    }[pattern]
    kinds = np.repeat(random.random(count // 3) < 0.3, 3)
    arrivals = [(0, int(burst), int(kind)) for burst, kind in zip(bursts, kinds, strict=True)]
    assert through_front(memory, arrivals, 10**6, mode) == by_the_readable_one(memory, arrivals, 10**6, mode)


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("preset", ["dramsim3", "ramulator"])
def test_they_do_for_hundreds_of_machines(preset: str, mode: Mode) -> None:
    random = np.random.default_rng(5)
    for _ in range(300 if mode == "full" else 60):
        writes = int(random.choice([2, 4, 32]))
        high = int(random.integers(1, writes + 1))
        memory = technology(
            **{name: int(random.choice(sizes)) for name, sizes in {"groups": [1, 2], "banks": [1, 2, 4], "columns": [2, 4, 32]}.items()},
            layout=int(random.integers(3)),
            refresh=int(random.choice([200, 9360])),
            controller={
                "preset": preset,
                "read_queue": int(random.choice([1, 4, 32])),
                "write_queue": writes,
                "bank_queue": int(random.choice([1, 2, 8])),
                **({"high": high, "low": int(random.integers(0, high))} if random.integers(2) else {}),
            },
            page_policy=str(random.choice(["open", "closed"])),
            dual_command=bool(random.integers(2)),
        )
        count = int(random.integers(1, 60))
        gaps = random.choice([[0, 1, 3, 50, 5000], [0, 0, 1, 3, 30]][int(random.integers(2))], count)
        bursts, kinds = random.integers(0, int(random.choice([50, 4000])), count), random.random(count) < 0.4
        arrivals, end = placed([(int(gap), int(burst), int(kind)) for gap, burst, kind in zip(gaps, bursts, kinds, strict=True)])
        assert through_front(memory, arrivals, end, mode) == by_the_readable_one(memory, arrivals, end, mode)


@given(st.lists(st.integers(0, 63), min_size=1))
def test_the_first_bank_of_a_set_is_its_lowest_bit(banks: list[int]) -> None:
    members = np.bitwise_or.reduce(np.int64(1) << np.array(banks))
    assert state.first_of(members) == state.BANK_AT + state.BANK_SIZE * min(banks)


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("way", [through_front, by_the_readable_one])
def test_refreshes_of_an_idle_day_are_counted_without_a_step_each(way: Callable[..., Outcome], mode: Mode) -> None:
    day = 10**14
    done, counts = way(technology(refresh=200), [(1, 0, READ), (day, 0, READ)], day + 1000, mode)
    assert counts[3] == pytest.approx(day // 200, abs=6)
    assert done[1] - day < 200


@pytest.mark.parametrize("way", [through_front, by_the_readable_one])
def test_a_saturated_channel_is_the_validated_one(way: Callable[..., Outcome]) -> None:
    memory, count = load_memory(DDR4), 4000
    words = streams.make("seq_r", {}, count)
    driven = dram.drive(memory, words, 32)
    done, counts = way(memory, [(1, burst, READ) for burst in range(count)], 10**6)
    assert max(done.values()) == pytest.approx(driven.cycles, rel=0.01)
    assert counts[0] == count
