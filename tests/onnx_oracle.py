"""ONNX Runtime as an oracle: every tensor of a model that our network still has, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from accelsim import inference
from accelsim.graph import Node
from accelsim.networks import onnx as onnx_networks

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Pair:
    """One tensor by both engines, flat; integers of quantised tensors are turned into ours."""

    name: str
    node: Node
    theirs: Array
    ours: Array

    @property
    def zero_channels(self) -> tuple[Array, Array]:
        """Which channels of the node's map are wholly zero: theirs, ours."""
        return tuple(~flat.reshape(self.node.shape[0], -1).any(axis=1) for flat in (self.theirs, self.ours))


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread, as the file says it: nothing is fused or rewritten."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def exposed(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The same model with these tensors as outputs, too."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {entry.name for entry in shown.graph.output}
    # without a type: ONNX Runtime infers it
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return shown


def pairs(path: Path, image: Array) -> list[Pair]:
    """Run both engines on one image, in the sizes of the file, and pair the tensors. Every output of the file is among them."""
    model = onnx.load(path)
    read = onnx_networks.read(path)
    names = [name for name in read.tensors if name != image_name(model)]
    assert {entry.name for entry in model.graph.output} <= set(names)
    found = session(exposed(model, names)).run(names, {image_name(model): image})
    own = image.astype(np.float32).reshape(image.shape)
    if "input_layout" in read.network.provenance:
        own = own.transpose(0, 3, 1, 2)
    ours = run(read.network, own.reshape(read.network.graph.nodes[0].shape))
    return [_pair(name, read, theirs, ours) for name, theirs in zip(names, found, strict=True)]


def run(network: inference.Network, image: Array) -> Mapping[int, Array]:
    """Our maps by node."""
    return {step.node.index: step.output for step in inference.run(network, np.ascontiguousarray(image))}


def image_name(model: onnx.ModelProto) -> str:
    """The input that is no initializer."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(entry.name for entry in model.graph.input if entry.name not in constants)


def _pair(name: str, read: onnx_networks.Imported, theirs: Array, ours: Mapping[int, Array]) -> Pair:
    view = read.tensors[name]
    assert theirs.shape == view.sizes, f"{name}: ONNX Runtime makes {theirs.shape}, we {view.sizes}"
    if view.quantum is not None:
        theirs = (theirs.astype(np.float32) - view.quantum.zero_point) * np.float32(view.quantum.scale)
    return Pair(name, read.network.graph.nodes[view.index], theirs.astype(np.float32).reshape(-1), ours[view.index].reshape(-1))
