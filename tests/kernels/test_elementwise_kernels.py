"""Activations and copies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from accelsim.graph import Node
from accelsim.kernels import elementwise, windows
from accelsim.layers import activations

VALUES = np.array([-np.inf, -7, -1e-30, -0.0, 0.0, 1e-30, 3, 6, 7, np.inf], np.float32)


def test_both_kernel_files_number_activations_alike():
    names = ("LINEAR", "RELU", "LEAKY", "CLIP")
    assert [getattr(elementwise, name) for name in names] == [getattr(windows, name) for name in names]


@pytest.mark.parametrize(
    ("name", "code", "slope"),
    [
        ("linear", elementwise.LINEAR, 0.0),
        ("relu", elementwise.RELU, 0.0),
        ("leaky", elementwise.LEAKY, 0.1),
        ("relu6", elementwise.CLIP, 6.0),
    ],
)
def test_activate_equals_the_readable_activation(name, code, slope):
    values = VALUES.copy()
    elementwise.activate(values, code, np.float32(slope))
    expected = activations.activate(Node(1, "a", "conv", (0,), (1, 1, 10), activation=name, slope=slope), VALUES)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("code", [elementwise.RELU, elementwise.LEAKY, elementwise.CLIP])
def test_nan_stays_nan(code):
    values = np.array([np.nan], np.float32)
    elementwise.activate(values, code, np.float32(0.1))
    assert np.isnan(values).all()


def test_upsample_repeats_rows_and_columns():
    ifmap = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    ofmap = np.empty((2, 4, 9), np.float32)
    elementwise.upsample(ifmap, 2, 3, ofmap)
    np.testing.assert_array_equal(ofmap, ifmap.repeat(2, axis=1).repeat(3, axis=2))


def test_erf_is_the_error_function():
    values = np.array([-3, -0.5, -0.0, 0, 0.5, 3, np.inf], np.float32)
    expected = np.array([math.erf(value) for value in values], np.float32)
    elementwise.erf(values)
    np.testing.assert_array_equal(values, expected)


def test_scale_multiplies_and_adds_by_channel():
    ifmap = np.arange(6, dtype=np.float32).reshape(2, 3)
    ofmap = np.empty_like(ifmap)
    elementwise.scale(ifmap, np.array([2, -1], np.float32), np.array([0.5, 1], np.float32), ofmap)
    assert ofmap.tolist() == [[0.5, 2.5, 4.5], [-2, -3, -4]]
