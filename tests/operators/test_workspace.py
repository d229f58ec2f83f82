"""Memory is used again, but never while anybody can see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.operators.workspace import ALIGNMENT, WASTE, Workspace


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_of_a_dropped_array_is_used_again():
    workspace = Workspace()
    first = workspace.empty((4, 8, 8))
    where = address(first)
    del first
    assert address(workspace.empty((2, 16, 8))) == where
    assert workspace.elements == 256


def test_a_view_keeps_the_memory():
    workspace = Workspace()
    first = workspace.empty((3, 40))
    first[...] = 7
    corner = first.reshape(-1)[5:9].view()
    del first
    second = workspace.empty((3, 40))
    second[...] = 1
    assert corner.tolist() == [7, 7, 7, 7]


def test_arrays_outlive_their_workspace():
    arrays = [Workspace().empty((10,)) for _ in range(100)]
    for array in arrays:
        array[...] = 3
    others = [np.full(50, 9, np.float32) for _ in range(1000)]
    assert all((array == 3).all() for array in arrays)
    assert len(others) == 1000


def test_a_small_array_does_not_take_a_large_block():
    workspace = Workspace()
    workspace.empty((WASTE * 1000 + ALIGNMENT,))
    workspace.empty((1000,))
    assert workspace.elements > WASTE * 1000 + 1000


def test_threads_share_it():
    workspace = Workspace()

    def use(mark):
        for size in range(1, 200):
            array = workspace.empty((size * 7,))
            array[...] = mark
            if not (array == mark).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(8)))


def test_blocks_begin_at_a_line_of_cache():
    workspace = Workspace()
    held = [workspace.empty((size,)) for size in (1, 3, 17, 100, 1000)]
    assert all(address(array) % (4 * ALIGNMENT) == 0 for array in held)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30))
@settings(deadline=None)
def test_living_arrays_never_overlap(requests):
    workspace = Workspace()
    held = []
    for mark, (size, keep) in enumerate(requests):
        array = workspace.empty((size,))
        array[...] = mark
        if keep:
            held.append((mark, array))
        elif held:
            held.pop(0)
    for mark, array in held:
        np.testing.assert_array_equal(array, mark)
