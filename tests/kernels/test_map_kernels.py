"""Sums and copies of whole maps, by shares of rows or of channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels import windows
from accelsim.operators.base import Tally

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 40))


def shares(units, size):
    return [(first, min(first + size, units)) for first in range(0, units, size)][::-1]


@given(shapes, st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_add_is_the_sum_of_every_element(shape, size, by_rows, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(-3, 4, (2, *shape)).astype(np.float32)
    ofmap, tally = np.full(shape, np.nan, np.float32), Tally.of(shape[0])
    for first, last in shares(shape[1 if by_rows else 0], size):
        windows.add(left, right, windows.RELU, np.float32(0), ofmap, *tally, by_rows, first, last)
    expected = np.maximum(left + right, np.float32(0))
    np.testing.assert_array_equal(ofmap, expected)
    np.testing.assert_array_equal(tally.largest.view(np.float32), expected.max(axis=(1, 2)))
    np.testing.assert_array_equal(tally.zeros, (expected == 0).sum(axis=(1, 2)))


@pytest.mark.parametrize(("code", "expected"), [(windows.LINEAR, [1.5, -2, 8]), (windows.RELU, [1.5, 0, 8]), (windows.CLIP, [1.5, 0, 6])])
def test_add_activates_the_sum_even_in_place(code, expected):
    total = np.array([[[1, 2, 3]]], np.float32)
    windows.add(np.array([[[0.5, -4, 5]]], np.float32), total, code, np.float32(6), total, *Tally.of(1), True, 0, 1)
    assert total.ravel().tolist() == expected


@given(shapes, st.integers(1, 9), st.booleans(), st.integers(0, 2), st.integers(0, 2))
def test_place_copies_every_channel_and_nothing_else(shape, size, by_rows, before, after):
    channels, height, width = shape
    ifmap = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    ofmap = np.full((before + channels + after, height, width), 7, np.float32)
    for first, last in shares(height if by_rows else channels, size):
        windows.place(ifmap, before, ofmap, by_rows, first, last)
    np.testing.assert_array_equal(ofmap[before : before + channels], ifmap)
    assert (ofmap[:before] == 7).all()
    assert (ofmap[before + channels :] == 7).all()
