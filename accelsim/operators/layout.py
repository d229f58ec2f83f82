"""How maps and filters lie in memory so that the convolution kernels read long unbroken runs.

Plain numpy, done once per network. A convolution of any stride, dilation and padding becomes the same thing: for every filter tap one
offset into a flat array, so that the taps of `n` neighbouring outputs, even of several rows, are a run of `n` neighbouring elements. The
kernels copy a band of the map into that form; a map that has it already (one tap, no stride, no padding) is read in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.windows import WIDE
from accelsim.operators.order import tap_order

FILTERS = 4
"""Filters that one block of weights holds."""
BAND = 1 << 16
"""Elements (256 KiB) that a laid-out band should not exceed, so that it stays in the cache nearest to a core that is large enough."""

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each tap of a convolution finds its inputs, in the order in which products are added up.

    Shapes:  planes int64 [Q, 2]: row and column, in the map, of the first output's input; a plane holds `band + reach` rows of Wo elements
             of every channel of a group. No planes: the map is read in place. Of every tap, in the order of the sum (`order.py`):
             `taps` int64 [T], its number in C, R, S order; `offsets` int64 [T] in the flat laid-out map; `channels` int64 [T] in its group;
             `chunks` int64 [J + 1], where partial sums begin. T = C/g * R * S
    Units:   elements; `band`, `reach`: rows of outputs laid out together, and rows they need beyond
    """

    stride: Pair
    groups: int
    planes: Numbers
    band: int
    reach: int
    offsets: Numbers
    taps: Numbers
    channels: Numbers
    chunks: Numbers


def plan_layout(
    ifmap: tuple[int, int, int], *, outputs: Pair, kernel: Pair, stride: Pair, pad: tuple[int, int, int, int], dilation: Pair, groups: int
) -> Layout:
    """Find the offsets of every tap of a convolution.

    Shapes:  ifmap (C, H, W); outputs (Ho, Wo); kernel (R, S); pad (top, left, bottom, right)
    Raises:  nothing; the layer kind has checked that shapes fit
    """
    (height, width), in_group = outputs, ifmap[0] // groups
    order, chunks = tap_order(ifmap, kernel=kernel, stride=stride, dilation=dilation, groups=groups)
    channel, r, s = np.unravel_index(order, (in_group, *kernel))
    taps = (order, channel.astype(np.int64), chunks)
    # runs of fewer outputs than the widest strip are read beyond their end, which only a copy has room for; one channel is always copied
    if kernel == stride == (1, 1) and not any(pad) and height * width >= WIDE and in_group > 1:
        return Layout(stride, groups, np.zeros((0, 2), np.int64), height, 0, channel * (height * width), *taps)
    down = np.arange(kernel[0]) * dilation[0]
    phases = np.unique(down % stride[0])
    columns = np.arange(kernel[1]) * dilation[1]
    planes = np.stack(np.meshgrid(phases - pad[0], columns - pad[1], indexing="ij"), axis=-1).reshape(-1, 2)
    reach = int(down[-1]) // stride[0]
    row = len(planes) * in_group * width
    band = min(height, max(BAND // row - reach, -(-WIDE // width), 4 * reach, 1))
    plane = np.searchsorted(phases, down % stride[0])[r] * kernel[1] + s
    offsets = ((plane * in_group + channel) * (band + reach) + down[r] // stride[0]) * width
    return Layout(stride, groups, planes.astype(np.int64), band, reach, offsets.astype(np.int64), *taps)


@dataclass(frozen=True, eq=False)
class PackedFilters:
    """Filters in blocks of four, their taps in the order of the sum.

    Shapes:  `blocks` float32 [g, ceil(K/g / 4), T, 4], `bias` float32 [g * ceil(K/g / 4) * 4]; filters that a block lacks are 0
    """

    layout: Layout
    blocks: Floats
    bias: Floats


def pack_filters(layout: Layout, weight: Floats, bias: Floats) -> PackedFilters:
    """Pack the filters of one convolution. Shapes: weight [K, C/g, R, S], bias [K]."""
    flat = weight.reshape(layout.groups, weight.shape[0] // layout.groups, -1)[:, :, layout.taps]
    missing = ((0, 0), (0, -flat.shape[1] % FILTERS))
    padded = np.pad(flat, (*missing, (0, 0)))
    blocks = padded.reshape(layout.groups, -1, FILTERS, flat.shape[2]).transpose(0, 1, 3, 2)
    biases = np.pad(bias.reshape(layout.groups, -1), missing)
    return PackedFilters(layout, np.ascontiguousarray(blocks, np.float32), np.ascontiguousarray(biases.reshape(-1), np.float32))
