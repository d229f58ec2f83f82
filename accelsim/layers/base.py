"""What every kind of layer answers.

A layer kind is one module of this package, named after the kind, with one public object `LAYER` that keeps this promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Node, Shape

Tensor = NDArray[np.float32]


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
        """Shapes of the prepared weights by role: 'weight' [K, C/g, R, S] or [K, C*H*W], 'bias' [K]; empty for most kinds."""
        ...

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """The readable numpy meaning. Shapes: each input [C, H, W] -> output [C, H, W], activation applied, float32."""
        ...
