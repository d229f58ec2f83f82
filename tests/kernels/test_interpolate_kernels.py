"""Bilinear interpolation in kernels, against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels import interpolate

sizes = st.integers(1, 9)


@given(st.tuples(st.integers(1, 3), sizes, sizes), sizes, sizes, st.integers(0, 2**32))
def test_each_line_is_a_weighted_sum_of_two_rounded_once(shape, height, width, seed):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=shape).astype(np.float32)
    upper, columns = rng.integers(0, shape[1], height), rng.integers(0, shape[2], (2, width))
    rows = np.stack([upper, np.minimum(upper + rng.integers(0, 2, height), shape[1] - 1)])
    row_weights, column_weights = rng.random((2, height)), rng.random((2, width))
    made = np.full((shape[0], height, width), np.nan, np.float32)
    interpolate.resize(data, columns, column_weights, rows, row_weights, made)
    lines = (column_weights[:, None, None, :] * np.stack([data.take(along, 2) for along in columns])).sum(axis=0)
    mixed = (row_weights[:, None, :, None] * np.stack([lines.take(down, 1) for down in rows])).sum(axis=0)
    np.testing.assert_array_equal(made, mixed.astype(np.float32))
