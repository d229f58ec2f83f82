"""Small ONNX models for tests, written operator by operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from accelsim.graph import Node
from accelsim.networks import onnx as onnx_networks

IMAGE = (1, 4, 6, 8)
Values = Mapping[str, np.ndarray | Sequence[int] | float]


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers around 0."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensor(name: str, values: np.ndarray | Sequence[int] | float) -> onnx.TensorProto:
    """An initializer; whole numbers become int64, real ones float32."""
    array = np.asarray(values)
    if not isinstance(values, np.ndarray):
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
    return numpy_helper.from_array(array, name)


def op(operator: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    """An operator; names are separated by blanks, `-` leaves an input out."""
    names = [name.removeprefix("-") for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def model(
    *nodes: NodeProto,
    constants: Values | None = None,
    shape: Sequence[int | str] = IMAGE,
    outputs: str | None = None,
    opset: int = 13,
    dtype: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of one input `x`; its outputs are those of the last operator unless named."""
    names = (outputs or " ".join(nodes[-1].output)).split()
    graph = helper.make_graph(
        list(nodes),
        "sample",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_empty_tensor_value_info(name) for name in names],
        [tensor(name, values) for name, values in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save(path: Path, made: onnx.ModelProto) -> Path:
    """Write a model; gives its path."""
    path.write_bytes(made.SerializeToString())
    return path


def graph(folder: Path, *nodes: NodeProto, **settings: object) -> tuple[Node, ...]:
    """Nodes of what we read of a model."""
    made = model(*nodes, **settings)  # type: ignore[arg-type]
    return onnx_networks.load(save(folder / "sample.onnx", made)).graph.nodes
