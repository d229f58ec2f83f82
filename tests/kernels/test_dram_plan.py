"""Is the command that the controller has planned what a search over all banks and their queues finds?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller as control
from accelsim.kernels.dram import state as at
from tests.strategies import technologies

ROOT = Path(__file__).parents[2]
arrivals = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 30]), st.integers(0, 600), st.sampled_from([at.READ, at.READ, at.WRITE])), max_size=80
)


def queued(s: at.Int, bank: int, kind: int) -> list[int]:
    """The requests in the queue of a bank, the oldest first."""
    found, e = [], s[bank + at.REQUESTS + 2 * kind + at.NEXT]
    while e != s[bank + at.FIRST_WAITING + kind]:
        found.append(int(e))
        e = s[e + at.NEXT]
    return found


def wishes(s: at.Int, bank: int) -> list[int]:
    """The commands that a bank has a use for, a row command first."""
    queue = [queued(s, bank, kind) for kind in (at.READ, at.WRITE)]
    both = sorted([*queue[0], *queue[1]], key=lambda e: s[e + at.ORDER])
    row = s[bank + at.OPEN_ROW]
    kinds = [kind for kind in (at.READ, at.WRITE) if any(s[e + at.ROW] == row for e in queue[kind])]
    if row == at.NONE:
        return [at.ACTIVATE] if both else []
    if not both:
        return [at.PRECHARGE] if s[at.CLOSED_PAGE] else []
    close = not kinds or (s[bank + at.COLUMNS] >= s[at.HIT_CAP] and s[both[0] + at.ROW] != row)
    return [at.PRECHARGE, *kinds] if close else kinds


def searched(s: at.Int, now: int) -> tuple[int, int, int] | None:
    """When, of which bank and which: the soonest command, of several the next bank's; of one bank's columns the older request's."""
    found = []
    for b in range(s[at.BANKS]):
        bank = at.BANK_AT + at.BANK_SIZE * b
        for command in wishes(s, bank):
            time = max(now, *(int(s[k + command]) for k in (bank + at.NOT_BEFORE, s[bank + at.GROUP], at.RANK_READ)))
            column = command <= at.WRITE
            age = next(s[e + at.ORDER] for e in queued(s, bank, command) if s[e + at.ROW] == s[bank + at.OPEN_ROW]) if column else 0
            found.append((time, (b - s[at.LAST_BANK] - 1) % s[at.BANKS], column, age, bank, command))
    if not found:
        return None
    time, _, _, _, bank, command = min(found)
    return time, bank, command


def check(memory: Memory, waiting: list[tuple[int, int, int]]) -> None:
    """Drive a channel with requests (clock, burst, kind), and compare wherever it has something to do."""
    s, now = at.new_state(*packed(memory, at.PARAMETERS)), 0
    while waiting or not at.idle(s):
        if at.next_event(s) <= now:
            planned = tuple(map(int, at.planned(s)))
            start = now if planned[0] <= now else now + 1  # what has just joined a queue may have its first command a clock later
            assert (planned if planned[0] != at.NEVER else None) == searched(s, start)
            control.step(s, now)
        if waiting and waiting[0][0] <= now and at.room(s, waiting[0][2]):
            control.admit(s, now, *waiting.pop(0)[1:], 0)
        if not waiting:
            control.flush(s, now)
        now += 1


@settings(max_examples=100, deadline=None)
@given(technologies.filter(lambda memory: memory.controller.preset == "dramsim3"), arrivals)
def test_the_planned_command_is_what_a_search_finds(memory: Memory, drawn: list[tuple[int, int, int]]) -> None:
    clocks = np.cumsum([gap for gap, _, _ in drawn])
    check(memory, [(int(clock), burst, kind) for clock, (_, burst, kind) in zip(clocks, drawn, strict=True)])


@pytest.mark.parametrize("pattern", ["runs", "strides", "chance"])
@pytest.mark.parametrize("name", ["ddr4_2400", "lpddr4_3200", "hbm2"])
def test_it_is_under_load_too(name: str, pattern: str) -> None:
    random, count = np.random.default_rng(7), 1500
    memory = load_memory(ROOT / f"configs/memory/{name}.yaml")
    bursts = {
        "runs": np.repeat(random.integers(0, 2**14, count // 6), 6) + np.tile(np.arange(6), count // 6),
        "strides": np.stack([np.arange(count // 3), np.arange(count // 3) + 2**18, np.arange(count // 3) + 2**19 + 64]).T.ravel(),
        "chance": random.integers(0, 2**13, count),
    }[pattern]
    kinds = np.repeat(random.random(count // 3) < 0.3, 3).astype(int)
    check(memory, [(0, int(burst), int(kind)) for burst, kind in zip(bursts, kinds, strict=True)])
