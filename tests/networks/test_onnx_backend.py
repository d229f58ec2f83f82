"""The test cases that come with the onnx package: every one whose operators are ours, but for those listed here with a reason."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_oracle import run

from accelsim.networks import onnx as onnx_networks

OPERATORS = frozenset(
    {
        *("Conv", "BatchNormalization", "Relu", "LeakyRelu", "Clip", "PRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Gelu", "MaxPool"),
        *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Gemm", "MatMul", "Add", "Mul", "Sub", "Sum", "Concat"),
        *("Slice", "Pad", "Split", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Resize", "Upsample", "LRN", "Softmax"),
        "LogSoftmax",
        *("Dropout", "Identity", "Constant", "QuantizeLinear", "DequantizeLinear", "Elu", "Tanh", "Softplus", "Mish", "Erf"),
    }
)
BATCHED = frozenset({"Conv", "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN"})
"""Operators whose first axis is the batch: such a case runs one image after the other."""
SEVERAL = frozenset({"Add", "Sub", "Mul", "Sum", "Concat"})
"""Operators of several maps: their inputs depend on the image all together, and each alone."""

SKIPPED = {
    "volumes, with three spatial axes": r"(averagepool|maxpool)_3d_.*|(AvgPool|MaxPool|Conv|BatchNorm)3d.*",
    "training": r".*training.*|dropout_.*mask.*",
    "no image": r"constant",
    "maps without elements": r"reshape_allowzero_reordered|slice_start_out_of_bounds|split_zero_size_splits_.*",
    "its numbers are beyond float32": r"operator_(add_(broadcast|size1_(singleton|right)_broadcast)|addconstant)",
    "a product with a vector, or several matrices at once": r"matmul_(3d|4d|bcast|1d_3d|4d_1d|1d_1d)",
    "a bias that is a matrix, or another map": r"gemm_default_matrix_bias|operator_addmm",
    "maps quantised by channels or blocks": r"(de)?quantizelinear_(axis|blocked.*)|quantizelinear_u?int[24]",
    "maps quantised to floating point": r"quantizelinear_(e4m3fn|e5m2|float4e2m1)",
    "indices of the largest elements": r"maxpool_with_argmax_.*",
    "written for operators older than 7": r"PReLU_[123]d_multiparam",
    "ONNX Runtime and onnx part ways, we follow ONNX Runtime": r"resize_downsample_scales_(linear|cubic)_align_corners",
    "resizing a region, or with a low-pass filter": r"resize_(tf_crop_and_resize.*|.*antialias)",
}
PATTERNS = {reason: re.compile(f"test_({pattern})") for reason, pattern in SKIPPED.items()}


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    model: onnx.ModelProto
    data: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]
    rtol: float

    @property
    def reason(self) -> str | None:
        return next((reason for reason, pattern in PATTERNS.items() if pattern.fullmatch(self.name)), None)


@cache
def cases() -> dict[str, list[Case]]:
    """Cases by the first of their operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns while the package works out its own expectations
        from onnx.backend.test.loader import load_model_tests

        given = [case for kind in ("node", "simple", "pytorch-converted", "pytorch-operator") for case in load_model_tests(kind=kind)]
    found: dict[str, list[Case]] = {}
    for case in given:
        model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
        operators = [node.op_type for node in model.graph.node]
        if not set(operators) <= OPERATORS or any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
            continue
        if model.opset_import[0].version < 7:
            model = onnx.version_converter.convert_version(model, 13)
        data = case.data_sets or list(stored(Path(case.model_dir)))
        found.setdefault(operators[0], []).append(Case(case.name, model, data, case.rtol))
    return found


def stored(folder: Path) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Inputs and outputs that a case keeps in files."""
    for data in sorted(folder.glob("test_data_set_*")):
        yield tuple(
            [numpy_helper.to_array(onnx.load_tensor(path)) for path in sorted(data.glob(f"{what}_*.pb"))] for what in ("input", "output")
        )


def with_one_image(model: onnx.ModelProto, inputs: Sequence[np.ndarray], chosen: Sequence[int]) -> tuple[onnx.ModelProto, np.ndarray]:
    """The same model for a network of one image: the chosen inputs are cut out of it, the others become constants."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    held = {tensor.name for tensor in graph.initializer}
    plain = [numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value) for value in inputs]
    values = dict(zip([entry.name for entry in graph.input if entry.name not in held], plain, strict=True))
    images = [name for number, name in enumerate(values) if number in chosen]
    constants = {name: value for name, value in values.items() if name not in images}
    if len(images) == 1 and (
        values[images[0]].ndim < 2 or len(values[images[0]]) == 1 or any(node.op_type in BATCHED for node in graph.node)
    ):
        image, name = values[images[0]], images[0]
    else:
        image, name = np.concatenate([values[image].reshape(-1) for image in images])[None], "image"
        nodes, low = [], 0
        for own in images:
            high = low + values[own].size
            pieces = {"low": [low], "high": [high], "axis": [1], "sizes": values[own].shape}
            constants |= {f"{own}_{key}": np.array(value, np.int64) for key, value in pieces.items()}
            nodes.append(helper.make_node("Slice", ["image", *(f"{own}_{key}" for key in ("low", "high", "axis"))], [f"{own}_cut"]))
            nodes.append(helper.make_node("Reshape", [f"{own}_cut", f"{own}_sizes"], [own]))
            low = high
        nodes += [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        version = max(made.opset_import[0].version, 10)  # slices by inputs
        made.opset_import[0].version = version
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(image.dtype), image.shape))
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items())
    made.ir_version = max(made.ir_version, 4)
    return made, image


def hold(case: Case, path: Path) -> None:
    """Compare a case's outputs with what we make of its inputs."""
    for inputs, outputs in case.data:
        count = len(inputs)
        choices = {(0,), tuple(range(count)), (count - 1,)} if case.model.graph.node[0].op_type in SEVERAL else {(0,)}
        for chosen in sorted(choices):
            model, image = with_one_image(case.model, inputs, chosen)
            path.write_bytes(model.SerializeToString())
            read = onnx_networks.read(path)
            batch = image[:, None] if image.ndim > 1 else [image]
            channels_last = "input_layout" in read.network.provenance
            shape = read.network.graph.nodes[0].shape
            own = [one.transpose(0, 3, 1, 2) if channels_last else one for one in batch]
            maps = [run(read.network, one.astype(np.float32).reshape(shape)) for one in own]
            for entry, output in zip(model.graph.output, outputs, strict=True):
                view = read.tensors[entry.name]
                found = np.concatenate([one[view.index].reshape(view.sizes or (1,)) for one in maps])
                expected = (numpy_helper.to_array(output) if isinstance(output, onnx.TensorProto) else np.asarray(output)).astype(
                    np.float32
                )
                if view.quantum is not None:
                    expected = (expected - view.quantum.zero_point) * np.float32(view.quantum.scale)
                np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=case.rtol, atol=1e-5)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_the_cases_of_the_onnx_package(operator: str, tmp_path: Path) -> None:
    failed = []
    for case in cases().get(operator, []):
        try:
            hold(case, tmp_path / "model.onnx")
            fault = "runs, so it must not be skipped" if case.reason else ""
        except Exception as error:  # every case is told, not the first alone
            fault = "" if case.reason else " ".join(str(error).replace(str(tmp_path), "").split())
        if fault:
            failed.append(f"{case.name}: {fault:.300}")
    assert not failed, "\n" + "\n".join(failed)
