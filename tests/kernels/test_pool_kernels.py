"""Pooling kernels against the layers' own forward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.graph import Node
from accelsim.kernels import pool, windows
from accelsim.layers import avgpool, layer
from accelsim.operators.base import UNTOLD, Tally


@given(
    channels=st.integers(1, 2),
    size=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    seed=st.integers(0, 9),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*(st.integers(0, 3) for _ in range(4))),
)
@settings(deadline=None)
def test_maxpool_equals_forward(channels, size, seed, **geometry):
    kernel, stride, pads = geometry["kernel"], geometry["stride"], geometry["pads"]
    pad = tuple(min(amount, extent - 1) for amount, extent in zip(pads, kernel * 2, strict=True))
    height = max(size[0], kernel[0] - pad[0] - pad[2])
    width = max(size[1], kernel[1] - pad[1] - pad[3])
    ifmap = np.random.default_rng(seed).standard_normal((channels, height, width)).astype(np.float32)
    node = Node(1, "pool", "maxpool", (0,), (1, 1, 1), kernel, stride, pad)
    expected = layer("maxpool").forward(node, [ifmap], {})
    for by_rows in (False, True):
        ofmap, tally = np.full(expected.shape, np.nan, np.float32), Tally.of(channels)
        for first in range(expected.shape[1] if by_rows else channels):
            windows.maxpool(ifmap, *kernel, *stride, *pad[:2], ofmap, *tally, by_rows, first, first + 1)
        np.testing.assert_array_equal(ofmap, expected)
        np.testing.assert_array_equal(tally.largest.view(np.float32), np.abs(expected).max(axis=(1, 2)))
        np.testing.assert_array_equal(tally.zeros, (expected == 0).sum(axis=(1, 2)))


def test_padding_never_wins_over_negative_elements():
    ofmap = np.zeros((1, 2, 2), np.float32)
    windows.maxpool(np.full((1, 2, 2), -3, np.float32), 2, 2, 1, 1, 0, 0, ofmap, *UNTOLD, False, 0, 1)
    assert (ofmap == -3).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 49), (8, 9), (17, 225)])
def test_avgpool_is_one_sum_in_raster_order(shape):
    ifmap = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    ofmap = np.empty(shape[0], np.float32)
    pool.avgpool(ifmap, ofmap)
    total = np.zeros(shape[0], np.float32)
    for column in ifmap.T:
        total += column
    np.testing.assert_array_equal(ofmap, total / np.float32(shape[1]))


@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    seed=st.integers(0, 9),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*(st.integers(0, 2) for _ in range(4))),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    counts_pad=st.booleans(),
)
@settings(deadline=None)
def test_window_means_equal_forward(size, seed, counts_pad, **geometry):
    kernel, dilation = geometry["kernel"], geometry["dilation"]
    reach = [step * (length - 1) + 1 for step, length in zip(dilation, kernel, strict=True)]
    # windows that lie wholly in the padding are refused by the layer
    pad = tuple(min(amount, length - 1) if dilation == (1, 1) else 0 for amount, length in zip(geometry["pads"], kernel * 2, strict=True))
    height, width = (max(length, least) for length, least in zip(size, reach, strict=True))
    ifmap = np.random.default_rng(seed).standard_normal((2, height, width)).astype(np.float32)
    node = Node(1, "pool", "avgpool", (0,), (1, 1, 1), kernel, geometry["stride"], pad, dilation, attributes={"count_pad": counts_pad})
    expected = layer("avgpool").forward(node, [ifmap], {})
    ofmap = np.full(expected.shape, np.nan, np.float32)
    pool.window_means(ifmap, *kernel, *geometry["stride"], *dilation, *pad[:2], avgpool.counts(node, height, width), ofmap)
    np.testing.assert_allclose(ofmap, expected, rtol=1e-5, atol=1e-6)
