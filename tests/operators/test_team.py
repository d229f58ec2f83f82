"""Threads share a layer: every unit is done once, what a share raises is raised, and the data does not depend on them."""

from __future__ import annotations

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ModelError
from accelsim.graph import Node
from accelsim.kernels import crew
from accelsim.kernels.compile import kernel
from accelsim.kernels.crew.atomics import add, read
from accelsim.operators import operator
from accelsim.operators import team as teams
from accelsim.operators.base import Tally
from accelsim.operators.team import LEAST, WORTHWHILE, Team

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="without the jit nobody helps")


@kernel
def count(done, first, last):
    for unit in range(first, last):
        done[unit] += 1


@kernel
def note(calls, first, last):
    add(calls, 0, 1)
    add(calls, 1, last - first)


@kernel
def meet(inside, seen, first, last):
    """Wait in unit 0 until somebody is in unit 1, and the other way round."""
    for unit in range(first, last):
        add(inside, unit, 1)
        looks = 0
        while read(inside, 1 - unit) == 0 and looks < 1 << 31:
            looks += 1
        seen[unit] = read(inside, 1 - unit)


@kernel
def fail(limit, first, last):
    if last > limit:
        raise ValueError("no room")


@given(st.integers(1, 4), st.integers(1, 70), st.integers(0, 60))
@settings(deadline=None, max_examples=30)
def test_every_unit_is_done_once(threads, units, shares):
    done = np.zeros(units, np.int64)
    Team(threads).share(count, (done,), units, WORTHWHILE + shares * LEAST)
    assert done.tolist() == [1] * units


@pytest.mark.parametrize(("threads", "units", "work"), [(4, 8, WORTHWHILE - 1), (1, 8, 99 * LEAST), (4, 1, 99 * LEAST)])
def test_small_layers_stay_in_the_thread_that_asks(threads, units, work):
    calls = np.zeros(2, np.int64)
    team = Team(threads)
    team.share(note, (calls,), units, work)
    assert calls.tolist() == [1, units]
    assert not team._helpers


def test_plain_functions_are_called_once():
    calls = []
    Team(4).share(lambda *share: calls.append(share), (7,), 8, 99 * LEAST)
    assert calls == [(7, 0, 8)]


@compiled
def test_two_threads_are_at_work_at_the_same_time_even_after_a_sleep():
    team, done = Team(2), np.zeros(8, np.int64)
    team.share(count, (done,), 8, 99 * LEAST)
    for sleeps in (1, 2, 3):
        for _ in range(10_000):
            if team._words[crew.ASLEEP] == sleeps:
                break
            time.sleep(0.005)  # the first time, the helper's code may have to be compiled
        inside, seen = np.zeros(2, np.int64), np.zeros(2, np.int64)
        team.share(meet, (inside, seen), 2, 99 * LEAST)
        assert inside.tolist() == seen.tolist() == [1, 1]


def test_a_helper_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(Team, "_wake", lambda self: None)
    done = np.zeros(40, np.int64)
    Team(3).share(count, (done,), 40, 99 * LEAST)
    assert done.tolist() == [1] * 40


@compiled
def test_helpers_end_with_their_team():
    team, done = Team(3), np.zeros(40, np.int64)
    team.share(count, (done,), 40, 99 * LEAST)
    helpers = team._helpers
    assert len(helpers) == 2
    del team
    gc.collect()
    for helper in helpers:
        helper.join(20)
        assert not helper.is_alive()


def test_what_a_share_raises_is_raised_and_the_team_goes_on():
    team, done = Team(2), np.zeros(8, np.int64)
    with pytest.raises((MemoryError, ValueError), match=r"no memory for a share of fail|no room"):
        team.share(fail, (4,), 8, 99 * LEAST)
    team.share(fail, (8,), 8, 99 * LEAST)
    team.share(count, (done,), 8, 99 * LEAST)
    assert done.tolist() == [1] * 8


def test_arguments_may_be_of_other_types_the_next_time():
    team = Team(2)
    for dtype in (np.int64, np.float32, np.int64, np.uint8):
        done = np.zeros(40, dtype)
        team.share(count, (done,), 40, 99 * LEAST)
        assert done.tolist() == [1] * 40


def test_several_threads_may_ask_one_team():
    team, arrays = Team(2), np.zeros((16, 50), np.int64)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda done: team.share(count, (done,), 50, 99 * LEAST), arrays))
    assert (arrays == 1).all()


def test_an_interrupt_waits_for_those_who_still_write(monkeypatch):
    answers = iter([KeyboardInterrupt(), False, True])

    def settled(words, patience):
        answer = next(answers)
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        return answer

    monkeypatch.setattr(teams.crew, "settled", settled)
    with pytest.raises(KeyboardInterrupt):
        Team(2)._settle()
    assert next(answers, None) is None


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ModelError, match="threads 0; allowed: 1 or more"):
        Team(0)


LAYERS = {
    "conv": Node(1, "n", "conv", (0,), (19, 40, 40), (3, 3), (1, 1), (1, 1, 1, 1), activation="relu"),
    "pointwise": Node(1, "n", "conv", (0,), (19, 40, 40), (1, 1), (1, 1)),
    "small": Node(1, "n", "conv", (0,), (36, 3, 3), (3, 3), (14, 14), (0, 0, 0, 0)),
    "groups": Node(1, "n", "conv", (0,), (36, 40, 40), (5, 5), (1, 1), (2, 2, 2, 2), groups=4),
    "depthwise": Node(1, "n", "conv", (0,), (36, 40, 40), (5, 5), (1, 1), (2, 2, 2, 2), groups=36, activation="relu6"),
    "maxpool": Node(1, "n", "maxpool", (0,), (36, 38, 38), (5, 5), pad=(1, 1, 1, 1)),
    "add": Node(1, "n", "add", (0, 0, 0), (36, 40, 40), activation="relu"),
    "concat": Node(1, "n", "concat", (0, 0), (72, 40, 40)),
    "fc": Node(1, "n", "fc", (0,), (101, 1, 1)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, kind):
    monkeypatch.setattr(teams, "WORTHWHILE", 0)
    monkeypatch.setattr(teams, "LEAST", 1 << 12)
    node, channels = LAYERS[kind], 36
    rng = np.random.default_rng(3)
    data = rng.standard_normal((channels, 40, 40)).astype(np.float32)
    data[5] = 0
    zero_channels = ~data.any(axis=(1, 2))
    weights = {}
    if node.kind in ("conv", "fc"):
        inputs = data.size if node.kind == "fc" else channels // node.groups
        size = (node.shape[0], inputs, *(() if node.kind == "fc" else node.kernel))
        weights = {"weight": rng.standard_normal(size).astype(np.float32), "bias": rng.standard_normal(size[0]).astype(np.float32)}
    count = len(node.inputs)
    shared = []
    plain = Team._share
    monkeypatch.setattr(Team, "_share", lambda team, *task: (shared.append(team.threads), plain(team, *task))[1])
    told, made = [], []
    for threads in (1, 2, 3, 7):
        run = operator(node, [data.shape] * count, weights, Team(threads))
        tally = Tally.of(node.shape[0])
        telling = [tally] if getattr(run, "tells", False) else []
        made.append(run([data] * count, [zero_channels] * count, lambda size: np.full(size, np.nan, np.float32), *telling))
        told.append((tally.largest.tobytes(), tally.zeros.tobytes()))
    assert len({ofmap.tobytes() for ofmap in made}) == len(set(told)) == 1
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert set(shared) == {2, 3, 7}
