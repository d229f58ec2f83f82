"""What runs a node: its kernel with weights packed once, or the layer's numpy `forward` for kinds that have no kernel.

The numpy `forward` stays the meaning; a kernel is only faster (tests hold the two together). Kinds that merely hand data on,
concatenate, crop or end a network have no kernel: numpy already does them at memory speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Node, Shape
from accelsim.kernels import connected, elementwise, pool, windows
from accelsim.layers import activations, avgpool, concat, layer
from accelsim.layers import pad as padding
from accelsim.layers import slice as slicing
from accelsim.layers.base import Tensor
from accelsim.operators.layout import Layout, PackedFilters, pack_filters, plan_layout
from accelsim.operators.team import ALONE, Team

Flags = NDArray[np.bool_]
Allocate = Callable[[tuple[int, ...]], Tensor]
"""Gives an uninitialised float32 array of a shape."""

FUSED: Mapping[str, int] = MappingProxyType({"linear": windows.LINEAR, "relu": windows.RELU, "leaky": windows.LEAKY, "relu6": windows.CLIP})
"""Activations that kernels do themselves; the others follow in numpy."""


class Operator(Protocol):
    """One node, ready to run."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Make the ofmap, in memory from `empty` or (kinds that hand data on) in that of an input.

        Shapes:  each input float32 [C, H, W], C-contiguous, with its zero channels bool [C] -> [K, Ho, Wo]
        """
        ...


def operator(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team = ALONE) -> Operator:
    """Bind a node to its kernel and pack its weights; large layers are shared by a team.

    Shapes:  `shapes` of the inputs; `weights` as `Layer.weight_shapes`
    Raises:  `ModelError` for an unknown kind or activation; `Network` has checked shapes
    """
    made = _MAKERS[node.kind](node, shapes, weights, team) if node.kind in _MAKERS else None
    return made or Forward(node, weights)


@dataclass(frozen=True, eq=False)
class Forward:
    """The layer's own numpy forward."""

    node: Node
    weights: Mapping[str, Tensor]

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Make the ofmap; `inputs` of an input node is the image."""
        return np.ascontiguousarray(layer(self.node.kind).forward(self.node, inputs, self.weights))


def finished(node: Node, ofmap: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Apply an activation that no fused kernel has, and rounding. The map may be overwritten."""
    if node.activation in ("erf", "gelu"):
        scaled = ofmap * np.float32(math.sqrt(0.5)) if node.activation == "gelu" else ofmap
        elementwise.erf(scaled.reshape(-1))
        made = np.float32(0.5) * ofmap * (np.float32(1) + scaled) if node.activation == "gelu" else scaled
        return activations.rounded(node, made)
    return activations.activate(node, ofmap, weights)


@dataclass(frozen=True, eq=False)
class _Fused:
    """Base of the operators whose kernels activate; `weights` as `Layer.weight_shapes`."""

    node: Node
    weights: Mapping[str, Tensor]

    @property
    def _activation(self) -> int:
        return FUSED.get(self.node.activation, windows.LINEAR)

    @property
    def _slope(self) -> np.float32:
        return np.float32(6.0 if self.node.activation == "relu6" else self.node.slope)

    def _finished(self, ofmap: Tensor) -> Tensor:
        """Apply an activation that no kernel has, and rounding."""
        return activations.rounded(self.node, ofmap) if self.node.activation in FUSED else finished(self.node, ofmap, self.weights)

    def _activated(self, ofmap: Tensor) -> Tensor:
        """Activate a map that a kernel has not activated."""
        if self._activation != windows.LINEAR:
            elementwise.activate(ofmap.reshape(-1), self._activation, self._slope)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Convolution(_Fused):
    """Any convolution but a depthwise one."""

    filters: PackedFilters
    team: Team

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Convolve, leaving out zero channels."""
        ofmap = empty(self.node.shape)
        layout, blocks, bias = self.filters.layout, self.filters.blocks, self.filters.bias
        place = (layout.planes, *layout.stride, layout.band, layout.reach, layout.offsets, layout.channels, layout.chunks)
        ends = (self._activation, self._slope)

        def share(first: int, last: int) -> None:
            windows.conv2d(inputs[0], zero_channels[0], *place, blocks, bias, *ends, first, last, ofmap)

        self.team.share(blocks.shape[0] * blocks.shape[1], layout.taps.size * ofmap.size, share)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Depthwise(_Fused):
    """A convolution with one filter for each channel."""

    layout: Layout
    taps: Tensor
    team: Team

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Convolve; a zero channel gives act(bias) everywhere."""
        ofmap = empty(self.node.shape)
        layout, bias = self.layout, self.weights["bias"]
        place = (layout.planes, *layout.stride, layout.band, layout.reach, layout.offsets)
        ends = (self._activation, self._slope)

        def share(first: int, last: int) -> None:
            windows.depthwise(inputs[0], zero_channels[0], *place, self.taps, bias, *ends, first, last, ofmap)

        self.team.share(self.node.shape[0], layout.taps.size * ofmap.size, share)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Connected(_Fused):
    """A fully connected layer; `columns` float32 [N, K] are its weights with outputs side by side."""

    columns: Tensor

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Multiply, leaving out zero inputs."""
        ofmap = empty(self.node.shape)
        connected.connected(inputs[0].reshape(-1), self.columns, self.weights["bias"], ofmap.reshape(-1))
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class MaxPool(_Fused):
    """Max pooling without dilation."""

    team: Team

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Pool."""
        node = self.node
        ofmap = empty(node.shape)
        window = (*node.kernel, *node.stride, *node.pad[:2])

        def share(first: int, last: int) -> None:
            windows.maxpool(inputs[0], *window, first, last, ofmap)

        self.team.share(node.shape[0], node.kernel[0] * node.kernel[1] * ofmap.size, share)
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class AvgPool(_Fused):
    """Global average pooling."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Average."""
        ofmap = empty(self.node.shape)
        pool.avgpool(inputs[0].reshape(inputs[0].shape[0], -1), ofmap.reshape(-1))
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class WindowMeans(_Fused):
    """Average pooling over windows; `counts` float32 [Ho, Wo] divide the sums."""

    counts: Tensor

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Average."""
        node = self.node
        ofmap = empty(node.shape)
        pool.window_means(inputs[0], *node.kernel, *node.stride, *node.dilation, *node.pad[:2], self.counts, ofmap)
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class Scale(_Fused):
    """Each channel times a number plus a number."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Multiply and add."""
        channels = self.node.shape[0]
        ofmap = empty(self.node.shape)
        elementwise.scale(inputs[0].reshape(channels, -1), self.weights["weight"], self.weights["bias"], ofmap.reshape(channels, -1))
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class Activation(_Fused):
    """An activation of its own."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy and activate."""
        ofmap = empty(self.node.shape)
        ofmap[...] = inputs[0]
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class Add(_Fused):
    """The sum of maps of one shape."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Add up in the order of the inputs; the last sum is activated."""
        ofmap = empty(self.node.shape)
        total, *others = (tensor.reshape(-1) for tensor in inputs)
        for number, other in enumerate(others, start=1):
            last = number == len(others)
            elementwise.add(total, other, self._activation if last else elementwise.LINEAR, self._slope, ofmap.reshape(-1))
            total = ofmap.reshape(-1)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Slice:
    """Some channels, rows and columns: those of `index`."""

    node: Node
    index: tuple[slice, slice, slice]

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy what is kept."""
        ofmap = empty(self.node.shape)
        ofmap[...] = inputs[0][self.index]
        return ofmap


@dataclass(frozen=True, eq=False)
class Pad:
    """A border of one value; `inside`: where the map lies."""

    node: Node
    inside: tuple[slice, ...]

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Lay the border around the map."""
        ofmap = empty(self.node.shape)
        ofmap.fill(padding.value(self.node))
        ofmap[self.inside] = inputs[0]
        return ofmap


@dataclass(frozen=True, eq=False)
class Concat:
    """Channels of several maps one after another."""

    node: Node

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy."""
        return np.concatenate(inputs, axis=concat.axis(self.node), out=empty(self.node.shape))


@dataclass(frozen=True, eq=False)
class Upsample:
    """Nearest-neighbour enlargement."""

    node: Node

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Repeat rows and columns."""
        ofmap = empty(self.node.shape)
        _, height, width = inputs[0].shape
        elementwise.upsample(inputs[0], self.node.shape[1] // height, self.node.shape[2] // width, ofmap)
        return ofmap


def _convolution(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator:
    layout = plan_layout(
        shapes[0],
        outputs=node.shape[1:],
        kernel=node.kernel,
        stride=node.stride,
        pad=node.pad,
        dilation=node.dilation,
        groups=node.groups,
    )
    if node.groups == shapes[0][0] == node.shape[0]:
        return Depthwise(node, weights, layout, weights["weight"].reshape(node.groups, -1), team)
    return Convolution(node, weights, pack_filters(layout, weights["weight"], weights["bias"]), team)


def _connected(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator:
    return Connected(node, weights, np.ascontiguousarray(weights["weight"].T))


def _maxpool(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator | None:
    return MaxPool(node, weights, team) if node.dilation == (1, 1) else None


def _avgpool(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator:
    if node.kernel == shapes[0][1:] and not any(node.pad):
        return AvgPool(node, weights)
    return WindowMeans(node, weights, avgpool.counts(node, *shapes[0][1:]))


def _pad(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator | None:
    inside = tuple(slice(before, before + size) for (before, _), size in zip(padding.around(node), shapes[0], strict=True))
    return Pad(node, inside) if padding.mode(node) == "constant" else None


def _add(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator | None:
    return Add(node, weights) if len(set(shapes)) == 1 else None


_MAKERS: Mapping[str, Callable[[Node, Sequence[Shape], Mapping[str, Tensor], Team], Operator | None]] = MappingProxyType(
    {
        "conv": _convolution,
        "fc": _connected,
        "maxpool": _maxpool,
        "avgpool": _avgpool,
        "scale": lambda node, shapes, weights, team: Scale(node, weights),
        "activation": lambda node, shapes, weights, team: Activation(node, weights),
        "add": _add,
        "slice": lambda node, shapes, weights, team: Slice(node, slicing.kept(node)),
        "pad": _pad,
        "concat": lambda node, shapes, weights, team: Concat(node) if len(shapes) > 1 else None,
        "upsample": lambda node, shapes, weights, team: Upsample(node),
    }
)
"""Kinds that have a kernel; None where a node's geometry has not."""
