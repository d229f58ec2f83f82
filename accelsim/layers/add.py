"""The `add` kind: the residual connection (Darknet `shortcut`), with a fused activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.activations import Activated, activate
from accelsim.layers.base import Layer, Tensor, broadcast


def steps(main: Shape, other: Shape) -> tuple[int, int] | None:
    """How `other` is laid over `main`: (stride in `other`, stride in `main`), or None where they do not fit.

    Darknet's rule: the channels and positions that both have are added; of the finer map every stride-th row and column counts,
    one stride for both axes.
    """
    stride, sample = max(other[2] // main[2], 1), max(main[2] // other[2], 1)
    fits = all(-(-other[axis] // stride) == -(-main[axis] // sample) for axis in (1, 2))
    return (stride, sample) if fits else None


class Add(Activated):
    """The first input gives the shape; the others are added where they overlap it (all of it for equal shapes).

    With attribute `broadcast`, axes of length 1 are repeated instead, as in numpy and ONNX.
    """

    kind = "add"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the first input. Raises `ModelError` for fewer than two, or where heights and widths are not in one whole ratio."""
        if len(inputs) < 2:
            raise ModelError(f"{node.name}: add takes two inputs or more, {len(inputs)} given")
        if node.attributes.get("broadcast"):
            return broadcast(node, inputs)
        for other in inputs[1:]:
            if steps(inputs[0], other) is None:
                raise ModelError(
                    f"{node.name}: cannot add {list(other)} to {list(inputs[0])}; heights and widths must have one whole ratio"
                )
        return inputs[0]

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Add up in the order of the inputs, then activate."""
        shape = self.output_shape(node, [tensor.shape for tensor in inputs])
        if node.attributes.get("broadcast"):
            total = inputs[0]
            for other in inputs[1:]:
                total = total + other
            return activate(node, total.reshape(shape), weights)
        total = inputs[0].copy()
        for other in inputs[1:]:
            stride, sample = steps(total.shape, other.shape) or (1, 1)
            channels = min(total.shape[0], other.shape[0])
            total[:channels, ::sample, ::sample] += other[:channels, ::stride, ::stride]
        return activate(node, total, weights)


LAYER: Layer = Add()
