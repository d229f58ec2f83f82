"""Convolution kernels against a sum written out in numpy, bit for bit, and against the layer's own forward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.graph import Node
from accelsim.kernels import conv
from accelsim.layers import layer
from accelsim.operators.layout import STRIP, lay_out, pack_filters, plan_layout


def test_the_strip_of_the_layout_is_the_widest_strip_of_the_kernel():
    assert STRIP == conv.WIDE > conv.NARROW


@dataclass(frozen=True)
class Case:
    """One convolution with integer-like or random data."""

    ifmap: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def node(self) -> Node:
        kernel = self.weight.shape[2:]
        node = Node(1, "conv", "conv", (0,), (len(self.bias), 1, 1), kernel, self.stride, self.pad, self.dilation, self.groups)
        shape = layer("conv").output_shape(node, [self.ifmap.shape])
        return Node(1, "conv", "conv", (0,), shape, kernel, self.stride, self.pad, self.dilation, self.groups)

    @property
    def layout(self):
        node = self.node
        return plan_layout(
            self.ifmap.shape,
            outputs=node.shape[1:],
            kernel=node.kernel,
            stride=node.stride,
            pad=node.pad,
            dilation=node.dilation,
            groups=node.groups,
        )

    def kernel(self, zero_channels=None, activation=conv.LINEAR, slope=0.0):
        packed = pack_filters(self.layout, self.weight, self.bias)
        ofmap = np.full(self.node.shape, np.nan, np.float32)
        conv.conv2d(
            lay_out(self.layout, self.ifmap, garbage),
            packed.offsets,
            self.layout.group_step,
            self.layout.width,
            packed.blocks,
            packed.live_blocks(zero_channels),
            packed.bias,
            activation,
            np.float32(slope),
            ofmap,
        )
        return ofmap

    def depthwise(self, zero_channels=None):
        ofmap = np.full(self.node.shape, np.nan, np.float32)
        dead = np.zeros(self.ifmap.shape[0], np.bool_) if zero_channels is None else zero_channels
        conv.depthwise(
            lay_out(self.layout, self.ifmap, garbage),
            self.layout.offsets,
            self.layout.group_step,
            self.layout.width,
            self.weight.reshape(self.groups, -1),
            dead,
            self.bias,
            conv.LINEAR,
            np.float32(0),
            ofmap,
        )
        return ofmap

    def written_out(self):
        """One float32 sum per output: c, then r, then s, then the bias."""
        (top, left, bottom, right), (rows, columns) = self.pad, self.stride
        padded = np.pad(self.ifmap, ((0, 0), (top, bottom), (left, right)))
        filters, height, width = self.node.shape
        total = np.zeros((filters, height, width), np.float32)
        per_group = filters // self.groups
        for k in range(filters):
            for c in range(self.weight.shape[1]):
                plane = padded[k // per_group * self.weight.shape[1] + c]
                for r in range(self.weight.shape[2]):
                    for s in range(self.weight.shape[3]):
                        y, x = r * self.dilation[0], s * self.dilation[1]
                        seen = plane[y : y + (height - 1) * rows + 1 : rows, x : x + (width - 1) * columns + 1 : columns]
                        total[k] += self.weight[k, c, r, s] * seen
        return total + self.bias[:, None, None]


def garbage(shape):
    """Memory that nobody has cleaned."""
    return np.full(shape, np.nan, np.float32)


def random_case(seed, shape, filters, kernel, groups=1, **geometry):
    rng = np.random.default_rng(seed)
    draw = lambda *size: rng.standard_normal(size).astype(np.float32)  # noqa: E731 - three uses, one line
    return Case(draw(*shape), draw(filters, shape[0] // groups, *kernel), draw(filters), groups=groups, **geometry)


@st.composite
def cases(draw, depthwise=False):
    small = st.integers(1, 3)
    kernel, stride, dilation = (tuple(draw(st.tuples(small, small))) for _ in range(3))
    pad = draw(st.tuples(*(st.integers(0, 2) for _ in range(4))))
    needed = [d * (k - 1) + 1 - before - after for d, k, before, after in zip(dilation, kernel, pad[:2], pad[2:], strict=True)]
    height, width = (max(1, size) + draw(st.integers(0, 12)) for size in needed)
    groups = draw(small)
    channels = groups * (1 if depthwise else draw(small))
    filters = groups * (1 if depthwise else draw(st.integers(1, 5)))
    return random_case(
        draw(st.integers(0, 99)), (channels, height, width), filters, kernel, groups, stride=stride, pad=pad, dilation=dilation
    )


@given(cases())
@settings(deadline=None, max_examples=40)
def test_every_output_is_the_sum_in_the_order_of_channels_and_taps(case):
    np.testing.assert_array_equal(case.kernel(), case.written_out())


@given(cases(depthwise=True))
@settings(deadline=None, max_examples=40)
def test_depthwise_sums_in_the_same_order(case):
    np.testing.assert_array_equal(case.depthwise(), case.written_out())
    np.testing.assert_array_equal(case.kernel(), case.written_out())


@given(cases())
@settings(deadline=None, max_examples=25)
def test_the_kernel_agrees_with_the_layers_forward(case):
    forward = layer("conv").forward(case.node, [case.ifmap], {"weight": case.weight, "bias": case.bias})
    np.testing.assert_allclose(case.kernel(), forward, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "kernel", "geometry"),
    [
        ((4, 8, 16), (1, 1), {}),  # 128 positions: one wide strip, read in place
        ((3, 8, 16), (1, 1), {}),  # channels that do not fill a block
        ((4, 11, 12), (1, 1), {}),  # 132 positions: the last strip moves back
        ((1, 5, 40), (3, 3), {"pad": (1, 1, 1, 1)}),
        ((3, 23, 23), (11, 11), {"stride": (4, 4)}),  # AlexNet's first layer, smaller
        ((2, 9, 9), (5, 5), {"dilation": (2, 2), "pad": (4, 4, 4, 4)}),
        ((2, 7, 6), (2, 3), {"stride": (2, 1), "pad": (0, 1, 1, 0)}),  # one-sided, as exporters write 'same'
        ((2, 1, 1), (1, 1), {}),
    ],
)
def test_shapes_of_real_networks(shape, kernel, geometry):
    case = random_case(1, shape, 5, kernel, **geometry)
    np.testing.assert_array_equal(case.kernel(), case.written_out())


def test_the_map_is_read_in_place_where_nothing_is_padded_or_strided():
    case = random_case(2, (4, 12, 12), 4, (1, 1))
    assert case.layout.direct
    assert np.shares_memory(lay_out(case.layout, case.ifmap, garbage), case.ifmap)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_leaving_out_zero_channels_gives_the_same_bits(kernel):
    case = random_case(3, (9, 6, 6), 6, kernel, groups=3)
    dead = np.array([0, 1, 2, 4, 8])
    case.ifmap[dead] = 0
    case.ifmap[4, 0, 0] = -0.0
    zero_channels = np.isin(np.arange(9), dead)
    live = pack_filters(case.layout, case.weight, case.bias).live_blocks(zero_channels)
    assert not live[0].any()
    assert live[1].any()
    whole, skipped = case.kernel(), case.kernel(zero_channels)
    assert whole.tobytes() == skipped.tobytes()


def test_a_zero_channel_of_a_depthwise_layer_gives_the_bias():
    case = random_case(4, (3, 5, 5), 3, (3, 3), groups=3)
    case.ifmap[1] = 0
    skipped = case.depthwise(np.array([False, True, False]))
    assert skipped.tobytes() == case.depthwise().tobytes()
    assert (skipped[1] == case.bias[1]).all()


@pytest.mark.parametrize(
    ("activation", "slope", "meaning"),
    [
        (conv.LINEAR, 0.0, lambda x: x),
        (conv.RELU, 0.0, lambda x: np.maximum(x, np.float32(0))),
        (conv.LEAKY, 0.1, lambda x: np.where(x > 0, x, np.float32(0.1) * x)),
        (conv.CLIP, 1.5, lambda x: np.clip(x, np.float32(0), np.float32(1.5))),
    ],
)
def test_activations_are_applied_after_the_bias(activation, slope, meaning):
    case = random_case(5, (2, 6, 6), 3, (3, 3))
    np.testing.assert_array_equal(case.kernel(activation=activation, slope=slope), meaning(case.written_out()))


@pytest.mark.parametrize("activation", [conv.LINEAR, conv.RELU, conv.LEAKY, conv.CLIP])
def test_nan_is_not_activated_away(activation):
    case = random_case(6, (1, 4, 4), 1, (1, 1))
    case.ifmap[0, 2, 3] = np.nan
    assert np.isnan(case.kernel(activation=activation, slope=1.0)[0, 2, 3])
