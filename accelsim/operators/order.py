"""In which order the products of a convolution are added up: that is part of the data, as float32 sums round.

Two orders, both those of PyTorch on one thread of a machine with 512-bit vectors, so that our feature maps equal its own bit for bit
where the reference was made with it (golden/README.md: `squeezenet_v1.1`; all 7,888 maxima):
* `blocks`  16 channels at a time; in each block rows of the kernel, then columns, then channels;
* `chunks`  channels, then rows, then columns, in chunks of 192 products; 193 to 383 products are two halves.
Each block or chunk is one sum of fused multiply-adds from 0; the bias is added to the first, and the others to that, in turn.
Source:  PyTorch 2.13 `ConvParams::use_mkldnn` (which of the two); oneDNN 3.12 `jit_avx512_common_conv_fwd_kernel` (blocks);
         MKL 2024.2 `sgemm`, its chunks found by cancellation: B, 1, -B (B = 2**24) at three neighbouring products sum to 0, or to 1
         where a chunk begins at the second
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

BLOCK = 16
"""Channels of a block."""
CHUNK = 192
"""Products of a chunk."""
LARGE = 20480
"""Elements of a map beyond which a convolution over neighbours adds up in blocks."""


def tap_order(
    ifmap: tuple[int, int, int], *, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], groups: int
) -> tuple[Numbers, Numbers]:
    """Find the order of the taps, and where each partial sum begins.

    Shapes:  ifmap (C, H, W); taps int64 [T], each once, of T = C/g * R * S counted in C, R, S order; bounds int64 [J + 1] from 0 to T
    """
    channels = ifmap[0] // groups
    taps = np.arange(channels * prod(kernel), dtype=np.int64).reshape(channels, *kernel)
    pointwise = kernel == stride == dilation == (1, 1)
    if not pointwise and (groups > 1 or min(kernel) > 3 or prod(ifmap) > LARGE):
        blocks = [taps[first : first + BLOCK].transpose(1, 2, 0).reshape(-1) for first in range(0, channels, BLOCK)]
        return np.concatenate(blocks), np.cumsum([0, *map(len, blocks)], dtype=np.int64)
    size = -(-taps.size // 2) if CHUNK < taps.size < 2 * CHUNK else CHUNK
    return taps.reshape(-1), np.array([*range(0, taps.size, size), taps.size], dtype=np.int64)
