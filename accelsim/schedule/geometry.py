"""The loop nest of one layer: extents and windows, nothing of machines.

Every costed kind of layer becomes one nest over groups, filters, channels and output positions. Kinds without weights work on each channel
by itself, so they have one group a channel. A fully connected layer is a convolution with a kernel as large as its ifmap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape

Int = NDArray[np.int64]

COSTED_KINDS = ("conv", "fc", "maxpool", "avgpool", "add", "upsample", "crop", "softmax")
SOFTMAX_PASSES = 3
"""Over each element: find the maximum; exponentiate and add up; divide."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Extents of a layer's loops.

    Units:   elements. `filters`, `channels`: of one group. `pad`: top and left (negative where the map is cropped). `scale`: repetitions
             of each ifmap element down and across (upsampling). `operands`: maps read element by element. `passes`: operations for each
             output of a layer without weights.
    """

    groups: int
    filters: int
    channels: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    scale: int = 1
    operands: int = 1
    passes: int = 1
    weights: bool = True

    @property
    def taps(self) -> int:
        """R * S."""
        return self.kernel[0] * self.kernel[1]

    @property
    def weight_elements(self) -> int:
        """Filter elements of the layer; 0 for kinds without weights."""
        return self.groups * self.filters * self.channels * self.taps if self.weights else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer, padding included; 0 for kinds without weights."""
        return self.weight_elements * self.out_height * self.out_width

    def window(self, axis: int, low: Int, high: Int) -> tuple[Int, Int]:
        """Ifmap rows (axis 0) or columns (axis 1) that outputs low..high (exclusive) read; padding is not in the map.

        Shapes:  int64 arrays of equal shape, in and out; each window holds one line at least
        """
        size = (self.height, self.width)[axis]
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        first = (low * self.stride[axis] - self.pad[axis]) // self.scale
        end = -(-((high - 1) * self.stride[axis] - self.pad[axis] + reach) // self.scale)
        first = np.clip(first, 0, size - 1)
        return first, np.maximum(np.minimum(end, size), first + 1)


def geometry(node: Node, inputs: Sequence[Shape]) -> Geometry:
    """The loop nest of `node` over maps of these shapes. Raises `ModelError` for a kind that has none."""
    channels, height, width = inputs[0]
    out_channels, out_height, out_width = node.shape
    if node.kind == "fc":
        return Geometry(1, out_channels, channels, height, width, 1, 1, kernel=(height, width))
    if node.kind == "conv":
        return Geometry(
            groups=node.groups,
            filters=out_channels // node.groups,
            channels=channels // node.groups,
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            kernel=node.kernel,
            stride=node.stride,
            dilation=node.dilation,
            pad=node.pad[:2],
        )
    if node.kind not in COSTED_KINDS:
        raise ModelError(f"{node.name}: kind {node.kind!r} cannot be scheduled\n    allowed: {', '.join(COSTED_KINDS)}")
    kernel, stride, pad, dilation, scale, passes = (1, 1), (1, 1), (0, 0), (1, 1), 1, 1
    if node.kind == "avgpool":
        kernel, passes = (height, width), height * width
    elif node.kind == "maxpool":
        kernel, stride, pad, dilation = node.kernel, node.stride, node.pad[:2], node.dilation
        passes = kernel[0] * kernel[1]
    elif node.kind == "add":
        passes = len(inputs) - 1
    elif node.kind == "upsample":
        scale = out_height // height
    elif node.kind == "crop":
        pad = ((out_height - height) // 2, (out_width - width) // 2)
    elif node.kind == "softmax":
        passes = SOFTMAX_PASSES
    return Geometry(
        groups=out_channels,
        filters=1,
        channels=1,
        height=height,
        width=width,
        out_height=out_height,
        out_width=out_width,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        pad=pad,
        scale=scale,
        operands=len(inputs),
        passes=passes,
        weights=False,
    )
