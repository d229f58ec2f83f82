"""Which markers stay on chip: first come, as long as they are needed."""

from __future__ import annotations

import pytest

from accelsim.schedule.markers import spilled

CHAIN = [frozenset({0}), frozenset({1}), frozenset({2})]
"""Layers 1, 2, 3 in a row; map 0 is the network's input, map 3 its output."""


@pytest.mark.parametrize(("capacity", "out"), [(0, {1, 2}), (5, {2}), (10, {2}), (11, set())])
def test_a_map_needs_room_while_the_map_it_is_made_from_is_still_held(capacity, out):
    assert spilled(CHAIN, [1, 2, 3], {1: 5, 2: 6}, capacity) == out


def test_room_is_free_after_the_last_consumer():
    reads = [frozenset({0}), frozenset({1}), frozenset({2}), frozenset({3})]
    assert spilled(reads, [1, 2, 3, 4], {1: 5, 2: 5, 3: 5}, 10) == set()


def test_a_map_with_a_late_consumer_keeps_its_room():
    reads = [frozenset({0}), frozenset({1}), frozenset({2}), frozenset({1, 3})]
    assert spilled(reads, [1, 2, 3, 4], {1: 5, 2: 5, 3: 5}, 10) == {3}


def test_who_comes_first_stays_and_smaller_maps_still_fit():
    assert spilled(CHAIN, [1, 2, 3], {1: 12, 2: 3}, 4) == {1}


def test_maps_without_markers_need_no_room():
    assert spilled(CHAIN, [1, 2, 3], {}, 0) == set()
