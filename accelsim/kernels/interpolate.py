"""One pass of a bilinear resize: every row, or every column, of the result is a weighted sum of two of the source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float64]
Int = NDArray[np.int64]


@kernel
def across(data: Floats, low: Int, high: Int, near: Floats, far: Floats, out: Floats) -> None:
    """Mix columns: out[:, :, x] = near[x] * data[:, :, low[x]] + far[x] * data[:, :, high[x]].

    Shapes:  data float64 [C, H, W]; low, high int64 [W'], within W; near, far float64 [W']; out float64 [C, H, W']
    Raises:  nothing
    """
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                out[c, y, x] = near[x] * data[c, y, low[x]] + far[x] * data[c, y, high[x]]


@kernel
def down(data: Floats, low: Int, high: Int, near: Floats, far: Floats, out: Floats) -> None:
    """Mix rows: out[:, y] = near[y] * data[:, low[y]] + far[y] * data[:, high[y]].

    Shapes:  data float64 [C, H, W]; low, high int64 [H'], within H; near, far float64 [H']; out float64 [C, H', W]
    Raises:  nothing
    """
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                out[c, y, x] = near[y] * data[c, low[y], x] + far[y] * data[c, high[y], x]
