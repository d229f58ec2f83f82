"""What is no model, or one that we do not read, is answered in one clear message and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_samples import IMAGE, floats, model, op, save, tensor

from accelsim.errors import ModelError
from accelsim.networks import onnx as onnx_networks

CONV = {"w": floats(5, 4, 3, 3)}


def refusal(path: Path) -> str:
    """The message, with the file's folder left out."""
    with pytest.raises(ModelError) as caught:
        onnx_networks.load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.replace(f"{path}: ", "")


def refused(folder: Path, *nodes: onnx.NodeProto, **settings: object) -> str:
    return refusal(save(folder / "bad.onnx", model(*nodes, **settings)))  # type: ignore[arg-type]


def test_all_unknown_operators_are_told_at_once(tmp_path: Path) -> None:
    text = refused(
        tmp_path,
        op("LSTM", "x w w", "a", name="encoder/lstm"),
        op("Relu", "a", "b"),
        op("Exp", "b", "c"),
        helper.make_node("Fancy", ["c"], ["y"], name="own", domain="com.example"),
        op("Det", "x", "unread"),
        constants={"w": floats(2, 2, 2)},
        outputs="y",
    )
    lines = text.splitlines()
    assert lines[:4] == [
        "3 operators are not supported:",
        "    'encoder/lstm': operator 'LSTM'",
        "    'Exp_2': operator 'Exp' of a map (of constants it is known)",
        "    'own': operator 'com.example::Fancy'",
    ]
    assert lines[4].startswith(
        "    export the model with other operators (opset 13 or later, for inference, without custom ones), simplify it"
    )
    assert "known: Add, AveragePool, BatchNormalization" in lines[4]


def test_a_long_list_of_unknown_operators_is_cut(tmp_path: Path) -> None:
    nodes = [op("Det", "x" if not at else f"t{at - 1}", f"t{at}") for at in range(250)]
    lines = refused(tmp_path, *nodes).splitlines()
    assert lines[0] == "250 operators are not supported:"
    assert lines[201] == "    ... and 50 more"
    assert len(lines) == 203


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "no operators in it: not an ONNX model, or an empty one"),
        (b"this is no model, but some text that somebody saved", "not an ONNX model, or cut off: its protobuf cannot be parsed"),
        (bytes(range(256)) * 40, "not an ONNX model, or cut off: its protobuf cannot be parsed"),
    ],
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, data: bytes, fault: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(data)
    assert refusal(tmp_path / "bad.onnx").startswith(fault)


def test_a_file_that_is_not_there_or_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.onnx") == "cannot be read: No such file or directory"
    (tmp_path / "folder.onnx").mkdir()
    assert refusal(tmp_path / "folder.onnx") == "cannot be read: Is a directory"


def test_every_cut_of_a_model_is_refused(tmp_path: Path) -> None:
    whole = model(op("Conv", "x w", "a"), op("Relu", "a", "y"), constants=CONV).SerializeToString()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        assert len(refusal(tmp_path / "cut.onnx").splitlines()) == 1


def test_any_changed_byte_gives_a_network_or_one_message(tmp_path: Path) -> None:
    whole = bytearray(model(op("Conv", "x w", "a"), op("Relu", "a", "y"), constants={"w": floats(1, 4, 1, 1)}).SerializeToString())
    path = tmp_path / "changed.onnx"
    messages = set()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x15
        path.write_bytes(changed)
        try:
            assert onnx_networks.load(path).graph.name == "changed"
        except ModelError as fault:
            messages.add(str(fault).partition("\n")[0])
    assert messages
    assert all(message.startswith(str(path)) for message in messages)


FLAWED: dict[str, tuple[list[onnx.NodeProto], dict[str, object]]] = {
    "opset 6; allowed: 7 to ": ([op("Relu", "x", "y")], {"opset": 6}),
    "opset 999; allowed: 7 to ": ([op("Relu", "x", "y")], {"opset": 999}),
    "'node 0' ('Add'): reads 'b', which is made only later: the graph is circular or out of order": (
        [op("Add", "x b", "a"), op("Relu", "a", "b")],
        {},
    ),
    "'node 0' ('Conv'): reads 'gone', which is neither an input, nor an initializer, nor made by any operator": (
        [op("Conv", "x gone", "y")],
        {},
    ),
    "'node 1' ('Sigmoid'): makes 'y' a second time; every tensor is made once": ([op("Relu", "x", "y"), op("Sigmoid", "x", "y")], {}),
    "output 'z' is made by no operator": ([op("Relu", "x", "y")], {"outputs": "y z"}),
    "input 'x' is [1, 4, height, 8]: sizes beyond the batch must be fixed": ([op("Relu", "x", "y")], {"shape": (1, 4, "height", 8)}),
    "input 'x' has 4,398,046,511,104 elements; allowed: up to 536,870,912": ([op("Relu", "x", "y")], {"shape": (1, 4, 2**20, 2**20)}),
    "Conv_0 (Conv): pads [-1, 0, 0, 0]; allowed: 4 numbers of 0 or more": (
        [op("Conv", "x w", "y", pads=[-1, 0, 0, 0])],
        {"constants": CONV},
    ),
    "Conv_0 (Conv): weight [5, 3, 3, 3], bias [5], group 1 for a map [1, 4, 6, 8]": (
        [op("Conv", "x w", "y")],
        {"constants": {"w": floats(5, 3, 3, 3)}},
    ),
    "Conv_0 (Conv): strides [0, 1]; allowed: 1 or more": ([op("Conv", "x w", "y", strides=[0, 1])], {"constants": CONV}),
    "Conv_0 (Conv): kernel of 9 x 3 does not fit into its padded input of 6 x 8": (
        [op("Conv", "x w", "y")],
        {"constants": {"w": floats(5, 4, 9, 3)}},
    ),
    "Conv_0 (Conv): weight (input 1) depends on the image; allowed: constants": ([op("Conv", "x x", "y")], {}),
    "Conv_0 (Conv): a tensor of [1, 4, 6, 8, 3]; allowed: [1, C, H, W] or [1, C, W]": (
        [op("Conv", "x w", "y")],
        {"constants": {"w": floats(1, 4, 1, 1, 1)}, "shape": (1, 4, 6, 8, 3)},
    ),
    "MaxPool_0 (MaxPool): indices of the largest elements are not supported": ([op("MaxPool", "x", "y i", kernel_shape=[2, 2])], {}),
    "Dropout_0 (Dropout): in training mode, or its mask is used; export the model for inference": (
        [op("Dropout", "x", "y m")],
        {"outputs": "y m"},
    ),
    "Reshape_0 (Reshape): shape [7, -1] for a tensor of [1, 4, 6, 8]; elements must stay as many": (
        [op("Reshape", "x s", "y")],
        {"constants": {"s": [7, -1]}},
    ),
    "(the batch is taken as 1: a batch written into the model must be 1 or -1)": (
        [op("Reshape", "x s", "y")],
        {"constants": {"s": [8, 4, 6, 8]}, "shape": (8, *IMAGE[1:])},
    ),
    "Slice_0 (Slice): from 4 to 9 of [1, 4, 6, 8] along axis 1: nothing is left": (
        [op("Slice", "x s e", "y")],
        {"constants": {"s": [0, 4], "e": [1, 9]}},
    ),
    "MatMul_0 (MatMul): the first factor is a constant": ([op("MatMul", "w x", "y")], {"constants": {"w": floats(6, 6)}}),
    "Div_0 (Div): division by a map is not supported": ([op("Div", "w x", "y")], {"constants": {"w": floats(8)}}),
    "Div_0 (Div): its divisor is 0 somewhere": ([op("Div", "x w", "y")], {"constants": {"w": 0.0}}),
    "Cast_0 (Cast): a map is turned into integers or truth values": ([op("Cast", "x", "y", to=7)], {}),
    "BatchNormalization_0 (BatchNormalization): a variance is negative; the file is damaged": (
        [op("BatchNormalization", "x a a a v", "y")],
        {"constants": {"a": floats(4), "v": -np.ones(4, np.float32)}},
    ),
    "mean (GlobalAveragePool): computes with integers": (
        [op("QuantizeLinear", "x s z", "q"), op("GlobalAveragePool", "q", "y", name="mean")],
        {"constants": {"s": 0.1, "z": np.array(0, np.int8)}},
    ),
    "Resize_0 (Resize): coordinate_transformation_mode 'tf_crop_and_resize' is not supported": (
        [op("Resize", "x e s", "y", coordinate_transformation_mode="tf_crop_and_resize")],
        {"constants": {"e": floats(0), "s": np.ones(4, np.float32)}},
    ),
    "output 'y' does not depend on the image": ([op("Constant", "", "y", value=tensor("t", floats(2)))], {}),
    "1 of 4 values of its weight are not finite": (
        [op("Relu", "x", "a"), op("Conv", "a w", "y")],
        {"constants": {"w": np.array([1, 2, np.inf, 3], np.float32).reshape(1, 4, 1, 1)}},
    ),
    "ConstantOfShape_0 (ConstantOfShape): would make 1,099,511,627,776 elements out of constants": (
        [op("ConstantOfShape", "s", "c"), op("Add", "x c", "y")],
        {"constants": {"s": [2**20, 2**20]}},
    ),
    "Expand_0 (Expand): would make 1,099,511,627,776 elements out of constants": (
        [op("Expand", "t s", "c"), op("Add", "x c", "y")],
        {"constants": {"t": 1.0, "s": [2**20, 2**20]}},
    ),
    "Range_0 (Range): would make 1,152,921,504,606,846,976 elements out of constants": (
        [op("Range", "a b c", "r"), op("Add", "x r", "y")],
        {"constants": {"a": 0, "b": 2**60, "c": 1}},
    ),
    "Pad_0 (Pad): a feature map of [4, 1048582, 1048584] elements; allowed: up to 268,435,456": (
        [op("Pad", "x p", "y")],
        {"constants": {"p": [0, 0, 2**20, 2**20, 0, 0, 0, 0]}},
    ),
}


@pytest.mark.parametrize("fault", FLAWED)
def test_a_fault_is_told_in_one_message(tmp_path: Path, fault: str) -> None:
    nodes, settings = FLAWED[fault]
    text = refused(tmp_path, *nodes, **settings)
    assert fault in text, text
    assert len(text.splitlines()) <= 2


def test_constants_that_double_again_and_again_end_somewhere(tmp_path: Path) -> None:
    nodes = [op("Concat", "c0 c0" if not at else f"d{at - 1} d{at - 1}", f"d{at}", axis=0) for at in range(40)]
    text = refused(tmp_path, *nodes, op("Add", "x d39", "y"), constants={"c0": np.ones(4096, np.int8)})
    assert "out of constants; allowed: up to 134,217,728" in text or "are made of constants by now" in text


def declared(folder: Path, **fields: object) -> str:
    """The message for a convolution whose weight declares something."""
    made = model(op("Conv", "x w", "y"), constants=CONV)
    weight = made.graph.initializer[0]
    for key, value in fields.items():
        if key == "external":
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            weight.external_data.extend(onnx.StringStringEntryProto(key=name, value=text) for name, text in value.items())  # type: ignore[attr-defined]
        elif key == "dims":
            del weight.dims[:]
            weight.dims.extend(value)  # type: ignore[arg-type]
        else:
            setattr(weight, key, value)
    return refusal(save(folder / "bad.onnx", made))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"dims": [2**31, 4, 3, 3]}, "tensor 'w': declares 2,147,483,648 x 4 x 3 x 3 elements; allowed: 536,870,912"),
        ({"dims": [50, 4, 3, 3]}, "tensor 'w': declares 50 x 4 x 3 x 3 = 7,200 bytes, 720 are there"),
        ({"dims": [5, 4, 3, -3]}, "tensor 'w': sizes [5, 4, 3, -3]; allowed: up to 8 of 0 or more"),
        ({"dims": [1] * 30}, "tensor 'w': sizes [1, 1, 1, 1, 1, 1, 1, 1]; allowed: up to 8 of 0 or more"),
        ({"data_type": 99}, "tensor 'w': unknown type of data 99"),
        ({"data_type": TensorProto.STRING}, "tensor 'w': holds texts; allowed: numbers"),
        ({"external": {"location": "../secret.bin"}}, "tensor 'w': external data in '../secret.bin'; allowed: a file in the folder"),
        ({"external": {"location": "/etc/passwd"}}, "tensor 'w': external data in '/etc/passwd'; allowed: a file in the folder"),
        ({"external": {"location": "C:\\secret.bin"}}, "tensor 'w': external data in 'C:\\\\secret.bin'; allowed: a file in the folder"),
        ({"external": {"location": "a\\..\\..\\b"}}, "tensor 'w': external data in 'a\\\\..\\\\..\\\\b'; allowed: a file in the folder"),
        ({"external": {}}, "tensor 'w': external data in ''; allowed: a file in the folder"),
        ({"external": {"location": "link.bin"}}, "tensor 'w': external data in 'link.bin', a link out of the folder of the model"),
        ({"external": {"location": "gone.bin"}}, "tensor 'w': external data 'gone.bin' cannot be read: No such file or directory"),
        ({"external": {"location": "short.bin"}}, "tensor 'w': wants 720 bytes at 0 of 'short.bin', which is shorter"),
        ({"external": {"location": "short.bin", "offset": "-4"}}, "tensor 'w': external data says offset -4, length 720"),
        ({"external": {"location": "short.bin", "length": "9"}}, "tensor 'w': external data says offset 0, length 9; its sizes"),
        ({"external": {"location": "short.bin", "offset": "x"}}, "tensor 'w': external data says invalid literal"),
    ],
)
def test_tensors_are_believed_only_as_far_as_their_bytes_go(tmp_path: Path, fields: dict[str, object], fault: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(720))
    (folder / "short.bin").write_bytes(bytes(700))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    text = declared(folder, **fields)
    assert text.startswith(fault)
    assert len(text.splitlines()) == 1


def test_attributes_hold_no_external_data(tmp_path: Path) -> None:
    value = tensor("t", floats(4))
    value.data_location = TensorProto.EXTERNAL
    value.external_data.extend([onnx.StringStringEntryProto(key="location", value="../secret.bin")])
    text = refused(tmp_path, op("Constant", "", "c", value=value), op("Add", "x c", "y"))
    assert text == "'node 0' ('Constant'): 'value' holds external data; allowed: in initializers"


def test_a_sparse_initializer_is_refused(tmp_path: Path) -> None:
    made = model(op("Conv", "x w", "y"), constants=CONV)
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor("s", floats(1)), tensor("at", [0]), [10**9]))
    assert refusal(save(tmp_path / "bad.onnx", made)) == "initializer 's' is sparse; save it as a dense tensor"


def test_one_image_is_one_input(tmp_path: Path) -> None:
    made = model(op("Add", "x z", "y"))
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, IMAGE))
    assert refusal(save(tmp_path / "two.onnx", made)) == "inputs that are no constants: 'x', 'z'; allowed: one, the image"


def test_a_model_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, op("Conv", "x w", "a"), op("Add", "a whole", "y"), constants=CONV | {"whole": [1]})
    assert text.startswith("onnx refuses it: [ShapeInferenceError]")
    made = model(op("Relu", "x", "y"))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert refusal(save(tmp_path / "bad.onnx", made)).startswith("onnx refuses it: [ShapeInferenceError]")


def test_a_newer_format_asks_for_a_newer_package(tmp_path: Path) -> None:
    made = model(op("Relu", "x", "y"))
    made.ir_version = 99
    assert refusal(save(tmp_path / "new.onnx", made)).startswith("IR version 99, the installed onnx package reads ")
