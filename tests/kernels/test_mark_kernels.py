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


def over_parts(data, h, w, combine):
    """One number for each h x w part, by a naive walk."""
    rows, cols = range(0, data.shape[1], h), range(0, data.shape[2], w)
    return np.array([[[combine(plane[y : y + h, x : x + w]) for x in cols] for y in rows] for plane in data])


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 10), st.integers(1, 10), st.integers(0, 99))
@settings(deadline=None)
def test_part_maxima_over_a_ragged_grid(shape, h, w, seed):
    values = maps(shape, seed)
    largest = np.empty((shape[0], -(-shape[1] // h), -(-shape[2] // w)), np.uint32)
    marks.part_maxima(values.view(np.uint32), h, w, largest)
    np.testing.assert_array_equal(largest, over_parts(values.view(np.uint32) & marks.MAGNITUDE, h, w, np.max))
    np.testing.assert_array_equal(np.minimum(largest, trace.INFINITY).view(np.float32), trace.part_maxima(values, h, w))


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 10), st.integers(1, 10), st.integers(0, 99))
def test_live_parts_over_a_ragged_grid(shape, h, w, seed):
    nonzero = maps(shape, seed) != 0
    live = np.empty((shape[0], -(-shape[1] // h), -(-shape[2] // w)), np.bool_)
    marks.live_parts(nonzero.view(np.uint8), h, w, live.view(np.uint8))
    np.testing.assert_array_equal(live, over_parts(nonzero, h, w, np.any))


@given(st.integers(1, 90), st.integers(0, 999))
def test_what_is_not_zero_is_packed_as_numpy_packs_it(size, seed):
    values = np.random.default_rng(seed).choice(SPECIAL, size)
    mask = np.full(-(-size // 8), 255, np.uint8)
    marks.pack_nonzero(values.view(np.uint32), mask)
    np.testing.assert_array_equal(mask, np.packbits(values != 0))


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 999))
def test_live_channels_are_found_in_packed_masks(channels, size, seed):
    rng = np.random.default_rng(seed)
    nonzero = (rng.random((channels, size)) < 0.1) & (rng.random((channels, 1)) < 0.7)
    live = np.empty(channels, np.bool_)
    marks.live_channels(trace.pack(nonzero), size, live)
    np.testing.assert_array_equal(live, nonzero.any(axis=1))


@given(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)), st.integers(0, 99))
@settings(deadline=None)
def test_channel_marks_count_both_zeros_and_never_nan(shape, seed):
    values = maps(shape, seed)
    largest, zeros, marked = np.empty(shape[0], np.float32), np.empty(shape[0], np.int64), np.empty(shape[0], np.bool_)
    most = marks.channel_marks(values.reshape(shape[0], -1).view(np.uint32), np.float32(0.5), largest, zeros, marked)
    assert zeros.tolist() == (values == 0).sum(axis=(1, 2)).tolist()
    finite = np.isfinite(values).all(axis=(1, 2))
    np.testing.assert_array_equal(largest[finite], np.abs(values).max(axis=(1, 2))[finite])
    assert not np.isfinite(largest[~finite]).any()
    assert marked.tolist() == (np.abs(values) <= 0.5).all(axis=(1, 2)).tolist()
    assert most == largest.view(np.uint32).max()


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_within_no_epsilon(value):
    largest, zeros, marked = np.empty(1, np.float32), np.empty(1, np.int64), np.ones(1, np.bool_)
    bits = np.array([[value, 0]], np.float32).view(np.uint32)
    assert marks.channel_marks(bits, np.finfo(np.float32).max, largest, zeros, marked) >= np.float32(np.inf).view(np.uint32)
    assert not marked[0]


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
