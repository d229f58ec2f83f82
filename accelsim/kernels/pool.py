"""Average pooling."""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]


@kernel
def window_means(
    ifmap: Floats,
    R: int,
    S: int,
    stride_down: int,
    stride_along: int,
    dilation_down: int,
    dilation_along: int,
    top: int,
    left: int,
    counts: Floats,
    ofmap: Floats,
) -> None:
    """Average every R x S window: one float32 sum in raster order over the elements inside the map, divided once.

    Shapes:  ifmap float32 [C, H, W]; counts float32 [Ho, Wo], what each window is divided by; ofmap float32 [C, Ho, Wo]
    Units:   elements
    Raises:  nothing; `layers` has checked shapes
    """
    _, H, W = ifmap.shape
    _, Ho, Wo = ofmap.shape
    for c in range(ofmap.shape[0]):
        for y in range(Ho):
            for x in range(Wo):
                total = np.float32(0)
                for r in range(R):
                    row = y * stride_down - top + r * dilation_down
                    if 0 <= row < H:
                        for s in range(S):
                            col = x * stride_along - left + s * dilation_along
                            if 0 <= col < W:
                                total += ifmap[c, row, col]
                ofmap[c, y, x] = total / counts[y, x]


@kernel
def avgpool(ifmap: Floats, ofmap: Floats) -> None:
    """Average each whole channel: one float32 sum in raster order, divided once.

    Eight channels at a time, as each sum waits for its own last addition.
    Shapes:  ifmap float32 [C, H*W]; ofmap float32 [C]
    Units:   elements
    Raises:  nothing
    """
    C, size = ifmap.shape
    for first in range(0, C, 8):
        # channels beyond the last are the last once more
        c0, c1, c2, c3 = first, min(first + 1, C - 1), min(first + 2, C - 1), min(first + 3, C - 1)
        c4, c5, c6, c7 = min(first + 4, C - 1), min(first + 5, C - 1), min(first + 6, C - 1), min(first + 7, C - 1)
        t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = np.float32(0)
        for i in range(size):
            t0 += ifmap[c0, i]
            t1 += ifmap[c1, i]
            t2 += ifmap[c2, i]
            t3 += ifmap[c3, i]
            t4 += ifmap[c4, i]
            t5 += ifmap[c5, i]
            t6 += ifmap[c6, i]
            t7 += ifmap[c7, i]
        count = np.float32(size)
        ofmap[c0], ofmap[c1], ofmap[c2], ofmap[c3] = t0 / count, t1 / count, t2 / count, t3 / count
        ofmap[c4], ofmap[c5], ofmap[c6], ofmap[c7] = t4 / count, t5 / count, t6 / count, t7 / count
