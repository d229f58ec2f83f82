"""What the numpy forwards compute, against loops and by hand."""

from __future__ import annotations

import math
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
from accelsim.layers.permute import channel_order

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
    pooled = layer("avgpool").forward(Node(1, "a", "avgpool", (0,), (2, 1, 1), (3, 4)), [a], {})
    np.testing.assert_allclose(pooled.ravel(), a.astype(np.float64).mean(axis=(1, 2)), rtol=1e-6, atol=1e-6)


def test_windows_of_an_average_count_what_they_are_told_to() -> None:
    node = Node(1, "a", "avgpool", (0,), (1, 2, 2), (3, 3), (2, 2), (1, 1, 2, 2))
    ifmap = np.ones((1, 3, 3), np.float32)
    np.testing.assert_array_equal(layer("avgpool").forward(node, [ifmap], {})[0], np.ones((2, 2)))
    padded = replace(node, attributes={"count_pad": True})
    np.testing.assert_allclose(layer("avgpool").forward(padded, [ifmap], {})[0], [[4 / 9, 4 / 9], [4 / 9, 4 / 9]], rtol=1e-6)
    beyond = replace(node, attributes={"count_pad": True, "beyond_down": 1, "beyond_along": 1})
    np.testing.assert_allclose(layer("avgpool").forward(beyond, [ifmap], {})[0, 1, 1], 4 / 9, rtol=1e-6)
    last = replace(beyond, pad=(1, 1, 3, 3), stride=(3, 3))
    np.testing.assert_allclose(layer("avgpool").forward(last, [ifmap], {})[0], [[4 / 9, 2 / 9], [2 / 9, 1 / 9]], rtol=1e-6)


def test_maps_laid_over_each_other_repeat_axes_of_length_one() -> None:
    a, gate = floats(1, 2, 3, 4), floats(2, 2, 1, 1)
    np.testing.assert_array_equal(layer("mul").forward(Node(2, "m", "mul", (0, 1), a.shape), [a, gate], {}), a * gate)
    np.testing.assert_array_equal(layer("sub").forward(Node(2, "m", "sub", (0, 1), a.shape), [gate, a], {}), gate - a)
    add = Node(2, "m", "add", (0, 1), a.shape, attributes={"broadcast": True})
    np.testing.assert_array_equal(layer("add").forward(add, [a, gate], {}), a + gate)


def test_shapes_change_without_arithmetic() -> None:
    a = floats(1, 4, 3, 5)
    shuffle = Node(1, "p", "permute", (0,), a.shape, attributes={"view": "2 2 3 5", "order": "1 0 2 3"})
    np.testing.assert_array_equal(layer("permute").forward(shuffle, [a], {}), a[[0, 2, 1, 3]])
    assert channel_order(shuffle, a.shape) == (0, 2, 1, 3)
    last = Node(1, "p", "permute", (0,), (3, 5, 4), attributes={"view": "4 3 5", "order": "1 2 0"})
    np.testing.assert_array_equal(layer("permute").forward(last, [a], {}), a.transpose(1, 2, 0))
    assert channel_order(last, a.shape) is None
    assert channel_order(replace(shuffle, attributes={"view": "4 3 5", "order": "0 2 1"}), a.shape) is None
    cut = Node(1, "s", "slice", (0,), (2, 2, 5), attributes={"start": "3 0 0", "step": "-2 2 1"})
    np.testing.assert_array_equal(layer("slice").forward(cut, [a], {}), a[[3, 1], ::2])
    padded = Node(1, "p", "pad", (0,), (7, 4, 8), pad=(0, 1, 1, 2), attributes={"front": 1, "back": 2, "value": 7.0})
    around = ((1, 2), (0, 1), (1, 2))
    np.testing.assert_array_equal(layer("pad").forward(padded, [a], {}), np.pad(a, around, constant_values=7))
    edge = replace(padded, attributes={"mode": "edge"})
    np.testing.assert_array_equal(layer("pad").forward(edge, [a], {}), np.pad(a, ((0, 0), *around[1:]), mode="edge"))
    columns = Node(2, "c", "concat", (0, 1), (4, 3, 10), attributes={"axis": "columns"})
    np.testing.assert_array_equal(layer("concat").forward(columns, [a, a], {}), np.concatenate([a, a], axis=2))


def test_resize_interpolates_between_neighbours() -> None:
    line = f32([0, 10, 20]).reshape(1, 1, 3)

    def resized(width: int, **attributes: str | float | bool) -> list[float]:
        return list(layer("resize").forward(Node(1, "r", "resize", (0,), (1, 1, width), attributes=attributes), [line], {}).ravel())

    assert resized(5, mode="linear", coordinates="align_corners") == [0, 5, 10, 15, 20]
    assert resized(6, mode="linear") == [0, 2.5, 7.5, 12.5, 17.5, 20]
    assert resized(6, mode="nearest", coordinates="asymmetric", rounding="ceil") == [0, 10, 10, 20, 20, 20]
    assert resized(6, mode="nearest") == [0, 0, 10, 10, 20, 20]
    np.testing.assert_allclose(resized(3, mode="cubic"), [0, 10, 20], atol=1e-6)
    np.testing.assert_allclose(resized(1, mode="linear", coordinates="pytorch_half_pixel"), [0])


def test_local_response_divides_by_what_neighbouring_channels_hold() -> None:
    a = floats(1, 5, 2, 3)
    node = Node(1, "l", "lrn", (0,), a.shape, attributes={"size": 3, "alpha": 0.9, "beta": 0.5, "bias": 2.0})
    sums = [sum(a[near].astype(np.float64) ** 2 for near in range(max(c - 1, 0), min(c + 2, 5))) for c in range(5)]
    np.testing.assert_allclose(layer("lrn").forward(node, [a], {}), a / np.sqrt(2 + 0.3 * np.array(sums)), rtol=1e-5)


def test_softmax_over_channels_of_each_position() -> None:
    a = floats(1, 4, 2, 3)
    made = layer("softmax").forward(Node(1, "s", "softmax", (0,), a.shape, attributes={"inner": 6}), [a], {})
    np.testing.assert_allclose(made, np.exp(a) / np.exp(a).sum(axis=0), rtol=1e-5)


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
        "clip": np.clip(wide, -2, 4.5),
        "hardsigmoid": np.clip(0.25 * wide + 0.4, 0, 1),
        "hardswish": wide * np.clip(wide / 6 + 0.5, 0, 1),
        "softplus": np.logaddexp(wide, 0),
        "elu": np.where(wide > 0, wide, 0.1 * np.expm1(np.minimum(wide, 0))),
        "erf": [math.erf(value) for value in wide],
        "gelu": [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in wide],
        "gelu_tanh": wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))) / 2,
    }
    attributes = {"low": -2.0, "high": 4.5, "alpha": 0.25, "beta": 0.4}
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        made = activate(Node(1, "n", "conv", (0,), (1, 1, 1), activation=name, slope=0.1, attributes=attributes), x)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, values, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_is_never_hidden_by_an_activation(name: str) -> None:
    assert np.isnan(ACTIVATIONS[name](f32([np.nan]), Node(1, "n", "conv", (0,), (1, 1, 1), slope=0.1))).all()


def test_prelu_has_its_slopes_among_the_weights() -> None:
    x = floats(3, 2, 3, 4)
    node = Node(1, "n", "activation", (0,), x.shape, activation="prelu")
    assert layer("activation").weight_shapes(node, [x.shape]) == {"slope": (2, 1, 1)}
    slope = f32([0.5, -2]).reshape(2, 1, 1)
    np.testing.assert_array_equal(layer("activation").forward(node, [x], {"slope": slope}), np.where(x > 0, x, slope * x))
    everywhere = replace(node, attributes={"slopes": "elements"})
    assert layer("activation").weight_shapes(everywhere, [x.shape]) == {"slope": x.shape}


def test_rounding_goes_to_the_nearest_step_ties_to_even_and_stays_in_range() -> None:
    node = Node(1, "n", "conv", (0,), (1, 1, 1), activation="relu", dtype="uint8", zero_point=3, attributes={"quantum": 0.5})
    made = activate(node, f32([-9, -1.75, 0, 0.25, 0.75, 0.74, 500]))
    np.testing.assert_array_equal(made, [0, 0, 0, 0, 1, 0.5, (255 - 3) / 2])
    signed = replace(node, activation="linear", dtype="int8")
    np.testing.assert_array_equal(activate(signed, f32([-100, -1.75, 100])), [(-128 - 3) / 2, -2, (127 - 3) / 2])


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ModelError, match=r"unknown activation 'geloo'\n    allowed: linear, relu.* 'gelu'"):
        activate(Node(1, "n", "conv", (0,), (1, 1, 1), activation="geloo"), floats(0, 1))
