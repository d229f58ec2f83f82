"""The `input` kind: the preprocessed image, node 0 of every graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import rounded
from accelsim.layers.base import Layer, Tensor, Weightless


class Input(Weightless):
    """Hands in the image."""

    kind = "input"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape that the node states; it has no producers."""
        if inputs:
            raise ModelError(f"{node.name}: an input has no producers, {len(inputs)} given")
        return node.shape

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Check the image, given as the only element of `inputs`, and hand it on. Raises `ModelError` for another shape."""
        if len(inputs) != 1 or inputs[0].shape != node.shape:
            given = ", ".join(str(list(tensor.shape)) for tensor in inputs) or "nothing"
            raise ModelError(f"{node.name}: the network takes {list(node.shape)}, given {given}; change the preprocessing")
        return rounded(node, inputs[0])


LAYER: Layer = Input()
