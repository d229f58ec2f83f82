"""How maps and filters lie in memory so that the convolution kernels read long unbroken runs.

Plain numpy, done once per network (filters) or once per layer and image (maps). A convolution of any stride, dilation and padding
becomes the same thing: for every filter tap one offset into a flat array, so that the tap of `n` neighbouring outputs is a run of `n`
neighbouring elements. A stride of 2 does so by cutting the padded map into its 2 x 2 phases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIP = 128
"""Outputs that the convolution kernels make at a time; a laid-out map has so many spare elements behind its end."""
ROWS = 4
"""Filter taps, and filters, that one block of weights holds."""

Floats = NDArray[np.float32]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each tap of a convolution finds its inputs.

    Shapes:  `phases` (vertical, horizontal) offsets of the phase planes inside the stride; a plane is `height` x `width`;
             `offsets` int64 [C/g * R * S], in C, R, S order, of the first output's tap in the flat map of group 0.
    Units:   elements. `pad`: top, left; `taps`: R * S; `group_step`: from one group's first plane to the next group's;
             `direct`: the map may be read as it is.
    """

    channels: int
    stride: Pair
    pad: Pair
    taps: int
    groups: int
    phases: tuple[Pair, ...]
    height: int
    width: int
    offsets: NDArray[np.int64]
    group_step: int
    direct: bool


def plan_layout(
    ifmap: tuple[int, int, int], *, outputs: Pair, kernel: Pair, stride: Pair, pad: tuple[int, int, int, int], dilation: Pair, groups: int
) -> Layout:
    """Find the offsets of every tap of a convolution.

    Shapes:  ifmap (C, H, W); outputs (Ho, Wo); kernel (R, S); pad (top, left, bottom, right)
    Raises:  nothing; the layer kind has checked that shapes fit
    """
    channels = ifmap[0]
    out_height, out_width = outputs
    down = np.arange(kernel[0]) * dilation[0]
    along = np.arange(kernel[1]) * dilation[1]
    rows, columns = stride
    phases = tuple(sorted({(int(r), int(s)) for r in down % rows for s in along % columns}))
    height = out_height + int(down[-1]) // rows
    width = out_width + int(along[-1]) // columns
    plane = height * width
    phase_of_tap = np.array([[phases.index((int(r), int(s))) for s in along % columns] for r in down % rows])
    taps = phase_of_tap * channels * plane + (down // rows)[:, None] * width + along // columns
    group_channels = channels // groups
    offsets = np.arange(group_channels)[:, None] * plane + taps.reshape(1, -1)
    untouched = not any(pad) and stride == (1, 1) and (height, width) == ifmap[1:]
    # a run of outputs shorter than a strip would be read beyond its end, so it needs the spare elements
    direct = untouched and (out_height - 1) * width + out_width >= STRIP
    return Layout(
        channels=channels,
        stride=stride,
        pad=pad[:2],
        taps=taps.size,
        groups=groups,
        phases=phases,
        height=height,
        width=width,
        offsets=offsets.reshape(-1),
        group_step=group_channels * plane,
        direct=direct,
    )


def lay_out(layout: Layout, ifmap: Floats, empty: Callable[[tuple[int, ...]], Floats]) -> Floats:
    """Copy a map, padded with zeros and cut into its phases, into one flat array with `STRIP` spare zeros behind it.

    Shapes:  ifmap [C, H, W] -> [phases * C * height * width + STRIP], in phase, C, height, width order, in memory from
             `empty` (or `ifmap` itself, flat)
    """
    if layout.direct:
        return np.ascontiguousarray(ifmap).reshape(-1)
    top, left = layout.pad
    size = len(layout.phases) * layout.channels * layout.height * layout.width
    flat = empty((size + STRIP,))
    flat.fill(0)
    planes = flat[:size].reshape(len(layout.phases), layout.channels, layout.height, layout.width)
    for plane, (row_phase, column_phase) in zip(planes, layout.phases, strict=True):
        into_rows, from_rows = _matching(row_phase - top, layout.stride[0], layout.height, ifmap.shape[1])
        into_columns, from_columns = _matching(column_phase - left, layout.stride[1], layout.width, ifmap.shape[2])
        plane[:, into_rows, into_columns] = ifmap[:, from_rows, from_columns]
    return flat


def _matching(start: int, step: int, length: int, limit: int) -> tuple[slice, slice]:
    """Slices of a plane's axis and of the map's axis that hold the same elements: plane[i] = map[start + i * step]."""
    first = max(0, -(start // step))
    count = max(0, min(length - first, -((start + first * step - limit) // step)))
    source = start + first * step
    return slice(first, first + count), slice(source, source + count * step, step)


@dataclass(frozen=True, eq=False)
class PackedFilters:
    """Filters in blocks of 4 taps x 4 filters.

    Shapes:  `blocks` float32 [g, ceil(K/g / 4), ceil(taps / 4), 4 taps, 4 filters], `bias` float32 [K],
             `offsets` int64 [ceil(taps / 4), 4]: the layout's, padding taps read what the last tap reads and weigh it with 0;
             taps = C/g * R * S.
    """

    layout: Layout
    blocks: Floats
    bias: Floats
    offsets: NDArray[np.int64]

    def live_blocks(self, zero_channels: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Blocks of taps that read any channel that is not zero. Shapes: zero_channels [C] -> [g, ceil(taps / 4)]."""
        groups, _, depth = self.blocks.shape[:3]
        if zero_channels is None or not zero_channels.any():
            return np.ones((groups, depth), dtype=np.bool_)
        rows: NDArray[np.bool_] = np.repeat(~zero_channels.reshape(groups, -1), self.layout.taps, axis=1)
        rows = np.pad(rows, ((0, 0), (0, depth * ROWS - rows.shape[1])))
        return np.asarray(rows.reshape(groups, depth, ROWS).any(axis=2))


def pack_filters(layout: Layout, weight: Floats, bias: Floats) -> PackedFilters:
    """Pack the filters of one convolution. Shapes: weight [K, C/g, R, S], bias [K]."""
    groups = layout.groups
    flat = weight.reshape(groups, weight.shape[0] // groups, -1)
    _, filters, taps = flat.shape
    padded = np.pad(flat, ((0, 0), (0, -filters % ROWS), (0, -taps % ROWS)))
    blocks = padded.reshape(groups, padded.shape[1] // ROWS, ROWS, padded.shape[2] // ROWS, ROWS)
    offsets = np.pad(layout.offsets, (0, -taps % ROWS), mode="edge").reshape(-1, ROWS)
    return PackedFilters(layout, np.ascontiguousarray(blocks.transpose(0, 1, 3, 4, 2), np.float32), np.ascontiguousarray(bias), offsets)
