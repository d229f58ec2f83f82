"""Pooling: down the columns first, where neighbours lie side by side, then along the row."""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]


@kernel
def maxpool(ifmap: Floats, R: int, S: int, stride_down: int, stride_along: int, top: int, left: int, ofmap: Floats) -> None:
    """Take the largest element of every R x S window; elements outside the map do not take part.

    Shapes:  ifmap float32 [C, H, W]; ofmap float32 [C, Ho, Wo]
    Units:   elements. A window wholly outside the map gives -infinity.
    Raises:  nothing; `layers` has checked shapes. The input holds no NaN (inference refuses it).
    """
    _, H, W = ifmap.shape
    _, Ho, Wo = ofmap.shape
    # the row of column maxima, with room for the padding on both sides
    columns = np.empty((Wo - 1) * stride_along + S + left + W, dtype=np.float32)
    origin = np.uintp(left)
    for c in range(ofmap.shape[0]):
        for y in range(Ho):
            columns[:] = -np.inf
            up = y * stride_down - top
            for row in range(max(0, up), min(H, up + R)):
                for x in range(W):
                    value = ifmap[c, row, x]
                    i = origin + np.uintp(x)
                    columns[i] = value if value > columns[i] else columns[i]
            for x in range(Wo):
                ofmap[c, y, x] = -np.inf
            for s in range(S):
                first = np.uintp(s)
                if stride_along == 1:
                    for x in range(Wo):
                        value = columns[first + np.uintp(x)]
                        ofmap[c, y, x] = value if value > ofmap[c, y, x] else ofmap[c, y, x]
                else:
                    step = np.uintp(stride_along)
                    for x in range(Wo):
                        value = columns[first + np.uintp(x) * step]
                        ofmap[c, y, x] = value if value > ofmap[c, y, x] else ofmap[c, y, x]


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

    Shapes:  ifmap float32 [C, H*W]; ofmap float32 [C]
    Units:   elements
    Raises:  nothing
    """
    for c in range(ofmap.shape[0]):
        total = np.float32(0)
        for i in range(ifmap.shape[1]):
            total += ifmap[c, i]
        ofmap[c] = total / np.float32(ifmap.shape[1])
