"""Where a strip of sums comes from and goes to: rows of inputs side by side, and activated outputs in their map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.windows.vectors import (
    LANES,
    Floats,
    among,
    below,
    count_zeros,
    every_second,
    increase,
    leaky,
    load,
    load_within,
    peak,
    raise_to,
    relu,
    store,
    store_first,
    zeros,
)

Numbers = NDArray[np.int64]
Bits = NDArray[np.uint32]

TWICE = 2 * LANES
LINEAR, RELU, LEAKY, CLIP = 0, 1, 2, 3
"""Activations done while storing: x; max(x, 0); x > 0 ? x : slope * x; min(max(x, 0), slope)."""


@inlined
def lay_out(
    ifmap: Floats,
    zero_channels: NDArray[np.bool_],
    channel: int,
    channels: int,
    H: int,
    W: int,
    planes: Numbers,
    stride_down: int,
    stride_along: int,
    first: int,
    rows: int,
    tall: int,
    width: int,
    source: Floats,
) -> None:
    """Copy what a band of outputs reads so that the inputs of neighbouring outputs lie side by side for every tap.

    A plane holds, for one phase of the rows inside the stride and one column of the kernel, the inputs of whole rows of outputs;
    outside the map are zeros. Zero channels are left out: nobody reads them.
    Shapes:  ifmap float32 flat [C, H, W]; zero_channels bool [C]; of them `channels` from `channel`;
             planes int64 [Q, 2]: the row and column of the first output's input in the map, negative in the padding;
             source float32 flat [Q, channels, tall, width] and spare elements behind it; the first `rows` of `tall` are written
    Units:   elements; `first` is the first row of outputs in the band
    Raises:  nothing; rows are written in order, so that what a strip writes beyond its row is written again
    """
    target = 0
    for q in range(planes.shape[0]):
        down, along = planes[q, 0] + first * stride_down, planes[q, 1]
        for c in range(channel, channel + channels):
            if zero_channels[c]:
                target += tall * width
                continue
            for y in range(rows):
                row = down + y * stride_down
                begin = (c * H + row) * W + along
                if row < 0 or row >= H:
                    for x in range(0, width, LANES):
                        store(zeros(LANES), source, target + x)
                elif stride_along == 1:
                    for x in range(0, width, LANES):
                        if x + along >= 0 and x + along + LANES <= W:
                            store(load(zeros(LANES), ifmap, begin + x), source, target + x)
                        else:
                            store(load_within(zeros(LANES), ifmap, begin + x, -along - x, W - along - x), source, target + x)
                elif stride_along == 2:
                    for x in range(0, width, LANES):
                        if 2 * x + along >= 0 and 2 * x + along + TWICE <= W:
                            store(every_second(load(zeros(TWICE), ifmap, begin + 2 * x)), source, target + x)
                        else:
                            part = load_within(zeros(TWICE), ifmap, begin + 2 * x, -along - 2 * x, W - along - 2 * x)
                            store(every_second(part), source, target + x)
                else:
                    for x in range(width):
                        column = along + x * stride_along
                        inside = 0 <= column < W
                        source[np.uintp(target + x)] = ifmap[np.uintp(begin + x * stride_along)] if inside else np.float32(0)
                target += width
            target += (tall - rows) * width


@inlined
def finish(sums: Floats, activation: int, slope: np.float32, ofmap: Floats, place: int, count: int, width: int) -> Floats:
    """Activate a strip of `width` outputs and write the first `count` of them to `place` of a flat map. NaN stays visible."""
    if activation == RELU:
        sums = relu(sums)
    elif activation == LEAKY:
        sums = leaky(sums, slope)
    elif activation == CLIP:
        sums = below(relu(sums), slope)
    if count == width:
        store(sums, ofmap, place)
    else:
        store_first(sums, ofmap, place, count)
    return sums


@inlined
def tally(outputs: Floats, old: int, count: int, width: int, largest: Bits, none: Numbers, channel: int) -> None:
    """Take down what a strip of outputs of one channel tells of it, but not of those before `old` (told already) and from `count`.

    Shapes:  largest uint32 [K], magnitude bits; none int64 [K], zeros counted; neither is touched where they are empty
    """
    if not largest.size:
        return
    place = np.uintp(channel)
    new = among(outputs, old, count)
    largest[place] = max(largest[place], peak(new))
    none[place] += count_zeros(new) - (width - (count - old))


@kernel
def notes(largest: Bits, none: Numbers, by_rows: bool) -> tuple[Bits, Numbers]:
    """Where a share takes down its `tally`: shares of rows meet in every channel, so each has its own notes first."""
    if by_rows:
        return np.zeros(largest.size, np.uint32), np.zeros(none.size, np.int64)
    return largest, none


@inlined
def hand_in(most: Bits, zeroes: Numbers, largest: Bits, none: Numbers) -> None:
    """Add the notes of a share to those of the others. Shapes: as `tally`."""
    for k in range(largest.size):
        raise_to(largest, k, most[k])
        increase(none, k, zeroes[k])
