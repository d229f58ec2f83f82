"""Every kind of layer runs as its readable forward says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accelsim.graph import Node
from accelsim.layers import kinds, layer
from accelsim.layers.activations import ACTIVATIONS
from accelsim.operators import FUSED, Forward, operator

SHAPE = (4, 6, 5)
DRAFTS = {
    "conv": Node(1, "n", "conv", (0,), (3, 1, 1), (3, 3), (2, 1), (1, 1, 1, 1), activation="leaky", slope=0.1),
    "fc": Node(1, "n", "fc", (0,), (7, 1, 1), activation="relu"),
    "maxpool": Node(1, "n", "maxpool", (0,), (4, 1, 1), (3, 3), (2, 2), (0, 1, 2, 1)),
    "avgpool": Node(1, "n", "avgpool", (0,), (4, 1, 1), (6, 5), (6, 5)),
    "add": Node(1, "n", "add", (0, 0), (1, 1, 1), activation="relu"),
    "concat": Node(1, "n", "concat", (0, 0), (1, 1, 1)),
    "upsample": Node(1, "n", "upsample", (0,), (1, 1, 1), attributes={"factor": 2}),
    "crop": Node(1, "n", "crop", (0,), (4, 3, 3), attributes={"scale": 2.0, "offset": -1.0}),
    "softmax": Node(1, "n", "softmax", (0,), (1, 1, 1)),
    "scale": Node(1, "n", "scale", (0,), (4, 1, 1), activation="relu"),
    "activation": Node(1, "n", "activation", (0,), (4, 1, 1), activation="hardswish"),
    "mul": Node(1, "n", "mul", (0, 0), (1, 1, 1)),
    "sub": Node(1, "n", "sub", (0, 0), (1, 1, 1), activation="relu"),
    "lrn": Node(1, "n", "lrn", (0,), (4, 1, 1)),
    "reshape": Node(1, "n", "reshape", (0,), (8, 3, 5)),
    "permute": Node(1, "n", "permute", (0,), (6, 5, 4), attributes={"view": "4 6 5", "order": "1 2 0"}),
    "slice": Node(1, "n", "slice", (0,), (2, 3, 5), attributes={"start": "1 0 0", "step": "1 2 1"}),
    "pad": Node(1, "n", "pad", (0,), (1, 1, 1), pad=(1, 2, 0, 1)),
    "resize": Node(1, "n", "resize", (0,), (4, 9, 3), attributes={"mode": "cubic"}),
    "constant": Node(1, "n", "constant", (0,), (2, 3, 4)),
    "given": Node(1, "n", "given", (0,), (2, 3, 4)),
    "input": Node(0, "n", "input", (), SHAPE),
    **{kind: Node(1, "n", kind, (0,), (1, 1, 1)) for kind in ("cost", "dropout", "yolo")},
}


def compare(node: Node, *, shapes=None, seed=0):
    rng = np.random.default_rng(seed)
    shapes = shapes or [SHAPE] * len(node.inputs)
    node = replace(node, shape=layer(node.kind).output_shape(node, shapes))
    inputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes or [SHAPE]]
    inputs[0][2] = 0
    zero_channels = [~tensor.any(axis=(1, 2)) for tensor in inputs]
    sizes = layer(node.kind).weight_shapes(node, shapes)
    weights = {role: rng.standard_normal(size).astype(np.float32) for role, size in sizes.items()}
    copies = [tensor.copy() for tensor in inputs]
    bound = operator(node, shapes, weights)
    ofmap = bound(inputs, zero_channels, lambda size: np.full(size, np.nan, np.float32))
    assert ofmap.flags.c_contiguous
    assert ofmap.dtype == np.float32
    np.testing.assert_allclose(ofmap, layer(node.kind).forward(node, copies, weights), rtol=1e-5, atol=1e-5)
    for tensor, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(tensor, copy, err_msg="an operator must leave its inputs alone")
    return bound


def test_no_kind_is_forgotten():
    assert set(DRAFTS) == set(kinds())


@pytest.mark.parametrize("kind", sorted(DRAFTS))
def test_operator_equals_forward(kind):
    compare(DRAFTS[kind])


@pytest.mark.parametrize("name", sorted([*ACTIVATIONS, "prelu"]))
@pytest.mark.parametrize("kind", ["conv", "fc", "maxpool", "avgpool", "add", "mul", "sub", "scale", "activation"])
def test_every_activation_of_every_kind_that_has_one(kind, name):
    compare(replace(DRAFTS[kind], activation=name, slope=0.2 if name in ("leaky", "elu", "prelu") else 0.0))


@pytest.mark.parametrize("name", ["relu", "swish", "gelu"])
@pytest.mark.parametrize("kind", ["conv", "fc", "add", "activation"])
def test_rounding_comes_after_the_activation(kind, name):
    compare(replace(DRAFTS[kind], activation=name, dtype="int8", zero_point=-5, attributes={"quantum": 0.125}))


@pytest.mark.parametrize("attributes", [{}, {"count_pad": True}, {"count_pad": True, "beyond_down": 1}])
def test_average_pooling_over_windows(attributes):
    bound = compare(Node(1, "n", "avgpool", (0,), (4, 1, 1), (2, 3), (2, 1), (1, 0, 1, 1), (1, 2), attributes=attributes))
    assert type(bound).__name__ == "WindowMeans"


def test_concatenation_along_columns():
    compare(replace(DRAFTS["concat"], attributes={"axis": "columns"}))


def test_kernels_take_the_activations_of_common_networks():
    assert set(FUSED) <= set(ACTIVATIONS)
    assert {"linear", "relu", "leaky", "relu6"} == set(FUSED)


def test_depthwise_convolution():
    bound = compare(replace(DRAFTS["conv"], shape=(4, 1, 1), groups=4))
    assert type(bound).__name__ == "Depthwise"


def test_grouped_convolution_with_zero_channels():
    bound = compare(replace(DRAFTS["conv"], shape=(6, 1, 1), groups=2))
    assert type(bound).__name__ == "Convolution"


@pytest.mark.parametrize(
    ("node", "shapes"),
    [
        (replace(DRAFTS["maxpool"], dilation=(2, 2)), [SHAPE]),
        (DRAFTS["add"], [SHAPE, (2, 3, 3)]),  # Darknet's shortcut between maps of different size
        (replace(DRAFTS["concat"], inputs=(0,)), [SHAPE]),
    ],
)
def test_what_no_kernel_does_runs_as_forward(node, shapes):
    shapes = [(4, 6, 6), *shapes[1:]] if node.kind == "add" else shapes
    assert isinstance(compare(node, shapes=shapes), Forward)
