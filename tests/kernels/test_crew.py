"""Who takes which share of a job, who waits for whom, and do atomic operations do what the plain functions say?"""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels import crew
from accelsim.kernels.crew import atomics
from accelsim.kernels.crew import crew as kernels
from accelsim.kernels.crew.atomics import add, read, swap, write
from accelsim.kernels.jit import FLAGS

plain = getattr(kernels.next_share, "py_func", kernels.next_share)


def opened(units, members, grain):
    """The words of a job that nobody has begun."""
    words = np.zeros(crew.PARTS + members * crew.LINE, np.int64)
    words[kernels.MEMBERS], words[kernels.GRAIN] = members, grain
    for member in range(members):
        first, last = units * member // members, units * (member + 1) // members
        words[crew.PARTS + member * crew.LINE] = first << kernels.HALF | last
    return words


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 20), st.lists(st.integers(0, 4), max_size=80))
def test_every_unit_is_taken_once_whoever_comes(units, members, grain, turns):
    words, taken = opened(units, members, grain), []
    for me in [*(turn % members for turn in turns), *[0] * units]:
        first, last = plain(words, me)
        taken += range(first, last)
    assert sorted(taken) == list(range(units))
    assert plain(words, members - 1) == (0, 0)


def test_each_member_begins_its_own_part_and_helps_others_from_behind():
    words = opened(64, 2, 1)
    assert [plain(words, me) for me in (0, 1, 0, 0)] == [(0, 16), (32, 48), (16, 24), (24, 28)]
    words = opened(64, 2, 32)
    assert [plain(words, 0) for _ in range(3)] == [(0, 32), (32, 64), (0, 0)]
    words = opened(64, 2, 8)
    assert [plain(words, 0) for _ in range(4)][2:] == [(24, 32), (48, 64)]


def test_no_share_is_smaller_than_the_grain_but_where_a_part_is():
    words = opened(50, 2, 10)
    sizes = [last - first for first, last in (plain(words, 0) for _ in range(4))]
    assert sizes == [12, 13, 12, 13]


# not kept on disk: the cache of a test would not see edits of the operations
@numba.njit(**FLAGS | {"cache": False})
def each(words, found):
    """Every operation. Shapes: words int64 [4]; found int64 [6]."""
    write(words, 0, 7)
    found[0], found[1] = read(words, 0), add(words, 1, 5)
    found[2], found[3] = swap(words, 2, 0, 9), swap(words, 2, 0, 4)
    atomics.pause()
    atomics.give_way()
    found[4], found[5] = read(words, 1), read(words, 2)


def test_compiled_operations_do_what_the_plain_functions_say():
    results = []
    for run in (each, getattr(each, "py_func", each)):
        words, found = np.zeros(4, np.int64), np.zeros(6, np.int64)
        run(words, found)
        results.append((words.tolist(), found.tolist()))
    assert results == [([7, 5, 9, 0], [7, 0, 1, 0, 5, 9])] * 2


def test_waiting_ends_when_nobody_works_or_patience_does():
    words = opened(4, 2, 1)
    assert crew.settled(words, 1)
    words[kernels.ACTIVE] = 1
    assert not crew.settled(words, 10)


def test_a_helper_ends_when_it_is_told_and_sleeps_when_nothing_comes():
    words = opened(4, 2, 1)
    assert crew.serve(words, 1, 10)
    assert words[crew.ASLEEP] == 1
    words[crew.STOP] = 1
    assert not crew.serve(words, 1, 10)
    assert words[crew.ASLEEP] == 1


def test_arguments_that_compiled_code_takes_alike_have_one_number():
    array = np.zeros((2, 3), np.float32)
    frozen = array.copy()
    frozen.flags.writeable = False
    names = [atomics.name(value) for value in (array, frozen, array.T, 5, np.float32(1), True)]
    assert names == ["array(float32, 2d, C)", "array(float32, 2d, C)", "array(float32, 2d, F)", "int64", "float32", "bool"]
    assert len({atomics.number_of([name]) for name in names}) == 5


def test_plain_functions_have_no_address():
    for outside in (lambda: atomics.frame(np.zeros(1, np.int64), 0, 0, ()), lambda: atomics.call(np.zeros(1, np.int64), 0, 1)):
        with pytest.raises(NotImplementedError, match="only compiled code"):
            outside()
