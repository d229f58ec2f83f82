"""How the functions of `vectors.py` become machine instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from accelsim.kernels.dram.vectors import lowest, rarely
from accelsim.kernels.windows.lowering import callable_type, declared, lowers

callable_type(lowest)(lambda context: lambda bits: types.int64)


@lowers(lowest, types.Integer)
def _lowest(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.cttz(arguments[0], context.get_constant(types.boolean, True))


callable_type(rarely)(lambda context: lambda condition: types.boolean)


@lowers(rarely, types.Boolean)
def _rarely(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    bit = ir.IntType(1)
    return builder.call(declared(builder.module, ir.FunctionType(bit, (bit, bit)), "llvm.expect.i1"), [arguments[0], bit(0)])
