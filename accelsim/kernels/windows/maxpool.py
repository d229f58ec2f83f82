"""Max pooling: down the columns first, where neighbours lie side by side, then along the row."""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import kernel
from accelsim.kernels.windows.finish import Bits, Numbers, hand_in, notes, tally
from accelsim.kernels.windows.vectors import LANES, Floats, every_second, larger, load, load_within, store, store_first, zeros

TWICE = 2 * LANES


@kernel
def maxpool(
    ifmap: Floats,
    R: int,
    S: int,
    stride_down: int,
    stride_along: int,
    top: int,
    left: int,
    ofmap: Floats,
    largest: Bits,
    none: Numbers,
    by_rows: bool,
    first: int,
    last: int,
) -> None:
    """Take the largest element of every R x S window: of rows of outputs from `first` to `last` or, if not `by_rows`, of channels.

    Elements outside the map do not take part.
    Shapes:  ifmap float32 [C, H, W]; ofmap float32 [C, Ho, Wo]; largest uint32 [C], none int64 [C] or both empty (`finish.tally`)
    Units:   elements. A window wholly outside the map gives -infinity.
    Raises:  nothing; `layers` has checked shapes. The input holds no NaN (inference refuses it).
    """
    _, H, W = ifmap.shape
    _, Ho, Wo = ofmap.shape
    flat, out = ifmap.reshape(-1), ofmap.reshape(-1)
    # the row of column maxima, with room for the padding on both sides and for strips that go on beyond it
    columns = np.full(max(left + W, (Wo - 1) * stride_along + S) + TWICE + S, -np.inf, dtype=np.float32)
    lowest = load(zeros(LANES), columns, 0)
    most, zeroes = notes(largest, none, by_rows)
    for c in range(0 if by_rows else first, ofmap.shape[0] if by_rows else last):
        for y in range(first if by_rows else 0, last if by_rows else Ho):
            up = y * stride_down - top
            low, high = max(0, up), min(H, up + R)
            begin = c * H * W
            for x in range(0, W, LANES):
                found = lowest
                if x + LANES <= W:
                    for row in range(low, high):
                        found = larger(load(found, flat, begin + row * W + x), found)
                    store(found, columns, left + x)
                else:
                    for row in range(low, high):
                        found = larger(load_within(found, flat, begin + row * W + x, 0, W - x), found)
                    store_first(found, columns, left + x, W - x)
            place = (c * Ho + y) * Wo
            if stride_along > 2:
                for x in range(Wo):
                    value = np.float32(-np.inf)
                    for s in range(S):
                        other = columns[np.uintp(x * stride_along + s)]
                        value = other if other > value else value
                    out[np.uintp(place + x)] = value
            else:
                for x in range(0, Wo, LANES):
                    best = lowest
                    for s in range(S):
                        if stride_along == 1:
                            best = larger(load(best, columns, x + s), best)
                        else:
                            best = larger(every_second(load(zeros(TWICE), columns, 2 * x + s)), best)
                    store_first(best, out, place + x, Wo - x)
            if largest.size:
                for x in range(0, Wo, LANES):
                    tally(load_within(zeros(LANES), out, place + x, 0, Wo - x), 0, min(LANES, Wo - x), LANES, most, zeroes, c)
    if by_rows:
        hand_in(most, zeroes, largest, none)
