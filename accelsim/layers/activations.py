"""Activations by name: elementwise functions of a feature map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from accelsim.errors import ModelError, choices, quoted
from accelsim.graph import Node
from accelsim.layers.base import Tensor

ONE = np.float32(1)


def _relu(x: Tensor, slope: float) -> Tensor:
    return np.maximum(x, np.float32(0))


def _leaky(x: Tensor, slope: float) -> Tensor:
    return np.where(x > 0, x, np.float32(slope) * x)


def _relu6(x: Tensor, slope: float) -> Tensor:
    return np.asarray(np.clip(x, np.float32(0), np.float32(6)), dtype=np.float32)


def _logistic(x: Tensor, slope: float) -> Tensor:
    # exp of -|x| cannot overflow
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, ONE, small) / (ONE + small), dtype=np.float32)


def _swish(x: Tensor, slope: float) -> Tensor:
    return x * _logistic(x, slope)


def _tanh(x: Tensor, slope: float) -> Tensor:
    return np.tanh(x)


def _mish(x: Tensor, slope: float) -> Tensor:
    softplus = np.maximum(x, np.float32(0)) + np.log1p(np.exp(-np.abs(x)))
    return np.asarray(x * np.tanh(softplus), dtype=np.float32)


ACTIVATIONS: Mapping[str, Callable[[Tensor, float], Tensor]] = MappingProxyType(
    {
        "linear": lambda x, slope: x,
        "relu": _relu,
        "leaky": _leaky,
        "relu6": _relu6,
        "logistic": _logistic,
        "swish": _swish,
        "tanh": _tanh,
        "mish": _mish,
    }
)
"""Name -> function(x, slope); only `leaky` uses the slope. NaN stays NaN in all of them."""


def activate(node: Node, x: Tensor) -> Tensor:
    """Apply the activation of `node`. Raises `ModelError` where there is none of that name."""
    if node.activation not in ACTIVATIONS:
        name = node.activation
        raise ModelError(f"{node.name}: unknown activation {quoted(name)}\n    {choices(tuple(ACTIVATIONS), name)}")
    return np.asarray(ACTIVATIONS[node.activation](x, node.slope), dtype=np.float32)
