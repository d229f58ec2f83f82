"""ONNX operators that look at neighbours: pooling, means, resizing, local response normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from accelsim.graph import Attribute, Node, Shape
from accelsim.layers import resize
from accelsim.networks.onnx_build import Build, Reader, View
from accelsim.networks.onnx_call import Call
from accelsim.networks.onnx_operands import axis, integers, numbers, real, view
from accelsim.networks.onnx_weights import AUTO_PADS, Pair, lines, pads, pair, positive

MAX_SCALE = 2.0**20
"""No map grows more than this."""


def _pool(build: Build, call: Call, kind: str) -> None:
    found = view(build, call) if kind == "maxpool" else real(build, call)
    count = lines(call, found)
    if any(call.outputs[1:]) or call.integer("storage_order", 0):
        raise call.fault("indices of the largest elements are not supported; allowed: one output")
    if call.integers("kernel_shape") is None:
        raise call.fault("kernel_shape is missing")
    kernel, stride, dilation = (pair(call, key, count) for key in ("kernel_shape", "strides", "dilations"))
    positive(call, kernel_shape=kernel, strides=stride, dilations=dilation)
    source = build.image(call, found)
    size = build.drafts[source].shape[1:]
    extents = tuple((length - 1) * step + 1 for length, step in zip(kernel, dilation, strict=True))
    pad = pads(call, count, (extents[0], extents[1]), stride, size)
    attributes: dict[str, Attribute] = {}
    if kind == "avgpool" and call.integer("count_include_pad", 0):
        attributes["count_pad"] = True
    if call.integer("ceil_mode", 0) and call.text("auto_pad", "NOTSET", AUTO_PADS) in ("NOTSET", "VALID"):
        beyond = [_beyond(size[i], pad[i], pad[i + 2], extents[i], stride[i]) for i in range(2)]
        pad = (pad[0], pad[1], pad[2] + beyond[0], pad[3] + beyond[1])
        if "count_pad" in attributes:
            attributes |= {key: more for key, more in zip(("beyond_down", "beyond_along"), beyond, strict=True) if more}
    fields = {"kernel": kernel, "stride": stride, "pad": pad, "dilation": dilation, "attributes": attributes}
    _put_image(build, call, build.draft(call.name, kind, (source,), build.drafts[source].shape, {}, **fields), found)


def _beyond(size: int, before: int, after: int, extent: int, stride: int) -> int:
    """Lines that rounding the output size up adds to the far edge; a window may not begin in the far padding.

    Source:  ONNX operator MaxPool, attribute ceil_mode
    """
    made = -(-(size + before + after - extent) // stride) + 1
    if (made - 1) * stride >= size + before:
        made -= 1
    return max((made - 1) * stride + extent - size - before - after, 0)


def _put_image(build: Build, call: Call, index: int, found: View) -> None:
    """Say that a draft made a batched map with as many axes as its input."""
    channels, height, width = build.drafts[index].shape
    sizes = (1, channels, height, width) if len(found.sizes) == 4 else (1, channels, width)
    build.put(call, index, sizes, found.quantum)


def _global(build: Build, call: Call, kind: str) -> None:
    found = view(build, call) if kind == "maxpool" else real(build, call)
    lines(call, found)
    source = build.image(call, found)
    shape = build.drafts[source].shape
    index = build.draft(call.name, kind, (source,), shape, {}, kernel=shape[1:], stride=shape[1:])
    _put_image(build, call, index, found)


def _reduce_mean(build: Build, call: Call) -> None:
    found = real(build, call)
    rank = len(found.sizes)
    axes = integers(build, call, 1, "axes")
    if axes is None or not axes:
        axes = () if call.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    over = sorted({axis(call, value, rank) for value in axes})
    long = [at for at in over if found.sizes[at] > 1]
    keep = call.integer("keepdims", 1)
    sizes = [1 if at in over else size for at, size in enumerate(found.sizes) if keep or at not in over]
    if not long:
        build.alias(call, found, sizes)
        return
    if long != [at for at in range(long[0], long[-1] + 1) if found.sizes[at] > 1]:
        raise call.fault(f"a mean over axes {over} of {list(found.sizes)}; allowed: over axes that stand side by side")
    if rank in (3, 4) and found.sizes[0] == 1 and long[0] >= 2:
        source = build.image(call, found)
        height, width = build.drafts[source].shape[1:]
        kernel: Pair = (height if rank == 4 and 2 in over else 1, width if rank - 1 in over else 1)
    else:
        # what is not rows and columns already is seen as if it were
        outer, inner = prod(found.sizes[: long[0]]), prod(found.sizes[long[-1] + 1 :])
        length = prod(found.sizes) // (outer * inner)
        source = build.shaped(call, found.index, (outer, length, inner))
        kernel = (length, 1)
    build.put(call, build.draft(call.name, "avgpool", (source,), build.drafts[source].shape, {}, kernel=kernel, stride=kernel), sizes)


def _lrn(build: Build, call: Call) -> None:
    found = real(build, call)
    if len(found.sizes) not in (3, 4) or not found.batched:
        raise call.fault(f"a tensor of {list(found.sizes)}; allowed: [1, C, H, W]")
    source = build.image(call, found)
    attributes = {
        "size": call.integer("size", 0),
        "alpha": call.number("alpha", 1e-4),
        "beta": call.number("beta", 0.75),
        "bias": call.number("bias", 1.0),
    }
    build.put(call, build.draft(call.name, "lrn", (source,), build.drafts[source].shape, {}, attributes=attributes), found.sizes)


def _upsample(build: Build, call: Call) -> None:
    mode = call.text("mode", "nearest", ("nearest", "linear"))
    given = call.attributes.get("scales")
    scales = (
        [float(value) for value in given] if isinstance(given, list | tuple) else numbers(build, call, 1, "scales").reshape(-1).tolist()
    )
    _resized(build, call, {"mode": mode, "coordinates": "asymmetric", "rounding": resize.SIMPLE}, scales, None)


def _resize(build: Build, call: Call) -> None:
    mode = call.text("mode", "nearest", resize.MODES)
    if call.version < 11:
        scales = numbers(build, call, 1, "scales").reshape(-1).tolist()
        _resized(build, call, {"mode": mode, "coordinates": "asymmetric", "rounding": resize.SIMPLE}, scales, None)
        return
    if call.integer("antialias", 0):
        raise call.fault("antialias is not supported; allowed: 0")
    attributes: dict[str, Attribute] = {
        "mode": mode,
        "coordinates": call.text("coordinate_transformation_mode", "half_pixel", resize.COORDINATES),
    }
    if mode == "nearest":
        attributes["rounding"] = call.text("nearest_mode", "round_prefer_floor", resize.ROUNDINGS)
    if mode == "cubic":
        attributes |= {"cubic": call.number("cubic_coeff_a", -0.75), "exclude_outside": bool(call.integer("exclude_outside", 0))}
    found = real(build, call)
    rank = len(found.sizes)
    axes = [axis(call, value, rank) for value in call.integers("axes") or range(rank)]
    scales = numbers(build, call, 2, "scales").reshape(-1).tolist() if call.given(2) else []
    wanted = integers(build, call, 3, "sizes") if call.given(3) else None
    if len(wanted or scales) != len(axes):
        raise call.fault(f"{len(wanted or scales)} scales or sizes for axes {axes}")
    if wanted is not None:
        policy = call.text("keep_aspect_ratio_policy", "stretch", ("stretch", "not_larger", "not_smaller"))
        ratios = [size / found.sizes[at] for at, size in zip(axes, wanted, strict=True)]
        if policy != "stretch":
            ratio = (min if policy == "not_larger" else max)(ratios)
            ratios = [ratio] * len(axes)
            wanted = tuple(int(found.sizes[at] * ratio + 0.5) for at in axes)
        scales = ratios
    if not all(0 < scale < MAX_SCALE for scale in scales):
        raise call.fault(f"scales {scales}; allowed: above 0, below {MAX_SCALE:,.0f}")
    by_axis, sizes = [1.0] * rank, list(found.sizes)
    for number, at in enumerate(axes):
        by_axis[at] = scales[number]
        sizes[at] = wanted[number] if wanted is not None else int(found.sizes[at] * scales[number])
    _resized(build, call, attributes, by_axis, sizes)


def _resized(build: Build, call: Call, attributes: dict[str, Attribute], scales: list[float], sizes: list[int] | None) -> None:
    """Resize rows and columns; `sizes` of all axes, or None for what the scales make."""
    found = real(build, call)
    rank = len(found.sizes)
    if len(scales) != rank or not all(0 < scale < MAX_SCALE for scale in scales):
        raise call.fault(f"scales {scales} for {list(found.sizes)}; allowed: one above 0 for each axis")
    made = sizes or [int(size * scale) for size, scale in zip(found.sizes, scales, strict=True)]
    changed = [at for at in range(rank) if made[at] != found.sizes[at] or scales[at] != 1]
    if rank not in (3, 4) or not found.batched or any(at < 2 for at in changed):
        raise call.fault(f"from {list(found.sizes)} to {made}; allowed: other rows and columns of [1, C, H, W]")
    if not changed:
        build.alias(call, found, found.sizes)
        return
    source = build.image(call, found)
    shape = build.drafts[source].shape
    height, width = (made[2], made[3]) if rank == 4 else (1, made[2])
    down, along = (scales[2], scales[3]) if rank == 4 else (1.0, scales[2])
    attributes = {**attributes, "scale_down": down, "scale_along": along}
    node = Node(0, call.name, "resize", (source,), (shape[0], height, width), attributes=attributes)
    factor = _repeats(node, shape)
    if factor:
        index = build.draft(call.name, "upsample", (source,), shape, {}, attributes={"factor": factor})
    else:
        index = build.draft(call.name, "resize", (source,), node.shape, {}, attributes=attributes)
    build.put(call, index, made)


def _repeats(node: Node, ifmap: Shape) -> int:
    """How often a resize repeats each row and column; 0 where it does anything else."""
    factor = node.shape[1] // ifmap[1]
    if node.attributes["mode"] != "nearest" or node.shape[1:] != (factor * ifmap[1], factor * ifmap[2]):
        return 0
    index = [resize.taps(node, at, ifmap[at + 1])[0][:, 0].tolist() for at in range(2)]
    same = all(line == [at // factor for at in range(len(line))] for line in index)
    return factor if same else 0


READERS: Mapping[str, Reader] = {
    "MaxPool": lambda build, call: _pool(build, call, "maxpool"),
    "AveragePool": lambda build, call: _pool(build, call, "avgpool"),
    "GlobalMaxPool": lambda build, call: _global(build, call, "maxpool"),
    "GlobalAveragePool": lambda build, call: _global(build, call, "avgpool"),
    "ReduceMean": _reduce_mean,
    "LRN": _lrn,
    "Upsample": _upsample,
    "Resize": _resize,
}
