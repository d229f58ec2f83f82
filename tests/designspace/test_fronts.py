"""Pareto fronts: against the definition, word by word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.designspace.fronts import efficient, front
from accelsim.errors import ConfigError

POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=25)


@given(POINTS)
def test_a_point_is_on_the_front_exactly_if_no_other_dominates_it(points: list[tuple[int, ...]]) -> None:
    def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    naive = [not any(beats(other, point) for other in points) for point in points]
    assert efficient(np.array(points, float)).tolist() == naive


def test_more_is_better_of_some_numbers_and_each_trace_has_its_own_front() -> None:
    table = pd.DataFrame({"job": [1, 1, 2], "total_cycles": [5, 9, 9], "speed_up": [1.0, 2.0, 0.5]}, index=[7, 3, 5])
    assert front(table, ["total_cycles", "speed_up"]).to_dict() == {7: True, 3: True, 5: True}
    assert front(table, ["total_cycles", "speed_up"], by=None).to_dict() == {7: True, 3: True, 5: False}


def test_rows_without_a_number_are_on_no_front() -> None:
    table = pd.DataFrame({"job": 1, "bytes_moved": pd.array([3, None, 4], "Int64")})
    assert front(table, ["bytes_moved"]).tolist() == [True, False, False]


def test_what_is_no_column_of_numbers_is_refused() -> None:
    table = pd.DataFrame({"job": [1], "bytes_moved": [3], "scheme": ["dense"]})
    with pytest.raises(ConfigError, match="'scheme' is no column of numbers"):
        front(table, ["scheme"])
    with pytest.raises(ConfigError, match="Did you mean 'bytes_moved'"):
        front(table, ["byte_moved"])
    with pytest.raises(ConfigError, match="needs an objective"):
        front(table, [])
