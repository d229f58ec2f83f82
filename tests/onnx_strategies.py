"""Random small ONNX models of the operators that are read, in the spelling of the set of operators that they claim."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

Shape = tuple[int, ...]
OPSETS = (7, 8, 9, 10, 11, 12, 13, 15, 18, 19, 20, 21, 22)


class Maker:
    """A model as it grows. Every method adds one operator (or a few) on a tensor and gives the name of what it made, and its sizes."""

    def __init__(self, draw: st.DrawFn, opset: int) -> None:
        self.draw = draw
        self.opset = opset
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def floats(self, *shape: int, low: float = -1.0, high: float = 1.0) -> str:
        return self.constant(self.rng.uniform(low, high, shape).astype(np.float32))

    def constant(self, values: np.ndarray | Sequence[int]) -> str:
        array = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=np.int64)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, inputs: Sequence[str], count: int = 1, **attributes: object) -> list[str]:
        outputs = [f"{operator.lower()}{len(self.nodes)}_{at}" for at in range(count)]
        name = self.draw(st.sampled_from(["", f"layer/{len(self.nodes)}"]))
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name=name, **attributes))
        return outputs

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def chosen(self, *options: object) -> object:
        return self.draw(st.sampled_from(options))

    def attribute_or_input(self, since: int, key: str, values: Sequence[int], inputs: list[str]) -> dict[str, object]:
        """Whole numbers as an attribute before an opset, as the next input from it on."""
        if self.opset < since:
            return {key: list(values)}
        inputs.append(self.constant(values))
        return {}

    # windows

    def conv(self, x: str, shape: Shape) -> tuple[str, Shape]:
        rank = len(shape) - 2
        groups = self.chosen(*[g for g in (1, 2, shape[1]) if shape[1] % g == 0])
        filters = groups * self.number(1, 3)
        kernel = [self.number(1, min(3, size)) for size in shape[2:]]
        attributes = self.window(kernel, shape[2:], dilated=True)
        inputs = [x, self.floats(filters, shape[1] // groups, *kernel)]
        if self.draw(st.booleans()):
            inputs.append(self.floats(filters))
        (y,) = self.node("Conv", inputs, group=groups, **attributes)
        assert rank in (1, 2)
        return y, ()

    def window(self, kernel: list[int], sizes: Sequence[int], *, dilated: bool = False) -> dict[str, object]:
        """Attributes of a window that fits."""
        attributes: dict[str, object] = {"kernel_shape": kernel, "strides": [self.number(1, 3) for _ in kernel]}
        how = self.chosen("none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
        if dilated and how != "none" and self.draw(st.booleans()):
            steps = [self.number(1, 2) for _ in kernel]
            if all(step * (size - 1) < whole for step, size, whole in zip(steps, kernel, sizes, strict=True)):
                attributes["dilations"] = steps
        if how == "pads":
            attributes["pads"] = [self.number(0, size - 1) for size in kernel * 2]
        elif how != "none":
            # padding for the same size is negative, and refused by ONNX Runtime, where strides leave gaps
            attributes["strides"] = [min(step, size) for step, size in zip(attributes["strides"], kernel, strict=True)]
            if "dilations" in attributes and how != "VALID":
                del attributes["dilations"]
            attributes["auto_pad"] = how
        return attributes

    def pool(self, x: str, shape: Shape) -> tuple[str, Shape]:
        operator = self.chosen("MaxPool", "AveragePool")
        kernel = [self.number(1, min(3, size)) for size in shape[2:]]
        dilated = self.opset >= 10 and operator == "MaxPool"
        attributes = self.window(kernel, shape[2:], dilated=dilated)
        if (
            self.opset >= 10
            and attributes.get("auto_pad", "VALID") == "VALID"
            and (self.opset >= 22 or not _begins_in_padding(attributes, shape[2:]))
        ):
            attributes["ceil_mode"] = self.number(0, 1)
        if operator == "AveragePool":
            attributes["count_include_pad"] = self.number(0, 1)
        (y,) = self.node(operator, [x], **attributes)
        return y, ()

    def global_pool(self, x: str, shape: Shape) -> tuple[str, Shape]:
        if self.draw(st.booleans()):
            return self.node(self.chosen("GlobalAveragePool", "GlobalMaxPool"), [x])[0], ()
        inputs = [x]
        axes = self.chosen(*[list(range(2, len(shape))), [len(shape) - 1], [-1], [1]])
        attributes = self.attribute_or_input(18, "axes", axes, inputs)
        return self.node("ReduceMean", inputs, keepdims=self.number(0, 1), **attributes)[0], ()

    def lrn(self, x: str, shape: Shape) -> tuple[str, Shape]:
        if len(shape) != 4:  # ONNX Runtime knows it for images only
            return self.dropout(x, shape)
        return self.node("LRN", [x], size=self.chosen(1, 3, 5), alpha=0.1, beta=0.75, bias=1.5)[0], ()

    def resize(self, x: str, shape: Shape) -> tuple[str, Shape]:
        factors = [1.0, 1.0, *(self.chosen(1.0, 2.0, 3.0, 1.5, 0.6) for _ in shape[2:])]
        if any(int(size * factor) < 1 for size, factor in zip(shape, factors, strict=True)):
            factors = [1.0] * len(shape)
        if self.opset < 10:
            factors = [max(1.0, round(factor)) for factor in factors]
            if self.opset < 9:
                return self.node("Upsample", [x], mode="nearest", scales=factors)[0], ()
            return self.node("Upsample", [x, self.constant(np.array(factors, np.float32))], mode="nearest")[0], ()
        scales = self.constant(np.array(factors, np.float32))
        mode = self.chosen("nearest", "linear")
        if self.opset < 11:
            return self.node("Resize", [x, scales], mode=mode)[0], ()
        coordinates = self.chosen("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
        if mode == "nearest":
            attributes["nearest_mode"] = self.chosen("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
        empty = self.constant(np.zeros(0, np.float32))
        if self.draw(st.booleans()):
            return self.node("Resize", [x, empty, scales], **attributes)[0], ()
        sizes = self.constant([int(size * factor) for size, factor in zip(shape, factors, strict=True)])
        return self.node("Resize", [x, empty, empty if self.opset < 13 else "", sizes], **attributes)[0], ()

    # elements

    def normalisation(self, x: str, shape: Shape) -> tuple[str, Shape]:
        statistics = [self.floats(shape[1]), self.floats(shape[1]), self.floats(shape[1]), self.floats(shape[1], low=0.5, high=2.0)]
        return self.node("BatchNormalization", [x, *statistics], epsilon=1e-3)[0], ()

    def activation(self, x: str, shape: Shape) -> tuple[str, Shape]:
        names = ["Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh", "Elu", "Softplus", "silu", "hardswish", "Clip", "relu6", "PRelu"]
        names += ["Erf"] * (self.opset >= 9) + ["HardSwish"] * (self.opset >= 14) + ["Mish"] * (self.opset >= 18)
        names += ["Gelu", "Gelu tanh"] * (self.opset >= 20)
        name = self.chosen(*names)
        if name in ("silu", "hardswish"):
            options = {"silu": ("Sigmoid", {}), "hardswish": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5})}
            operator, attributes = options[name]
            (gate,) = self.node(operator, [x], **attributes)
            return self.node("Mul", [x, gate] if self.draw(st.booleans()) else [gate, x])[0], ()
        if name in ("Clip", "relu6"):
            low, high = (0.0, 6.0) if name == "relu6" else (-0.25, 0.5)
            if self.opset < 11:
                return self.node("Clip", [x], min=low, max=high)[0], ()
            limits = [self.constant(np.array(limit, np.float32)) for limit in (low, high)]
            return self.node("Clip", [x, *limits])[0], ()
        if name == "PRelu":
            slope = self.chosen((1,), (shape[1],) + (1,) * (len(shape) - 2))
            return self.node("PRelu", [x, self.floats(*slope)])[0], ()
        attributes = {"LeakyRelu": {"alpha": 0.2}, "Elu": {"alpha": 0.7}, "Gelu tanh": {"approximate": "tanh"}}.get(name, {})
        return self.node(name.partition(" ")[0], [x], **attributes)[0], ()

    def arithmetic(self, x: str, shape: Shape) -> tuple[str, Shape]:
        """With a constant: one number, one a channel, one an element, or along some axes."""
        axes = (1,) * (len(shape) - 2)
        own = self.chosen((), (1,), (shape[1], *axes), (1, shape[1], *axes), shape, shape[1:], shape[-1:])
        operator = self.chosen("Add", "Sub", "Mul", "Div")
        if operator == "Div":
            return self.node("Div", [x, self.floats(*own, low=0.5, high=2.0)])[0], ()
        inputs = [x, self.floats(*own)]
        return self.node(operator, inputs if self.draw(st.booleans()) else inputs[::-1])[0], ()

    def softmax(self, x: str, shape: Shape) -> tuple[str, Shape]:
        return self.node(str(self.chosen("Softmax", "LogSoftmax")), [x], axis=self.chosen(*range(1, len(shape))))[0], ()

    # shapes

    def dropout(self, x: str, shape: Shape) -> tuple[str, Shape]:
        return self.node(self.chosen("Dropout", "Identity"), [x])[0], ()

    def pad(self, x: str, shape: Shape) -> tuple[str, Shape]:
        around = [(0, 0)] * len(shape)
        for at in range(1, len(shape)):
            around[at] = (self.number(0, 2), self.number(0, 2))
        mode = self.chosen("constant", "edge", "reflect")
        if mode == "reflect":
            around = [(min(a, size - 1), min(b, size - 1)) for (a, b), size in zip(around, shape, strict=True)]
        pads = [low for low, _ in around] + [high for _, high in around]
        value = self.chosen(0.0, 0.0, 0.5)
        if self.opset < 11:
            return self.node("Pad", [x], pads=pads, mode=mode, value=value)[0], ()
        return self.node("Pad", [x, self.constant(pads), self.constant(np.array(value, np.float32))], mode=mode)[0], ()

    def slice(self, x: str, shape: Shape) -> tuple[str, Shape]:
        starts = [self.number(0, size - 1) for size in shape[1:]]
        ends = [self.number(start + 1, size + 2) for start, size in zip(starts, shape[1:], strict=True)]
        axes = list(range(1, len(shape)))
        if self.opset < 10:
            return self.node("Slice", [x], starts=starts, ends=ends, axes=axes)[0], ()
        steps = [self.number(1, 2) for _ in axes]
        return self.node("Slice", [x, *(self.constant(values) for values in (starts, ends, axes, steps))])[0], ()

    def split(self, x: str, shape: Shape) -> tuple[str, Shape]:
        options = [at for at in range(1, len(shape)) if shape[at] > 1]
        if not options:
            return self.dropout(x, shape)
        at = self.chosen(*options)
        first = self.number(1, shape[at] - 1)
        inputs = [x]
        attributes = self.attribute_or_input(13, "split", [first, shape[at] - first], inputs)
        parts = self.node("Split", inputs, 2, axis=at, **attributes)
        return self.node("Concat", parts[::-1], axis=at)[0], ()

    def shuffle(self, x: str, shape: Shape) -> tuple[str, Shape]:
        """Channels change places, in the way of ShuffleNet; sizes come from the tensor itself, in the way of PyTorch."""
        if shape[1] % 2:
            return self.transpose(x, shape)
        (wide,) = self.node("Reshape", [x, self.constant([0, 2, shape[1] // 2, *shape[2:]])])
        (turned,) = self.node("Transpose", [wide], perm=[0, 2, 1, *range(3, len(shape) + 1)])
        (sizes,) = self.node("Shape", [x])
        return self.node("Reshape", [turned, sizes])[0], ()

    def transpose(self, x: str, shape: Shape) -> tuple[str, Shape]:
        order = [0, *self.draw(st.permutations(range(1, len(shape))))]
        return self.node("Transpose", [x], perm=order)[0], ()

    def squeeze(self, x: str, shape: Shape) -> tuple[str, Shape]:
        """One axis more, and away with it again."""
        at, inputs = self.number(1, len(shape)), [x]
        attributes = self.attribute_or_input(13, "axes", [at], inputs)
        inputs = self.node("Unsqueeze", inputs, **attributes)
        attributes = self.attribute_or_input(13, "axes", [at], inputs)
        return self.node("Squeeze", inputs, **attributes)[0], ()

    def flatten(self, x: str, shape: Shape) -> tuple[str, Shape]:
        """Into one row, through a matrix, and back to a map of one element a channel."""
        how = self.chosen("Flatten", "Reshape", "shape arithmetic")
        inputs = [x]
        if how == "Flatten":
            (flat,) = self.node("Flatten", inputs)
        else:
            if how == "Reshape":
                inputs.append(self.constant([1, -1]))
            else:
                (sizes,) = self.node("Shape", [x])
                (batch,) = self.node("Gather", [sizes, self.constant(np.array(0, np.int64))], axis=0)
                axes: list[str] = [batch]
                attributes = self.attribute_or_input(13, "axes", [0], axes)
                (row,) = self.node("Unsqueeze", axes, **attributes)
                inputs += self.node("Concat", [row, self.constant([-1])], axis=0)
            (flat,) = self.node("Reshape", inputs)
        size, outputs = prod(shape[1:]), self.number(1, 4)
        if self.draw(st.booleans()):
            turned = self.number(0, 1)
            matrix = self.floats(*((outputs, size) if turned else (size, outputs)))
            (y,) = self.node("Gemm", [flat, matrix, self.floats(outputs)], transB=turned, alpha=0.5, beta=2.0)
        else:
            (y,) = self.node("MatMul", [flat, self.floats(size, outputs)])
            (y,) = self.node("Add", [y, self.floats(outputs)])
        return self.node("Reshape", [y, self.constant([1, outputs, *(1,) * (len(shape) - 2)])])[0], ()

    def block(self, x: str, shape: Shape) -> tuple[str, Shape]:
        """What networks are made of: padding, convolution, normalisation, activation."""
        if self.draw(st.booleans()):
            pads = [0, 0, *(1 for _ in shape[2:])] * 2
            inputs = [x] if self.opset < 11 else [x, self.constant(pads)]
            (x,) = self.node("Pad", inputs, **({"pads": pads} if self.opset < 11 else {}))
        filters = self.number(1, 4)
        (x,) = self.node("Conv", [x, self.floats(filters, shape[1], *(1 for _ in shape[2:]))])
        made = (1, filters, *(size + 2 for size in shape[2:]))
        if self.draw(st.booleans()):
            x, _ = self.normalisation(x, made)
        return self.activation(x, made)


def _begins_in_padding(window: dict[str, object], sizes: Sequence[int]) -> bool:
    """Whether rounding up gives a window that begins behind the map, which shape inference counts and runtimes do not."""
    rank = len(sizes)
    pads = window.get("pads", [0] * (2 * rank))
    steps = window.get("dilations", [1] * rank)
    for at, (size, kernel, stride) in enumerate(zip(sizes, window["kernel_shape"], window["strides"], strict=True)):
        windows = -(-(size + pads[at] + pads[at + rank] - steps[at] * (kernel - 1) - 1) // stride) + 1
        if (windows - 1) * stride >= size + pads[at]:
            return True
    return False


STEPS = tuple(
    getattr(Maker, name)
    for name in (
        *(
            "block",
            "block",
            "conv",
            "pool",
            "global_pool",
            "lrn",
            "resize",
            "normalisation",
            "activation",
            "activation",
            "arithmetic",
            "softmax",
        ),
        *("dropout", "pad", "slice", "split", "shuffle", "transpose", "squeeze", "flatten"),
    )
)


@st.composite
def models(draw: st.DrawFn) -> tuple[onnx.ModelProto, np.ndarray]:
    """A model of a few operators that branch and join, and an image for it."""
    maker = Maker(draw, draw(st.sampled_from(OPSETS)))
    shape: Shape = (1, *(draw(st.integers(1, 6)) for _ in range(draw(st.sampled_from([3, 3, 2])))))
    image = maker.rng.uniform(-2, 2, shape).astype(np.float32)
    tensors: list[tuple[str, Shape]] = [("image", shape)]
    for _ in range(draw(st.integers(1, 7))):
        name, sizes = draw(st.sampled_from(tensors[-2:]))
        alike = [other for other, own in tensors if own == sizes and other != name]
        joined = [other for other, own in tensors if own[2:] == sizes[2:] and len(own) == len(sizes)]
        gates = [other for other, own in tensors if len(own) == len(sizes) and own == (*sizes[:2], *(1,) * (len(sizes) - 2))]
        how = draw(st.sampled_from(["step", "step", "step", "step", "join"]))
        if how == "join" and alike and draw(st.booleans()):
            operator = draw(st.sampled_from(["Add", "Mul", "Sub", "Sum"]))
            made = maker.node(operator, [name, draw(st.sampled_from(alike))])[0]
        elif how == "join" and gates:
            pair = [name, draw(st.sampled_from(gates))]
            made = maker.node(draw(st.sampled_from(["Add", "Mul", "Sub"])), pair if draw(st.booleans()) else pair[::-1])[0]
        elif how == "join" and joined:
            made = maker.node("Concat", [name, draw(st.sampled_from(joined))], axis=1)[0]
        else:
            made = draw(st.sampled_from(STEPS))(maker, name, sizes)[0]
        model = _model(maker, image, [made])
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        found = next(entry for entry in inferred.graph.output if entry.name == made).type.tensor_type.shape
        sizes = tuple(dim.dim_value for dim in found.dim)
        if len(sizes) not in (3, 4) or min(sizes) < 1 or prod(sizes) > 2000:
            tensors.append((made, ()))
            break
        tensors.append((made, sizes))
    used = {name for node in maker.nodes for name in node.input}
    outputs = [name for node in maker.nodes for name in node.output if name not in used]
    return _model(maker, image, outputs), image


def _model(maker: Maker, image: np.ndarray, outputs: Sequence[str]) -> onnx.ModelProto:
    graph = helper.make_graph(
        maker.nodes,
        "random",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, image.shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        maker.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", maker.opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    return model
