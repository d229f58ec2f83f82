"""The `activation` kind: an activation that no producer could take on, since others read what it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.graph import Node, Shape
from accelsim.layers.activations import Activated, activate
from accelsim.layers.base import Layer, Tensor, only


class Activation(Activated):
    """One element in, one element out."""

    kind = "activation"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input."""
        return only(node, inputs)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Activate."""
        return activate(node, inputs[0], weights)


LAYER: Layer = Activation()
