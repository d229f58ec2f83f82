"""ONNX operators on single elements: activations, sums and products with constants and with other maps, quantisation, softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Attribute
from accelsim.layers.activations import INTEGERS
from accelsim.networks.onnx_build import ACTIVATED, Build, Quantum, Reader, View, fold
from accelsim.networks.onnx_call import Call, type_name
from accelsim.networks.onnx_operands import axis, constant, is_constant, numbers, operand, real, scalar, view

Doubles = NDArray[np.float64]
SELF_GATED: Mapping[str, str] = {"logistic": "swish", "hardsigmoid": "hardswish"}
"""x times one of these activations of x is another activation of x."""


def _plain(activation: str) -> Reader:
    return lambda build, call: build.activate(call, real(build, call), activation)


def _leaky(build: Build, call: Call) -> None:
    build.activate(call, real(build, call), "leaky", slope=call.number("alpha", 0.01))


def _elu(build: Build, call: Call) -> None:
    build.activate(call, real(build, call), "elu", slope=call.number("alpha", 1.0))


def _hard_sigmoid(build: Build, call: Call) -> None:
    attributes = {"alpha": call.number("alpha", 0.2), "beta": call.number("beta", 0.5)}
    build.activate(call, real(build, call), "hardsigmoid", attributes=attributes)


def _gelu_whole(build: Build, call: Call) -> None:
    tanh = call.text("approximate", "none", ("none", "tanh")) == "tanh"
    build.activate(call, real(build, call), "gelu_tanh" if tanh else "gelu")


def _clip(build: Build, call: Call) -> None:
    if call.version < 11:
        low, high = call.number("min", -math.inf), call.number("max", math.inf)
    else:
        low, high = scalar(build, call, 1, "min", -math.inf), scalar(build, call, 2, "max", math.inf)
    # limits of float32 stand for no limit
    low = -math.inf if low <= float(np.finfo(np.float32).min) else low
    high = math.inf if high >= float(np.finfo(np.float32).max) else high
    found = real(build, call)
    if (low, high) == (-math.inf, math.inf):
        build.alias(call, found, found.sizes)
    elif low == 0 and high in (6, math.inf):
        build.activate(call, found, "relu6" if high == 6 else "relu")
    else:
        limits: dict[str, Attribute] = {key: value for key, value in (("low", low), ("high", high)) if math.isfinite(value)}
        build.activate(call, found, "clip", attributes=limits)


def _add(build: Build, call: Call) -> None:
    at = _constant_side(build, call)
    if at is None:
        _maps(build, call, "add")
    else:
        _affine(build, call, real(build, call, 1 - at), at, 1.0, numbers(build, call, at, "summand"), "add")


def _sub(build: Build, call: Call) -> None:
    at = _constant_side(build, call)
    if at is None:
        _maps(build, call, "sub")
        return
    values, sign = numbers(build, call, at, "subtrahend"), 1.0 if at else -1.0
    _affine(build, call, real(build, call, 1 - at), at, sign, -values if at else values, "sub")


def _mul(build: Build, call: Call) -> None:
    at = _constant_side(build, call)
    if at is not None:
        factor = numbers(build, call, at, "factor")
        if factor.size == 1 and _gelu_in_parts(build, call, real(build, call, 1 - at), factor.item()):
            return
        _affine(build, call, real(build, call, 1 - at), at, factor, 0.0, "mul")
    elif not (_self_gated(build, call, 0) or _self_gated(build, call, 1) or _gelu_of_two(build, call)):
        _maps(build, call, "mul")


def _div(build: Build, call: Call) -> None:
    if _constant_side(build, call) != 1:
        raise call.fault("division by a map is not supported; allowed: by constants")
    values = numbers(build, call, 1, "divisor")
    if not values.all():
        raise call.fault("its divisor is 0 somewhere")
    _affine(build, call, real(build, call), 1, 1 / values, 0.0, "mul")


def _constant_side(build: Build, call: Call) -> int | None:
    """Which of two inputs is a constant, or None."""
    return next((at for at in range(2) if is_constant(build, call, at)), None)


def _affine(build: Build, call: Call, found: View, at: int, factor: Doubles | float, offset: Doubles | float, kind: str) -> None:
    """A map times a constant plus a constant, one of which is an array: by channels if that can say it, else as an operation of two maps.

    `at`: position of the constant among the inputs, which matters to `sub`
    """
    values = factor if isinstance(factor, np.ndarray) else np.asarray(offset)
    if values.size == 1:
        build.scale(call, _ranked(found, values), *(np.asarray(number, dtype=np.float64).reshape(-1) for number in (factor, offset)))
        return
    by_channel = _by_channel(found, values)
    if by_channel is not None:
        ones = np.ones_like(by_channel)
        factors = by_channel if isinstance(factor, np.ndarray) else ones * factor
        offsets = by_channel if isinstance(offset, np.ndarray) else ones * offset
        build.scale(call, found, factors, offsets)
        return
    whole = numbers(build, call, at, "constant") if kind == "sub" else values
    sizes = _broadcast(call, found.sizes, whole.shape)
    batched = len(sizes) > 1 and sizes[0] == 1
    ranked = (1,) * (len(sizes) - whole.ndim) + whole.shape
    other = build.constant_draft(call, whole.reshape(fold(ranked, batched)).astype(np.float32))
    _together(build, call, kind, [found, View(other, ranked, reads=1)], swap=at == 0)


def _ranked(found: View, values: Doubles) -> View:
    """The view with as many axes as broadcasting gives it."""
    return replace(found, sizes=(1,) * (values.ndim - len(found.sizes)) + found.sizes)


def _by_channel(found: View, values: Doubles) -> Doubles | None:
    """Numbers of each channel, if the constant varies along channels alone. Shapes: float64 [C]."""
    rank = len(found.sizes)
    if values.ndim > rank or not 2 <= rank <= 4 or not found.batched:
        return None
    aligned = values.reshape((1,) * (rank - values.ndim) + values.shape)
    return aligned.reshape(-1) if aligned.size == aligned.shape[1] == found.sizes[1] else None


def _self_gated(build: Build, call: Call, at: int) -> bool:
    """Take x * sigmoid(x) for one activation (SiLU, also called swish), and likewise the hard ones."""
    x, gate = real(build, call, at), real(build, call, 1 - at)
    node = build.drafts[gate.index]
    hard = node.attributes == {"alpha": float(np.float32(1 / 6)), "beta": 0.5}
    known = node.activation == "logistic" or (node.activation == "hardsigmoid" and hard)
    if node.kind != "activation" or not known or not gate.sole or node.inputs != (x.index,) or x.sizes != gate.sizes:
        return False
    build.forget(gate.index)
    # the gate and this operator are two of the reads, and become one
    build.activate(call, replace(x, reads=x.reads - 1), SELF_GATED[node.activation])
    return True


def _gelu_in_parts(build: Build, call: Call, found: View, factor: float) -> bool:
    """Take x * (1 + erf(x / sqrt(2))) * 0.5, as exporters before opset 20 write Gelu, for one activation of x."""
    product = build.drafts[found.index]
    if product.kind != "mul" or product.activation != "linear" or len(product.inputs) != 2 or not found.sole:
        return False
    return any(_gelu(build, call, of, gate, factor, found.sizes, (found.index,)) for of, gate in (product.inputs, product.inputs[::-1]))


def _gelu_of_two(build: Build, call: Call) -> bool:
    """Take (x * 0.5) * (1 + erf(x / sqrt(2))), or x * (0.5 + 0.5 * erf(x / sqrt(2))), for one activation of x."""
    views = real(build, call, 0), real(build, call, 1)
    if views[0].sizes != views[1].sizes:
        return False
    return any(_gelu(build, call, of.index, gate.index, 1.0, of.sizes, ()) for of, gate in (views, views[::-1]))


def _gelu(build: Build, call: Call, of: int, gate: int, factor: float, sizes: tuple[int, ...], more: tuple[int, ...]) -> bool:
    """Take draft `of` times draft `gate` times `factor` for Gelu, if it is; `more`: drafts besides that are then needed no longer."""
    erf = build.drafts[gate].inputs[:1]
    source = build.drafts[erf[0]].inputs[:1] if erf else ()
    if not source or not _scales(build, erf[0], math.sqrt(0.5), 0.0, "erf"):
        return False
    # x itself, or x times a number; the factors together are a half
    scaled = () if of == source[0] else (of,)
    number = _number(build, of) if scaled else 1.0
    if scaled and build.drafts[of].inputs != source:
        return False
    part = 0.5 / (number * factor) if number * factor else 0.0
    seen = [view for view in build.views.values() if view.index == source[0] and view.sizes == sizes]
    gone = (*more, *scaled, gate, erf[0])
    once = all(view.reads == 1 for view in build.views.values() if view.index in gone)
    if not (part and _scales(build, gate, part, part, "linear") and seen and once):
        return False
    for index in gone:
        build.forget(index)
    build.activate(call, replace(seen[0], reads=seen[0].reads - 1), "gelu")
    return True


def _number(build: Build, index: int) -> float:
    """What a draft multiplies all channels by, if it does no more; 0 otherwise."""
    weights = build.weights[index].get("weight")
    number = float(weights.flat[0]) if weights is not None and build.drafts[index].kind == "scale" else 0.0
    return number if number and _scales(build, index, number, 0.0, "linear") else 0.0


def _scales(build: Build, index: int, factor: float, offset: float, activation: str) -> bool:
    """Whether a draft multiplies all channels by one number, adds another, and activates so."""
    node, held = build.drafts[index], build.weights[index]
    if node.kind != "scale" or node.activation != activation or "quantum" in node.attributes:
        return False
    return bool(np.allclose(held["weight"], factor, rtol=1e-6, atol=0) and np.allclose(held["bias"], offset, rtol=1e-6, atol=0))


def _maps(build: Build, call: Call, kind: str) -> None:
    views = [operand(build, call, position) for position in range(len(call.inputs))]
    for position, found in enumerate(views):
        if found.quantum is not None:
            real(build, call, position)
    if len(views) == 1:
        build.alias(call, views[0], views[0].sizes)
        return
    _together(build, call, kind, views)


def _broadcast(call: Call, *sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of tensors laid over each other. Raises `ModelError` where they do not fit."""
    try:
        return np.broadcast_shapes(*sizes)
    except ValueError as fault:
        raise call.fault(f"{' and '.join(str(list(own)) for own in sizes)} do not fit together") from fault


def _together(build: Build, call: Call, kind: str, views: list[View], *, swap: bool = False) -> None:
    """An operation of several maps; `swap`: the second one comes first."""
    sizes = _broadcast(call, *(found.sizes for found in views))
    batched = len(sizes) > 1 and sizes[0] == 1
    if all(found.sizes == sizes for found in views):
        shape = build.drafts[views[0].index].shape
        sources = [build.shaped(call, found.index, shape) for found in views]
    else:
        ranked = [(1,) * (len(sizes) - len(found.sizes)) + found.sizes for found in views]
        folded = [fold(own, batched) for own in ranked]
        together = tuple(max(lengths) for lengths in zip(*folded, strict=True))
        merged = any(prod(own[: len(sizes) - 2]) not in (1, prod(sizes[: len(sizes) - 2])) for own in ranked)
        if together != fold(sizes, batched) or (len(sizes) > 4 and merged):
            raise call.fault(f"{' and '.join(str(list(found.sizes)) for found in views)}: repeats along these axes are not supported")
        sources = [build.shaped(call, found.index, shape) for found, shape in zip(views, folded, strict=True)]
    sources = sources[::-1] if swap else sources
    broadcasts = len({build.drafts[source].shape for source in sources}) > 1
    attributes: dict[str, Attribute] = {"broadcast": True} if kind == "add" and broadcasts else {}
    index = build.draft(call.name, kind, tuple(sources), build.drafts[sources[0]].shape, {}, attributes=attributes)
    build.put(call, index, sizes)


def _softmax(build: Build, call: Call) -> None:
    found = real(build, call)
    rank = len(found.sizes)
    at = axis(call, call.integer("axis", 1 if call.version < 13 else -1), rank)
    inner = 1 if call.version < 13 else prod(found.sizes[at + 1 :])
    attributes: dict[str, Attribute] = {"inner": inner} if inner > 1 else {}
    if call.operator == "LogSoftmax":
        attributes["logarithm"] = True
    shape = build.drafts[found.index].shape
    fields = {"groups": prod(found.sizes[:at]), "attributes": attributes}
    build.put(call, build.draft(call.name, "softmax", (found.index,), shape, {}, **fields), found.sizes)


def _quantize(build: Build, call: Call) -> None:
    found = real(build, call)
    quantum = _quantum(build, call, call.integer("output_dtype", 0))
    node = build.drafts[found.index]
    more: Mapping[str, Attribute] = {**node.attributes, "quantum": quantum.scale}
    if found.sole and node.kind in ACTIVATED and "quantum" not in node.attributes:
        build.drafts[found.index] = replace(node, dtype=quantum.dtype, zero_point=quantum.zero_point, attributes=more)
        build.take_over(call, found, found.sizes, quantum)
        return
    fields = {"dtype": quantum.dtype, "zero_point": quantum.zero_point, "attributes": {"quantum": quantum.scale}}
    build.put(call, build.draft(call.name, "activation", (found.index,), node.shape, {}, **fields), found.sizes, quantum)


def _dequantize(build: Build, call: Call) -> None:
    found = view(build, call)
    scale, zero_point = scalar(build, call, 1, "scale", 1.0), scalar(build, call, 2, "zero point", 0.0)
    if found.quantum is None:
        # the model's own input holds integers
        build.scale(call, found, np.array([scale]), np.array([-scale * zero_point]))
    elif (np.float32(scale), zero_point) == (np.float32(found.quantum.scale), found.quantum.zero_point):
        build.alias(call, found, found.sizes)
    else:
        raise call.fault(
            f"scale {scale:g}, zero point {zero_point:g} of integers made with {found.quantum.scale:g}, {found.quantum.zero_point}; "
            "allowed: the same"
        )


def _quantum(build: Build, call: Call, dtype: int) -> Quantum:
    scale = scalar(build, call, 1, "scale", 1.0)
    name = "uint8"
    if call.given(2):
        name = constant(build, call, 2, "zero point").dtype.name
    elif dtype:
        name = type_name(dtype)
    if name not in INTEGERS or not 0 < scale < math.inf:
        raise call.fault(f"quantised to {name} by steps of {scale:g}; allowed: {', '.join(INTEGERS)}, steps above 0")
    return Quantum(float(np.float32(scale)), int(scalar(build, call, 2, "zero point", 0.0)), name)


READERS: Mapping[str, Reader] = {
    **{
        operator: _plain(activation)
        for operator, activation in {
            "Relu": "relu",
            "Sigmoid": "logistic",
            "HardSwish": "hardswish",
            "Tanh": "tanh",
            "Softplus": "softplus",
            "Mish": "mish",
            "Erf": "erf",
        }.items()
    },
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu_whole,
    "Clip": _clip,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Sum": lambda build, call: _maps(build, call, "add"),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
