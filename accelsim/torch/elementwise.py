"""Operations of PyTorch on each element: activations, sums and products of maps, and with numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from accelsim.torch.sheet import Known, Refusal, Sheet, operation, required

SIMPLE = {
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "logistic",
    "expit": "logistic",
    "silu": "swish",
    "tanh": "tanh",
    "mish": "mish",
    "hardswish": "hardswish",
    "erf": "erf",
}
"""Activations without parameters."""


def _simple(name: str) -> Callable[..., Known]:
    def activate(sheet: Sheet, input: Any, inplace: bool = False) -> Known:
        return sheet.same(input, "activation", activation=name)

    return activate


for _name, _activation in SIMPLE.items():
    operation(_name)(_simple(_activation))


@operation("leaky_relu")
def leaky_relu(sheet: Sheet, input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Known:
    """LeakyReLU."""
    return sheet.same(input, "activation", activation="leaky", slope=float(negative_slope))


@operation("prelu")
def prelu(sheet: Sheet, input: Any, weight: Any) -> Known:
    """PReLU: one slope for all channels is a leaky one."""
    if not isinstance(weight, torch.Tensor):
        raise Refusal("its slopes come from the images")
    if weight.numel() == 1:
        return sheet.same(input, "activation", activation="leaky", slope=float(weight))
    return sheet.same(sheet.settle(input), "activation", activation="prelu")


@operation("elu")
def elu(sheet: Sheet, input: Any, alpha: float = 1.0, inplace: bool = False) -> Known:
    """ELU."""
    return sheet.same(input, "activation", activation="elu", slope=float(alpha))


@operation("gelu")
def gelu(sheet: Sheet, input: Any, *, approximate: str = "none") -> Known:
    """GELU, exact or by tanh."""
    return sheet.same(input, "activation", activation="gelu_tanh" if approximate == "tanh" else "gelu")


@operation("softplus")
def softplus(sheet: Sheet, input: Any, beta: float = 1.0, threshold: float = 20.0) -> Known:
    """Softplus with beta 1."""
    if beta != 1:
        raise Refusal(f"beta {beta}; only 1 is known")
    return sheet.same(input, "activation", activation="softplus")


@operation("hardsigmoid")
def hardsigmoid(sheet: Sheet, input: Any, inplace: bool = False) -> Known:
    """Hardsigmoid."""
    return sheet.same(input, "activation", activation="hardsigmoid", attributes={"alpha": 1 / 6, "beta": 0.5})


@operation("hardtanh", "clamp", "clip")
def clamp(
    sheet: Sheet, input: Any, min_val: Any = None, max_val: Any = None, inplace: bool = False, *, min: Any = None, max: Any = None
) -> Known:
    """Hardtanh and clamp: between two numbers."""
    low, high = (kept if given is None else given for kept, given in ((min_val, min), (max_val, max)))
    if any(isinstance(limit, torch.Tensor | Known) for limit in (low, high)):
        raise Refusal("limits that are tensors; numbers are known")
    if low == 0 and high in (None, 6):
        return sheet.same(input, "activation", activation="relu" if high is None else "relu6")
    limits = {key: float(limit) for key, limit in (("low", low), ("high", high)) if limit is not None}
    return sheet.same(input, "activation", activation="clip", attributes=limits)


@operation("clamp_min")
def clamp_min(sheet: Sheet, input: Any, min: Any) -> Known:
    """From a number up."""
    return clamp(sheet, input, min)


@operation("clamp_max")
def clamp_max(sheet: Sheet, input: Any, max: Any) -> Known:
    """Up to a number."""
    return clamp(sheet, input, None, max)


@operation("threshold")
def threshold(sheet: Sheet, input: Any, threshold: float, value: float, inplace: bool = False) -> Known:
    """Threshold 0 with value 0, which is ReLU."""
    if threshold or value:
        raise Refusal(f"threshold {threshold}, value {value}; only 0, 0 is known")
    return sheet.same(input, "activation", activation="relu")


@operation("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout")
def dropout(sheet: Sheet, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Known:
    """Dropout as it is at inference."""
    if training:
        raise Refusal("it is random in training mode; call model.eval() first")
    return sheet.same(input, "dropout")


@operation("add", "__radd__")
def add(sheet: Sheet, input: Any, other: Any, *, alpha: float = 1) -> Known:
    """Sum of maps, or of a map and numbers."""
    if isinstance(input, Known) and isinstance(other, Known):
        if alpha != 1:
            raise Refusal(f"alpha {alpha}; only 1 is known")
        return _joined(sheet, "add", input, other)
    known, number = _sorted(input, other)
    if _is(number, 0):
        return known
    return _scaled(sheet, known, number, 1.0, _number(number))


@operation("sub", "subtract")
def subtract(sheet: Sheet, input: Any, other: Any, *, alpha: float = 1) -> Known:
    """Difference of maps, or of a map and numbers."""
    if alpha != 1:
        raise Refusal(f"alpha {alpha}; only 1 is known")
    if isinstance(input, Known) and isinstance(other, Known):
        return _joined(sheet, "sub", input, other)
    known, number = _sorted(input, other)
    value = _number(number)
    if known is input:
        return _scaled(sheet, known, number, 1.0, None if value is None else -value)
    return _scaled(sheet, known, number, -1.0, value)


@operation("__rsub__", "rsub")
def reversed_subtract(sheet: Sheet, input: Any, other: Any) -> Known:
    """Numbers minus a map."""
    return subtract(sheet, other, input)


@operation("mul", "multiply", "__rmul__")
def multiply(sheet: Sheet, input: Any, other: Any) -> Known:
    """Product of maps, or of a map and numbers."""
    if isinstance(input, Known) and isinstance(other, Known):
        return _joined(sheet, "mul", input, other)
    known, number = _sorted(input, other)
    return known if _is(number, 1) else _scaled(sheet, known, number, _number(number), 0.0)


@operation("div", "divide", "true_divide", "__truediv__")
def divide(sheet: Sheet, input: Any, other: Any, *, rounding_mode: str | None = None) -> Known:
    """A map divided by numbers."""
    if isinstance(other, Known) or rounding_mode is not None:
        raise Refusal("a map as divisor, or a rounded quotient; division by numbers is known")
    known, value = required(input), _number(other)
    return known if _is(other, 1) else _scaled(sheet, known, other, 1 / value if value else None, 0.0)


@operation("neg", "negative", "__neg__")
def negative(sheet: Sheet, input: Any) -> Known:
    """Minus a map."""
    return _scaled(sheet, required(input), -1, -1.0, 0.0)


def _sorted(one: Any, other: Any) -> tuple[Known, Any]:
    """The map first, then the numbers."""
    return (one, other) if isinstance(one, Known) else (required(other), one)


def _number(given: Any) -> float | None:
    """The number that a number or a tensor of one element is."""
    if isinstance(given, torch.Tensor):
        return float(given) if given.numel() == 1 else None
    return float(given)


def _is(given: Any, value: float) -> bool:
    return not isinstance(given, torch.Tensor) and given == value


def _scaled(sheet: Sheet, known: Known, number: Any, factor: float | None, summand: float | None) -> Known:
    """A `scale`: numbers must be one, or one a channel. `factor`, `summand`: where they are one number each."""
    factors = None if factor is None or summand is None else (factor, summand)
    if not isinstance(number, torch.Tensor) or number.numel() == 1:
        return sheet.same(known, "scale", factors=factors)
    known = sheet.settle(known)
    sizes = (1,) * (1 + len(known.shape) - number.dim()) + tuple(number.shape)
    if len(sizes) != 1 + len(known.shape) or any(size != 1 for at, size in enumerate(sizes) if at != 1):
        raise Refusal(f"numbers of shape {list(number.shape)} with maps of {list(known.shape)}; one number, or one a channel is known")
    return sheet.same(known, "scale")


def _joined(sheet: Sheet, kind: str, one: Known, other: Known) -> Known:
    """A node of two maps, which may be of different shapes where axes of length 1 are repeated."""
    if one.shape == other.shape and sheet.shape(one) == sheet.shape(other):
        return sheet.add(kind, one, other, shape=sheet.shape(one))
    if len(one.shape) != len(other.shape):
        raise Refusal(f"maps of {list(one.shape)} and {list(other.shape)}: they need as many axes")
    one, other = sheet.settle(one), sheet.settle(other)
    repeats = kind == "add" and sheet.shape(one) != sheet.shape(other)
    return sheet.add(kind, one, other, attributes={"broadcast": True} if repeats else {})
