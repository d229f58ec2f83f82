"""How kernels are compiled: numba's first door, opened only where no machine code was kept."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from llvmlite import ir as llvm
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NopythonTypeInference

from accelsim.kernels import machinecode
from accelsim.kernels.compile import CALLED, INLINED, MADE
from accelsim.kernels.machinecode import ALIGNED, WRITEABLE, Code, Kind

# strips are known wherever something is compiled
for folder in sorted(path.parent.name for path in Path(__file__).parent.glob("*/lowering.py")):
    import_module(f"accelsim.kernels.{folder}.lowering")

FLAGS: dict[str, Any] = {"cache": True, "fastmath": False, "error_model": "numpy", "nogil": True}
WAYS = {MADE: FLAGS, CALLED: {**FLAGS, "_nrt": False}, INLINED: {**FLAGS, "forceinline": True, "_nrt": False}}
APART = {"forceinline": False}
"""Said, or a kernel takes it over from an inlined function that calls it first, and is compiled again in the place of each call."""


@register_pass(mutates_CFG=False, analysis_only=False)  # type: ignore[no-untyped-call]  # numba's compiler is half typed
class CountFromTheStart(FunctionPass):
    """Have every index of an array, or tuple of indices, taken for an unsigned number; bits and results stay as they are."""

    _name = "count_from_the_start"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise

    def run_pass(self, state: Any) -> bool:
        """Change what the calls of `getitem` and `setitem` expect."""
        for node, signature in list(state.calltypes.items()):
            if signature is None or len(signature.args) < 2 or not isinstance(signature.args[0], types.Array):
                continue
            if getattr(node, "op", None) == "getitem" or isinstance(node, ir.SetItem):
                array, index, *rest = signature.args
                del state.calltypes[node]  # no key is written twice
                state.calltypes[node] = signature.replace(args=(array, unsigned(index), *rest))
        return True


def unsigned(index: Any) -> Any:
    """The type of an index as one that is never negative; literals and slices stay."""
    if isinstance(index, types.UniTuple) and index.dtype == types.int64:
        return types.UniTuple(types.uint64, index.count)  # type: ignore[no-untyped-call]  # likewise
    return types.uint64 if index == types.int64 else index


class ForwardCompiler(CompilerBase):
    """Numba's own passes, and the one above after type inference."""

    def define_pipelines(self) -> list[Any]:
        """The passes in order."""
        passes: Any = DefaultPassBuilder
        builder = passes.define_nopython_pipeline(self.state)
        builder.add_pass_after(CountFromTheStart, NopythonTypeInference)
        builder.finalize()
        return [builder]


def dispatcher(function: Callable[..., Any], cache: Path, way: str, *, forward: bool) -> Any:
    """Declare a function to numba, whose own cache is the folder `cache`; `way`: of `compile.py`; `forward`: it counts no index from the
    end."""
    compiler: Any = numba
    before, compiler.config.CACHE_DIR = compiler.config.CACHE_DIR, str(cache)
    try:
        pipeline = {"pipeline_class": ForwardCompiler, **APART} if forward else {}
        return compiler.njit(**(pipeline | WAYS[way]))(function)
    finally:
        compiler.config.CACHE_DIR = before


def type_of(made: Any) -> Any:
    """The type by which other kernels know one."""
    return types.Dispatcher(made)


def code(made: Any, arguments: tuple[Any, ...], kinds: tuple[Kind, ...]) -> Code | None:
    """Compile a kernel for arguments of these kinds; None where what it returns is made by more than its machine code."""
    signature = tuple(map(made.typeof_pyval, arguments))
    made.compile(signature)
    found = made.overloads.get(signature)
    if found is None or not _plain(found.signature.return_type) or found.lifted or found.reload_init:
        return None
    constants = found.environment.consts
    if not all(isinstance(constant, np.dtype) and constant.isbuiltin == 1 for constant in constants):
        return None
    entry, dtypes = found.fndesc.llvm_cpython_wrapper_name, tuple(constant.str for constant in constants)
    return Code(
        entry, found.fndesc.llvm_func_name, found.fndesc.env_name, dtypes, _machine_code(made, found, signature), _guard(entry, kinds)
    )


def address(made: Any, arguments: tuple[Any, ...]) -> int:
    """Where the machine code of a compiled kernel for such arguments begins."""
    found = made.overloads[tuple(map(made.typeof_pyval, arguments))]
    return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


def _machine_code(made: Any, found: Any, signature: tuple[Any, ...]) -> bytes:
    """The object file of a compiled kernel; one that comes from numba's cache has handed it on, and there it is read again."""
    try:
        fresh: bytes = found.library._get_compiled_object()
    except RuntimeError:
        (_, _, (cached, _)), *_ = made._cache._cache_file.load(made._cache._index_key(signature, made.targetctx.codegen()))
        return bytes(cached)
    return fresh


def _plain(kind: Any) -> bool:
    """Whether a returned value is a number, an array of numbers, a plain tuple of such, or nothing."""
    if isinstance(kind, types.BaseTuple):
        members: Any = kind
        return not isinstance(kind, types.BaseNamedTuple) and all(_plain(member) for member in members)
    return isinstance(kind.dtype if isinstance(kind, types.Array) else kind, types.Number | types.Boolean | types.NoneType)


def _guard(entry: str, kinds: tuple[Kind, ...]) -> bytes:
    """An object file with a function `guard`, which looks at its arguments and calls the entry, or returns NotImplemented.

    Numba's entries trust whoever calls them; and to look at a dozen arrays from Python takes longer than some layers.
    """
    if not machinecode.guardable(kinds):
        return b""
    module, pointer, word, number = llvm.Module(), llvm.IntType(8).as_pointer(), llvm.IntType(32), llvm.IntType(64)
    module.triple = binding.get_default_triple()
    function = llvm.FunctionType(pointer, (pointer, pointer, pointer))
    guard, calls = llvm.Function(module, function, "guard"), llvm.Function(module, function, entry)
    size = llvm.Function(module, llvm.FunctionType(number, (pointer,)), "PyTuple_Size")
    item = llvm.Function(module, llvm.FunctionType(pointer, (pointer, number)), "PyTuple_GetItem")
    hold = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), (pointer,)), "Py_IncRef")
    builder, wrong = llvm.IRBuilder(guard.append_basic_block()), guard.append_basic_block()

    def known(name: str) -> Any:
        return module.globals.get(name) or llvm.GlobalVariable(module, llvm.IntType(8), name)

    def field(value: Any, offset: int, kind: Any) -> Any:
        return builder.load(builder.bitcast(builder.gep(value, [number(offset)]), kind.as_pointer()))

    def demand(found: Any, expected: Any) -> None:
        right = guard.append_basic_block()
        builder.cbranch(builder.icmp_unsigned("==", found, expected), right, wrong)
        builder.position_at_end(right)

    def look(given: Any, kinds: tuple[Kind, ...]) -> None:
        demand(builder.call(size, [given]), number(len(kinds)))
        for place, (what, of, *rest) in enumerate(kinds):
            value = builder.call(item, [given, number(place)])
            demand(field(value, machinecode.TYPE, pointer), known(machinecode.type_symbol(of)))
            if what == machinecode.TUPLE:
                look(value, tuple(rest))
            elif what == machinecode.ARRAY:
                dtype, rank, layout, writeable = rest
                mask, flags = machinecode.LAYOUTS[layout]
                demand(field(value, machinecode.DTYPE, pointer), known(machinecode.dtype_symbol(dtype)))
                demand(field(value, machinecode.RANK, word), word(rank))
                seen = builder.and_(field(value, machinecode.FLAGS, word), word(mask | ALIGNED | WRITEABLE))
                demand(seen, word(flags | ALIGNED | WRITEABLE * writeable))

    look(guard.args[1], kinds)
    builder.ret(builder.call(calls, [pointer(None), guard.args[1], pointer(None)]))
    builder.position_at_end(wrong)
    builder.call(hold, [known("_Py_NotImplementedStruct")])
    builder.ret(known("_Py_NotImplementedStruct"))
    emitted: bytes = binding.Target.from_default_triple().create_target_machine(jit=True).emit_object(binding.parse_assembly(str(module)))
    return emitted
