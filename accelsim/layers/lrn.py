"""The `lrn` kind: local response normalisation across neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers.base import Layer, Tensor, Weightless, only


class LocalResponse(Weightless):
    """Attributes `size` (channels), `alpha`, `beta`, `bias`: x / (bias + alpha / size * sum of squares) ** beta.

    Source:  Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012, section 3.3; ONNX LRN
    """

    kind = "lrn"

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input. Raises `ModelError` for a size that is not positive."""
        size = node.attributes.get("size", 5)
        if not isinstance(size, int) or size < 1:
            raise ModelError(f"{node.name}: size {size!r}; allowed: whole numbers from 1")
        return only(node, inputs)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Add up the squares of each channel's neighbours, (size - 1) // 2 before it and size // 2 after it."""
        (ifmap,) = inputs
        size = int(node.attributes.get("size", 5))
        alpha, beta, bias = (
            np.float32(node.attributes.get(key, default)) for key, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
        )
        squares = np.pad(ifmap * ifmap, (((size - 1) // 2, size // 2), (0, 0), (0, 0)))
        near = np.lib.stride_tricks.sliding_window_view(squares, size, axis=0).sum(axis=-1, dtype=np.float32)
        return np.asarray(ifmap / (bias + alpha / np.float32(size) * near) ** beta, dtype=np.float32)


LAYER: Layer = LocalResponse()
