"""Operations of PyTorch with kernels or windows: convolutions, fully connected layers, pooling, normalisation, softmax, resizing."""

from __future__ import annotations

import math
from typing import Any

from accelsim.torch.sheet import Known, Refusal, Sheet, axis, constant, operation, plain, required

Pair = tuple[int, int]


@operation("conv1d", "conv2d")
def convolution(
    sheet: Sheet, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Known:
    """Conv1d and Conv2d; a 1-D map is one row."""
    filters = constant(weight, "filters")
    axes = filters.dim() - 2
    ifmap = _spatial(sheet, input, axes)
    if bias is not None:
        constant(bias, "biases")
    kernel, step, spread = (_pair(value, axes, 1) for value in (tuple(filters.shape[2:]), stride, dilation))
    if padding == "same":
        total = [reach * (size - 1) for reach, size in zip(spread, kernel, strict=True)]
        pad = (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    else:
        pad = _pair(0 if padding == "valid" else padding, axes, 0) * 2
    return sheet.add("conv", ifmap, geometry={"kernel": kernel, "stride": step, "pad": pad, "dilation": spread, "groups": groups})


@operation("linear")
def linear(sheet: Sheet, input: Any, weight: Any, bias: Any = None) -> Known:
    """Linear on flat maps; the map is read in the order in which it was flattened."""
    known = required(input)
    constant(weight, "weights")
    if len(known.shape) != 1:
        raise Refusal(f"it multiplies the last axis of maps {list(known.shape)}; flatten them to one axis an image first")
    return sheet.add("fc", known)


@operation("matmul", "mm", "__matmul__")
def matmul(sheet: Sheet, input: Any, mat2: Any) -> Known:
    """Product of flat maps and a matrix."""
    return linear(sheet, input, mat2)


@operation("addmm")
def addmm(sheet: Sheet, input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Known:
    """Product of flat maps and a matrix, plus biases."""
    constant(input, "biases")
    return linear(sheet, mat1, mat2)


@operation("batch_norm")
def batch_norm(
    sheet: Sheet,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **more: Any,
) -> Known:
    """BatchNorm as it is at inference: each channel times a number plus a number."""
    if training:
        raise Refusal("it normalises with the batch's own mean; call model.eval() first")
    return sheet.add("scale", sheet.settle(input))


@operation("local_response_norm")
def local_response_norm(sheet: Sheet, input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Known:
    """LocalResponseNorm."""
    attributes = {"size": size, "alpha": float(alpha), "beta": float(beta), "bias": float(k)}
    return sheet.add("lrn", sheet.settle(input), attributes=attributes)


@operation("max_pool1d", "max_pool2d", "max_pool1d_with_indices", "max_pool2d_with_indices")
def max_pool(
    sheet: Sheet,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> list[Known | None]:
    """MaxPool; the indices, if asked for, are no map."""
    ifmap = _spatial(sheet, input)
    geometry, _ = _windows(sheet, ifmap, kernel_size, stride, padding, dilation, ceil_mode)
    return [sheet.add("maxpool", ifmap, geometry=geometry), *[None] * (len(sheet.made) - 1)]


@operation("avg_pool1d", "avg_pool2d")
def avg_pool(
    sheet: Sheet,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Known:
    """AvgPool."""
    if divisor_override is not None:
        raise Refusal(f"divisor_override {divisor_override}; only the mean of each window is known")
    ifmap = _spatial(sheet, input)
    geometry, beyond = _windows(sheet, ifmap, kernel_size, stride, padding, 1, ceil_mode)
    attributes: dict[str, Any] = {"count_pad": True} if count_include_pad and any(geometry["pad"]) else {}
    attributes |= {key: rows for key, rows in zip(("beyond_down", "beyond_along"), beyond, strict=True) if rows and attributes}
    return sheet.add("avgpool", ifmap, geometry=geometry, attributes=attributes)


@operation("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def adaptive_avg_pool(sheet: Sheet, input: Any, output_size: Any) -> Known:
    """AdaptiveAvgPool where all its windows are of one size."""
    return _adaptive(sheet, input, "avgpool")


@operation("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices")
def adaptive_max_pool(sheet: Sheet, input: Any, output_size: Any, return_indices: bool = False) -> list[Known | None]:
    """AdaptiveMaxPool where all its windows are of one size."""
    return [_adaptive(sheet, input, "maxpool"), *[None] * (len(sheet.made) - 1)]


@operation("mean")
def mean(sheet: Sheet, input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Known:
    """Mean over rows, columns or both: pooling with a window as long as the map."""
    return _reduced(sheet, input, dim, "avgpool")


@operation("amax")
def amax(sheet: Sheet, input: Any, dim: Any = (), keepdim: bool = False) -> Known:
    """Maximum over rows, columns or both."""
    return _reduced(sheet, input, dim, "maxpool")


@operation("softmax")
def softmax(sheet: Sheet, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Known:
    """Softmax along one axis."""
    return _softmax(sheet, input, dim, {})


@operation("log_softmax")
def log_softmax(sheet: Sheet, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Known:
    """The logarithm of a softmax: attribute `logarithm` says so."""
    return _softmax(sheet, input, dim, {"logarithm": True})


@operation("interpolate", "upsample")
def interpolate(
    sheet: Sheet,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Known:
    """Upsample and interpolate; attributes are named as in ONNX."""
    ifmap = _spatial(sheet, input)
    if mode == "area":
        return _adaptive(sheet, input, "avgpool")
    if mode not in RESIZES or antialias:
        raise Refusal(f"mode {mode!r}{' with antialias' if antialias else ''}; known: area, {', '.join(RESIZES)}")
    (_, height, width), (_, rows, cols) = sheet.shape(ifmap), plain(sheet.made[0])
    factor = cols // width
    if mode == "nearest" and (rows, cols) == (factor * height, factor * width):
        return sheet.add("upsample", ifmap, attributes={"factor": factor})
    attributes: dict[str, Any] = dict(RESIZES[mode])
    if align_corners:
        attributes["coordinates"] = "align_corners"
    if scale_factor is not None and not recompute_scale_factor:
        factors = [float(value) for value in _pair(scale_factor, len(ifmap.shape) - 1, 1)]
        attributes |= {"scale_down": factors[0], "scale_along": factors[1]}
    return sheet.add("resize", ifmap, attributes=attributes)


RESIZES = {
    "nearest": {"mode": "nearest", "coordinates": "asymmetric", "rounding": "floor"},
    "nearest-exact": {"mode": "nearest", "coordinates": "half_pixel", "rounding": "round_prefer_ceil"},
    "linear": {"mode": "linear", "coordinates": "half_pixel"},
    "bilinear": {"mode": "linear", "coordinates": "half_pixel"},
    "bicubic": {"mode": "cubic", "coordinates": "half_pixel"},
}
"""Modes of `interpolate` in the words of ONNX's Resize."""


def _spatial(sheet: Sheet, input: Any, axes: int = 0) -> Known:
    """A map with rows and columns (or with columns only), as many axes as the filters have if `axes` says so."""
    known = required(input)
    if len(known.shape) - 1 not in ((axes,) if axes else (1, 2)):
        raise Refusal(
            f"it takes maps of {axes or '1 or 2'} axes beside channels, given {list(known.shape)} an image; give images as a batch"
        )
    return sheet.settle(known)


def _pair(value: Any, axes: int, other: Any) -> tuple[Any, Any]:
    """One number for all axes or one for each, as (down, along); along one axis only, `other` stands for down."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    numbers = numbers * axes if len(numbers) == 1 else numbers
    return (other, numbers[0]) if axes == 1 else (numbers[0], numbers[1])


def _windows(
    sheet: Sheet, ifmap: Known, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[dict[str, Any], Pair]:
    """Geometry of pooling windows, and rows and columns that they reach beyond the padding where the size was rounded up."""
    axes = len(ifmap.shape) - 1
    kernel, spread, pad = _pair(kernel_size, axes, 1), _pair(dilation, axes, 1), _pair(padding, axes, 0)
    step = kernel if stride is None or stride in ([], ()) else _pair(stride, axes, 1)
    far, beyond = list(pad), [0, 0]
    if ceil_mode:
        for at, (size, made) in enumerate(zip(sheet.shape(ifmap)[1:], plain(sheet.made[0])[1:], strict=True)):
            reach = (made - 1) * step[at] + spread[at] * (kernel[at] - 1) + 1
            far[at] = max(0, reach - size - pad[at])
            beyond[at] = max(0, far[at] - pad[at])
    geometry = {"kernel": kernel, "stride": step, "pad": (*pad, *far), "dilation": spread}
    return geometry, (beyond[0], beyond[1])


def _adaptive(sheet: Sheet, input: Any, kind: str) -> Known:
    ifmap = _spatial(sheet, input)
    (_, height, width), (_, rows, cols) = sheet.shape(ifmap), plain(sheet.made[0])
    if (rows, cols) == (height, width):
        return ifmap
    if height % rows or width % cols:
        raise Refusal(f"windows of unequal size: {height} x {width} does not divide into {rows} x {cols}")
    kernel = (height // rows, width // cols)
    return sheet.add(kind, ifmap, geometry={"kernel": kernel, "stride": kernel})


def _reduced(sheet: Sheet, input: Any, dim: Any, kind: str) -> Known:
    known = sheet.settle(input)
    dims = dim if isinstance(dim, list | tuple) else (dim,)
    over = {axis(value, known.shape) for value in dims}
    if not over or 0 in over:
        raise Refusal(f"it reduces dimensions {list(dims)} of maps {list(known.shape)}; rows, columns or both can be reduced")
    _, height, width = sheet.shape(known)
    kernel = (height if 1 in over else 1, width if 2 in over else 1)
    shape = (sheet.shape(known)[0], height // kernel[0], width // kernel[1])
    return sheet.add(kind, known, shape=shape, geometry={"kernel": kernel, "stride": kernel})


def _softmax(sheet: Sheet, input: Any, dim: int | None, attributes: dict[str, Any]) -> Known:
    known = sheet.settle(input)
    shape = sheet.shape(known)
    along = axis(1 if dim is None else dim, known.shape)
    inner = math.prod(shape[along + 1 :])
    if inner > 1:
        attributes = attributes | {"inner": inner}
    return sheet.add("softmax", known, geometry={"groups": math.prod(shape[:along])}, attributes=attributes)
