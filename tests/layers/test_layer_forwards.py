"""What the numpy forwards compute, against loops and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers import layer
from accelsim.layers.activations import ACTIVATIONS, activate
from accelsim.layers.base import Tensor

small = st.integers(1, 3)
pairs = st.tuples(small, small)
pads = st.tuples(*[st.integers(0, 2)] * 4)


def floats(seed: int, *shape: int) -> Tensor:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def f32(values: list[float]) -> Tensor:
    return np.array(values, dtype=np.float32)


def naive_conv(node: Node, ifmap: Tensor, weight: Tensor, bias: Tensor, shape: Shape) -> NDArray[np.float64]:
    made = np.zeros(shape)
    per_group, filters_per_group = weight.shape[1], shape[0] // node.groups
    for k, y, x in np.ndindex(shape):
        total = float(bias[k])
        for c, r, s in np.ndindex(per_group, *node.kernel):
            row = y * node.stride[0] + r * node.dilation[0] - node.pad[0]
            col = x * node.stride[1] + s * node.dilation[1] - node.pad[1]
            if 0 <= row < ifmap.shape[1] and 0 <= col < ifmap.shape[2]:
                total += float(weight[k, c, r, s]) * float(ifmap[k // filters_per_group * per_group + c, row, col])
        made[k, y, x] = total
    return made


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Node, Shape]:
    groups = draw(small)
    node = Node(
        index=1,
        name="c",
        kind="conv",
        inputs=(0,),
        shape=(draw(small) * groups, 1, 1),
        kernel=draw(pairs),
        stride=draw(pairs),
        pad=draw(pads),
        dilation=draw(pairs),
        groups=groups,
    )
    return node, (draw(small) * groups, 7, 8)


@given(convolutions(), st.integers(0, 99))
def test_conv_equals_loops(case: tuple[Node, Shape], seed: int) -> None:
    node, shape = case
    ifmap = floats(seed, *shape)
    shapes = layer("conv").weight_shapes(node, [shape])
    weights = {role: floats(seed + 1, *shape) for role, shape in shapes.items()}
    made = layer("conv").forward(node, [ifmap], weights)
    assert made.shape == layer("conv").output_shape(node, [ifmap.shape])
    np.testing.assert_allclose(made, naive_conv(node, ifmap, weights["weight"], weights["bias"], made.shape), rtol=1e-4, atol=1e-5)


@given(small, small, pads, st.integers(0, 99))
def test_maxpool_equals_loops_and_pads_never_win(size: int, stride: int, pad: tuple[int, int, int, int], seed: int) -> None:
    node = Node(1, "p", "maxpool", (0,), (1, 1, 1), (size, size), (stride, stride), pad)
    ifmap = -np.abs(floats(seed, 2, 5, 6)) - 1
    if max(pad) >= size:
        with pytest.raises(ModelError):
            layer("maxpool").output_shape(node, [ifmap.shape])
        return
    made = layer("maxpool").forward(node, [ifmap], {})
    for c, y, x in np.ndindex(made.shape):
        top, left = y * stride - pad[0], x * stride - pad[1]
        window = ifmap[c, max(top, 0) : top + size, max(left, 0) : left + size]
        assert made[c, y, x] == window.max()


def test_darknets_default_maxpool_hangs_over_the_far_edge() -> None:
    ifmap = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    even = Node(1, "p", "maxpool", (0,), (1, 2, 2), (2, 2), (2, 2), (0, 0, 1, 1))
    np.testing.assert_array_equal(layer("maxpool").forward(even, [ifmap], {})[0], [[5, 7], [13, 15]])
    same = replace(even, stride=(1, 1))
    np.testing.assert_array_equal(layer("maxpool").forward(same, [ifmap], {})[0, 3], [13, 14, 15, 15])


def test_fc_reads_the_map_in_c_h_w_order() -> None:
    ifmap = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    weight = np.zeros((2, 12), np.float32)
    weight[0, 5], weight[1, 11] = 1, 2
    made = layer("fc").forward(Node(1, "f", "fc", (0,), (2, 1, 1)), [ifmap], {"weight": weight, "bias": f32([0.5, -1])})
    np.testing.assert_array_equal(made.ravel(), [5.5, 21])


def test_add_of_unequal_maps_follows_darknets_rule() -> None:
    fine, coarse = floats(1, 2, 4, 6), floats(2, 3, 2, 3)
    node = Node(2, "a", "add", (0, 1), (3, 2, 3), activation="relu")
    expected = coarse.copy()
    expected[:2] += fine[:, ::2, ::2]
    np.testing.assert_array_equal(layer("add").forward(node, [coarse, fine], {}), np.maximum(expected, 0))
    expected = fine.copy()
    expected[:, ::2, ::2] += coarse[:2]
    made = layer("add").forward(replace(node, shape=fine.shape, activation="linear"), [fine, coarse], {})
    np.testing.assert_array_equal(made, expected)


def test_moves_and_copies() -> None:
    a, b = floats(1, 2, 3, 4), floats(2, 1, 3, 4)
    joined = layer("concat").forward(Node(2, "c", "concat", (0, 1), (3, 3, 4)), [a, b], {})
    np.testing.assert_array_equal(joined, np.concatenate([a, b]))
    wide = layer("upsample").forward(Node(1, "u", "upsample", (0,), (2, 6, 8), attributes={"factor": 2}), [a], {})
    assert all(wide[c, y, x] == a[c, y // 2, x // 2] for c, y, x in np.ndindex(wide.shape))
    crop = Node(1, "c", "crop", (0,), (2, 2, 2), attributes={"scale": 2.0, "offset": -1.0})
    np.testing.assert_array_equal(layer("crop").forward(crop, [a], {}), 2 * a[:, 0:2, 1:3] - 1)
    pooled = layer("avgpool").forward(Node(1, "a", "avgpool", (0,), (2, 1, 1)), [a], {})
    np.testing.assert_allclose(pooled.ravel(), a.astype(np.float64).mean(axis=(1, 2)), rtol=1e-6, atol=1e-6)


def test_softmax_is_stable_and_normalises_each_group() -> None:
    ifmap = f32([1000, 1001, -1000, -1000]).reshape(4, 1, 1)
    node = Node(1, "s", "softmax", (0,), (4, 1, 1), groups=2)
    made = layer("softmax").forward(node, [ifmap], {}).ravel()
    np.testing.assert_allclose(made, [1 / (1 + np.e), np.e / (1 + np.e), 0.5, 0.5], rtol=1e-6)
    warm = layer("softmax").forward(replace(node, groups=1, attributes={"temperature": 2.0}), [ifmap], {}).ravel()
    np.testing.assert_allclose(warm[1] / warm[0], np.exp(0.5), rtol=1e-6)


def test_activations_by_their_formulas() -> None:
    x = f32([-1000, -3, -0.5, -0.0, 0, 0.5, 3, 7, 1000])
    wide = x.astype(np.float64)
    logistic = 1 / (1 + np.exp(np.minimum(-wide, 700)))
    expected = {
        "linear": wide,
        "relu": np.maximum(wide, 0),
        "leaky": np.where(wide > 0, wide, 0.1 * wide),
        "relu6": np.minimum(np.maximum(wide, 0), 6),
        "logistic": logistic,
        "swish": wide * logistic,
        "tanh": np.tanh(wide),
        "mish": wide * np.tanh(np.logaddexp(wide, 0)),
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        made = activate(Node(1, "n", "conv", (0,), (1, 1, 1), activation=name, slope=0.1), x)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, values, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_is_never_hidden_by_an_activation(name: str) -> None:
    assert np.isnan(ACTIVATIONS[name](f32([np.nan]), 0.1)).all()


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ModelError, match=r"unknown activation 'gelu'\n    allowed: linear, relu"):
        activate(Node(1, "n", "conv", (0,), (1, 1, 1), activation="gelu"), floats(0, 1))
