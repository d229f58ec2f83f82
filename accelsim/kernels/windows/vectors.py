"""Strips of neighbouring numbers that stay in registers: numba's second door, for what its own types cannot say.

A strip is one LLVM vector. Code over strips is compiled to fused multiply-adds of whatever vectors the machine has; LLVM splits wider
strips, so that every width gives the same bits everywhere. Without the jit a strip is a float32 array, and each function here is that
plain Python function: it says what the machine code below it does.
Source:  LLVM Language Reference, `llvm.fma` and `llvm.masked.load`: fused operations round once (IEEE 754-2019, 5.4.1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Lowering = Callable[[Any, Any, Any, Any], Any]
lowers: Callable[..., Callable[[Lowering], Lowering]] = lower_builtin
callable_type: Callable[[Callable[..., Any]], Callable[..., Any]] = type_callable
declared: Callable[..., Any] = cgutils.get_or_insert_function


def _lanes() -> int:
    """Numbers in the widest vector register of the machine that is compiled for."""
    settings: Any = numba.config
    host = [f"+{name}" for name, on in llvmlite.binding.get_host_cpu_features().items() if on]
    features = str(settings.CPU_FEATURES).split(",") if settings.CPU_FEATURES else host
    return 16 if "+avx512f" in features else 8 if "+avx" in features else 4


LANES = _lanes()
WIDE = 64 if LANES == 16 else 16
"""Widest strip: four of them, one more of inputs and a weight fill the registers. 32 of 16 lanes; 16 of 8; 32 of 4."""


def zeros(width: int) -> Floats:
    """A strip of zeros; `width` is a constant of the program."""
    return np.zeros(width, dtype=np.float32)


def load(like: Floats, source: Floats, place: int) -> Floats:
    """As many numbers as `like` has, from `place` of a flat array. Nothing checks that they are there."""
    return np.array(source[place : place + like.size])


def load_within(like: Floats, source: Floats, place: int, low: int, high: int) -> Floats:
    """As `load`, but zero before the `low`-th and from the `high`-th number of the strip: those are not read."""
    strip = np.zeros_like(like)
    low, high = max(low, 0), min(high, like.size)
    if low < high:
        strip[low:high] = source[place + low : place + high]
    return strip


def every_second(strip: Floats) -> Floats:
    """Numbers 0, 2, 4, ... of a strip: half as many."""
    return strip[::2].copy()


def store(strip: Floats, target: Floats, place: int) -> None:
    """Write a strip to `place` of a flat array. Nothing checks that there is room."""
    target[place : place + strip.size] = strip


def store_first(strip: Floats, target: Floats, place: int, count: int) -> None:
    """As `store`, but no more than the first `count` numbers."""
    count = min(max(count, 0), strip.size)
    target[place : place + count] = strip[:count]


def larger(left: Floats, right: Floats) -> Floats:
    """The larger number of each pair; the right one where they are equal or one is NaN."""
    return np.where(left > right, left, right)


def fused(weight: np.float32, strip: Floats, sums: Floats) -> Floats:
    """weight * strip + sums, rounded once.

    The product is exact in float64. Its sum with `sums` is rounded to odd, so that the second rounding, to float32, is the only one
    that counts.
    Source:  Boldo and Melquiond, Emulation of FMA and correctly rounded sums, IEEE Trans. Computers 57 (2008)
    """
    product, addend = np.float64(weight) * strip.astype(np.float64), sums.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where((error != 0) & even & np.isfinite(total), np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)


def plus(number: np.float32 | Floats, strip: Floats) -> Floats:
    """A number, or a strip, added to every number of a strip."""
    return np.asarray(number + strip, dtype=np.float32)


def relu(strip: Floats) -> Floats:
    """0 where x <= 0; NaN stays."""
    return np.where(strip <= 0, np.float32(0), strip)


def leaky(strip: Floats, slope: np.float32) -> Floats:
    """slope * x where x <= 0; NaN stays."""
    return np.where(strip <= 0, slope * strip, strip)


def below(strip: Floats, high: np.float32) -> Floats:
    """`high` where x > high; NaN stays."""
    return np.where(strip > high, high, strip)


class Strip(types.Type):
    """The type of a strip in compiled code."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Strip({width})")


@register_model(Strip)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Strip) -> None:
        super().__init__(manager, kind, _vector(kind))  # type: ignore[no-untyped-call]  # numba is only partly typed


def _vector(kind: Strip) -> Any:
    return ir.VectorType(ir.FloatType(), kind.width)


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    """A vector that holds one number everywhere."""
    nothing = ir.Constant(vector, ir.Undefined)
    index = ir.IntType(32)
    first = builder.insert_element(nothing, value, ir.Constant(index, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count))


def _address(context: Any, builder: Any, array: Any, value: Any, place: Any, vector: Any) -> Any:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _lane_numbers(builder: Any, count: int, *bounds: Any) -> list[Any]:
    """A vector of 0, 1, 2, ..., and one of each bound, to be compared with it."""
    number = ir.IntType(32)
    lanes = ir.VectorType(number, count)
    return [ir.Constant(lanes, list(range(count))), *(_spread(builder, builder.trunc(bound, number), lanes) for bound in bounds)]


def _typed(function: Callable[..., Any], result: Callable[..., Any]) -> None:
    """Say of which type the result is, given the types of the arguments."""
    callable_type(function)(lambda context: result)


_typed(zeros, lambda width: Strip(width.literal_value) if isinstance(width, types.IntegerLiteral) else None)
_typed(load, lambda like, source, place: like)
_typed(load_within, lambda like, source, place, low, high: like)
_typed(every_second, lambda strip: Strip(strip.width // 2))
_typed(store, lambda strip, target, place: types.none)
_typed(store_first, lambda strip, target, place, count: types.none)
_typed(larger, lambda left, right: left)
_typed(fused, lambda weight, strip, sums: sums)
_typed(plus, lambda number, strip: strip)
_typed(relu, lambda strip: strip)
_typed(leaky, lambda strip, slope: strip)
_typed(below, lambda strip, high: strip)


@lowers(zeros, types.IntegerLiteral)
def _zeros(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return ir.Constant(_vector(signature.return_type), None)


@lowers(load, Strip, types.Array, types.Integer)
def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address = _address(context, builder, signature.args[1], arguments[1], arguments[2], _vector(signature.return_type))
    return builder.load(address, align=4)


@lowers(load_within, Strip, types.Array, types.Integer, types.Integer, types.Integer)
def _load_within(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = _vector(signature.return_type)
    address = _address(context, builder, signature.args[1], arguments[1], arguments[2], vector)
    index, low, high = _lane_numbers(builder, vector.count, *arguments[3:])
    inside = builder.and_(builder.icmp_signed(">=", index, low), builder.icmp_signed("<", index, high))
    kind = ir.FunctionType(vector, [address.type, ir.IntType(32), inside.type, vector])
    name = f"llvm.masked.load.v{vector.count}f32.p0"
    masked = declared(builder.module, kind, name)
    return builder.call(masked, [address, ir.Constant(ir.IntType(32), 4), inside, ir.Constant(vector, None)])


@lowers(every_second, Strip)
def _every_second(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    count = signature.return_type.width
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(0, 2 * count, 2)))
    return builder.shuffle_vector(arguments[0], ir.Constant(arguments[0].type, ir.Undefined), lanes)


@lowers(store, Strip, types.Array, types.Integer)
def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address = _address(context, builder, signature.args[1], arguments[1], arguments[2], _vector(signature.args[0]))
    builder.store(arguments[0], address, align=4)
    return context.get_dummy_value()


@lowers(store_first, Strip, types.Array, types.Integer, types.Integer)
def _store_first(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = _vector(signature.args[0])
    address = _address(context, builder, signature.args[1], arguments[1], arguments[2], vector)
    index, count = _lane_numbers(builder, vector.count, arguments[3])
    inside = builder.icmp_signed("<", index, count)
    kind = ir.FunctionType(ir.VoidType(), [vector, address.type, ir.IntType(32), inside.type])
    masked = declared(builder.module, kind, f"llvm.masked.store.v{vector.count}f32.p0")
    builder.call(masked, [arguments[0], address, ir.Constant(ir.IntType(32), 4), inside])
    return context.get_dummy_value()


@lowers(larger, Strip, Strip)
def _larger(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)


@lowers(fused, types.Float, Strip, Strip)
def _fused(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = _vector(signature.return_type)
    kind = ir.FunctionType(vector, [vector, vector, vector])
    multiply_add = declared(builder.module, kind, f"llvm.fma.v{vector.count}f32")
    return builder.call(multiply_add, [_spread(builder, arguments[0], vector), arguments[1], arguments[2]])


@lowers(plus, types.Float, Strip)
def _plus_number(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.fadd(_spread(builder, arguments[0], _vector(signature.return_type)), arguments[1])


@lowers(plus, Strip, Strip)
def _plus_strip(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.fadd(arguments[0], arguments[1])


@lowers(relu, Strip)
def _relu(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    zero = ir.Constant(_vector(signature.return_type), None)
    return builder.select(builder.fcmp_ordered("<=", arguments[0], zero), zero, arguments[0])


@lowers(leaky, Strip, types.Float)
def _leaky(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = _vector(signature.return_type)
    scaled = builder.fmul(_spread(builder, arguments[1], vector), arguments[0])
    return builder.select(builder.fcmp_ordered("<=", arguments[0], ir.Constant(vector, None)), scaled, arguments[0])


@lowers(below, Strip, types.Float)
def _below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    high = _spread(builder, arguments[1], _vector(signature.return_type))
    return builder.select(builder.fcmp_ordered(">", arguments[0], high), high, arguments[0])
