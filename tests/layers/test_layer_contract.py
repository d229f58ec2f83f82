"""Every kind of layer keeps the promise of `layers/base.py`; members are found by file name."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from accelsim.errors import ModelError
from accelsim.graph import Node, Shape
from accelsim.layers import kinds, layer

ODD: Shape = (6, 9, 7)
SPECIAL: dict[str, tuple[Node, list[Shape]]] = {
    "input": (Node(0, "n", "input", (), ODD), []),
    "conv": (Node(1, "n", "conv", (0,), (4, 1, 1), (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), groups=2, activation="relu"), [ODD]),
    "fc": (Node(1, "n", "fc", (0,), (5, 1, 1), activation="leaky", slope=0.1), [ODD]),
    "maxpool": (Node(1, "n", "maxpool", (0,), ODD, (3, 3), (2, 2), (1, 1, 1, 1)), [ODD]),
    "add": (Node(2, "n", "add", (0, 1), ODD, activation="relu"), [ODD, ODD]),
    "concat": (Node(2, "n", "concat", (0, 1), ODD), [ODD, (2, 9, 7)]),
    "upsample": (Node(1, "n", "upsample", (0,), ODD, attributes={"factor": 2}), [ODD]),
    "avgpool": (Node(1, "n", "avgpool", (0,), ODD, (3, 2), (2, 1), (1, 0, 1, 1)), [ODD]),
    "sub": (Node(2, "n", "sub", (0, 1), ODD), [ODD, (1, 9, 7)]),
    "mul": (Node(2, "n", "mul", (0, 1), ODD, activation="logistic"), [ODD, (6, 1, 1)]),
    "constant": (Node(1, "n", "constant", (0,), (2, 3, 4)), [ODD]),
    "given": (Node(1, "n", "given", (0,), (2, 3, 4)), [ODD]),
    "reshape": (Node(1, "n", "reshape", (0,), (2, 27, 7)), [ODD]),
    "permute": (Node(1, "n", "permute", (0,), ODD, attributes={"view": "2 3 9 7", "order": "1 0 2 3"}), [ODD]),
    "slice": (Node(1, "n", "slice", (0,), (4, 5, 3), attributes={"start": "5 0 1", "step": "-1 2 2"}), [ODD]),
    "pad": (Node(1, "n", "pad", (0,), ODD, pad=(1, 0, 2, 3), attributes={"front": 1, "back": 2, "value": 0.5}), [ODD]),
    "resize": (Node(1, "n", "resize", (0,), (6, 13, 4), attributes={"mode": "linear"}), [ODD]),
    "crop": (Node(1, "n", "crop", (0,), (6, 4, 5), attributes={"scale": 2.0, "offset": -1.0}), [ODD]),
}


def example(kind: str) -> tuple[Node, list[Shape]]:
    """A node of this kind; one input and default geometry where the kind needs nothing special."""
    return SPECIAL.get(kind, (Node(1, "n", kind, (0,), ODD), [ODD]))


@pytest.mark.parametrize("kind", kinds())
def test_a_layer_keeps_its_promise(kind: str) -> None:
    node, inputs = example(kind)
    member = layer(kind)
    assert member.kind == kind
    shape = member.output_shape(node, inputs)
    node = replace(node, shape=shape)
    assert member.output_shape(node, inputs) == shape
    assert len(shape) == 3
    assert min(shape) > 0
    roles = member.weight_shapes(node, inputs)
    assert set(roles) in (set(), {"weight", "bias"}, {"values"})
    assert all(min(sizes) > 0 for sizes in roles.values())
    assert (member.macs(node, inputs) > 0) == ("weight" in roles)
    rng = np.random.default_rng(1)
    weights = {role: rng.standard_normal(sizes).astype(np.float32) for role, sizes in roles.items()}
    given = [rng.standard_normal(size).astype(np.float32) for size in inputs or [node.shape]]
    before = [tensor.copy() for tensor in given]
    made = member.forward(node, given, weights)
    assert made.shape == shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    for tensor, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(tensor, copy, err_msg="an input was changed")
    np.testing.assert_array_equal(member.forward(node, given, weights), made)


def test_the_kinds_are_those_the_graph_names() -> None:
    named = " ".join((Node.__doc__ or "").partition("Kinds:")[2].partition("(see")[0].split())
    assert set(named.split(", ")) == set(kinds())
    assert layer("conv") is layer("conv")


def test_an_unknown_kind_is_answered_with_a_guess() -> None:
    with pytest.raises(ModelError, match=r"unknown kind of layer 'maxpol'\n    allowed: activation, .*  Did you mean 'maxpool'\?"):
        layer("maxpol")


@pytest.mark.parametrize(
    ("node", "inputs", "fault"),
    [
        (SPECIAL["conv"][0], [(5, 9, 7)], "2 groups must divide 5 input channels and 4 filters"),
        (SPECIAL["conv"][0], [ODD, ODD], "conv takes one input, 2 given"),
        (Node(1, "c", "conv", (0,), (4, 1, 1), (5, 5)), [(1, 4, 9)], "kernel of 5 x 5 does not fit into its padded input of 4 x 9"),
        (Node(1, "c", "conv", (0,), (4, 1, 1), stride=(0, 1)), [ODD], "stride .0, 1."),
        (Node(1, "p", "maxpool", (0,), ODD, (2, 2), pad=(2, 0, 0, 0)), [ODD], "each pad must be smaller than the window"),
        (Node(2, "a", "add", (0, 1), ODD), [ODD], "takes two inputs"),
        (Node(2, "a", "add", (0, 1), ODD), [ODD, (6, 9, 6)], r"cannot add \[6, 9, 6\] to \[6, 9, 7\]"),
        (Node(2, "a", "add", (0, 1), ODD), [ODD, (6, 18, 7)], "one whole ratio"),
        (Node(2, "c", "concat", (0, 1), ODD), [ODD, (6, 9, 6)], "one height and width"),
        (Node(1, "u", "upsample", (0,), ODD), [ODD], "factor None"),
        (Node(1, "c", "crop", (0,), (6, 10, 7)), [ODD], "crop of 10 x 7 from a map of 9 x 7"),
        (Node(1, "s", "softmax", (0,), ODD, groups=4), [ODD], "4 groups do not divide 378 elements"),
        (Node(1, "s", "softmax", (0,), ODD, attributes={"inner": 5}), [ODD], "are not 5 apart"),
        (Node(0, "i", "input", (), ODD), [ODD], "an input has no producers"),
        (Node(1, "c", "constant", (), ODD), [], "constant takes one input, 0 given"),
        (Node(1, "a", "avgpool", (0,), ODD, (2, 2), pad=(2, 0, 0, 0)), [ODD], "a window lies wholly in the padding"),
        (Node(2, "c", "concat", (0, 1), ODD, attributes={"axis": "rows"}), [ODD, (5, 9, 7)], "one channel count and width"),
        (Node(2, "c", "concat", (0, 1), ODD, attributes={"axis": "depth"}), [ODD, ODD], "axis 'depth'; allowed: channels, rows, columns"),
        (Node(2, "m", "mul", (0, 1), ODD), [ODD, (6, 3, 1)], "along each axis, sizes must be equal or 1"),
        (Node(2, "m", "sub", (0, 1), ODD), [ODD], "sub takes two inputs or more, 1 given"),
        (Node(1, "r", "reshape", (0,), (6, 9, 8)), [ODD], r"\[6, 9, 7\] has 378 elements, \[6, 9, 8\] has 432"),
        (Node(1, "p", "permute", (0,), ODD, attributes={"view": "6 63", "order": "0 0"}), [ODD], "does not make"),
        (Node(1, "p", "permute", (0,), ODD, attributes={"view": "6 x", "order": "0 1"}), [ODD], "view '6 x'; allowed: some whole numbers"),
        (Node(1, "s", "slice", (0,), ODD, attributes={"start": "1 0 0"}), [ODD], "channels, rows, columns 1 to 6, 0 to 8, 0 to 6"),
        (Node(1, "s", "slice", (0,), ODD, attributes={"start": "0 0 0", "step": "1 0 1"}), [ODD], "step '1 0 1'"),
        (Node(1, "p", "pad", (0,), ODD, attributes={"mode": "mirror"}), [ODD], "unknown mode 'mirror'"),
        (Node(1, "p", "pad", (0,), ODD, attributes={"front": -1}), [ODD], "a slice takes elements away"),
        (Node(1, "p", "pad", (0,), ODD, pad=(9, 0, 0, 0), attributes={"mode": "reflect"}), [ODD], "reflect more of"),
        (Node(1, "r", "resize", (0,), ODD, attributes={"mode": "linaer"}), [ODD], "unknown mode 'linaer'\n    .*Did you mean 'linear'"),
        (Node(1, "r", "resize", (0,), (6, 0, 7)), [ODD], "resize to 0 x 7"),
        (Node(1, "l", "lrn", (0,), ODD, attributes={"size": 0}), [ODD], "size 0; allowed: whole numbers from 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(node: Node, inputs: list[Shape], fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        layer(node.kind).output_shape(node, inputs)


def test_the_input_refuses_an_image_of_another_shape() -> None:
    with pytest.raises(ModelError, match=r"the network takes \[6, 9, 7\], given \[6, 9, 8\]; change the preprocessing"):
        layer("input").forward(SPECIAL["input"][0], [np.zeros((6, 9, 8), np.float32)], {})


def test_macs_are_those_of_the_formulas() -> None:
    node, inputs = SPECIAL["conv"]
    channels, rows, cols = layer("conv").output_shape(node, inputs)
    assert layer("conv").macs(node, inputs) == channels * rows * cols * 3 * 3 * 2
    assert layer("fc").macs(*SPECIAL["fc"]) == 5 * prod(ODD)
