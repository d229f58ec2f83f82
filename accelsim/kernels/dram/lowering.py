"""How the functions of `vectors.py` become machine instructions."""

from __future__ import annotations

from typing import Any

from numba.core import types

from accelsim.kernels.dram.vectors import lowest
from accelsim.kernels.windows.lowering import callable_type, lowers

callable_type(lowest)(lambda context: lambda bits: types.int64)


@lowers(lowest, types.Integer)
def _lowest(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.cttz(arguments[0], context.get_constant(types.boolean, True))
