"""Convolution: four filters times a strip of neighbouring outputs at a time, their sums in registers.

The order of every sum is part of the data (`operators/order.py`): taps in the order of the packed filters, fused multiply-adds from 0 in
each chunk of taps, the chunks added up in turn, the bias to the first of them. Nothing about strips, bands or threads changes it.
Leaving out the taps of a zero channel is exact: each would add w * 0 to a sum that began at +0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import inlined, kernel
from accelsim.kernels.windows.finish import Bits, Numbers, finish, hand_in, lay_out, notes, tally
from accelsim.kernels.windows.vectors import WIDE, Floats, fused, load, plus, zeros

HALF, QUARTER = WIDE // 2, WIDE // 4


@inlined
def tile(
    nothing: Floats,
    source: Floats,
    base: int,
    taps: Numbers,
    cuts: Numbers,
    offsets: Numbers,
    weights: Floats,
    start: int,
    bias: Floats,
    k: int,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Sums of four filters for one strip of outputs.

    Shapes:  `nothing` a strip of zeros, as wide as the sums; source float32 flat, the strip's inputs begin at `base + offsets[tap]`;
             taps int64 [..], chunk j is cuts[j] .. cuts[j + 1]; weights float32 flat, those of a tap begin at `start + 4 * tap`;
             bias float32 [K], of the four filters from `k`
    """
    a = b = c = d = nothing
    for j in range(cuts.shape[0] - 1):
        s0 = s1 = s2 = s3 = nothing
        for i in range(cuts[j], cuts[j + 1]):
            tap = taps[np.uintp(i)]
            w = np.uintp(start + 4 * tap)
            x = load(nothing, source, base + offsets[np.uintp(tap)])
            s0 = fused(weights[w], x, s0)
            s1 = fused(weights[w + np.uintp(1)], x, s1)
            s2 = fused(weights[w + np.uintp(2)], x, s2)
            s3 = fused(weights[w + np.uintp(3)], x, s3)
        if j == 0:
            a, b, c, d = plus(bias[k], s0), plus(bias[k + 1], s1), plus(bias[k + 2], s2), plus(bias[k + 3], s3)
        else:
            a, b, c, d = plus(s0, a), plus(s1, b), plus(s2, c), plus(s3, d)
    return a, b, c, d


@inlined
def live_taps(channels: Numbers, zero_channels: NDArray[np.bool_], channel: int, chunks: Numbers, taps: Numbers, cuts: Numbers) -> None:
    """List the taps whose channel is not zero, and where the chunks of that list begin.

    Shapes:  channels int64 [T], of each tap in its group, whose first is `channel`; chunks int64 [J + 1] in the order of all taps;
             taps int64 [T] and cuts int64 [J + 1] are written
    """
    count = 0
    for j in range(chunks.shape[0] - 1):
        cuts[j] = count
        for t in range(chunks[j], chunks[j + 1]):
            if not zero_channels[channel + channels[t]]:
                taps[count] = t
                count += 1
    cuts[chunks.shape[0] - 1] = count


@kernel
def conv2d(
    ifmap: Floats,
    zero_channels: NDArray[np.bool_],
    planes: Numbers,
    stride_down: int,
    stride_along: int,
    band: int,
    reach: int,
    offsets: Numbers,
    channels: Numbers,
    chunks: Numbers,
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
    """Convolve a map: the rows of outputs from `first` to `last` or, if not `by_rows`, the blocks of four filters.

    Shapes:  ifmap float32 [C, H, W]; zero_channels bool [C]; planes int64 [Q, 2] (`finish.lay_out`), none where the map is read in place;
             of each tap, in the order of the sum: offsets, channels int64 [T]; chunks int64 [J + 1] (`order.py`);
             weights float32 [g, ceil(K/g/4), T, 4]; bias float32 [g * ceil(K/g/4) * 4]; ofmap float32 [K, Ho, Wo]; T = C/g*R*S;
             largest uint32 [K], none int64 [K]: 0, or both empty (`finish.tally`); blocks count through all groups
    Units:   elements; `band`: rows of outputs laid out together; `reach`: rows that a band needs beyond its own
    Raises:  nothing; `layers` has checked shapes, `layout` has bounded every read
    """
    C, H, W = ifmap.shape
    K, Ho, Wo = ofmap.shape
    groups, blocks, T, _ = weights.shape
    in_group, filters = C // groups, K // groups
    flat, flat_weights, out = ifmap.reshape(-1), weights.reshape(-1), ofmap.reshape(-1)
    laid_out = np.empty(planes.shape[0] * in_group * (band + reach) * Wo + WIDE if planes.shape[0] else 0, dtype=np.float32)
    most, zeroes = notes(largest, none, by_rows)
    laid_out[max(0, laid_out.size - WIDE) :] = 0
    taps, cuts = np.empty(T, dtype=np.int64), np.empty(chunks.shape[0], dtype=np.int64)
    from_row, to_row = (first, last) if by_rows else (0, Ho)
    lowest, highest = (0, groups * blocks) if by_rows else (first, last)
    for group in range(lowest // blocks, (highest - 1) // blocks + 1):
        live_taps(channels, zero_channels, group * in_group, chunks, taps, cuts)
        from_block, to_block = max(lowest - group * blocks, 0), min(highest - group * blocks, blocks)
        for row in range(from_row, to_row, band):
            rows = min(band, to_row - row)
            positions = rows * Wo
            if planes.shape[0]:
                channel, needed, tall = group * in_group, rows + reach, band + reach
                lay_out(flat, zero_channels, channel, in_group, H, W, planes, stride_down, stride_along, row, needed, tall, Wo, laid_out)
                source, origin, before = laid_out, 0, 0
            else:
                source, origin, before = flat, group * in_group * H * W + row * Wo, row * Wo
            done = 0
            while done < positions:
                left = positions - done
                width = WIDE if left > HALF + QUARTER else HALF if left > QUARTER else QUARTER
                # the last strip moves back over outputs already made: same sums, and no read behind the end
                start = max(-before, min(done, positions - width))
                count = min(width, positions - start)
                old = done - start
                done += width
                for block in range(from_block, to_block):
                    k = group * filters + 4 * block
                    begin = (group * blocks + block) * T * 4
                    place = k * Ho * Wo + row * Wo + start
                    b = (group * blocks + block) * 4
                    if width == WIDE:
                        sums = tile(zeros(WIDE), source, origin + start, taps, cuts, offsets, flat_weights, begin, bias, b)
                        write(sums, filters - 4 * block, activation, slope, out, place, Ho * Wo, old, count, WIDE, most, zeroes, k)
                    elif width == HALF:
                        half = tile(zeros(HALF), source, origin + start, taps, cuts, offsets, flat_weights, begin, bias, b)
                        write(half, filters - 4 * block, activation, slope, out, place, Ho * Wo, old, count, HALF, most, zeroes, k)
                    else:
                        quarter = tile(zeros(QUARTER), source, origin + start, taps, cuts, offsets, flat_weights, begin, bias, b)
                        write(quarter, filters - 4 * block, activation, slope, out, place, Ho * Wo, old, count, QUARTER, most, zeroes, k)
    if by_rows:
        hand_in(most, zeroes, largest, none)


@inlined
def write(
    sums: tuple[Floats, Floats, Floats, Floats],
    filters: int,
    activation: int,
    slope: np.float32,
    ofmap: Floats,
    place: int,
    plane: int,
    old: int,
    count: int,
    width: int,
    largest: Bits,
    none: Numbers,
    k: int,
) -> None:
    """Finish the strips of the first `filters` of four filters, whose planes lie `plane` elements apart."""
    tally(finish(sums[0], activation, slope, ofmap, place, count, width), old, count, width, largest, none, k)
    if filters > 1:
        tally(finish(sums[1], activation, slope, ofmap, place + plane, count, width), old, count, width, largest, none, k + 1)
    if filters > 2:
        tally(finish(sums[2], activation, slope, ofmap, place + 2 * plane, count, width), old, count, width, largest, none, k + 2)
    if filters > 3:
        tally(finish(sums[3], activation, slope, ofmap, place + 3 * plane, count, width), old, count, width, largest, none, k + 3)
