"""How the functions over strips become LLVM's vector instructions: numba's second door, for what its own types cannot say.

Source:  LLVM Language Reference, `llvm.fma` and `llvm.masked.load`: fused operations round once (IEEE 754-2019, 5.4.1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable

from accelsim.kernels.windows.vectors import (
    MAGNITUDE,
    among,
    below,
    count_zeros,
    every_second,
    fused,
    increase,
    larger,
    leaky,
    load,
    load_within,
    peak,
    plus,
    raise_to,
    relu,
    store,
    store_first,
    zeros,
)

Lowering = Callable[[Any, Any, Any, Any], Any]
lowers: Callable[..., Callable[[Lowering], Lowering]] = lower_builtin
callable_type: Callable[[Callable[..., Any]], Callable[..., Any]] = type_callable
declared: Callable[..., Any] = cgutils.get_or_insert_function


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
_typed(among, lambda strip, first, last: strip)
_typed(peak, lambda strip: types.uint32)
_typed(count_zeros, lambda strip: types.int64)
_typed(raise_to, lambda array, place, value: types.none)
_typed(increase, lambda array, place, value: types.none)
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


@lowers(among, Strip, types.Integer, types.Integer)
def _among(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = _vector(signature.return_type)
    index, first, last = _lane_numbers(builder, vector.count, *arguments[1:])
    inside = builder.and_(builder.icmp_signed(">=", index, first), builder.icmp_signed("<", index, last))
    return builder.select(inside, arguments[0], ir.Constant(vector, None))


def _magnitudes(builder: Any, strip: Any) -> Any:
    bits = builder.bitcast(strip, ir.VectorType(ir.IntType(32), strip.type.count))
    return builder.and_(bits, ir.Constant(bits.type, [MAGNITUDE] * bits.type.count))


@lowers(peak, Strip)
def _peak(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    bits = _magnitudes(builder, arguments[0])
    name = f"llvm.vector.reduce.umax.v{bits.type.count}i32"
    return builder.call(declared(builder.module, ir.FunctionType(ir.IntType(32), [bits.type]), name), [bits])


@lowers(count_zeros, Strip)
def _count_zeros(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    bits = _magnitudes(builder, arguments[0])
    word = ir.IntType(bits.type.count)
    flags = builder.bitcast(builder.icmp_unsigned("==", bits, ir.Constant(bits.type, None)), word)
    count = builder.call(declared(builder.module, ir.FunctionType(word, [word]), f"llvm.ctpop.i{word.width}"), [flags])
    return count if word.width == 64 else builder.zext(count, ir.IntType(64))


def _at_once(operation: str) -> Lowering:
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.atomic_rmw(operation, builder.gep(data, [arguments[1]]), arguments[2], "monotonic")
        return context.get_dummy_value()

    return lower


lowers(raise_to, types.Array, types.Integer, types.Integer)(_at_once("umax"))
lowers(increase, types.Array, types.Integer, types.Integer)(_at_once("add"))


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
