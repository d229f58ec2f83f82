"""The `permute` kind: the axes of a map change places, such as in a channel shuffle or from channels-first to channels-last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only, whole_numbers


def channel_order(node: Node, ifmap: Shape) -> tuple[int, ...] | None:
    """Where only whole channels change places: which ifmap channel each ofmap channel is; None where rows or columns move."""
    view, order = whole_numbers(node, "view", 0), whole_numbers(node, "order", 0)
    last, plane = len(order), ifmap[1] * ifmap[2] // node.images
    while last and order[last - 1] == last - 1 and prod(view[last - 1 :]) <= plane:
        last -= 1
    if node.shape != ifmap or prod(view[last:]) != plane:
        return None
    return tuple(np.arange(ifmap[0]).reshape(view[:last]).transpose(order[:last]).reshape(-1).tolist())


class Permute(Weightless):
    """Attributes `view`, the sizes of the axes as which the elements are read, and `order`, the axes in their new order, as text."""

    kind = "permute"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states. Raises `ModelError` where sizes or axes do not fit."""
        shape = only(node, inputs)
        view, order = whole_numbers(node, "view", 0), whole_numbers(node, "order", 0)
        if min(view) < 1 or prod(view) != prod(shape) or prod(shape) != node.elements or sorted(order) != list(range(len(view))):
            raise ModelError(f"{node.name}: view {view} in order {order} of a map {list(shape)} does not make {list(node.shape)}")
        return node.shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Move the axes."""
        view, order = whole_numbers(node, "view", 0), whole_numbers(node, "order", 0)
        return inputs[0].reshape(view).transpose(order).reshape(node.shape)


LAYER: Layer = Permute()
