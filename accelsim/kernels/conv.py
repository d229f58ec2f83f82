"""Convolution: four filters times a strip of neighbouring outputs at a time.

Every output is one float32 sum over c, r, s in that order, starting at 0, then the bias, then the activation, as in Darknet. Nothing
about strips or blocks changes that order, and products are not fused with sums, so the same network gives the same bits everywhere.
(Fusing them, fastmath 'contract', was measured to gain 5 to 10 % and would give other bits on machines without fused instructions.)
The inner loops run over outputs, not over the sum, which is why LLVM can vectorise them without fastmath: a block of 4 taps x 4 filters
stays in registers while 4 runs of inputs and 4 runs of sums stream past it.
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]
Flags = NDArray[np.bool_]

LINEAR, RELU, LEAKY, CLIP = 0, 1, 2, 3
"""Activations done while storing: x; max(x, 0); x > 0 ? x : slope * x; min(max(x, 0), slope)."""

WIDE = 128
NARROW = 64


@kernel
def store(
    sums: Floats,
    first: int,
    start: int,
    count: int,
    pitch: int,
    bias: np.float32,
    activation: int,
    slope: np.float32,
    plane: Floats,
) -> None:
    """Add the bias, activate, and write one filter's strip into its plane of the ofmap.

    Shapes:  sums float32 flat, the strip begins at `first`; plane float32 [Ho, Wo] inside rows of `pitch` positions;
             `start` .. `start + count` are the strip's positions. Positions beyond Wo in a row belong to no output.
    """
    width = plane.shape[1]
    row = start // pitch
    column = start - row * pitch
    done = 0
    while done < count:
        run = min(width - column, count - done)
        source = np.uintp(first + done)
        target = np.uintp(column)
        if activation == RELU:
            for i in range(run):
                value = sums[source + np.uintp(i)] + bias
                # not `value > 0`: NaN must stay visible
                plane[row, target + np.uintp(i)] = np.float32(0) if value <= 0 else value
        elif activation == LINEAR:
            for i in range(run):
                plane[row, target + np.uintp(i)] = sums[source + np.uintp(i)] + bias
        elif activation == LEAKY:
            for i in range(run):
                value = sums[source + np.uintp(i)] + bias
                plane[row, target + np.uintp(i)] = slope * value if value <= 0 else value
        else:
            for i in range(run):
                value = sums[source + np.uintp(i)] + bias
                value = np.float32(0) if value <= 0 else value
                plane[row, target + np.uintp(i)] = slope if value > slope else value
        done += pitch - column
        row += 1
        column = 0


@kernel
def conv2d(
    source: Floats,
    offsets: Offsets,
    group_step: int,
    pitch: int,
    blocks: Floats,
    live: Flags,
    bias: Floats,
    activation: int,
    slope: np.float32,
    ofmap: Floats,
) -> None:
    """Convolve one laid-out map with all filters.

    Shapes:  source float32 flat (`layout.lay_out`); offsets int64 [B, 4]; blocks float32 [g, ceil(K/g/4), B, 4 taps, 4 filters];
             live bool [g, B]; bias float32 [K]; ofmap float32 [K, Ho, Wo]; B = ceil(C/g*R*S / 4)
    Units:   elements. A block that is not live reads zeros only; leaving it out is exact, as adding +-0 to a sum that began at +0 is.
    Raises:  nothing; `layers` has checked shapes, `layout` has bounded every read
    """
    filters = ofmap.shape[0] // blocks.shape[0]
    positions = (ofmap.shape[1] - 1) * pitch + ofmap.shape[2]
    sums = np.empty(4 * WIDE, dtype=np.float32)
    for group in range(blocks.shape[0]):
        done = 0
        while done < positions:
            wide = positions - done > NARROW
            strip = WIDE if wide else NARROW
            # the last strip moves back over outputs already made: same sums, and no read behind the end
            start = max(0, min(done, positions - strip))
            base = start + group * group_step
            for four in range(blocks.shape[1]):
                sums[:] = 0
                for b in range(offsets.shape[0]):
                    if not live[group, b]:
                        continue
                    w = blocks[group, four, b]
                    w00, w01, w02, w03 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
                    w10, w11, w12, w13 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
                    w20, w21, w22, w23 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
                    w30, w31, w32, w33 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
                    # unsigned, as numba then leaves out the test for negative indices that would block vectors
                    p0, p1 = np.uintp(base + offsets[b, 0]), np.uintp(base + offsets[b, 1])
                    p2, p3 = np.uintp(base + offsets[b, 2]), np.uintp(base + offsets[b, 3])
                    if wide:
                        for j in range(WIDE):
                            u = np.uintp(j)
                            x0, x1, x2, x3 = source[p0 + u], source[p1 + u], source[p2 + u], source[p3 + u]
                            sums[j] = sums[j] + w00 * x0 + w10 * x1 + w20 * x2 + w30 * x3
                            sums[j + 128] = sums[j + 128] + w01 * x0 + w11 * x1 + w21 * x2 + w31 * x3
                            sums[j + 256] = sums[j + 256] + w02 * x0 + w12 * x1 + w22 * x2 + w32 * x3
                            sums[j + 384] = sums[j + 384] + w03 * x0 + w13 * x1 + w23 * x2 + w33 * x3
                    else:
                        for j in range(NARROW):
                            u = np.uintp(j)
                            x0, x1, x2, x3 = source[p0 + u], source[p1 + u], source[p2 + u], source[p3 + u]
                            sums[j] = sums[j] + w00 * x0 + w10 * x1 + w20 * x2 + w30 * x3
                            sums[j + 128] = sums[j + 128] + w01 * x0 + w11 * x1 + w21 * x2 + w31 * x3
                            sums[j + 256] = sums[j + 256] + w02 * x0 + w12 * x1 + w22 * x2 + w32 * x3
                            sums[j + 384] = sums[j + 384] + w03 * x0 + w13 * x1 + w23 * x2 + w33 * x3
                for i in range(min(4, filters - 4 * four)):
                    k = group * filters + 4 * four + i
                    store(sums, WIDE * i, start, min(strip, positions - start), pitch, bias[k], activation, slope, ofmap[k])
            done += strip


@kernel
def depthwise(
    source: Floats,
    offsets: Offsets,
    group_step: int,
    pitch: int,
    weights: Floats,
    zero_channels: Flags,
    bias: Floats,
    activation: int,
    slope: np.float32,
    ofmap: Floats,
) -> None:
    """Convolve each channel with its own filter.

    Shapes:  source float32 flat (`layout.lay_out`); offsets int64 [T]; weights float32 [C, T]; zero_channels bool [C];
             bias float32 [C]; ofmap float32 [C, Ho, Wo]; T = R*S
    Units:   elements; the plane of channel c begins `c * group_step` behind that of channel 0
    Raises:  nothing; `layers` has checked shapes, `layout` has bounded every read
    """
    positions = (ofmap.shape[1] - 1) * pitch + ofmap.shape[2]
    taps = weights.shape[1]
    sums = np.empty(WIDE, dtype=np.float32)
    for c in range(ofmap.shape[0]):
        done = 0
        while done < positions:
            start = max(0, min(done, positions - WIDE))
            base = start + c * group_step
            sums[:] = 0
            t = 0 if not zero_channels[c] else taps
            while t + 3 <= taps:
                w0, w1, w2 = weights[c, t], weights[c, t + 1], weights[c, t + 2]
                p0, p1, p2 = np.uintp(base + offsets[t]), np.uintp(base + offsets[t + 1]), np.uintp(base + offsets[t + 2])
                for j in range(WIDE):
                    u = np.uintp(j)
                    sums[j] = sums[j] + w0 * source[p0 + u] + w1 * source[p1 + u] + w2 * source[p2 + u]
                t += 3
            while t < taps:
                w0 = weights[c, t]
                p0 = np.uintp(base + offsets[t])
                for j in range(WIDE):
                    sums[j] = sums[j] + w0 * source[p0 + np.uintp(j)]
                t += 1
            store(sums, 0, start, min(WIDE, positions - start), pitch, bias[c], activation, slope, ofmap[c])
            done += WIDE
