"""Fully connected layers."""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]


@kernel
def connected(ifmap: Floats, weights: Floats, bias: Floats, ofmap: Floats, first: int, last: int) -> None:
    """Multiply a flat map with the columns of weights from `first` to `last`; weights of zero inputs are not read at all.

    Each output is one float32 sum over the inputs in their order, starting at 0, then the bias. Leaving out zeros is exact.
    Shapes:  ifmap float32 [N]; weights float32 [N, K] (the transpose of [K, N]: outputs side by side); bias float32 [K];
             ofmap float32 [K]
    Units:   elements
    Raises:  nothing; `layers` has checked shapes
    """
    live = np.flatnonzero(ifmap)
    ofmap[first:last] = 0
    i = 0
    while i + 4 <= live.shape[0]:
        n0, n1, n2, n3 = live[i], live[i + 1], live[i + 2], live[i + 3]
        x0, x1, x2, x3 = ifmap[n0], ifmap[n1], ifmap[n2], ifmap[n3]
        for k in range(first, last):
            ofmap[k] = ofmap[k] + x0 * weights[n0, k] + x1 * weights[n1, k] + x2 * weights[n2, k] + x3 * weights[n3, k]
        i += 4
    while i < live.shape[0]:
        n0 = live[i]
        x0 = ifmap[n0]
        for k in range(first, last):
            ofmap[k] = ofmap[k] + x0 * weights[n0, k]
        i += 1
    for k in range(first, last):
        ofmap[k] = ofmap[k] + bias[k]
