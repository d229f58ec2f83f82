"""What every kind of layer answers, and what several kinds share.

A layer kind is one module of this package, named after the kind, with one public object `LAYER` that keeps the promise `Layer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape

Tensor = NDArray[np.float32]
NO_WEIGHTS: Mapping[str, tuple[int, ...]] = MappingProxyType({})
NO_TENSORS: Mapping[str, Tensor] = MappingProxyType({})


class Layer(Protocol):
    """One kind of layer."""

    kind: str

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that `node` makes of these inputs. Raises `ModelError` where they do not fit."""
        ...

    def macs(self, node: Node, inputs: Sequence[Shape]) -> int:
        """Multiply-accumulates of one image, padding included; 0 for kinds without weights."""
        ...

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the prepared weights by role: 'weight' [K, C/g, R, S] or [K, C*H*W], 'bias' [K]; empty for most kinds.

        An activation `prelu` adds 'slope' [C, 1, 1]. The kind `constant` has 'values' of the node's shape.
        """
        ...

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """The readable numpy meaning. Shapes: each input [C, H, W] -> output [C, H, W], activation applied, float32."""
        ...


class Weightless:
    """Base of the kinds that multiply nothing."""

    def macs(self, node: Node, inputs: Sequence[Shape]) -> int:
        """Return 0."""
        return 0

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Return no shapes."""
        return NO_WEIGHTS


class Identity(Weightless):
    """A kind that hands its one input on, unchanged."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input."""
        return only(node, inputs)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Return the input itself, not a copy."""
        return inputs[0]


def only(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Shape of the one input of `node`. Raises `ModelError` where there are none or several."""
    if len(inputs) != 1:
        raise ModelError(f"{node.name}: {node.kind} takes one input, {len(inputs)} given")
    return inputs[0]


def windows(node: Node, height: int, width: int) -> tuple[int, int]:
    """Positions of the kernel over a padded map: (Ho, Wo) = (in + pads - dilation * (kernel - 1) - 1) // stride + 1.

    Raises:  `ModelError` where the kernel is larger than the padded map, or geometry is not positive
    """
    if min(*node.kernel, *node.stride, *node.dilation) < 1 or min(node.pad) < 0:
        raise ModelError(
            f"{node.name}: kernel {node.kernel}, stride {node.stride}, dilation {node.dilation}, pad {node.pad}; "
            "allowed: pads of 0 or more, the others of 1 or more"
        )
    top, left, bottom, right = node.pad
    spans = (height + top + bottom, width + left + right)
    extents = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(node.kernel, node.dilation, strict=True)]
    if extents[0] > spans[0] or extents[1] > spans[1]:
        raise ModelError(
            f"{node.name}: kernel of {extents[0]} x {extents[1]} does not fit into its padded input of {spans[0]} x {spans[1]}"
        )
    return (spans[0] - extents[0]) // node.stride[0] + 1, (spans[1] - extents[1]) // node.stride[1] + 1


def patches(node: Node, ifmap: Tensor, border: float) -> Tensor:
    """View of every kernel position over the padded map.

    Shapes:  ifmap [C, H, W] -> [C, Ho, Wo, R, S], a read-only view of the padded copy
    """
    top, left, bottom, right = node.pad
    padded = np.pad(ifmap, ((0, 0), (top, bottom), (left, right)), constant_values=border)
    extents = tuple(dilation * (kernel - 1) + 1 for kernel, dilation in zip(node.kernel, node.dilation, strict=True))
    view: Tensor = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=(1, 2))
    return view[:, :: node.stride[0], :: node.stride[1], :: node.dilation[0], :: node.dilation[1]]


def broadcast(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Shape of maps laid over each other, axes of length 1 repeated. Raises `ModelError` where they do not fit."""
    if len(inputs) < 2:
        raise ModelError(f"{node.name}: {node.kind} takes two inputs or more, {len(inputs)} given")
    result = tuple(max(sizes) for sizes in zip(*inputs, strict=True))
    if any(size not in (1, most) for shape in inputs for size, most in zip(shape, result, strict=True)):
        shapes = ", ".join(str(list(shape)) for shape in inputs)
        raise ModelError(f"{node.name}: {node.kind} of {shapes}; along each axis, sizes must be equal or 1")
    return (result[0], result[1], result[2])


def whole_numbers(node: Node, key: str, count: int, default: str | None = None) -> tuple[int, ...]:
    """Numbers that an attribute holds as text, such as '2 4 7'. Raises `ModelError` where it holds anything else, or another count.

    Units:   `count`: how many; 0 for any
    """
    text = node.attributes.get(key, default)
    try:
        numbers = tuple(int(part) for part in text.split()) if isinstance(text, str) else ()
    except ValueError:
        numbers = ()
    if not numbers or (count and len(numbers) != count):
        raise ModelError(f"{node.name}: {key} {text!r}; allowed: {count or 'some'} whole numbers as text, like '1 2 3'")
    return numbers
