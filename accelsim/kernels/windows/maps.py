"""Whole maps, element by element: sums and copies."""

from __future__ import annotations

import numpy as np

from accelsim.kernels.compile import kernel
from accelsim.kernels.windows.finish import Bits, Numbers, finish, hand_in, notes, tally
from accelsim.kernels.windows.vectors import WIDE, Floats, load, load_within, plus, store, store_first, zeros


@kernel
def add(
    left: Floats,
    right: Floats,
    activation: int,
    slope: np.float32,
    ofmap: Floats,
    largest: Bits,
    none: Numbers,
    by_rows: bool,
    first: int,
    last: int,
) -> None:
    """Add two maps and activate the sums: rows from `first` to `last` or, if not `by_rows`, channels; `ofmap` may be one of the maps.

    Shapes:  left, right, ofmap float32 [C, H, W]; largest uint32 [C], none int64 [C] or both empty (`finish.tally`)
    Raises:  nothing; `layers` has checked shapes
    """
    C, H, W = ofmap.shape
    one, other, out = left.reshape(-1), right.reshape(-1), ofmap.reshape(-1)
    most, zeroes = notes(largest, none, by_rows)
    skipped, count = (first * W, (last - first) * W) if by_rows else (0, H * W)
    for c in range(0 if by_rows else first, C if by_rows else last):
        begin = c * H * W + skipped
        for x in range(0, count, WIDE):
            some = min(WIDE, count - x)
            if some == WIDE:
                sums = plus(load(zeros(WIDE), one, begin + x), load(zeros(WIDE), other, begin + x))
            else:
                a = load_within(zeros(WIDE), one, begin + x, 0, some)
                sums = plus(a, load_within(zeros(WIDE), other, begin + x, 0, some))
            tally(finish(sums, activation, slope, out, begin + x, some, WIDE), 0, some, WIDE, most, zeroes, c)
    if by_rows:
        hand_in(most, zeroes, largest, none)


@kernel
def place(ifmap: Floats, channel: int, ofmap: Floats, by_rows: bool, first: int, last: int) -> None:
    """Copy a map into the channels of another from `channel` on: rows from `first` to `last` or, if not `by_rows`, channels.

    Shapes:  ifmap float32 [C, H, W]; ofmap float32 [K, H, W]
    Raises:  nothing; `layers` has checked shapes
    """
    C, H, W = ifmap.shape
    source, target = ifmap.reshape(-1), ofmap.reshape(-1)
    skipped, count, shift = (first * W if by_rows else 0), ((last - first) * W if by_rows else H * W), channel * H * W
    for c in range(0 if by_rows else first, C if by_rows else last):
        begin = c * H * W + skipped
        for x in range(begin, begin + count, WIDE):
            if x + WIDE <= begin + count:
                store(load(zeros(WIDE), source, x), target, x + shift)
            else:
                store_first(load_within(zeros(WIDE), source, x, 0, begin + count - x), target, x + shift, begin + count - x)
