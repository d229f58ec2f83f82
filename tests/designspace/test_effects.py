"""Sensitivity: shares of variance that a hand can check."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.designspace.effects import REST, effects, in_step
from accelsim.errors import ConfigError


def grid(of: object, sizes: tuple[int, ...] = (3, 4)) -> pd.DataFrame:
    rows = [{"a": a, "b": b, "copy": f"b{b}", "one": 1, "error": "", "y": of(a, b)} for a, b in itertools.product(*map(range, sizes))]  # type: ignore[operator]
    return pd.DataFrame(rows)


def shares(table: pd.DataFrame) -> dict[str, float]:
    found = effects(table, ["a", "b", "copy", "one"], ["y"])
    return dict(zip(found["axis"], found["share_percent"], strict=True))


def test_a_sum_is_explained_by_its_parts_and_nothing_is_left_over() -> None:
    found = shares(grid(lambda a, b: 10 * a + b))
    whole = 100 * np.var(range(3)) + np.var(range(4))
    assert found["a"] == pytest.approx(100 * 100 * np.var(range(3)) / whole)
    assert found["b + copy"] == pytest.approx(100 * np.var(range(4)) / whole)
    assert found[REST] == pytest.approx(0, abs=1e-9)


def test_what_matters_only_together_is_told() -> None:
    found = shares(grid(lambda a, b: (a + b) % 2, (2, 2)))
    assert found == {"a": pytest.approx(0), "b + copy": pytest.approx(0), REST: pytest.approx(100)}


@given(st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(lambda numbers: len(set(numbers)) > 1))
def test_shares_of_a_whole_grid_add_up_to_all(numbers: list[int]) -> None:
    assert sum(shares(grid(lambda a, b: numbers[4 * a + b])).values()) == pytest.approx(100)


def test_means_say_how_far_an_axis_reaches_and_where() -> None:
    row = effects(grid(lambda a, b: 10 * a + b), ["a"], ["y"]).iloc[0]
    assert (row["least"], row["most"], row["at_least"], row["at_most"]) == (1.5, 21.5, "0", "2")


def test_a_grid_with_holes_has_no_remainder_and_failed_points_do_not_count() -> None:
    table = grid(lambda a, b: 10 * a + b)
    table.loc[0, ["error", "y"]] = ["too small", np.nan]
    assert set(shares(table)) == {"a", "b + copy"}
    with pytest.raises(ConfigError, match="needs two points"):
        effects(table.assign(error="lost"), ["a"], ["y"])


def test_axes_go_in_step_where_each_tells_the_other() -> None:
    assert in_step(grid(lambda a, b: 0), ["a", "b", "copy", "one"]) == [("a",), ("b", "copy")]
