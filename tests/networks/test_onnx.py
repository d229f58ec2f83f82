"""From ONNX operators to nodes: what is folded, fused, renamed, named and noted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_oracle import pairs
from onnx_samples import IMAGE, floats, graph, model, op, save

from accelsim.networks import onnx as onnx_networks

CONV = {"w": floats(5, 4, 3, 3), "b": floats(5, seed=1)}
NORM = {"gamma": floats(5), "beta": floats(5, seed=2), "mean": floats(5, seed=3), "variance": np.abs(floats(5, seed=4)) + 0.1}


def equal(path: Path, image: np.ndarray | None = None) -> None:
    """Every tensor is ONNX Runtime's."""
    for pair in pairs(path, floats(*IMAGE, seed=9) if image is None else image):
        np.testing.assert_allclose(pair.ours, pair.theirs, rtol=1e-4, atol=1e-5, err_msg=pair.name)


def test_normalisation_and_activation_join_the_convolution_before_them(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Conv", "x w b", "a", name="first", pads=[1, 1, 1, 1]),
        op("BatchNormalization", "a gamma beta mean variance", "n"),
        op("Relu", "n", "y"),
        constants=CONV | NORM,
    )
    assert [(node.name, node.kind, node.activation) for node in nodes] == [
        ("input", "input", "linear"),
        ("first", "conv", "relu"),
    ]
    equal(tmp_path / "sample.onnx")


def test_what_others_read_stays_a_node_of_its_own(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Conv", "x w b", "a", name="first", pads=[1, 1, 1, 1]),
        op("BatchNormalization", "a gamma beta mean variance", "n", name="norm"),
        op("Relu", "n", "r", name="act"),
        op("Add", "n r", "s", name="sum"),
        op("Add", "s a", "y", name="total"),
        constants=CONV | NORM,
    )
    assert [(node.name, node.kind, node.inputs) for node in nodes[1:]] == [
        ("first", "conv", (0,)),
        ("norm", "scale", (1,)),
        ("act", "activation", (2,)),
        ("sum", "add", (2, 3)),
        ("total", "add", (4, 1)),
    ]
    equal(tmp_path / "sample.onnx")


def test_an_output_of_the_model_is_not_fused_away(tmp_path: Path) -> None:
    settings = {"constants": CONV, "outputs": "a y"}
    nodes = graph(tmp_path, op("Conv", "x w b", "a"), op("Relu", "a", "y"), **settings)
    assert [node.kind for node in nodes] == ["input", "conv", "activation"]
    equal(tmp_path / "sample.onnx")


@pytest.mark.parametrize(("gate", "made"), [("Sigmoid", "swish"), ("HardSigmoid", "hardswish")])
def test_self_gating_is_one_activation_of_the_convolution(tmp_path: Path, gate: str, made: str) -> None:
    attributes = {"alpha": 1 / 6, "beta": 0.5} if gate == "HardSigmoid" else {}
    nodes = graph(tmp_path, op("Conv", "x w b", "a"), op(gate, "a", "g", **attributes), op("Mul", "g a", "y"), constants=CONV)
    assert [(node.kind, node.activation) for node in nodes[1:]] == [("conv", made)]
    equal(tmp_path / "sample.onnx")


@pytest.mark.parametrize("exchanged", [False, True])
def test_gelu_in_parts_is_one_activation(tmp_path: Path, exchanged: bool) -> None:
    nodes = graph(
        tmp_path,
        op("Conv", "x w b", "c"),
        op("Div", "c root", "d"),
        op("Erf", "d", "e"),
        op("Add", "e one", "a"),
        op("Mul", "a c" if exchanged else "c a", "m"),
        op("Mul", "half m" if exchanged else "m half", "y"),
        constants=CONV | {"root": 2**0.5, "one": 1.0, "half": 0.5},
    )
    assert [(node.kind, node.activation) for node in nodes[1:]] == [("conv", "gelu")]
    equal(tmp_path / "sample.onnx")


GELUS = {
    "half of x": [("Mul", "c half", "h"), ("Mul", "c root", "d"), ("Erf", "d", "e"), ("Add", "one e", "a"), ("Mul", "h a", "y")],
    "half of the gate": [("Div", "c two", "d"), ("Erf", "d", "e"), ("Add", "e one", "g"), ("Mul", "g half", "a"), ("Mul", "a c", "y")],
    "a quarter and two": [("Mul", "c quarter", "h"), ("Mul", "c root", "d"), ("Erf", "d", "e"), ("Mul", "e double", "f"),
                          ("Add", "f double", "a"), ("Mul", "a h", "y")],
}  # fmt: skip
NO_GELUS = {
    "another share": [("Mul", "c quarter", "h"), ("Mul", "c root", "d"), ("Erf", "d", "e"), ("Add", "one e", "a"), ("Mul", "h a", "y")],
    "another gate": [("Mul", "c half", "h"), ("Mul", "c two", "d"), ("Erf", "d", "e"), ("Add", "one e", "a"), ("Mul", "h a", "y")],
    "another map": [("Mul", "x half", "h"), ("Mul", "c root", "d"), ("Erf", "d", "e"), ("Add", "one e", "a"), ("Mul", "h a", "y")],
}
NUMBERS = {"root": 0.5**0.5, "two": 2**0.5, "double": 2.0, "one": 1.0, "half": 0.5, "quarter": 0.25}


@pytest.mark.parametrize("parts", GELUS.values(), ids=GELUS)
def test_gelu_is_known_however_its_half_is_written(tmp_path: Path, parts: list[tuple[str, str, str]]) -> None:
    nodes = graph(tmp_path, op("Conv", "x w b", "c"), *(op(*part) for part in parts), constants=CONV | NUMBERS)
    assert [(node.kind, node.activation) for node in nodes[1:]] == [("conv", "gelu")]
    equal(tmp_path / "sample.onnx")


@pytest.mark.parametrize("parts", NO_GELUS.values(), ids=NO_GELUS)
def test_what_is_nearly_gelu_stays_in_parts(tmp_path: Path, parts: list[tuple[str, str, str]]) -> None:
    same = {"w": floats(4, 4, 1, 1), "b": floats(4)}
    nodes = graph(tmp_path, op("Conv", "x w b", "c"), *(op(*part) for part in parts), constants=same | NUMBERS)
    assert not any("gelu" in node.activation for node in nodes)
    equal(tmp_path / "sample.onnx")


def test_a_gate_of_another_map_stays_a_product(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("GlobalAveragePool", "x", "m"),
        op("Conv", "m w b", "a"),
        op("Sigmoid", "a", "g"),
        op("Mul", "x g", "y", name="gated"),
        constants={"w": floats(4, 4, 1, 1), "b": floats(4)},
    )
    assert [(node.kind, node.activation, node.inputs) for node in nodes[2:]] == [("conv", "logistic", (1,)), ("mul", "linear", (0, 2))]
    equal(tmp_path / "sample.onnx")


def test_a_border_of_zeros_becomes_the_padding_of_the_convolution(tmp_path: Path) -> None:
    pads = {"pads": [0, 0, 1, 2, 0, 0, 0, 1]}
    nodes = graph(tmp_path, op("Pad", "x pads", "p"), op("Conv", "p w b", "y", pads=[1, 0, 1, 0]), constants=CONV | pads)
    assert [(node.kind, node.pad) for node in nodes[1:]] == [("conv", (2, 2, 1, 1))]
    equal(tmp_path / "sample.onnx")
    other = {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 1.0}
    nodes = graph(tmp_path, op("Pad", "x pads value", "p"), op("Conv", "p w b", "y"), constants=CONV | other)
    assert [node.kind for node in nodes[1:]] == ["pad", "conv"]
    equal(tmp_path / "sample.onnx")


def test_arithmetic_with_constants_joins_weights_or_scales_channels(tmp_path: Path) -> None:
    constants = CONV | {"f": floats(5, 1, 1), "o": 0.5, "map": floats(1, 1, 4, 6)}
    nodes = graph(
        tmp_path,
        op("Conv", "x w b", "a"),
        op("Mul", "a f", "s"),
        op("Sub", "o s", "t"),
        op("Relu", "t", "r"),
        op("Add", "r f", "u", name="shift"),
        op("Mul", "map u", "y", name="attention"),
        constants=constants,
    )
    assert [(node.name, node.kind) for node in nodes[1:]] == [
        ("Conv_0", "conv"),
        ("shift", "scale"),
        ("attention_constant", "constant"),
        ("attention", "mul"),
    ]
    assert nodes[1].activation == "relu"
    assert nodes[3].shape == (1, 4, 6)
    equal(tmp_path / "sample.onnx")


def test_sizes_alone_need_no_node(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Flatten", "x", "f"),
        op("Unsqueeze", "f axes", "u"),
        op("Dropout", "u", "d"),
        op("Squeeze", "d axes", "s"),
        op("Identity", "s", "i"),
        op("Gemm", "i m", "y"),
        constants={"axes": [2], "m": floats(192, 3)},
    )
    assert [(node.kind, node.inputs, node.shape) for node in nodes[1:]] == [("fc", (0,), (3, 1, 1))]
    equal(tmp_path / "sample.onnx")


def test_a_reshape_appears_where_channels_are_not_those_of_the_map(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Reshape", "x sizes", "r", name="view"),
        op("Conv", "r w", "y"),
        op("MaxPool", "r", "z", kernel_shape=[2, 2]),
        constants={"sizes": [0, 8, 6, -1], "w": floats(2, 8, 1, 1)},
        outputs="y z",
    )
    assert [(node.kind, node.inputs, node.shape) for node in nodes[1:]] == [
        ("reshape", (0,), (8, 6, 4)),
        ("conv", (1,), (2, 6, 4)),
        ("maxpool", (1,), (8, 5, 3)),
    ]
    equal(tmp_path / "sample.onnx")


def test_arithmetic_on_shapes_is_worked_out_while_loading(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Shape", "x", "s"),
        op("Gather", "s zero", "batch", axis=0),
        op("Unsqueeze", "batch axes", "row"),
        op("Constant", "", "rest", value=onnx.numpy_helper.from_array(np.array([-1], np.int64))),
        op("Concat", "row rest", "sizes", axis=0),
        op("Reshape", "x sizes", "f"),
        op("MatMul", "f m", "y"),
        constants={"zero": np.array(0, np.int64), "axes": [0], "m": floats(192, 2)},
        shape=("batch", *IMAGE[1:]),
    )
    assert [node.kind for node in nodes] == ["input", "fc"]
    equal(tmp_path / "sample.onnx")


def test_a_channel_shuffle_is_one_permutation(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Reshape", "x wide", "r"),
        op("Transpose", "r", "t", perm=[0, 2, 1, 3, 4], name="shuffle"),
        op("Reshape", "t narrow", "s"),
        op("Relu", "s", "y"),
        constants={"wide": [1, 2, 2, 6, 8], "narrow": [1, 4, 6, 8]},
    )
    assert [(node.name, node.kind, node.shape) for node in nodes[1:]] == [
        ("shuffle", "permute", (4, 6, 8)),
        ("Relu_3", "activation", (4, 6, 8)),
    ]
    assert nodes[1].attributes == {"view": "2 2 6 8", "order": "1 0 2 3"}
    equal(tmp_path / "sample.onnx")


def test_a_network_that_keeps_channels_last_is_handed_an_image_channels_first(tmp_path: Path) -> None:
    made = model(
        op("Transpose", "x", "t", perm=[0, 3, 1, 2]), op("Conv", "t w", "y"), constants={"w": floats(2, 3, 1, 1)}, shape=(1, 6, 8, 3)
    )
    read = onnx_networks.read(save(tmp_path / "last.onnx", made))
    assert [node.shape for node in read.network.graph.nodes] == [(3, 6, 8), (2, 6, 8)]
    assert read.network.provenance["input_layout"] == "channels last in the file, channels first here"
    equal(tmp_path / "last.onnx", floats(1, 6, 8, 3))


def test_signals_are_maps_of_one_row(tmp_path: Path) -> None:
    constants = {"w": floats(4, 1, 3), "s": floats(4)}
    nodes = graph(
        tmp_path,
        op("Conv", "x w", "a", group=4, dilations=[2], pads=[2, 1]),
        op("AveragePool", "a", "y", kernel_shape=[2], strides=[2]),
        constants=constants,
        shape=(1, 4, 9),
    )
    assert [node.shape for node in nodes] == [(4, 1, 9), (4, 1, 8), (4, 1, 4)]
    assert (nodes[1].kernel, nodes[1].pad, nodes[1].dilation, nodes[1].groups) == ((1, 3), (0, 2, 0, 1), (1, 2), 4)
    equal(tmp_path / "sample.onnx", floats(1, 4, 9))


def test_quantised_tensors_are_held_in_real_numbers_and_zero_means_the_zero_point(tmp_path: Path) -> None:
    constants = {
        "q": np.round(floats(5, 4, 3, 3) * 40).astype(np.int8),
        "steps": np.abs(floats(5)) / 50 + 0.01,
        "none": np.zeros(5, np.int8),
        "s": 0.05,
        "z": np.array(3, np.uint8),
    }
    made = model(
        op("QuantizeLinear", "x s z", "xq"),
        op("DequantizeLinear", "xq s z", "xd"),
        op("DequantizeLinear", "q steps none", "w", axis=0),
        op("Conv", "xd w", "a"),
        op("Relu", "a", "r"),
        op("QuantizeLinear", "r s z", "aq"),
        op("MaxPool", "aq", "pq", kernel_shape=[2, 2]),
        op("DequantizeLinear", "pq s z", "y"),
        constants=constants,
    )
    path = save(tmp_path / "quantised.onnx", made)
    nodes = onnx_networks.load(path).graph.nodes
    assert [(node.kind, node.activation, node.dtype, node.zero_point) for node in nodes[1:]] == [
        ("activation", "linear", "uint8", 3),
        ("conv", "relu", "uint8", 3),
        ("maxpool", "linear", "float32", 0),
    ]
    step = np.float32(0.05)
    for pair in pairs(path, floats(*IMAGE, seed=9)):
        apart = np.abs(pair.ours - pair.theirs)
        assert apart.max() <= step * 1.001, pair.name
        assert (apart > step / 2).mean() < 0.01, f"{pair.name}: sums that fall on an edge may round either way, but few do"
        assert ((pair.ours == 0) == (pair.theirs == 0)).mean() > 0.99


def test_integers_from_a_camera_are_numbers(tmp_path: Path) -> None:
    made = model(
        op("Cast", "x", "f", to=1),
        op("Conv", "f w", "y"),
        constants={"w": floats(2, 4, 1, 1)},
        dtype=onnx.TensorProto.UINT8,
    )
    image = np.random.default_rng(0).integers(0, 256, IMAGE).astype(np.uint8)
    equal(save(tmp_path / "bytes.onnx", made), image)


def test_rows_times_a_matrix_are_a_convolution_of_one_by_one(tmp_path: Path) -> None:
    nodes = graph(tmp_path, op("MatMul", "x m", "a"), op("Add", "a b", "y"), constants={"m": floats(8, 3), "b": floats(3)})
    assert [(node.kind, node.shape) for node in nodes[1:]] == [
        ("permute", (8, 1, 24)),
        ("conv", (3, 1, 24)),
        ("permute", (24, 1, 3)),
        ("constant", (1, 1, 3)),
        ("reshape", (4, 6, 3)),
        ("add", (4, 6, 3)),
    ]
    equal(tmp_path / "sample.onnx")


def test_names_are_unique_and_printable(tmp_path: Path) -> None:
    nodes = graph(
        tmp_path,
        op("Relu", "x", "a", name="block/act"),
        op("Conv", "a w", "b", name="block/act"),
        op("MaxPool", "b", "c", name="tab\there", kernel_shape=[2, 2]),
        op("MaxPool", "c", "y", kernel_shape=[2, 2]),
        constants={"w": CONV["w"]},
    )
    assert [node.name for node in nodes] == ["input", "block/act", "block/act_2", "tab_here", "MaxPool_3"]


def test_the_batch_is_one_image(tmp_path: Path) -> None:
    for batch, note in (("N", "'N' in the file, taken as 1"), (8, "8 in the file, taken as 1")):
        made = model(op("Conv", "x w b", "y"), constants=CONV, shape=(batch, *IMAGE[1:]))
        network = onnx_networks.load(save(tmp_path / "batch.onnx", made))
        assert network.graph.nodes[0].shape == IMAGE[1:]
        assert network.provenance["batch"] == note


def test_external_data_is_read_from_beside_the_model(tmp_path: Path) -> None:
    made = model(op("Conv", "x w b", "y"), constants=CONV)
    path = tmp_path / "outside.onnx"
    onnx.save(made, path, save_as_external_data=True, location="outside.bin", size_threshold=0)
    network = onnx_networks.load(path)
    np.testing.assert_array_equal(network.require_weights()[1]["weight"], CONV["w"])
    assert network.provenance["weights_file"] == "outside.bin"
    assert len(network.provenance["weights_sha256"]) == 64
    equal(path)


def test_the_network_says_where_it_came_from(tmp_path: Path) -> None:
    path = save(tmp_path / "tiny.onnx", model(op("Conv", "x w b", "y"), constants=CONV, opset=18))
    network = onnx_networks.load(path)
    assert network.graph.name == "tiny"
    assert onnx_networks.load(path, name="other").graph.name == "other"
    assert (network.provenance["network_file"], network.provenance["opset"]) == ("tiny.onnx", "18")
    assert len(network.provenance["network_sha256"]) == 64


def test_tensors_that_became_part_of_another_node_are_not_told(tmp_path: Path) -> None:
    path = save(tmp_path / "sample.onnx", model(op("Conv", "x w b", "a"), op("Relu", "a", "y"), constants=CONV))
    assert set(onnx_networks.read(path).tensors) == {"x", "y"}


def test_the_package_is_imported_only_when_a_network_is_loaded() -> None:
    code = "import sys; from accelsim import simulate; import accelsim.networks.onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_package_one_is_told_how_to_install_it(tmp_path: Path) -> None:
    path = save(tmp_path / "sample.onnx", model(op("Relu", "x", "y")))
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from accelsim.networks import onnx\nfrom accelsim.errors import ModelError\n"
        f"try:\n    onnx.load({str(path)!r})\nexcept ModelError as fault:\n    print(fault)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: ONNX networks need the onnx package\n    install it: pip install 'accelsim[onnx]'\n"


def test_convolutions_of_the_same_weights_hold_them_once_and_change_their_own_alone(tmp_path: Path) -> None:
    layers = (op("Conv", "x w b", "a", pads=[1, 1, 1, 1]), op("Conv", "x w b", "c", pads=[1, 1, 1, 1]))
    norm = op("BatchNormalization", "c gamma beta mean variance", "n")
    path = save(tmp_path / "sample.onnx", model(*layers, norm, op("Add", "a n", "y"), constants=CONV | NORM))
    first, second = (weights["weight"] for weights in onnx_networks.load(path).weights.values())
    assert np.array_equal(first, CONV["w"])
    assert not np.array_equal(first, second)
    assert first.flags.writeable  # as of every other network: kernels are compiled for either
    equal(path)
