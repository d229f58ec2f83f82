"""Inputs of an operator: maps, constants, and lists of numbers that older operators hold as attributes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.networks.onnx_build import Array, Build, View, fold
from accelsim.networks.onnx_call import Call


def is_constant(build: Build, call: Call, position: int) -> bool:
    """Whether an input is there and is the same for every image."""
    return call.given(position) and call.inputs[position] in build.constants


def view(build: Build, call: Call, position: int = 0) -> View:
    """An input that depends on the image. Raises `ModelError` for a constant."""
    name = call.inputs[position] if call.given(position) else ""
    if name not in build.views:
        what = "is a constant" if name in build.constants else "is missing, or was folded into another operator"
        raise call.fault(f"input {position} {what}; allowed: a tensor that depends on the image")
    return build.views[name]


def real(build: Build, call: Call, position: int = 0) -> View:
    """An input that depends on the image and holds real numbers. Raises `ModelError` for integers between quantising operators."""
    found = view(build, call, position)
    if found.quantum is not None:
        raise call.fault("computes with integers; allowed: real numbers, as DequantizeLinear makes them")
    return found


def constant(build: Build, call: Call, position: int, what: str) -> Array:
    """An input that is the same for every image. Raises `ModelError` where it depends on the image or is missing."""
    if not call.given(position):
        raise call.fault(f"{what} (input {position}) is missing")
    if call.inputs[position] not in build.constants:
        raise call.fault(f"{what} (input {position}) depends on the image; allowed: constants")
    return build.constants[call.inputs[position]]


def numbers(build: Build, call: Call, position: int, what: str) -> NDArray[np.float64]:
    """A constant as real numbers, whatever its type."""
    return np.asarray(constant(build, call, position, what), dtype=np.float64)


def floats(build: Build, call: Call, position: int, what: str) -> NDArray[np.float32]:
    """A constant as the numbers that kernels compute with; float32 as it is, without a copy."""
    found = constant(build, call, position, what)
    return found.astype(np.float32, copy=False) if found.dtype == np.float32 else numbers(build, call, position, what).astype(np.float32)


def scalar(build: Build, call: Call, position: int, what: str, default: float) -> float:
    """A constant of one element, or the default where it is left out."""
    if not call.given(position):
        return default
    found = numbers(build, call, position, what)
    if found.size == 0 and what:
        return default
    if found.size != 1:
        raise call.fault(f"{what} (input {position}) has {found.size} elements; allowed: one")
    return float(found.reshape(-1)[0])


def integers(build: Build, call: Call, position: int, key: str) -> tuple[int, ...] | None:
    """Whole numbers: an input of newer operators, an attribute of older ones; None where both are absent."""
    if call.given(position):
        return tuple(int(value) for value in constant(build, call, position, key).reshape(-1).tolist())
    return call.integers(key)


def operand(build: Build, call: Call, position: int) -> View:
    """Any input; a constant becomes a map of its own, which the host stores."""
    if not is_constant(build, call, position):
        return view(build, call, position)
    values = numbers(build, call, position, "constant").astype(np.float32)
    shape = fold(values.shape, len(values.shape) > 1 and values.shape[0] == 1)
    return View(build.constant_draft(call, values.reshape(shape)), values.shape, reads=1)


def axis(call: Call, value: int, rank: int) -> int:
    """An axis counted from the first one. Raises `ModelError` where there is none such."""
    if not -rank <= value < rank:
        raise call.fault(f"axis {value} of a tensor with {rank} axes; allowed: {-rank} to {rank - 1}")
    return value % rank
