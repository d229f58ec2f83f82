"""The loop nest of one layer: extents and windows, nothing of machines.

Every costed kind of layer becomes one nest over groups, filters, channels and output positions. Kinds without weights work on each channel
by itself, so they have one group a channel. A fully connected layer is a convolution with a kernel as large as its ifmap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.slice import picks

Int = NDArray[np.int64]

COSTED_KINDS = (
    *("conv", "fc", "scale", "maxpool", "avgpool", "add", "sub", "mul", "activation", "lrn", "softmax"),
    *("upsample", "resize", "crop", "pad"),
)
MOVING_KINDS = ("slice", "permute", "concat")
"""Kinds that cost something only where more than whole channels move (see `views`)."""
SOFTMAX_PASSES = 3
"""Over each element: find the maximum; exponentiate and add up; divide."""
LRN_PASSES = 3
"""Over each element, beside one for each square that is added: square; raise to a power; divide."""
RESIZE_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
"""Rows, and columns, that an element is made of."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Extents of a layer's loops.

    Units:   elements. `filters`, `channels`: of one group. `pad`: top and left (negative where the map is cropped). `scale`: repetitions
             of each ifmap element down and across (upsampling). `operands`: maps loaded element by element. `passes`: operations for each
             output of a layer without weights.
    `written`: outputs of each filter that leave the chip, where a pooling layer takes them first (see `pooling`); 0: all.
    `images`: maps of a batch hold so many images one below the other, all of one height (see `batch`); no window crosses into another.
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
    images: int = 1
    written: int = 0

    @property
    def taps(self) -> int:
        """R * S."""
        return self.kernel[0] * self.kernel[1]

    @property
    def written_share(self) -> Fraction:
        """Of the outputs, how many are written."""
        return Fraction(self.written, self.out_height * self.out_width) if self.written else Fraction(1)

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
        Outputs of several images have one window, from the first line of the first image to the last line of the last.
        """
        images = self.images if axis == 0 else 1
        size, outputs = (self.height, self.width)[axis] // images, (self.out_height, self.out_width)[axis] // images
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        image, last = low // outputs, (high - 1) // outputs
        first = ((low - image * outputs) * self.stride[axis] - self.pad[axis]) // self.scale
        end = -(-((high - 1 - last * outputs) * self.stride[axis] - self.pad[axis] + reach) // self.scale)
        first = image * size + np.clip(first, 0, size - 1)
        return first, np.maximum(last * size + np.clip(end, 1, size), first + 1)


def geometry(node: Node, inputs: Sequence[Shape]) -> Geometry:
    """The loop nest of `node` over maps of these shapes. Raises `ModelError` for a kind that has none."""
    channels, height, width = inputs[0]
    out_channels, out_height, out_width = node.shape
    many = node.images
    if node.kind == "fc":
        return Geometry(1, out_channels, channels, height, width, many, 1, (height // many, width), (height // many, 1), images=many)
    if node.kind in ("conv", "scale"):
        # a scale is a depthwise convolution of 1x1
        groups = channels if node.kind == "scale" else node.groups
        return Geometry(
            groups=groups,
            filters=out_channels // groups,
            channels=channels // groups,
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            kernel=node.kernel,
            stride=node.stride,
            dilation=node.dilation,
            pad=node.pad[:2],
            images=many,
        )
    if node.kind not in (*COSTED_KINDS, *MOVING_KINDS):
        raise ModelError(f"{node.name}: kind {node.kind!r} cannot be scheduled\n    allowed: {', '.join(COSTED_KINDS)}")
    kernel, stride, pad, dilation, scale, passes = (1, 1), (1, 1), (0, 0), (1, 1), 1, 1
    if node.kind in ("maxpool", "avgpool"):
        kernel, stride, pad, dilation = node.kernel, node.stride, node.pad[:2], node.dilation
        passes = kernel[0] * kernel[1]
    elif node.kind in ("sub", "mul", "permute", "concat"):
        # maps of length 1 along an axis are repeated; what is walked is the map that they make
        height, width, passes = out_height, out_width, len(inputs) - 1
    elif node.kind == "add":
        passes = len(inputs) - 1
    elif node.kind == "upsample":
        scale = out_height // height
    elif node.kind == "resize":
        taps = RESIZE_TAPS[str(node.attributes.get("mode", "nearest"))]
        # in units of which both the old and the new lines are whole numbers
        scale = lcm(out_height, out_width)
        stride = (height * scale // out_height, width * scale // out_width)
        near = taps // 2 * scale
        # the lines that an output stands for, and its neighbours on both sides
        kernel, dilation, passes = (2, 2), (stride[0] + 2 * near - 1, stride[1] + 2 * near - 1), taps * taps
        pad = (near, near)
    elif node.kind == "lrn":
        passes = int(node.attributes.get("size", 5)) + LRN_PASSES
    elif node.kind == "slice":
        down, along = picks(node, 1), picks(node, 2)
        stride, pad = (abs(down.step), abs(along.step)), (-min(down), -min(along))
    elif node.kind == "pad":
        pad = node.pad[:2]
    elif node.kind == "crop":
        pad = ((out_height - height) // many // 2, (out_width - width) // 2)
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
        # an operand finer than what is walked (Darknet's shortcuts) takes the room of several
        operands=sum(-(-shape[1] * shape[2] // (height * width)) for shape in inputs),
        passes=passes,
        weights=False,
        images=many,
    )
