"""Darknet networks as ONNX, so that ONNX Runtime can run them beside our own inference."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.graph import Node
from accelsim.networks.network import Network, output_index


def onnx_bytes(network: Network) -> bytes:
    """Write a network as ONNX, operator by operator."""
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    operators, constants, names = [], [], {0: "image"}

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def write(node: Node, inputs: list[str], out: str) -> str:
        window = {"kernel_shape": node.kernel, "strides": node.stride, "pads": node.pad, "dilations": node.dilation}
        if node.kind == "conv":
            weights = [constant(f"{out}_{role}", network.require_weights()[node.index][role]) for role in ("weight", "bias")]
            linear = out if node.activation == "linear" else f"{out}_linear"
            operators.append(helper.make_node("Conv", [*inputs, *weights], [linear], group=node.groups, **window))
            if node.activation == "leaky":
                operators.append(helper.make_node("LeakyRelu", [linear], [out], alpha=node.slope))
            elif node.activation != "linear":
                operators.append(helper.make_node({"relu": "Relu"}[node.activation], [linear], [out]))
        elif node.kind == "maxpool":
            operators.append(helper.make_node("MaxPool", inputs, [out], **window))
        elif node.kind == "avgpool":
            operators.append(helper.make_node("GlobalAveragePool", inputs, [out]))
        elif node.kind == "softmax":
            operators.append(helper.make_node("Softmax", inputs, [out], axis=1))
        elif node.kind == "concat" and len(inputs) > 1:
            operators.append(helper.make_node("Concat", inputs, [out], axis=1))
        elif node.kind == "crop" and node.shape == network.graph.nodes[node.inputs[0]].shape:
            scale, offset = (constant(f"{out}_{key}", np.array(node.attributes[key])) for key in ("scale", "offset"))
            operators.append(helper.make_node("Mul", [*inputs, scale], [f"{out}_scaled"]))
            operators.append(helper.make_node("Add", [f"{out}_scaled", offset], [out]))
        elif node.kind in ("dropout", "cost", "concat"):
            return inputs[0]
        else:
            pytest.fail(f"{node.name}: this benchmark writes no {node.kind}")
        return out

    for node in network.graph.nodes[1:]:
        names[node.index] = write(node, [names[index] for index in node.inputs], f"node{node.index}")
    last = output_index(network.graph)
    ends = [
        helper.make_tensor_value_info(name, float32, [1, *shape])
        for name, shape in (("image", network.graph.nodes[0].shape), (names[last], network.graph.nodes[last].shape))
    ]
    graph = helper.make_graph(operators, network.graph.name, ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
