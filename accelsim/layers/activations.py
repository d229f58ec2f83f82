"""What a node does to each element last: an activation by name, and rounding to the steps of a quantised type."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import numpy as np

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import Node, Shape
from accelsim.layers.base import NO_TENSORS, NO_WEIGHTS, Tensor, Weightless, broadcast

ONE = np.float32(1)
HALF = np.float32(0.5)

INTEGERS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in range(2, 17)}
    | {f"uint{bits}": (0, 2**bits - 1) for bits in range(2, 17)}
)
"""Least and largest value of the types that maps are quantised to."""


def number(node: Node, key: str, default: float) -> np.float32:
    """A number among the attributes of a node."""
    return np.float32(node.attributes.get(key, default))


def _relu(x: Tensor, node: Node) -> Tensor:
    return np.maximum(x, np.float32(0))


def _leaky(x: Tensor, node: Node) -> Tensor:
    return np.where(x > 0, x, np.float32(node.slope) * x)


def _clip(x: Tensor, node: Node) -> Tensor:
    low, high = number(node, "low", -math.inf), number(node, "high", math.inf)
    return np.asarray(np.minimum(np.maximum(x, low), high), dtype=np.float32)


def _relu6(x: Tensor, node: Node) -> Tensor:
    return np.asarray(np.clip(x, np.float32(0), np.float32(6)), dtype=np.float32)


def _logistic(x: Tensor, node: Node) -> Tensor:
    # exp of -|x| cannot overflow
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, ONE, small) / (ONE + small), dtype=np.float32)


def _swish(x: Tensor, node: Node) -> Tensor:
    return x * _logistic(x, node)


def _hard_sigmoid(x: Tensor, node: Node) -> Tensor:
    return np.asarray(np.clip(number(node, "alpha", 0.2) * x + number(node, "beta", 0.5), np.float32(0), ONE), dtype=np.float32)


def _hard_swish(x: Tensor, node: Node) -> Tensor:
    return np.asarray(x * np.clip(x * np.float32(1 / 6) + HALF, np.float32(0), ONE), dtype=np.float32)


def _tanh(x: Tensor, node: Node) -> Tensor:
    return np.tanh(x)


def _softplus(x: Tensor, node: Node) -> Tensor:
    return np.asarray(np.maximum(x, np.float32(0)) + np.log1p(np.exp(-np.abs(x))), dtype=np.float32)


def _mish(x: Tensor, node: Node) -> Tensor:
    return np.asarray(x * np.tanh(_softplus(x, node)), dtype=np.float32)


def _elu(x: Tensor, node: Node) -> Tensor:
    return np.asarray(np.where(x > 0, x, np.float32(node.slope) * np.expm1(np.minimum(x, np.float32(0)))), dtype=np.float32)


def _erf(x: Tensor, node: Node) -> Tensor:
    # numpy has no erf; each element goes through the C library's, in float64
    flat = np.fromiter((math.erf(value) for value in x.reshape(-1).tolist()), dtype=np.float32, count=x.size)
    return flat.reshape(x.shape)


def _gelu(x: Tensor, node: Node) -> Tensor:
    return np.asarray(HALF * x * (ONE + _erf(x * np.float32(math.sqrt(0.5)), node)), dtype=np.float32)


def _gelu_tanh(x: Tensor, node: Node) -> Tensor:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(HALF * x * (ONE + np.tanh(inner)), dtype=np.float32)


ACTIVATIONS: Mapping[str, Callable[[Tensor, Node], Tensor]] = MappingProxyType(
    {
        "linear": lambda x, node: x,
        "relu": _relu,
        "leaky": _leaky,
        "relu6": _relu6,
        "logistic": _logistic,
        "swish": _swish,
        "tanh": _tanh,
        "mish": _mish,
        "clip": _clip,
        "hardsigmoid": _hard_sigmoid,
        "hardswish": _hard_swish,
        "softplus": _softplus,
        "elu": _elu,
        "erf": _erf,
        "gelu": _gelu,
        "gelu_tanh": _gelu_tanh,
    }
)
"""Name -> function(x, node). NaN stays NaN in all of them. `leaky` and `elu` use the node's slope, `clip` its attributes `low` and
`high` (either may be absent), `hardsigmoid` `alpha` and `beta`. `prelu` is not here: its slopes are weights."""


def slope_shapes(node: Node) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the weights that the activation of a node has: `slope` of a `prelu`, one a channel, or one an element if it says so."""
    if node.activation != "prelu":
        return NO_WEIGHTS
    return {"slope": node.shape if node.attributes.get("slopes") == "elements" else (node.shape[0], 1, 1)}


class Activated(Weightless):
    """Base of the kinds that multiply nothing and activate what they make."""

    def weight_shapes(self, node: Node, inputs: Sequence[Shape]) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the slopes of a `prelu`; no weights otherwise."""
        return slope_shapes(node)


def activate(node: Node, x: Tensor, weights: Mapping[str, Tensor] = NO_TENSORS) -> Tensor:
    """Apply the activation of `node`, then its rounding. Raises `ModelError` where there is no activation of that name."""
    if node.activation == "prelu":
        return rounded(node, np.where(x > 0, x, weights["slope"] * x))
    if node.activation not in ACTIVATIONS:
        name = node.activation
        raise ModelError(f"{node.name}: unknown activation {quoted(name)}\n    {choices((*ACTIVATIONS, 'prelu'), name)}")
    return rounded(node, np.asarray(ACTIVATIONS[node.activation](x, node), dtype=np.float32))


class Pairwise(Activated):
    """Base of the kinds that take maps element by element, one after the other; axes of length 1 are repeated."""

    @abstractmethod
    def combine(self, made: Tensor, other: Tensor) -> Tensor:
        """What is made so far, and the next input."""

    def output_shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of all inputs laid over each other. Raises `ModelError` for fewer than two, or where they do not fit."""
        return broadcast(node, inputs)

    def forward(self, node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Combine in the order of the inputs, then activate."""
        self.output_shape(node, [tensor.shape for tensor in inputs])
        return activate(node, reduce(self.combine, inputs), weights)


def rounded(node: Node, x: Tensor) -> Tensor:
    """Round to the nearest value that the quantised type of a node can say, ties to even; nodes without attribute `quantum` do not round.

    The result stays in the units of the data: (integer - zero point) * quantum, so that 0 means the zero point.
    Source:  ONNX operators QuantizeLinear and DequantizeLinear
    """
    if "quantum" not in node.attributes:
        return x
    quantum, zero_point = number(node, "quantum", 1.0), np.float32(node.zero_point)
    low, high = INTEGERS[node.dtype]
    steps = np.clip(np.rint(x / quantum) + zero_point, np.float32(low), np.float32(high))
    return np.asarray((steps - zero_point) * quantum, dtype=np.float32)
