"""The kernel of fully connected layers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels import connected


@given(inputs=st.integers(1, 11), outputs=st.integers(1, 9), dead=st.integers(0, 11), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_every_output_is_the_sum_in_the_order_of_the_inputs(inputs, outputs, dead, seed):
    rng = np.random.default_rng(seed)
    ifmap = rng.standard_normal(inputs).astype(np.float32)
    ifmap[rng.permutation(inputs)[:dead]] = 0
    weights, bias = rng.standard_normal((inputs, outputs)).astype(np.float32), rng.standard_normal(outputs).astype(np.float32)
    ofmap = np.full(outputs, np.nan, np.float32)
    for first in range(outputs):
        connected.connected(ifmap, weights, bias, ofmap, first, first + 1)
    total = np.zeros(outputs, np.float32)
    for value, row in zip(ifmap, weights, strict=True):
        total += value * row
    np.testing.assert_array_equal(ofmap, total + bias)


def test_weights_of_zero_inputs_are_not_read():
    weights = np.full((3, 2), np.nan, np.float32)
    weights[1] = [2, 3]
    ofmap = np.empty(2, np.float32)
    connected.connected(np.array([0, 5, -0.0], np.float32), weights, np.ones(2, np.float32), ofmap, 0, 2)
    assert ofmap.tolist() == [11, 16]
