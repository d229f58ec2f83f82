"""From a checked ONNX file to a network: every operator in its order, by the reader that knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import onnx

from accelsim.errors import ModelError, nearest, quoted
from accelsim.networks import onnx_elementwise, onnx_file, onnx_fold, onnx_views, onnx_weights, onnx_windows
from accelsim.networks.network import Network
from accelsim.networks.onnx_build import Build, Reader, View
from accelsim.networks.onnx_call import Call
from accelsim.networks.onnx_file import MAIN, OnnxFile

READERS: Mapping[str, Reader] = MappingProxyType(
    {**onnx_weights.READERS, **onnx_windows.READERS, **onnx_elementwise.READERS, **onnx_views.READERS}
)
"""Operators that may depend on the image."""
SHOWN = 200
"""Unknown operators that are listed one by one."""
REMEDY = (
    "export the model with other operators (opset 13 or later, for inference, without custom ones), simplify it, or cut it before them; "
    "known: {known}"
)


def read(path: Path, name: str, provenance: Mapping[str, str]) -> tuple[Network, dict[str, View]]:
    """Read a network, and which node makes which tensor. Raises `ModelError` as `onnx.load`."""
    try:
        return _read(path, name, provenance)
    except ModelError as fault:
        if str(fault).startswith(str(path)):
            raise
        raise ModelError(f"{path}: {fault}") from fault


def _read(path: Path, name: str, provenance: Mapping[str, str]) -> tuple[Network, dict[str, View]]:
    model = onnx_file.parse(path)
    _refuse_unknown(path, model.graph, _live(model.graph))
    file = onnx_file.read(path, model)
    graph = file.skeleton.graph
    del model  # its weights have been read
    live = _live(graph)
    uses = Counter(file.outputs)
    for node in live:
        if node.op_type not in onnx_fold.OF_ANYTHING:
            uses.update(node.input)
    build = Build(file.image, file.shape, file.constants, uses)
    number = {id(node): at for at, node in enumerate(graph.node)}
    for node in live:
        _add(build, node, Call.of(path, node, number[id(node)], file.opset))
    _agree(file, build)
    missing = [output for output in file.outputs if output not in build.views]
    if missing:
        raise ModelError(f"{path}: output {quoted(missing[0])} does not depend on the image; remove it from the model")
    return build.network(name, file.outputs, {**provenance, "opset": str(file.opset), **file.notes})


def _add(build: Build, node: onnx.NodeProto, call: Call) -> None:
    """Add one operator: as a constant where it can be worked out, else as nodes."""
    if onnx_fold.folds(node, build.constants):
        if call.operator in onnx_fold.OF_ANYTHING and node.input[0] in build.views:
            build.constants[node.output[0]] = onnx_fold.shape_of(call, build.views[node.input[0]].sizes)
        else:
            made = onnx_fold.fold(call, node, build.constants)
            build.folded += sum(value.size for value in made.values())
            if build.folded > onnx_fold.MAX_TOTAL:
                raise call.fault(f"{build.folded:,} elements are made of constants by now; allowed: up to {onnx_fold.MAX_TOTAL:,}")
            build.constants |= made
        return
    try:
        READERS[node.op_type](build, call)
    except ModelError as fault:
        if str(fault).startswith(str(call.path)):
            raise
        raise call.fault(str(fault).removeprefix(f"{call.name}: ")) from fault


def _agree(file: OnnxFile, build: Build) -> None:
    """The sizes of every tensor are those that onnx infers. Raises `ModelError` otherwise."""
    for name, found in onnx_file.inferred(file).items():
        made = build.sizes.get(name, found)
        if len(found) != len(made) or any(size not in (None, own) for size, own in zip(found, made, strict=True)):
            raise ModelError(
                f"{file.path}: tensor {quoted(name)} is {list(made)}, but onnx infers {list(found)}; the model contradicts itself"
            )


def _live(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Operators that lead to an output, in their order."""
    needed = {entry.name for entry in graph.output}
    found = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            found.append(node)
    return found[::-1]


def _refuse_unknown(path: Path, graph: onnx.GraphProto, live: Sequence[onnx.NodeProto]) -> None:
    """Raise one error that names all operators that cannot be read."""
    faults = list(_unknown(graph, live))
    if faults:
        many = f"{len(faults):,} operators are not supported" if len(faults) > 1 else "an operator is not supported"
        more = [f"    ... and {len(faults) - SHOWN:,} more"] if len(faults) > SHOWN else []
        remedy = REMEDY.format(known=", ".join(sorted(READERS)))
        raise ModelError("\n".join([f"{path}: {many}:", *faults[:SHOWN], *more, f"    {remedy}"]))


def _unknown(graph: onnx.GraphProto, live: Sequence[onnx.NodeProto]) -> Iterator[str]:
    constants = {tensor.name for tensor in graph.initializer}
    number = {id(node): at for at, node in enumerate(graph.node)}
    for node in live:
        if onnx_fold.folds(node, constants):
            constants |= set(node.output)
        elif node.op_type not in READERS or node.domain not in MAIN:
            domain = "" if node.domain in MAIN else f"{node.domain}::"
            name = node.name or f"{node.op_type}_{number[id(node)]}"
            near = nearest(node.op_type, tuple(READERS))
            guess = f".  Did you mean {near!r}?" if near and near.lower() == node.op_type.lower() else ""
            of_map = " of a map (of constants it is known)" if node.op_type in onnx_fold.FOLDABLE and not domain else ""
            yield f"    {quoted(name)}: operator {quoted(domain + node.op_type)}{of_map}{guess}"
