"""Strips in registers do what the plain functions say, whatever their width; and fused operations round once."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels.jit import FLAGS
from accelsim.kernels.windows import vectors
from accelsim.kernels.windows.vectors import (
    among,
    below,
    count_zeros,
    every_second,
    fused,
    increase,
    larger,
    leaky,
    load,
    load_within,
    peak,
    plus,
    raise_to,
    relu,
    store,
    store_first,
    zeros,
)

ODD, TWICE = 6, 12
"""Widths that no machine has."""
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = st.one_of(finite, st.sampled_from([0.0, -0.0, 2.0**-149, 1 + 2.0**-23, -1 - 2.0**-23, 2.0**24]))


# not kept on disk: the cache of a test would not see edits of the strips
@numba.njit(**FLAGS | {"cache": False})
def each(weight, left, right, low, high, found):
    """Every function once. Shapes: left, right float32 [TWICE]; found float32 [14, TWICE]."""
    x, s = load(zeros(ODD), left, 1), load(zeros(ODD), right, 0)
    flat = found.reshape(-1)
    store(fused(weight, x, s), flat, 0)
    store(plus(weight, x), flat, TWICE)
    store(plus(x, s), flat, 2 * TWICE)
    store(relu(x), flat, 3 * TWICE)
    store(leaky(x, weight), flat, 4 * TWICE)
    store(below(x, weight), flat, 5 * TWICE)
    store(load_within(zeros(ODD), left, 2, low, high), flat, 6 * TWICE)
    store(every_second(load(zeros(TWICE), left, 0)), flat, 7 * TWICE)
    store(zeros(TWICE), flat, 8 * TWICE)
    store(larger(x, s), flat, 9 * TWICE)
    store_first(x, flat, 10 * TWICE, high)
    store(among(x, low, high), flat, 11 * TWICE)
    bits, counts = np.zeros(2, np.uint32), np.zeros(2, np.int64)
    bits[0], counts[0] = peak(x), count_zeros(x)
    raise_to(bits, 1, peak(s))
    raise_to(bits, 1, peak(x))
    increase(counts, 1, 3)
    increase(counts, 1, count_zeros(s))
    flat[12 * TWICE : 12 * TWICE + 2] = bits.view(np.float32)
    flat[13 * TWICE : 13 * TWICE + 2] = counts


@given(values, st.lists(st.tuples(values, values), min_size=TWICE, max_size=TWICE), st.integers(-3, 9), st.integers(-3, 9))
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_compiled_strips_do_what_the_plain_functions_say(weight, pairs, low, high):
    weight = np.float32(weight)
    left, right = np.array(pairs, np.float32).T.copy()
    found, expected = np.full((2, 14, TWICE), 7, np.float32)
    each(weight, left, right, low, high, found)
    getattr(each, "py_func", each)(weight, left, right, low, high, expected)
    assert found.tobytes() == expected.tobytes()


def test_peaks_and_zeros_are_told_by_bits():
    strip = np.array([-3, 0, -0.0, 2], np.float32)
    assert peak(strip).view(np.float32) == 3
    assert count_zeros(strip) == 2
    assert peak(np.array([np.inf, np.nan], np.float32)) > np.float32(np.inf).view(np.uint32)
    assert among(strip, 1, 3).tolist() == [0, 0, -0.0, 0]


def nearest(value: Fraction) -> np.float32:
    """Round to the nearest float32, ties to even, by trying."""
    guess = np.float32(float(value))
    near = [guess, np.nextafter(guess, np.float32(np.inf)), np.nextafter(guess, np.float32(-np.inf))]
    return min(near, key=lambda x: (abs(Fraction(float(x)) - value), int(x.view(np.uint32)) & 1))


normal = st.floats(-1e6, 1e6, width=32).filter(lambda x: abs(x) > 1e-6)


@given(normal, normal, normal)
def test_fused_rounds_once(weight, x, s):
    result = fused(np.float32(weight), np.array([x], np.float32), np.array([s], np.float32))[0]
    exact = Fraction(weight) * Fraction(x) + Fraction(s)
    assert exact == 0 or result == nearest(exact)


def test_fused_is_right_where_float64_would_round_twice():
    """w * x + s lies a trifle below the middle of two neighbours, too little for float64 to see."""
    weight, x, s = np.float32(1 + 2.0**-15), np.array([2.0**-24 * (1 - 2.0**-15)], np.float32), np.array([1 + 2.0**-23], np.float32)
    exact = Fraction(float(weight)) * Fraction(float(x[0])) + Fraction(float(s[0]))
    twice = np.float32(np.float64(weight) * np.float64(x[0]) + np.float64(s[0]))
    assert fused(weight, x, s)[0] == nearest(exact) != twice


def test_nan_stays():
    nan = np.array([np.nan], np.float32)
    for result in (relu(nan), leaky(nan, np.float32(0.1)), below(nan, np.float32(6)), fused(np.float32(1), nan, nan)):
        assert np.isnan(result).all()


def test_widths_are_whole_registers():
    assert vectors.LANES in (4, 8, 16)
    assert vectors.WIDE % (4 * vectors.LANES) in (0, 2 * vectors.LANES)
