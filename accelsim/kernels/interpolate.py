"""A bilinear resize: every row and every column of the result is a weighted sum of two of the source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float64]
Int = NDArray[np.int64]
Planes = NDArray[np.float32]


@kernel
def resize(data: Planes, columns: Int, column_weights: Floats, rows: Int, row_weights: Floats, out: Planes) -> None:
    """Mix columns, then rows, in float64; round once.

    Element (y, x) of a channel is weights[0, y] * line(rows[0, y])[x] + weights[1, y] * line(rows[1, y])[x], where line(r)[x] is the same
    sum of two columns of row r.
    Shapes:  data float32 [C, H, W]; columns int64 [2, W'], within W; column_weights float64 [2, W']; rows int64 [2, H'], within H, of each
             pair one row twice or two neighbours; row_weights float64 [2, H']; out float32 [C, H', W']
    Raises:  nothing
    """
    lines, mixed = np.empty((2, out.shape[2])), np.empty(2, dtype=np.int64)
    for c in range(out.shape[0]):
        mixed[:] = -1
        for y in range(out.shape[1]):
            for which in range(2):
                row = rows[which, y]
                place = row % 2  # of two rows next to each other one is even
                if mixed[place] != row:
                    mixed[place] = row
                    for x in range(out.shape[2]):
                        near = column_weights[0, x] * np.float64(data[c, row, columns[0, x]])
                        lines[place, x] = near + column_weights[1, x] * np.float64(data[c, row, columns[1, x]])
            upper, lower = lines[rows[0, y] % 2], lines[rows[1, y] % 2]
            for x in range(out.shape[2]):
                out[c, y, x] = row_weights[0, y] * upper[x] + row_weights[1, y] * lower[x]
