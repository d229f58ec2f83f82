"""Depthwise convolution: one filter a channel, a strip of neighbouring outputs at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.windows.finish import Bits, Numbers, finish, hand_in, lay_out, notes, tally
from accelsim.kernels.windows.vectors import WIDE, Floats, fused, load, plus, zeros

HALF, QUARTER = WIDE // 2, WIDE // 4


@inlined
def total(nothing: Floats, source: Floats, base: int, taps: int, offsets: Numbers, weights: Floats, start: int) -> Floats:
    """Sums of one filter for one strip of outputs, fused, from 0 in the order of the taps. Shapes: as `conv.tile`; taps T."""
    sums = nothing
    for t in range(taps):
        sums = fused(weights[np.uintp(start + t)], load(nothing, source, base + offsets[np.uintp(t)]), sums)
    return sums


@kernel
def depthwise(
    ifmap: Floats,
    zero_channels: NDArray[np.bool_],
    planes: Numbers,
    stride_down: int,
    stride_along: int,
    band: int,
    reach: int,
    offsets: Numbers,
    weights: Floats,
    bias: Floats,
    activation: int,
    slope: np.float32,
    ofmap: Floats,
    largest: Bits,
    none: Numbers,
    by_rows: bool,
    first: int,
    last: int,
) -> None:
    """Convolve each channel with its own filter: rows of outputs from `first` to `last` or, if not `by_rows`, channels.

    The sums of a zero channel are 0.

    Shapes:  ifmap float32 [C, H, W]; zero_channels bool [C]; planes int64 [Q, 2] as in `conv2d`; offsets int64 [T];
             weights float32 [C, T]; bias float32 [C]; ofmap float32 [C, Ho, Wo]; T = R*S;
             largest uint32 [C], none int64 [C] or both empty (`finish.tally`)
    Units:   elements; `band`, `reach` as in `conv2d`
    Raises:  nothing; `layers` has checked shapes, `layout` has bounded every read
    """
    _, H, W = ifmap.shape
    _, Ho, Wo = ofmap.shape
    T = weights.shape[1]
    flat, flat_weights, out = ifmap.reshape(-1), weights.reshape(-1), ofmap.reshape(-1)
    source = np.zeros(planes.shape[0] * (band + reach) * Wo + WIDE, dtype=np.float32)
    from_row, to_row = (first, last) if by_rows else (0, Ho)
    most, zeroes = notes(largest, none, by_rows)
    for c in range(0 if by_rows else first, ofmap.shape[0] if by_rows else last):
        taps = 0 if zero_channels[c] else T
        for row in range(from_row, to_row, band):
            rows = min(band, to_row - row)
            positions = rows * Wo
            if taps:
                lay_out(flat, zero_channels, c, 1, H, W, planes, stride_down, stride_along, row, rows + reach, band + reach, Wo, source)
            done = 0
            while done < positions:
                left = positions - done
                width = WIDE if left > HALF + QUARTER else HALF if left > QUARTER else QUARTER
                start = max(0, min(done, positions - width))
                count = min(width, positions)
                old = done - start
                done += width
                place = (c * Ho + row) * Wo + start
                if width == WIDE:
                    sums = plus(bias[c], total(zeros(WIDE), source, start, taps, offsets, flat_weights, c * T))
                    tally(finish(sums, activation, slope, out, place, count, WIDE), old, count, WIDE, most, zeroes, c)
                elif width == HALF:
                    half = plus(bias[c], total(zeros(HALF), source, start, taps, offsets, flat_weights, c * T))
                    tally(finish(half, activation, slope, out, place, count, HALF), old, count, HALF, most, zeroes, c)
                else:
                    quarter = plus(bias[c], total(zeros(QUARTER), source, start, taps, offsets, flat_weights, c * T))
                    tally(finish(quarter, activation, slope, out, place, count, QUARTER), old, count, QUARTER, most, zeroes, c)
    if by_rows:
        hand_in(most, zeroes, largest, none)
