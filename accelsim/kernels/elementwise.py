"""Activations and copies: one element in, one element out."""

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Floats = NDArray[np.float32]

LINEAR, RELU, LEAKY, CLIP = 0, 1, 2, 3


@kernel
def activate(values: Floats, activation: int, slope: np.float32) -> None:
    """Activate in place. NaN stays NaN.

    Shapes:  values float32 [N]
    Units:   `activation`: RELU max(x, 0); LEAKY x > 0 ? x : slope * x; CLIP min(max(x, 0), slope); anything else leaves x
    Raises:  nothing
    """
    if activation == RELU:
        for i in range(values.shape[0]):
            values[i] = np.float32(0) if values[i] <= 0 else values[i]
    elif activation == LEAKY:
        for i in range(values.shape[0]):
            values[i] = slope * values[i] if values[i] <= 0 else values[i]
    elif activation == CLIP:
        for i in range(values.shape[0]):
            value = np.float32(0) if values[i] <= 0 else values[i]
            values[i] = slope if value > slope else value


@kernel
def erf(values: Floats) -> None:
    """Error function in place, worked out in float64. Shapes: values float32 [N]."""
    for i in range(values.shape[0]):
        values[i] = np.float32(math.erf(values[i]))


@kernel
def scale(ifmap: Floats, weight: Floats, bias: Floats, ofmap: Floats) -> None:
    """Each channel times a number plus a number. Shapes: ifmap, ofmap float32 [C, N]; weight, bias float32 [C]."""
    for c in range(ofmap.shape[0]):
        factor, offset = weight[c], bias[c]
        for i in range(ofmap.shape[1]):
            ofmap[c, i] = ifmap[c, i] * factor + offset


@kernel
def upsample(ifmap: Floats, down: int, along: int, ofmap: Floats) -> None:
    """Repeat every element `down` x `along` times. Shapes: ifmap float32 [C, H, W]; ofmap float32 [C, H*down, W*along]."""
    for c in range(ofmap.shape[0]):
        for y in range(ofmap.shape[1]):
            row = y // down
            for x in range(ofmap.shape[2]):
                ofmap[c, y, x] = ifmap[c, row, x // along]
