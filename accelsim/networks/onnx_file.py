"""An ONNX file as it lies on disk: parsed, bounded and checked before anything of it is believed.

Numbers are read here too, from the file itself or from files beside it. Nothing is allocated on a stranger's word: what a tensor declares
is compared with the bytes that are there.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import checker, helper, numpy_helper, shape_inference

from accelsim.errors import ModelError, quoted
from accelsim.networks.network import file_sha256

OLDEST = 7
"""First set of operators that is read: broadcasting as in numpy, no `consumed_inputs`."""
MAX_BYTES = 2**31 - 1
MAX_ELEMENTS = 2**29
MAX_NODES = 100_000
MAX_RANK = 8
ROUNDS_UP = 22
"""First set of operators for which shape inference rounds sizes of pools up as runtimes do."""
SMALL = 4096
"""Constants of up to so many elements are shown to shape inference; larger ones are weights, whose values say nothing of shapes."""
MAIN = ("", "ai.onnx")
PACKED: Mapping[str, int] = MappingProxyType({"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4})
"""Bits of the types of which a byte holds several."""

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A model whose structure is sound.

    `constants`: initializers by name. `image`: name of the one input that is no constant; `shape`: its sizes with a batch of 1.
    `skeleton`: the model without its weights; `nodes` are its own.
    """

    path: Path
    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, Array]
    image: str
    shape: tuple[int, ...]
    outputs: tuple[str, ...]
    opset: int
    skeleton: onnx.ModelProto
    notes: Mapping[str, str]


def parse(path: Path) -> onnx.ModelProto:
    """Parse a file and look at its outermost parts. Raises `ModelError` where it is no ONNX model, or one of another age."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path}: {size:,} bytes; a model may have {MAX_BYTES:,}, save its weights as external data")
        data = path.read_bytes()
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as fault:  # protobuf's own error type depends on its version
        raise ModelError(f"{path}: not an ONNX model, or cut off: its protobuf cannot be parsed; export it again") from fault
    if not model.graph.node:
        raise ModelError(f"{path}: no operators in it: not an ONNX model, or an empty one")
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"{path}: {len(model.graph.node):,} operators; allowed: up to {MAX_NODES:,}")
    opset(path, model)
    if not all(isinstance(text, str) for text in _texts(model.graph)):
        raise ModelError(f"{path}: damaged: one of its names is no UTF-8 text; export it again")
    return model


def _texts(graph: onnx.GraphProto) -> Iterator[object]:
    """All names in a graph; protobuf gives bytes for what is no text."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output, *(entry.name for entry in node.attribute))
    for entry in (*graph.input, *graph.output, *graph.initializer):
        yield entry.name
    for tensor in graph.initializer:
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))
    for dim in (dim for entry in graph.input for dim in entry.type.tensor_type.shape.dim):
        yield dim.dim_param


def opset(path: Path, model: onnx.ModelProto) -> int:
    """Version of the operators. Raises `ModelError` where the installed onnx package does not know it, or it is too old."""
    known = onnx.defs.onnx_opset_version()
    found = [entry.version for entry in model.opset_import if entry.domain in MAIN]
    if not found or not OLDEST <= found[0] <= known:
        remedy = "update the onnx package, or " if found and found[0] > known else ""
        given = f"opset {found[0]}" if found else "no opset"
        raise ModelError(f"{path}: {given}; allowed: {OLDEST} to {known}; {remedy}export it with one of these")
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(f"{path}: IR version {model.ir_version}, the installed onnx package reads {onnx.IR_VERSION}; update it")
    return int(found[0])


def read(path: Path, model: onnx.ModelProto) -> OnnxFile:
    """Check a parsed model and read its numbers.

    Raises:  `ModelError` for what is missing, circular, contradictory, larger than the file, or outside its folder
    """
    graph = model.graph
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise ModelError(f"{path}: initializer {quoted(name)} is sparse; save it as a dense tensor")
    _check_attributes(path, graph)
    constants = {tensor.name: _values(path, tensor) for tensor in graph.initializer}
    _check_order(path, graph)
    images = [entry for entry in graph.input if entry.name not in constants]
    if len(images) != 1:
        names = ", ".join(quoted(entry.name) for entry in images) or "none"
        raise ModelError(f"{path}: inputs that are no constants: {names}; allowed: one, the image")
    shape, notes = _image_shape(path, images[0])
    notes |= _external_files(path, graph)
    skeleton = _skeleton(model, images[0].name, shape, constants)
    try:
        checker.check_model(skeleton)
    except Exception as fault:  # beside its own error, the checker lets errors of decoding through
        raise _refusal(path, fault) from fault
    return OnnxFile(
        path=path,
        nodes=tuple(skeleton.graph.node),
        constants=constants,
        image=images[0].name,
        shape=shape,
        outputs=tuple(entry.name for entry in graph.output),
        opset=opset(path, model),
        skeleton=skeleton,
        notes=notes,
    )


def _image_shape(path: Path, entry: onnx.ValueInfoProto) -> tuple[tuple[int, ...], dict[str, str]]:
    """Sizes of the image with a batch of 1; the first of several axes is the batch."""
    name = quoted(entry.name)
    if not entry.type.HasField("tensor_type") or not entry.type.tensor_type.HasField("shape"):
        raise ModelError(f"{path}: input {name} is not a tensor of known shape; export it with a fixed input size")
    dims = entry.type.tensor_type.shape.dim
    if not 1 <= len(dims) <= MAX_RANK:
        raise ModelError(f"{path}: input {name} has {len(dims)} axes; allowed: 1 to {MAX_RANK}")
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims]
    notes = {}
    if len(sizes) > 1:
        if sizes[0] != 1:
            notes["batch"] = f"{sizes[0] or quoted(dims[0].dim_param)} in the file, taken as 1"
        sizes[0] = 1
    if min(sizes) < 1:
        text = ", ".join(str(size) if size > 0 else dim.dim_param or "?" for size, dim in zip(sizes, dims, strict=True))
        raise ModelError(f"{path}: input {name} is [{text}]: sizes beyond the batch must be fixed; export it with a fixed input size")
    if math.prod(sizes) > MAX_ELEMENTS:
        raise ModelError(f"{path}: input {name} has {math.prod(sizes):,} elements; allowed: up to {MAX_ELEMENTS:,}")
    return tuple(sizes), notes


def _check_attributes(path: Path, graph: onnx.GraphProto) -> None:
    """What an attribute holds must lie in the model itself, since onnx's own code reads it."""
    for number, node in enumerate(graph.node):
        for entry in node.attribute:
            for tensor in (*([entry.t] if entry.HasField("t") else []), *entry.tensors):
                if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                    title = f"{path}: {quoted(node.name or f'node {number}')} ({node.op_type[:60]!r})"
                    raise ModelError(f"{title}: {quoted(entry.name)} holds external data; allowed: in initializers")


def _check_order(path: Path, graph: onnx.GraphProto) -> None:
    """Every tensor is made once, and before it is used."""
    known = {entry.name for entry in graph.input} | {tensor.name for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output if name}
    for number, node in enumerate(graph.node):
        title = f"{path}: {quoted(node.name or f'node {number}')} ({node.op_type[:60]!r})"
        for name in node.input:
            if name and name not in known:
                if name in makers:
                    raise ModelError(f"{title}: reads {quoted(name)}, which is made only later: the graph is circular or out of order")
                raise ModelError(f"{title}: reads {quoted(name)}, which is neither an input, nor an initializer, nor made by any operator")
        for name in node.output:
            if name and name in known:
                raise ModelError(f"{title}: makes {quoted(name)} a second time; every tensor is made once")
            known.add(name)
    for entry in graph.output:
        if entry.name not in known:
            raise ModelError(f"{path}: output {quoted(entry.name)} is made by no operator")


def _values(path: Path, tensor: onnx.TensorProto) -> Array:
    """Read one tensor, its size compared with its bytes first."""
    name = f"{path}: tensor {quoted(tensor.name)}"
    try:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError) as fault:
        raise ModelError(f"{name}: unknown type of data {tensor.data_type}") from fault
    if tensor.data_type == onnx.TensorProto.STRING:
        raise ModelError(f"{name}: holds texts; allowed: numbers")
    if len(tensor.dims) > MAX_RANK or any(size < 0 for size in tensor.dims):
        raise ModelError(f"{name}: sizes {list(tensor.dims)[:MAX_RANK]}; allowed: up to {MAX_RANK} of 0 or more")
    elements = math.prod(tensor.dims)
    size = " x ".join(f"{axis:,}" for axis in tensor.dims)
    if elements > MAX_ELEMENTS:
        raise ModelError(f"{name}: declares {size} elements; allowed: {MAX_ELEMENTS:,}")
    bits = PACKED.get(dtype.name, dtype.itemsize * 8)
    wanted = -(-elements * bits // 8)
    raw = tensor.raw_data if tensor.HasField("raw_data") else None
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = _external(path, name, {entry.key: entry.value for entry in tensor.external_data}, wanted)
    if raw is not None and len(raw) != wanted:
        raise ModelError(f"{name}: declares {size or 'one'} = {wanted:,} bytes, {len(raw):,} are there")
    if raw is not None and dtype.isbuiltin == 1:
        return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(tuple(tensor.dims))
    held = onnx.TensorProto()
    held.CopyFrom(tensor)
    if raw is not None:
        held.raw_data = raw
        del held.external_data[:]
        held.data_location = onnx.TensorProto.DEFAULT
    try:
        return np.asarray(numpy_helper.to_array(held)).reshape(tuple(tensor.dims))
    except Exception as fault:  # numpy, protobuf and ml_dtypes each have their own errors for damaged data
        raise ModelError(f"{name}: its {size or 'one'} numbers cannot be read ({' '.join(str(fault).split()):.100})") from fault


def _external(path: Path, name: str, entries: Mapping[str, str], wanted: int) -> bytes:
    """Read the bytes of a tensor from a file beside the model, and from nowhere else."""
    location = entries.get("location", "")
    foreign = PureWindowsPath(location)
    if not location or foreign.drive or foreign.is_absolute() or PurePosixPath(location).is_absolute() or ".." in foreign.parts:
        raise ModelError(f"{name}: external data in {quoted(location)}; allowed: a file in the folder of the model or below it")
    folder = path.resolve().parent
    data = folder / location
    if not data.resolve().is_relative_to(folder):
        raise ModelError(f"{name}: external data in {quoted(location)}, a link out of the folder of the model")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(wanted)))
        if offset < 0 or length != wanted:
            raise ValueError(f"offset {offset}, length {length}")
        with data.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size < offset + length:
                raise ModelError(f"{name}: wants {length:,} bytes at {offset:,} of {quoted(location)}, which is shorter; it is cut off")
            stream.seek(offset)
            return stream.read(length)
    except ValueError as fault:
        raise ModelError(f"{name}: external data says {fault}; its sizes need {wanted:,} bytes") from fault
    except OSError as fault:
        raise ModelError(f"{name}: external data {quoted(location)} cannot be read: {fault.strerror or fault}") from fault


def _external_files(path: Path, graph: onnx.GraphProto) -> dict[str, str]:
    """Names and hashes of the files beside the model that hold its weights."""
    entries = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    names = sorted(entries)
    if not names:
        return {}
    return {"weights_file": " ".join(names), "weights_sha256": " ".join(file_sha256(path.parent / name) for name in names)}


def _skeleton(model: onnx.ModelProto, image: str, shape: Sequence[int], constants: Mapping[str, Array]) -> onnx.ModelProto:
    """The model without its large constants and without the shapes that its exporter noted: small, and for a batch of 1."""
    light = onnx.ModelProto()
    light.CopyFrom(_stripped(model))
    graph = light.graph
    del graph.input[:]
    del graph.value_info[:]
    elem_type = next(entry.type.tensor_type.elem_type for entry in model.graph.input if entry.name == image)
    graph.input.append(helper.make_tensor_value_info(image, elem_type, list(shape)))
    for tensor in model.graph.initializer:
        value = constants[tensor.name]
        if value.size > SMALL:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(value.shape)))
        else:
            small = graph.initializer.add()
            small.CopyFrom(tensor)
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                small.CopyFrom(numpy_helper.from_array(value, tensor.name))
            if model.ir_version < 4:
                graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(value.shape)))
    return light


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.graph.name = "skeleton"
    light.graph.node.extend(model.graph.node)
    light.graph.output.extend(model.graph.output)
    for entry in light.graph.output:
        # some exporters leave out what the checker wants to see; inference finds it
        if entry.type.WhichOneof("value") is None:
            entry.type.tensor_type.elem_type = onnx.TensorProto.UNDEFINED
        if entry.type.HasField("tensor_type"):
            entry.type.tensor_type.shape.SetInParent()
    return light


def _rounds_up(node: onnx.NodeProto) -> bool:
    return node.op_type in ("MaxPool", "AveragePool") and any(entry.name == "ceil_mode" and entry.i for entry in node.attribute)


def inferred(file: OnnxFile) -> dict[str, tuple[int | None, ...]]:
    """Sizes of tensors as onnx infers them, None where it does not know. Raises `ModelError` where it finds a contradiction.

    Before opset 22, inference gives pools with `ceil_mode` windows that begin in the padding; no runtime has those, so it is left out.
    """
    if file.opset < ROUNDS_UP and any(_rounds_up(node) for node in file.nodes):
        return {}
    for entry in file.skeleton.graph.output:
        # what the exporter noted may hold for another batch
        entry.type.tensor_type.ClearField("shape")
    try:
        model = shape_inference.infer_shapes(file.skeleton, check_type=True, strict_mode=True, data_prop=True)
    except Exception as fault:  # as the checker
        raise _refusal(file.path, fault) from fault
    return {
        entry.name: tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in entry.type.tensor_type.shape.dim)
        for entry in (*model.graph.value_info, *model.graph.output)
        if entry.type.HasField("tensor_type") and entry.type.tensor_type.HasField("shape")
    }


def _refusal(path: Path, fault: Exception) -> ModelError:
    text = " ".join(str(fault).replace("==> Context:", ";").split())
    return ModelError(f"{path}: onnx refuses it: {text:.300}")
