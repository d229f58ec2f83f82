"""Convolution kernels against sums written out in numpy, bit for bit, and against the layer's own forward."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.graph import Node
from accelsim.kernels import windows as conv
from accelsim.kernels.windows.vectors import fused
from accelsim.layers import layer
from accelsim.operators import layout as layouts
from accelsim.operators.base import UNTOLD, Tally
from accelsim.operators.layout import pack_filters, plan_layout
from accelsim.operators.order import BLOCK, CHUNK, tap_order


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

    def kernel(self, zero_channels=None, activation=conv.LINEAR, slope=0.0, blocks=None, rows=None, tally=UNTOLD):
        layout = self.layout
        packed = pack_filters(layout, self.weight, self.bias)
        ofmap = np.full(self.node.shape, np.nan, np.float32)
        for first, last in rows or blocks or [(0, packed.blocks.shape[0] * packed.blocks.shape[1])]:
            conv.conv2d(
                self.ifmap,
                self.dead(zero_channels),
                layout.planes,
                *layout.stride,
                layout.band,
                layout.reach,
                layout.offsets,
                layout.channels,
                layout.chunks,
                packed.blocks,
                packed.bias,
                activation,
                np.float32(slope),
                ofmap,
                *tally,
                rows is not None,
                first,
                last,
            )
        return ofmap

    def depthwise(self, zero_channels=None, rows=None, tally=UNTOLD):
        layout = self.layout
        ofmap = np.full(self.node.shape, np.nan, np.float32)
        for first, last in rows or [(0, self.groups)]:
            conv.depthwise(
                self.ifmap,
                self.dead(zero_channels),
                layout.planes,
                *layout.stride,
                layout.band,
                layout.reach,
                layout.offsets,
                self.weight.reshape(self.groups, -1),
                self.bias,
                conv.LINEAR,
                np.float32(0),
                ofmap,
                *tally,
                rows is not None,
                first,
                last,
            )
        return ofmap

    def dead(self, zero_channels):
        return np.zeros(self.ifmap.shape[0], np.bool_) if zero_channels is None else zero_channels

    def written_out(self):
        """One sum per output, in the order of `tap_order`: fused from 0 in each chunk, the chunks in turn, the bias to the first."""
        (top, left, bottom, right), (rows, columns) = self.pad, self.stride
        padded = np.pad(self.ifmap, ((0, 0), (top, bottom), (left, right)))
        filters, height, width = self.node.shape
        total = np.zeros((filters, height, width), np.float32)
        per_group, channels = filters // self.groups, self.weight.shape[1]
        geometry = {"kernel": self.weight.shape[2:], "stride": self.stride, "dilation": self.dilation, "groups": self.groups}
        taps, chunks = tap_order(self.ifmap.shape, **geometry)
        for k in range(filters):
            for first, last in itertools.pairwise(chunks):
                part = np.zeros((height, width), np.float32)
                for c, r, s in zip(*np.unravel_index(taps[first:last], self.weight.shape[1:]), strict=True):
                    y, x = r * self.dilation[0], s * self.dilation[1]
                    plane = padded[k // per_group * channels + c]
                    seen = plane[y : y + (height - 1) * rows + 1 : rows, x : x + (width - 1) * columns + 1 : columns]
                    part = fused(self.weight[k, c, r, s], seen, part)
                total[k] = part + (self.bias[k] if first == 0 else total[k])
        return total


def told(ofmap):
    """What a tally says of a map, written out. Shapes: ofmap float32 [K, Ho, Wo] -> magnitudes float32 [K], zeros int64 [K]."""
    return np.abs(ofmap).max(axis=(1, 2)), (ofmap == 0).sum(axis=(1, 2))


def assert_told(tally, ofmap):
    largest, zeros = told(ofmap)
    np.testing.assert_array_equal(tally.largest.view(np.float32), largest)
    np.testing.assert_array_equal(tally.zeros, zeros)


def shares_of(rows, height):
    """Shares of `rows` rows, in an order that no one would choose."""
    return [(first, min(first + rows, height)) for first in range(0, height, rows)][::-1]


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
def test_every_output_is_the_sum_in_its_order(case):
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


@pytest.mark.parametrize(
    ("shape", "filters", "kernel"),
    [
        ((200, 9, 8), 5, (1, 1)),  # two halves
        ((400, 3, 6), 6, (1, 1)),  # chunks of 192
        ((40, 5, 6), 5, (3, 3)),  # chunks that begin inside a channel
        ((36, 24, 24), 3, (3, 3)),  # blocks of 16 channels: more than 20,480 elements
        ((20, 9, 9), 3, (5, 5)),  # blocks: a large kernel
    ],
)
def test_sums_of_several_chunks(shape, filters, kernel):
    case = random_case(8, shape, filters, kernel)
    assert len(case.layout.chunks) > 2
    np.testing.assert_array_equal(case.kernel(), case.written_out())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_bands_change_nothing(monkeypatch, rows):
    """Bands of few rows, the last of them shorter."""
    case = random_case(9, (5, 13, 21), 6, (3, 3), pad=(1, 1, 1, 1), stride=(2, 1))
    whole = case.kernel()
    assert case.layout.band == 7
    plain = plan_layout

    def banded(*arguments, **settings):
        layout = plain(*arguments, **settings)
        tall, low = layout.band + layout.reach, rows + layout.reach
        row, place = np.divmod(layout.offsets, 21)
        plane, inside = np.divmod(row, tall)
        return dataclasses.replace(layout, band=rows, offsets=(plane * low + inside) * 21 + place)

    monkeypatch.setitem(globals(), "plan_layout", banded)
    assert case.kernel().tobytes() == whole.tobytes()


def test_a_map_that_is_too_large_for_the_cache_is_laid_out_in_bands():
    layout = random_case(10, (16, 120, 120), 4, (3, 3), pad=(1, 1, 1, 1)).layout
    assert layout.band < 120
    assert len(layout.planes) * 16 * (layout.band + layout.reach) * 120 <= layouts.BAND


@pytest.mark.parametrize("groups", [1, 2])
def test_filters_may_be_done_in_any_shares(groups):
    """What threads do: each block of four filters by itself, in any order."""
    case = random_case(11, (4, 9, 9), 18, (3, 3), groups, pad=(1, 1, 1, 1))
    count = groups * math.ceil(18 // groups / 4)
    shares = [(block, block + 1) for block in reversed(range(count))]
    assert case.kernel(blocks=shares).tobytes() == case.kernel().tobytes()


@given(cases(), st.integers(1, 9), st.booleans())
@settings(deadline=None, max_examples=40)
def test_rows_may_be_done_in_any_shares_and_the_tally_is_of_them_all(case, rows, activated):
    case.ifmap[case.ifmap < -1] = 0
    activation = conv.RELU if activated else conv.LINEAR
    whole, parted = Tally.of(case.node.shape[0]), Tally.of(case.node.shape[0])
    expected = case.kernel(activation=activation, tally=whole)
    made = case.kernel(activation=activation, rows=shares_of(rows, case.node.shape[1]), tally=parted)
    assert made.tobytes() == expected.tobytes()
    assert_told(whole, expected)
    assert_told(parted, expected)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_rows_of_a_map_that_is_read_in_place(rows):
    """Shares of fewer outputs than a strip holds: the strip moves back over outputs of other shares."""
    case = random_case(12, (5, 9, 21), 6, (1, 1))
    assert not case.layout.planes.size
    tally = Tally.of(6)
    made = case.kernel(rows=shares_of(rows, 9), tally=tally)
    assert made.tobytes() == case.kernel().tobytes()
    assert_told(tally, made)


@given(cases(depthwise=True), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_depthwise_rows_may_be_done_in_any_shares(case, rows):
    case.ifmap[0] = 0
    zero_channels = ~case.ifmap.any(axis=(1, 2))
    whole, parted = Tally.of(case.groups), Tally.of(case.groups)
    expected = case.depthwise(zero_channels, tally=whole)
    made = case.depthwise(zero_channels, rows=shares_of(rows, case.node.shape[1]), tally=parted)
    assert made.tobytes() == expected.tobytes()
    assert_told(whole, expected)
    assert_told(parted, expected)


def test_the_map_is_read_in_place_where_nothing_is_padded_or_strided():
    assert not random_case(2, (4, 12, 12), 4, (1, 1)).layout.planes.size
    assert random_case(2, (4, 12, 12), 4, (1, 1), pad=(1, 0, 0, 0)).layout.planes.size


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_leaving_out_zero_channels_gives_the_same_bits(kernel):
    case = random_case(3, (9, 6, 6), 6, kernel, groups=3)
    dead = np.array([0, 1, 2, 4, 8])
    case.ifmap[dead] = 0
    case.ifmap[4, 0, 0] = -0.0
    whole = case.kernel()
    zero_channels = np.isin(np.arange(9), dead)
    assert case.kernel(zero_channels).tobytes() == whole.tobytes()
    case.ifmap[dead] = np.nan
    assert case.kernel(zero_channels).tobytes() == whole.tobytes(), "zero channels must not be read"


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
    tally = Tally.of(1)
    assert np.isnan(case.kernel(activation=activation, slope=1.0, tally=tally)[0, 2, 3])
    assert np.isnan(tally.largest.view(np.float32)).all()


class TestOrder:
    def test_neighbours_of_a_large_map_are_added_up_by_blocks_of_channels(self):
        taps, chunks = tap_order((20, 32, 33), kernel=(1, 2), stride=(1, 1), dilation=(1, 1), groups=1)
        assert chunks.tolist() == [0, 2 * BLOCK, 40]
        assert taps.tolist() == [*range(0, 32, 2), *range(1, 32, 2), *range(32, 40, 2), *range(33, 40, 2)]

    @pytest.mark.parametrize(
        ("products", "bounds"),
        [(CHUNK, [0, 192]), (193, [0, 97, 193]), (256, [0, 128, 256]), (384, [0, 192, 384]), (512, [0, 192, 384, 512])],
    )
    def test_others_are_added_up_in_chunks(self, products, bounds):
        taps, chunks = tap_order((products, 99, 99), kernel=(1, 1), stride=(1, 1), dilation=(1, 1), groups=1)
        assert taps.tolist() == list(range(products))
        assert chunks.tolist() == bounds

    @pytest.mark.parametrize(
        ("shape", "settings", "bounds"),
        [
            ((32, 20, 32), {}, [0, 144, 288]),  # 20,480 elements are not more than that: two halves of 288 products
            ((48, 20, 32), {}, [0, 144, 288, 432]),
            ((320, 9, 9), {"kernel": (1, 1)}, [0, 160, 320]),
            ((320, 9, 9), {"kernel": (1, 1), "stride": (2, 2)}, [*range(0, 321, 16)]),
            ((48, 9, 9), {}, [0, 192, 384, 432]),
            ((96, 4, 4), {"groups": 2}, [0, 144, 288, 432]),
            ((48, 4, 4), {"kernel": (4, 3)}, [0, 192, 384, 576]),
            ((48, 4, 4), {"kernel": (4, 4)}, [0, 256, 512, 768]),
        ],
    )
    def test_which_order_a_layer_has(self, shape, settings, bounds):
        """As PyTorch chooses between oneDNN and a product of matrices."""
        geometry = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1} | settings
        taps, chunks = tap_order(shape, **geometry)
        assert chunks.tolist() == bounds
        assert sorted(taps) == list(range(taps.size))
