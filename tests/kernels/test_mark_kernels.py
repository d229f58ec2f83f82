"""Algorithm 1 in kernels, against numpy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import trace
from accelsim.kernels import marks
from accelsim.kernels.jit import FLAGS
from accelsim.kernels.marks.vectors import higher, higher_of_pairs, magnitude, nonzero, ones
from accelsim.kernels.windows.vectors import load, store, zeros

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


sizes = st.tuples(st.integers(1, 4), st.integers(1, 18), st.one_of(st.integers(1, 34), st.integers(60, 150)))
parts = st.one_of(st.just((8, 8)), st.tuples(st.integers(1, 20), st.integers(1, 160)))


@given(sizes, parts, st.integers(0, 999))
def test_one_walk_finds_all_that_numpy_finds_in_several(shape, part, seed):
    values = maps(shape, seed)
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, shape[0])
    values[kinds == 1] = rng.choice(SPECIAL)  # a channel of one value
    values[kinds == 2] = 2 * rng.choice([-1, 1], values[kinds == 2].shape)  # one of equal magnitudes
    maxima = np.empty(trace.part_grid(shape, *part), np.float32)
    words = np.empty(-(-values.size // 64), np.uint64)
    zero, constant = np.empty(shape[0], np.bool_), np.empty(shape[0], np.bool_)
    count = marks.measure(values.view(np.uint32), *part, maxima.view(np.uint32), words, zero, constant)
    largest = over_parts(values.view(np.uint32) & marks.MAGNITUDE, *part, np.max).view(np.float32)
    np.testing.assert_array_equal(maxima, np.where(np.isnan(largest), np.float32(np.inf), largest))
    packed = np.packbits(values != 0)
    assert words.tobytes() == packed.tobytes() + bytes(words.nbytes - packed.size)
    assert count == np.count_nonzero(values)
    flat = values.reshape(shape[0], -1)
    np.testing.assert_array_equal(zero, (flat == 0).all(axis=1))
    np.testing.assert_array_equal(constant, (flat == flat[:, :1]).all(axis=1) & (flat[:, 0] != 0) & (flat.shape[1] > 1))


# not kept on disk: the cache of a test would not see edits of the strips
@numba.njit(**FLAGS | {"cache": False})
def each(left, right, found, words):
    """Every function of bits once. Shapes: left, right float32 [64]; found float32 [3, 64]; words uint64 [2]."""
    x, s = load(zeros(64), left, 0), load(zeros(64), right, 0)
    flat = found.reshape(-1)
    store(magnitude(x), flat, 0)
    store(higher(magnitude(x), magnitude(s)), flat, 64)
    store(higher_of_pairs(magnitude(x)), flat, 128)
    words[0] = nonzero(x)
    words[1] = ones(words[0])


@given(st.integers(0, 9999))
def test_compiled_strips_of_bits_do_what_the_plain_functions_say(seed):
    rng = np.random.default_rng(seed)
    left, right = rng.choice(SPECIAL, (2, 64))
    found, expected = np.zeros((2, 3, 64), np.float32)
    words, counted = np.zeros((2, 2), np.uint64)
    each(left, right, found, words)
    getattr(each, "py_func", each)(left, right, expected, counted)
    assert (found.tobytes(), words.tobytes()) == (expected.tobytes(), counted.tobytes())
    assert words[:1].tobytes() == np.packbits(left != 0).tobytes()
    assert words[1] == np.count_nonzero(left)


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
