"""Algorithm 1 in kernels, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import trace
from accelsim.kernels import marks

SPECIAL = np.array([0.0, -0.0, 1e-45, -1e-45, 0.1, -0.1, 3.0, np.inf, -np.inf, np.nan], np.float32)


def maps(shape, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice(SPECIAL, shape).astype(np.float32)
    # parts and channels that are wholly zero must occur
    return np.where(rng.random((shape[0], 1, 1)) < 0.5, values, np.where(rng.random(shape) < 0.9, np.float32(0), values))


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 10), st.integers(1, 10), st.integers(0, 99))
@settings(deadline=None)
def test_part_maxima_over_a_ragged_grid(shape, h, w, seed):
    values = maps(shape, seed)
    largest = np.empty((shape[0], -(-shape[1] // h), -(-shape[2] // w)), np.uint32)
    marks.part_maxima(values.view(np.uint32), h, w, largest)
    found = largest.view(np.float32)
    np.testing.assert_array_equal(np.where(np.isnan(found), np.float32(np.inf), found), trace.part_maxima(values, h, w))


@given(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)), st.integers(0, 99))
@settings(deadline=None)
def test_channel_marks_count_both_zeros_and_never_nan(shape, seed):
    values = maps(shape, seed)
    largest, zeros = np.empty(shape[0], np.uint32), np.empty(shape[0], np.int64)
    marks.channel_marks(values.reshape(shape[0], -1).view(np.uint32), largest, zeros)
    assert zeros.tolist() == (values == 0).sum(axis=(1, 2)).tolist()
    finite = np.isfinite(values).all(axis=(1, 2))
    np.testing.assert_array_equal(largest.view(np.float32)[finite], np.abs(values).max(axis=(1, 2))[finite])
    assert (largest[~finite] >= np.float32(np.inf).view(np.uint32)).all()


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_within_no_epsilon(value):
    largest, zeros = np.empty(1, np.uint32), np.empty(1, np.int64)
    marks.channel_marks(np.array([[value, 0]], np.float32).view(np.uint32), largest, zeros)
    assert not (largest.view(np.float32) <= np.finfo(np.float32).max).any()


def test_clear_parts_clears_flagged_parts_only():
    values = np.ones((2, 3, 5), np.float32)
    flags = np.zeros((2, 2, 3), np.bool_)
    flags[0, 1, 2] = flags[1, 0, 0] = True
    marks.clear_parts(values, flags, 2, 2)
    expected = np.ones((2, 3, 5), np.float32)
    expected[0, 2:, 4:] = 0
    expected[1, :2, :2] = 0
    np.testing.assert_array_equal(values, expected)


def test_clear_elements_includes_epsilon_itself_and_spares_nan():
    values = np.array([0.5, -0.5, 0.51, -0.0, np.nan, 0.1], np.float32)
    assert marks.clear_elements(values, np.float32(0.5)) == 4
    np.testing.assert_array_equal(values, np.array([0, 0, 0.51, 0, np.nan, 0], np.float32))
    assert not np.signbit(values).any()
