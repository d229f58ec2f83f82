"""How the operations of `atomics.py` become machine code.

Source:  LLVM Language Reference, atomic memory ordering constraints; numba 0.68 `callconv.CPUCallConv` (how kernels call each other)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from accelsim.kernels.crew.atomics import FRAME, PARTS, SHARE, add, call, frame, give_way, number_of, pause, read, swap, write

Lowering = Callable[[Any, Any, Any, Any], Any]
lowers: Callable[..., Callable[[Lowering], Lowering]] = lower_builtin
callable_type: Callable[[Callable[..., Any]], Callable[..., Any]] = type_callable
declared: Callable[..., Any] = cgutils.get_or_insert_function
part_of: Callable[..., Any] = cgutils.gep_inbounds
WORD, CODE = ir.IntType(64), ir.IntType(32)
NUMBER, WORDS, TUPLE = types.Integer, types.Array, types.BaseTuple

callable_type(read)(lambda context: lambda words, place: types.int64)
callable_type(write)(lambda context: lambda words, place, value: types.none)
callable_type(add)(lambda context: lambda words, place, value: types.int64)
callable_type(swap)(lambda context: lambda words, place, expected, value: types.boolean)
callable_type(pause)(lambda context: lambda: types.none)
callable_type(give_way)(lambda context: lambda: types.none)
callable_type(frame)(lambda context: lambda words, entry, kinds, arguments: types.boolean)
callable_type(call)(lambda context: lambda words, first, last: types.int64)


def _word(context: Any, builder: Any, array: Any, value: Any, place: Any) -> Any:
    return builder.gep(context.make_array(array)(context, builder, value).data, [place])


@lowers(read, WORDS, NUMBER)
def _read(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.load_atomic(_word(context, builder, signature.args[0], *arguments), "seq_cst", 8)


@lowers(write, WORDS, NUMBER, NUMBER)
def _write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    builder.store_atomic(arguments[2], _word(context, builder, signature.args[0], *arguments[:2]), "seq_cst", 8)
    return context.get_dummy_value()


@lowers(add, WORDS, NUMBER, NUMBER)
def _add(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.atomic_rmw("add", _word(context, builder, signature.args[0], *arguments[:2]), arguments[2], "seq_cst")


@lowers(swap, WORDS, NUMBER, NUMBER, NUMBER)
def _swap(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    place = _word(context, builder, signature.args[0], *arguments[:2])
    return builder.extract_value(builder.cmpxchg(place, arguments[2], arguments[3], "seq_cst", "seq_cst"), 1)


@lowers(pause)
def _pause(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    if llvmlite.binding.get_process_triple().startswith(("x86_64", "i686")):
        builder.call(declared(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"), [])
    return context.get_dummy_value()


@lowers(give_way)
def _give_way(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    if llvmlite.binding.address_of_symbol("sched_yield"):  # POSIX.1-2001; elsewhere waiting threads do not give way
        builder.call(declared(builder.module, ir.FunctionType(CODE, []), "sched_yield"), [])
    return context.get_dummy_value()


def _name(kind: Any) -> str:
    """As `atomics.name`: whether an array may be written is all one."""
    return str(kind.copy(readonly=False) if isinstance(kind, types.Array) else kind)


@lowers(frame, WORDS, NUMBER, NUMBER, TUPLE)
def _frame(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    words, entry, number, values = arguments
    kinds = list(signature.args[3])
    parts = [builder.extract_value(values, place) for place in range(len(kinds))]
    body = ir.LiteralStructType([WORD, *(part.type for part in parts)])
    if context.get_abi_sizeof(body) > 8 * (PARTS - FRAME):
        raise NotImplementedError(f"{len(kinds)} arguments do not fit into {PARTS - FRAME} words")
    target = builder.bitcast(_word(context, builder, signature.args[0], words, WORD(FRAME)), body.as_pointer())
    for place, part in enumerate([entry, *parts]):
        builder.store(part, part_of(builder, target, 0, place))
    caller = builder.ptrtoint(_caller(context, builder.module, body, kinds), WORD)
    builder.store(caller, _word(context, builder, signature.args[0], words, WORD(SHARE)))
    return builder.icmp_signed("==", number, WORD(number_of(map(_name, kinds))))


def _caller(context: Any, module: Any, body: Any, kinds: list[Any]) -> Any:
    """Code that calls a kernel with the arguments of a frame and two numbers, and gives its return code: 0 unless it failed."""
    taken = [*kinds, types.int64, types.int64]
    function = ir.Function(module, ir.FunctionType(CODE, [body.as_pointer(), WORD, WORD]), module.get_unique_name("share"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry, *parts = (builder.load(part_of(builder, function.args[0], 0, place)) for place in range(len(kinds) + 1))
    packed = context.get_arg_packer(taken).as_arguments(builder, [*parts, *function.args[1:]])
    kind = context.call_conv.get_function_type(types.none, taken)
    spare = [builder.alloca(argument.pointee) for argument in kind.args[:2]]
    builder.ret(builder.call(builder.inttoptr(entry, kind.as_pointer()), [*spare, *packed]))
    return function


@lowers(call, WORDS, NUMBER, NUMBER)
def _call(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = _word(context, builder, signature.args[0], arguments[0], WORD(FRAME))
    code = builder.load(_word(context, builder, signature.args[0], arguments[0], WORD(SHARE)))
    kind = ir.FunctionType(CODE, [data.type, WORD, WORD])
    return builder.sext(builder.call(builder.inttoptr(code, kind.as_pointer()), [data, *arguments[1:]]), WORD)
