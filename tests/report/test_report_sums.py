"""Sums over the rows of a table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.sums import Sums


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-(2**60), 2**60)), max_size=8), st.booleans())
def test_sums_by_layer_are_exact_in_any_order_and_0_for_layers_without_rows(rows: list[tuple[int, int]], ordered: bool) -> None:
    layer, values = np.array(sorted(rows) if ordered else rows, dtype=np.int64).reshape(-1, 2).T
    assert Sums.by(layer, 5)(values).tolist() == [sum(value for number, value in rows if number == one) for one in range(5)]
