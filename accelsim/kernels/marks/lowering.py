"""How the functions of `vectors.py` become LLVM's vector instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from accelsim.kernels.marks.vectors import MAGNITUDE, higher, higher_of_pairs, magnitude, nonzero, ones
from accelsim.kernels.windows.lowering import Strip, callable_type, lowers

callable_type(magnitude)(lambda context: lambda strip: strip)
callable_type(higher)(lambda context: lambda left, right: left)
callable_type(higher_of_pairs)(lambda context: lambda strip: Strip(strip.width // 2))
callable_type(nonzero)(lambda context: lambda strip: types.uint64 if strip.width == 64 else None)
callable_type(ones)(lambda context: lambda word: types.int64)


def _bits(builder: Any, strip: Any) -> Any:
    return builder.bitcast(strip, ir.VectorType(ir.IntType(32), strip.type.count))


def _magnitude_bits(builder: Any, strip: Any) -> Any:
    bits = _bits(builder, strip)
    return builder.and_(bits, ir.Constant(bits.type, [MAGNITUDE] * bits.type.count))


def _higher_of(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.icmp_unsigned(">", _bits(builder, left), _bits(builder, right)), left, right)


@lowers(magnitude, Strip)
def _magnitude(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(_magnitude_bits(builder, arguments[0]), arguments[0].type)


@lowers(higher, Strip, Strip)
def _higher(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return _higher_of(builder, *arguments)


@lowers(higher_of_pairs, Strip)
def _higher_of_pairs(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    (strip,), count = arguments, signature.return_type.width
    nothing, number = ir.Constant(strip.type, ir.Undefined), ir.VectorType(ir.IntType(32), count)
    even, odd = (builder.shuffle_vector(strip, nothing, ir.Constant(number, list(range(first, 2 * count, 2)))) for first in (0, 1))
    return _higher_of(builder, even, odd)


@lowers(nonzero, Strip)
def _nonzero(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    bits = _magnitude_bits(builder, arguments[0])
    word = builder.bitcast(builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, None)), ir.IntType(64))
    # the first number is in the lowest bit; turned end for end by bits, then by bytes, each byte is turned where it is
    return builder.bswap(builder.bitreverse(word))


@lowers(ones, types.Integer)
def _ones(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.ctpop(arguments[0])
