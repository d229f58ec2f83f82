"""Threads share a layer: every unit is done once, what a share raises is raised, and the data does not depend on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock, current_thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ModelError
from accelsim.graph import Node
from accelsim.operators import operator
from accelsim.operators.team import WORTHWHILE, Team


@given(st.integers(1, 5), st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_every_unit_is_done_once(threads, units):
    done, lock = [], Lock()

    def task(first, last):
        with lock:
            done.extend(range(first, last))

    Team(threads).share(units, WORTHWHILE, task)
    assert sorted(done) == list(range(units))


def test_a_small_layer_stays_in_the_thread_that_asks():
    shares = []
    Team(4).share(8, WORTHWHILE - 1, lambda first, last: shares.append((first, last, current_thread())))
    assert shares == [(0, 8, current_thread())]


def test_what_a_share_raises_is_raised():
    def task(first, last):
        if first:
            raise ValueError(f"from {first}")

    with pytest.raises(ValueError, match="from 4"):
        Team(2).share(8, WORTHWHILE, task)


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ModelError, match="threads 0; allowed: 1 or more"):
        Team(0)


LAYERS = {
    "conv": Node(1, "n", "conv", (0,), (19, 40, 40), (3, 3), (1, 1), (1, 1, 1, 1), activation="relu"),
    "groups": Node(1, "n", "conv", (0,), (36, 40, 40), (5, 5), (1, 1), (2, 2, 2, 2), groups=4),
    "depthwise": Node(1, "n", "conv", (0,), (36, 40, 40), (5, 5), (1, 1), (2, 2, 2, 2), groups=36, activation="relu6"),
    "maxpool": Node(1, "n", "maxpool", (0,), (36, 38, 38), (5, 5), pad=(1, 1, 1, 1)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, kind):
    node, channels = LAYERS[kind], 36
    rng = np.random.default_rng(3)
    data = rng.standard_normal((channels, 40, 40)).astype(np.float32)
    data[5] = 0
    zero_channels = ~data.any(axis=(1, 2))
    weights = {}
    if node.kind == "conv":
        size = (node.shape[0], channels // node.groups, *node.kernel)
        weights = {"weight": rng.standard_normal(size).astype(np.float32), "bias": rng.standard_normal(size[0]).astype(np.float32)}
    shared = []
    plain = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda pool, *task: (shared.append(task[1:]), plain(pool, *task))[1])
    made = [
        operator(node, [data.shape], weights, Team(threads))([data], [zero_channels], lambda size: np.full(size, np.nan, np.float32))
        for threads in (1, 2, 3, 7)
    ]
    assert len(shared) == 1 + 2 + min(6, -(-node.shape[0] // 4) - 1 if kind == "conv" else 6)
    assert len({ofmap.tobytes() for ofmap in made}) == 1
