"""The `given` kind: a map that comes from outside the graph, as the ifmap of a layer that is listed without its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class Given(Weightless):
    """It lies in memory before its reader runs, and costs nothing of its own. Its one input (node 0) says nothing of it."""

    kind = "given"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states."""
        only(node, inputs)
        return node.shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Elements of the input, over and over, so that a list of layers can be run on an image."""
        return np.resize(inputs[0], node.shape)


LAYER: Layer = Given()
