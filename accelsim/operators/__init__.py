"""What runs a node: its kernel with weights packed once, or the layer's numpy `forward` for kinds that have no kernel.

The numpy `forward` stays the meaning; a kernel is only faster (tests hold the two together). Kinds that merely hand data on,
concatenate, crop or end a network have no kernel: numpy already does them at memory speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from accelsim.graph import Node, Shape
from accelsim.kernels import connected, elementwise, pool, windows
from accelsim.layers import activations, avgpool, concat, layer
from accelsim.layers import pad as padding
from accelsim.layers import slice as slicing
from accelsim.layers.base import Tensor
from accelsim.operators.base import UNTOLD, Allocate, Flags, Operator, Tally
from accelsim.operators.copies import Concat, Join, Pad, Slice, Upsample
from accelsim.operators.layout import Layout, PackedFilters, pack_filters, plan_layout
from accelsim.operators.team import ALONE, CONNECTED, COPIED, DEPTHWISE, POOLED, Team

FUSED: Mapping[str, int] = MappingProxyType({"linear": windows.LINEAR, "relu": windows.RELU, "leaky": windows.LEAKY, "relu6": windows.CLIP})
"""Activations that kernels do themselves; the others follow in numpy."""


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

    @cached_property
    def _ends(self) -> tuple[int, np.float32]:
        """The activation that kernels do, and its slope."""
        slope = np.float32(6.0 if self.node.activation == "relu6" else self.node.slope)
        return FUSED.get(self.node.activation, windows.LINEAR), slope

    @cached_property
    def _is_finished(self) -> bool:
        """Whether a kernel that activates does all that is to be done."""
        return self.node.activation in FUSED and "quantum" not in self.node.attributes

    def _finished(self, ofmap: Tensor) -> Tensor:
        """Apply an activation that no kernel has, and rounding."""
        if self._is_finished:
            return ofmap
        return activations.rounded(self.node, ofmap) if self.node.activation in FUSED else finished(self.node, ofmap, self.weights)

    def _activated(self, ofmap: Tensor) -> Tensor:
        """Activate a map that a kernel has not activated."""
        if self._ends[0] != windows.LINEAR:
            elementwise.activate(ofmap.reshape(-1), *self._ends)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class _Shared(_Fused):
    """Base of those whose kernels a team shares."""

    team: Team

    @property
    def tells(self) -> bool:
        """Whether the kernel's ofmap is what consumers see."""
        return self._is_finished

    def _share(
        self, kernel: Callable[..., None], arguments: tuple[object, ...], ofmap: Tensor, tally: Tally, units: int, work: int
    ) -> None:
        """Call a kernel that can do rows or other units."""
        by_rows = self.team.divides(ofmap)
        self.team.share(kernel, (*arguments, ofmap, *tally, by_rows), ofmap.shape[1] if by_rows else units, work)


@dataclass(frozen=True, eq=False)
class Convolution(_Shared):
    """Any convolution but a depthwise one."""

    filters: PackedFilters

    @cached_property
    def _arguments(self) -> tuple[object, ...]:
        layout = self.filters.layout
        place = (layout.planes, *layout.stride, layout.band, layout.reach, layout.offsets, layout.channels, layout.chunks)
        return (*place, self.filters.blocks, self.filters.bias, *self._ends)

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate, tally: Tally = UNTOLD) -> Tensor:
        """Convolve, leaving out zero channels."""
        ofmap, (groups, blocks, taps, _) = empty(self.node.shape), self.filters.blocks.shape
        self._share(windows.conv2d, (inputs[0], zero_channels[0], *self._arguments), ofmap, tally, groups * blocks, taps * ofmap.size)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Depthwise(_Shared):
    """A convolution with one filter for each channel."""

    layout: Layout
    taps: Tensor

    @cached_property
    def _arguments(self) -> tuple[object, ...]:
        layout = self.layout
        place = (layout.planes, *layout.stride, layout.band, layout.reach, layout.offsets)
        return (*place, self.taps, self.weights["bias"], *self._ends)

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate, tally: Tally = UNTOLD) -> Tensor:
        """Convolve; a zero channel gives act(bias) everywhere."""
        ofmap = empty(self.node.shape)
        work = DEPTHWISE * self.taps.shape[1] * ofmap.size
        self._share(windows.depthwise, (inputs[0], zero_channels[0], *self._arguments), ofmap, tally, ofmap.shape[0], work)
        return self._finished(ofmap)


@dataclass(frozen=True, eq=False)
class Connected(_Fused):
    """A fully connected layer; `columns` float32 [N, K] are its weights with outputs side by side."""

    columns: Tensor
    team: Team

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Multiply, leaving out zero inputs."""
        ofmap = empty(self.node.shape)
        arguments = (inputs[0].reshape(-1), self.columns, self.weights["bias"], ofmap.reshape(-1))
        self.team.share(connected.connected, arguments, ofmap.size, CONNECTED * self.columns.size)
        return self._activated(ofmap)


@dataclass(frozen=True, eq=False)
class MaxPool(_Shared):
    """Max pooling without dilation."""

    @property
    def tells(self) -> bool:
        """Whether there is nothing to activate."""
        return self._is_finished and self._ends[0] == windows.LINEAR

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate, tally: Tally = UNTOLD) -> Tensor:
        """Pool."""
        node = self.node
        ofmap = empty(node.shape)
        arguments = (inputs[0], *node.kernel, *node.stride, *node.pad[:2])
        self._share(windows.maxpool, arguments, ofmap, tally, node.shape[0], POOLED * node.kernel[0] * node.kernel[1] * ofmap.size)
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
class Add(_Shared):
    """The sum of maps of one shape."""

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate, tally: Tally = UNTOLD) -> Tensor:
        """Add up in the order of the inputs; the last sum is activated, and told of."""
        ofmap, total = empty(self.node.shape), inputs[0]
        for number, other in enumerate(inputs[1:], start=2):
            last = number == len(inputs)
            ends = self._ends if last else (windows.LINEAR, self._ends[1])
            work = COPIED * ofmap.size
            self._share(windows.add, (total, other, *ends), ofmap, tally if last else UNTOLD, ofmap.shape[0], work)
            total = ofmap
        return self._finished(ofmap)


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
        return Depthwise(node, weights, team, layout, weights["weight"].reshape(node.groups, -1))
    return Convolution(node, weights, team, pack_filters(layout, weights["weight"], weights["bias"]))


def _connected(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator:
    return Connected(node, weights, np.ascontiguousarray(weights["weight"].T), team)


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
    return Add(node, weights, team) if len(shapes) > 1 and len(set(shapes)) == 1 else None


def _concat(node: Node, shapes: Sequence[Shape], weights: Mapping[str, Tensor], team: Team) -> Operator | None:
    if len(shapes) == 1:
        return None
    return Join(node) if concat.axis(node) else Concat(node, team)


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
        "concat": _concat,
        "upsample": lambda node, shapes, weights, team: Upsample(node),
    }
)
"""Kinds that have a kernel; None where a node's geometry has not."""
