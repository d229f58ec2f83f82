"""Bilinear interpolation in kernels, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels import interpolate

sizes = st.integers(1, 9)


@pytest.mark.parametrize(("kernel", "axis"), [(interpolate.down, 1), (interpolate.across, 2)])
@given(st.tuples(st.integers(1, 3), sizes, sizes), sizes, st.integers(0, 2**32))
def test_each_line_is_a_weighted_sum_of_two_to_the_bit(kernel, axis, shape, length, seed):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=shape)
    low, high = rng.integers(0, shape[axis], (2, length))
    near, far = rng.random((2, length))
    made = list(shape)
    made[axis] = length
    out = np.full(made, np.nan)
    kernel(data, low, high, near, far, out)
    aside = (-1, 1) if axis == 1 else (1, -1)
    expected = near.reshape(aside) * data.take(low, axis) + far.reshape(aside) * data.take(high, axis)
    np.testing.assert_array_equal(out, expected)
