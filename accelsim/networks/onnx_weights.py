"""ONNX operators with weights: convolutions, matrices, batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.networks.onnx_build import Build, Reader, View
from accelsim.networks.onnx_call import Call
from accelsim.networks.onnx_operands import constant, floats, numbers, real

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
Doubles = NDArray[np.float64]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def pair(call: Call, key: str, lines: int, default: int = 1) -> Pair:
    """An attribute with one number for each spatial axis; maps of one axis have one row."""
    found = call.integers(key) or (default,) * lines
    if len(found) != lines:
        raise call.fault(f"{key} {list(found)}; allowed: {lines} numbers, one for each spatial axis")
    return (found[0], found[1]) if lines == 2 else (default, found[0])


def lines(call: Call, found: View) -> int:
    """Spatial axes of a batched map: 1 or 2. Raises `ModelError` otherwise."""
    rank = len(found.sizes)
    if rank not in (3, 4) or found.sizes[0] != 1:
        raise call.fault(f"a tensor of {list(found.sizes)}; allowed: [1, C, H, W] or [1, C, W]")
    return rank - 2


def pads(call: Call, count: int, extents: Pair, stride: Pair, size: Pair) -> Pads:
    """Top, left, bottom, right of a window that reaches over `extents`, as attributes say it."""
    automatic = call.text("auto_pad", "NOTSET", AUTO_PADS)
    if automatic == "VALID":
        return (0, 0, 0, 0)
    if automatic == "NOTSET":
        found = call.integers("pads") or (0,) * (2 * count)
        if len(found) != 2 * count or min(found) < 0:
            raise call.fault(f"pads {list(found)}; allowed: {2 * count} numbers of 0 or more")
        return (found[0], found[1], found[2], found[3]) if count == 2 else (0, found[0], 0, found[1])
    total = [max((-(-size[i] // stride[i]) - 1) * stride[i] + extents[i] - size[i], 0) for i in range(2)]
    less, more = [amount // 2 for amount in total], [amount - amount // 2 for amount in total]
    return (*less, *more) if automatic == "SAME_UPPER" else (*more, *less)  # type: ignore[return-value]  # two axes make four numbers


def positive(call: Call, **given: Pair) -> None:
    """Raise `ModelError` where any of these is less than 1."""
    for key, value in given.items():
        if min(value) < 1:
            raise call.fault(f"{key} {list(value)}; allowed: 1 or more")


def _conv(build: Build, call: Call) -> None:
    found = real(build, call)
    count = lines(call, found)
    weight = floats(build, call, 1, "weight")
    if weight.ndim != count + 2:
        raise call.fault(f"weight {list(weight.shape)} for a map {list(found.sizes)}; allowed: [K, C / group, {'R, ' * (count - 1)}S]")
    if count == 1:
        weight = weight[:, :, None]
    bias = numbers(build, call, 2, "bias") if call.given(2) else np.zeros(weight.shape[0])
    kernel = (weight.shape[2], weight.shape[3])
    if tuple(call.integers("kernel_shape") or kernel[2 - count :]) != kernel[2 - count :]:
        raise call.fault(f"kernel_shape {call.integers('kernel_shape')}, but its weight is {list(weight.shape)}")
    stride, dilation, groups = pair(call, "strides", count), pair(call, "dilations", count), call.integer("group", 1)
    positive(call, strides=stride, dilations=dilation, kernel_shape=kernel, group=(groups, groups))
    source = build.image(call, found)
    shape = build.drafts[source].shape
    if weight.shape[1] * groups != shape[0] or bias.shape != (weight.shape[0],):
        raise call.fault(f"weight {list(weight.shape)}, bias {list(bias.shape)}, group {groups} for a map {list(found.sizes)}")
    extents = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    pad = pads(call, count, (extents[0], extents[1]), stride, shape[1:])
    before = build.drafts[source]
    if before.kind == "pad" and found.sole and source == found.index and _zero_border(before.attributes):
        # a border of zeros is what the convolution's own padding is
        pad = (pad[0] + before.pad[0], pad[1] + before.pad[1], pad[2] + before.pad[2], pad[3] + before.pad[3])
        build.forget(source)
        source = before.inputs[0]
    index = build.draft(
        call.name,
        "conv",
        (source,),
        (weight.shape[0], 1, 1),
        {"weight": np.ascontiguousarray(weight), "bias": bias.astype(np.float32)},
        kernel=kernel,
        stride=stride,
        pad=pad,
        dilation=dilation,
        groups=groups,
    )
    made = build.drafts[index].shape
    build.put(call, index, (1, *made) if count == 2 else (1, made[0], made[2]))


def _zero_border(attributes: Mapping[str, object]) -> bool:
    plain = attributes.get("mode", "constant") == "constant" and attributes.get("value", 0.0) == 0
    return plain and not attributes.get("front") and not attributes.get("back")


def _gemm(build: Build, call: Call) -> None:
    matrix = numbers(build, call, 1, "matrix")
    matrix = matrix if call.integer("transB", 0) else matrix.T
    bias = numbers(build, call, 2, "bias") if call.given(2) else np.zeros(1)
    _product(build, call, matrix * call.number("alpha", 1.0), bias * call.number("beta", 1.0), bool(call.integer("transA", 0)))


def _matmul(build: Build, call: Call) -> None:
    if call.given(0) and call.inputs[0] in build.constants:
        raise call.fault("the first factor is a constant; allowed: a map times a constant matrix")
    _product(build, call, numbers(build, call, 1, "matrix").T, np.zeros(1), columns=False)


def _product(build: Build, call: Call, matrix: Doubles, bias: Doubles, columns: bool) -> None:
    """A map times a matrix: fully connected where it is one row, else a 1 x 1 convolution of as many columns as there are rows.

    Shapes:  matrix [K, N]; bias [K] or one number; the map [..., N], or with `columns` [N, M]
    """
    found = real(build, call)
    sizes = found.sizes[::-1] if columns else found.sizes
    if matrix.ndim != 2 or not sizes or sizes[-1] != matrix.shape[1]:
        raise call.fault(f"{list(sizes)} times a matrix {list(matrix.T.shape)}; allowed: [..., N] times [N, K]")
    filters, inputs = matrix.shape
    if bias.size != 1 and not bias.size == bias.shape[-1] == filters:
        raise call.fault(f"bias {list(bias.shape)}; allowed: one number for each of {filters} columns")
    weight, offset = np.ascontiguousarray(matrix, np.float32), np.broadcast_to(bias.reshape(-1), filters).astype(np.float32)
    made, rows = (*sizes[:-1], filters), prod(sizes[:-1])
    if rows == 1:
        index = build.draft(call.name, "fc", (found.index,), (filters, 1, 1), {"weight": weight, "bias": offset})
    else:
        source = build.shaped(call, found.index, (inputs, 1, rows)) if columns else _turned(build, call, found.index, (rows, inputs))
        index = build.draft(call.name, "conv", (source,), (filters, 1, 1), {"weight": weight[:, :, None, None], "bias": offset})
        index = _turned(build, call, index, (filters, rows))
    build.put(call, index, made)


def _turned(build: Build, call: Call, source: int, matrix: Pair) -> int:
    """Number of a draft whose channels are the columns of a matrix, and whose columns its rows."""
    attributes = {"view": f"{matrix[0]} {matrix[1]}", "order": "1 0"}
    return build.draft(f"{call.name}_turned", "permute", (source,), (matrix[1], 1, matrix[0]), {}, attributes=attributes)


def _batch_normalization(build: Build, call: Call) -> None:
    if call.integer("training_mode", 0) or call.integer("spatial", 1) != 1 or any(call.outputs[1:]):
        raise call.fault("in training mode, or not per channel; export the model for inference")
    found = real(build, call)
    if not 2 <= len(found.sizes) <= 4 or found.sizes[0] != 1:
        raise call.fault(f"a tensor of {list(found.sizes)}; allowed: a batch of 1, [1, C, H, W], [1, C, W] or [1, C]")
    gamma, beta, mean, variance = (
        numbers(build, call, position, what) for position, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    if {values.shape for values in (gamma, beta, mean, variance)} != {(found.sizes[1],)}:
        raise call.fault(f"scale {list(gamma.shape)}, bias {list(beta.shape)}, mean, variance for {found.sizes[1]} channels")
    epsilon = float(np.float32(call.number("epsilon", 1e-5)))
    if (variance + epsilon <= 0).any():
        raise call.fault("a variance is negative; the file is damaged")
    factor = gamma / np.sqrt(variance + epsilon)
    build.scale(call, found, factor, beta - mean * factor)


def _prelu(build: Build, call: Call) -> None:
    found = real(build, call)
    slope = np.asarray(constant(build, call, 1, "slope"), dtype=np.float32)
    if slope.size == 1:
        build.activate(call, found, "leaky", slope=float(slope.reshape(-1)[0]))
        return
    aligned = slope.reshape((1,) * (len(found.sizes) - slope.ndim) + slope.shape) if slope.ndim <= len(found.sizes) else slope
    channels = len(found.sizes) in (2, 3, 4) and found.batched and aligned.size == aligned.shape[1] == found.sizes[1]
    shape = build.drafts[found.index].shape
    if channels and shape[0] == found.sizes[1]:
        build.activate(call, found, "prelu", weights={"slope": aligned.reshape(-1, 1, 1)})
        return
    try:
        everywhere = np.broadcast_to(aligned, found.sizes).reshape(shape)
    except ValueError as fault:
        raise call.fault(f"slope {list(slope.shape)} for a tensor of {list(found.sizes)}") from fault
    build.activate(call, found, "prelu", attributes={"slopes": "elements"}, weights={"slope": everywhere})


READERS: Mapping[str, Reader] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_normalization,
    "PRelu": _prelu,
}
