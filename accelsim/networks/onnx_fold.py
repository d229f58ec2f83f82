"""Operators on constants, worked out while loading: the arithmetic on shapes that exporters write, and weights that are stored in parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from accelsim.networks.onnx_call import Call
from accelsim.networks.onnx_file import MAIN

Array = NDArray[np.generic]
MAX_ELEMENTS = 2**27
"""Of anything that an operator on constants may make; the largest matrix in use, of VGG-16, has 103 million."""
MAX_TOTAL = 2**28
"""Of all that a model's operators on constants may make."""

_NAMES = (
    "Abs Add And Cast CastLike Ceil Clip Concat Constant ConstantOfShape DequantizeLinear Div Equal Exp Expand Flatten Floor Gather "
    "GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Log Max Min Mod Mul Neg Not Or Pad Pow QuantizeLinear Range "
    "Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Round Shape Sign Size Slice Split Sqrt Squeeze Sub Sum Tile "
    "Transpose Unsqueeze Where"
)
FOLDABLE = frozenset(_NAMES.split())
"""Operators that are worked out where all their inputs are constants. Shape and Size are, whatever they are asked of."""
IMPLEMENTED_FROM = {"DequantizeLinear": 19}
"""Oldest version that onnx's reference implementation has, where that is newer than the operator; what is read means the same in both."""
OF_ANYTHING = frozenset({"Shape", "Size"})


def folds(node: onnx.NodeProto, constants: Collection[str]) -> bool:
    """Whether a node can be worked out from tensors of these names."""
    if node.domain not in MAIN:
        return False
    return node.op_type in OF_ANYTHING or (node.op_type in FOLDABLE and all(name in constants for name in node.input if name))


def shape_of(call: Call, sizes: Sequence[int]) -> Array:
    """What Shape or Size makes of a tensor of these sizes."""
    if call.operator == "Size":
        return np.array(prod(sizes), dtype=np.int64)
    start, end = call.integer("start", 0), call.integer("end", len(sizes))
    return np.array(tuple(sizes)[start:end], dtype=np.int64)


def fold(call: Call, node: onnx.NodeProto, constants: Mapping[str, Array]) -> dict[str, Array]:
    """Work out an operator on constants.

    Raises:  `ModelError` where it would make more than `MAX_ELEMENTS`, or where onnx's reference implementation refuses
    """
    from onnx.reference import ReferenceEvaluator

    given = {name: constants[name] for name in node.input if name}
    _check_size(call, [constants[name] if name else None for name in node.input])
    try:
        evaluator = ReferenceEvaluator(_alone(call, node, given))
        with np.errstate(all="ignore"):
            made = evaluator.run(None, given)
    except Exception as fault:  # the reference implementation raises whatever numpy does
        raise call.fault(f"cannot be worked out on its constants: {' '.join(str(fault).split()):.200}") from fault
    return dict(zip([name for name in node.output if name], (np.asarray(value) for value in made), strict=True))


def _alone(call: Call, node: onnx.NodeProto, given: Mapping[str, Array]) -> onnx.ModelProto:
    """A model of one operator."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in given.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "alone", inputs, outputs)
    version = max(call.version, IMPLEMENTED_FROM.get(call.operator, 0))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])


def _check_size(call: Call, inputs: Sequence[Array | None]) -> None:
    """Refuse what would make huge tensors out of small ones."""
    first = inputs[0] if inputs else None
    second = inputs[1] if len(inputs) > 1 else None
    elements = 0.0
    if call.operator == "ConstantOfShape" and first is not None:
        elements = prod(float(size) for size in first.reshape(-1).tolist())
    elif call.operator in ("Expand", "Tile") and second is not None and first is not None:
        elements = prod(float(size) for size in second.reshape(-1).tolist()) * first.size
    elif call.operator == "Pad" and first is not None:
        pads = call.integers("pads") if second is None else second.reshape(-1).tolist()
        elements = prod(size + sum(abs(float(pad)) for pad in pads or ()) for size in first.shape)
    elif call.operator == "Range":
        start, limit, step = (float(value) if value is not None else 0.0 for value in map(_scalar, inputs))
        elements = abs(limit - start) / abs(step) if step else 0.0
    elif call.operator == "Gather" and first is not None and second is not None:
        elements = float(first.size) * second.size
    else:
        # broadcasting may multiply, joining adds up, everything else keeps or shrinks
        given = [value for value in inputs if value is not None]
        rank = max((value.ndim for value in given), default=0)
        sizes = [(1,) * (rank - value.ndim) + value.shape for value in given]
        together = prod(float(max(size[axis] for size in sizes)) for axis in range(rank))
        elements = max(together, float(sum(value.size for value in given)))
    if not elements <= MAX_ELEMENTS:
        raise call.fault(f"would make {elements:,.0f} elements out of constants; allowed: up to {MAX_ELEMENTS:,}")


def _scalar(value: Array | None) -> float | None:
    return None if value is None or value.size != 1 else float(value.reshape(-1)[0].item())
