"""Operations of PyTorch that move data or only look at it in another form: views, slices, concatenation, padding, permutation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelsim.torch.sheet import Known, Refusal, Sheet, Sizes, elements, operation, plain, required
from accelsim.torch.sheet import axis as _axis

PADS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@operation(
    *("flatten", "unflatten", "view", "reshape", "view_as", "reshape_as", "squeeze", "unsqueeze"),
    *("contiguous", "clone", "detach", "data", "requires_grad", "alias", "expand", "expand_as"),
)
def alias(sheet: Sheet, input: Any, *args: Any, **kwargs: Any) -> Known:
    """The same elements in the same order."""
    known = required(input)
    if not sheet.made[0] and known.shape:
        raise Refusal(f"the axis of the batch is gone from {list(known.shape)}; name the axes to take away, such as flatten(1)")
    if elements(sheet.made[0]) != elements(known.shape):
        raise Refusal(f"it makes {list(sheet.made[0])} of {list(known.shape)} an image; the batch must stay the first axis")
    return Known(known.draft, sheet.made[0])


@operation("to", "float", "double", "half", "bfloat16", "type", "type_as", "cpu", "cuda")
def converted(sheet: Sheet, input: Any, *args: Any, **kwargs: Any) -> Known:
    """Another device, or a type at least as wide."""
    if sheet.narrows:
        raise Refusal("it rounds the data to a narrower type")
    return Known(required(input).draft, sheet.made[0])


@operation("permute")
def permute(sheet: Sheet, input: Any, *order: Any, dims: Any = None) -> Known:
    """Axes in another order."""
    axes = dims if dims is not None else order[0] if len(order) == 1 else order
    return _permuted(sheet, required(input), [value % len(axes) for value in axes])


@operation("transpose", "swapaxes", "swapdims")
def transpose(sheet: Sheet, input: Any, dim0: int, dim1: int) -> Known:
    """Two axes in each other's place."""
    known = required(input)
    order = list(range(len(known.shape) + 1))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(sheet, known, order)


@operation("channel_shuffle")
def channel_shuffle(sheet: Sheet, input: Any, groups: int) -> Known:
    """Channels of each group dealt out in turn."""
    known = sheet.settle(input)
    channels, height, width = sheet.shape(known)
    return sheet.add("permute", known, attributes=_order((groups, channels // groups, height, width), (1, 0, 2, 3)))


@operation("pixel_shuffle")
def pixel_shuffle(sheet: Sheet, input: Any, upscale_factor: int) -> Known:
    """Channels dealt out to rows and columns."""
    known, factor = sheet.settle(input), upscale_factor
    channels, height, width = sheet.shape(known)
    return sheet.add("permute", known, attributes=_order((channels // factor**2, factor, factor, height, width), (0, 3, 1, 4, 2)))


@operation("cat", "concat", "concatenate")
def concatenate(sheet: Sheet, tensors: Any, dim: int = 0, *, axis: int | None = None) -> Known:
    """Maps one after another."""
    if not all(isinstance(known, Known) for known in tensors):
        raise Refusal("one of its parts is not data of the images")
    along = _axis(dim if axis is None else axis, tensors[0].shape)
    parts = [sheet.settle(known) for known in tensors if elements(known.shape)]
    attributes = {"axis": ("channels", "rows", "columns")[along]} if along else {}
    return sheet.add("concat", *parts, attributes=attributes)


@operation("split", "split_with_sizes", "chunk", "tensor_split")
def split(sheet: Sheet, input: Any, *args: Any, dim: int | None = None, **more: Any) -> list[Known]:
    """Consecutive pieces, one node each."""
    known = sheet.settle(input)
    at = args[1] if len(args) > 1 else 0 if dim is None else dim
    along, pieces, first = _axis(at, known.shape), [], 0
    for output, made in enumerate(sheet.made):
        starts = [0, 0, 0]
        starts[along] = first
        first += plain(made)[along]
        pieces.append(_sliced(sheet, known, starts, [1, 1, 1], output))
    return pieces


@operation("narrow")
def narrow(sheet: Sheet, input: Any, dim: int, start: int, length: int) -> Known:
    """A run along one axis."""
    known = sheet.settle(input)
    starts, along = [0, 0, 0], _axis(dim, known.shape)
    starts[along] = start % sheet.shape(known)[along]
    return _sliced(sheet, known, starts, [1, 1, 1])


@operation("flip")
def flip(sheet: Sheet, input: Any, *dims: Any) -> Known:
    """The last first."""
    known = sheet.settle(input)
    shape, starts, steps = sheet.shape(known), [0, 0, 0], [1, 1, 1]
    for dim in dims[0] if len(dims) == 1 and isinstance(dims[0], list) else dims:
        along = _axis(dim, known.shape)
        starts[along], steps[along] = shape[along] - 1, -1
    return _sliced(sheet, known, starts, steps)


@operation("__getitem__")
def getitem(sheet: Sheet, input: Any, index: Any) -> Known:
    """Slices and single positions of channels, rows and columns."""
    known = required(input)
    items = list(index) if isinstance(index, list) else [index]
    spare = len(known.shape) + 1 - sum(item is not None and item is not Ellipsis for item in items)
    at = items.index(Ellipsis) if Ellipsis in items else len(items)
    items[at : at + 1] = [slice(None)] * spare
    items = [item for item in items if item is not None]
    if not all(isinstance(item, slice) or type(item) is int for item in items):
        raise Refusal(f"an index of {', '.join(type(item).__name__ for item in items)}; slices and whole numbers are known")
    if items[0] != slice(None):
        raise Refusal("it picks images of the batch")
    picked = [slice(item, item + 1 or None) if isinstance(item, int) else item for item in items[1:]]
    if all(item.indices(size) == (0, size, 1) for item, size in zip(picked, known.shape, strict=True)):
        return Known(known.draft, sheet.made[0])
    known = sheet.settle(known)
    starts, steps = [0, 0, 0], [1, 1, 1]
    for dim, (item, size) in enumerate(zip(picked, known.shape, strict=True), start=1):
        along = _axis(dim, known.shape)
        starts[along], _, steps[along] = item.indices(size)
    shape = [len(range(*item.indices(size))) for item, size in zip(picked, known.shape, strict=True)]
    return _sliced(sheet, known, starts, steps, shape=tuple(shape))


@operation("pad")
def pad(sheet: Sheet, input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Known:
    """A border around rows and columns."""
    known = sheet.settle(input)
    sizes = [*pad, *[0] * (6 - len(pad))]
    if len(known.shape) == 2:
        sizes = [*sizes[:2], 0, 0, *sizes[2:4]]
    if len(known.shape) == 1 or min(sizes) < 0 or mode not in PADS or len(sizes) > 6:
        raise Refusal(f"pads {list(pad)} of mode {mode!r} around {list(known.shape)}; pads of 0 or more, modes {', '.join(PADS)} are known")
    left, right, top, bottom, front, back = sizes
    if not any(sizes):
        return known
    attributes: dict[str, Any] = {key: size for key, size in (("front", front), ("back", back)) if size}
    if mode != "constant":
        attributes["mode"] = PADS[mode]
    elif value:
        attributes["value"] = float(value)
    return sheet.add("pad", known, geometry={"pad": (top, left, bottom, right)}, attributes=attributes)


def _permuted(sheet: Sheet, known: Known, order: list[int]) -> Known:
    """Axes in a new order; where only axes of length 1 change places, nothing moves."""
    if order[0] != 0:
        raise Refusal("it moves the axis of the batch")
    own = [place - 1 for place in order[1:]]
    long = [at for at, size in enumerate(known.shape) if size > 1]
    moved = [long.index(at) for at in own if at in long]
    if moved == sorted(moved):
        return Known(known.draft, sheet.made[0])
    return sheet.add("permute", known, attributes=_order([known.shape[at] for at in long], moved))


def _order(view: Sequence[int], order: Sequence[int]) -> dict[str, str]:
    return {"view": " ".join(map(str, view)), "order": " ".join(map(str, order))}


def _sliced(sheet: Sheet, known: Known, starts: list[int], steps: list[int], output: int = 0, *, shape: Sizes | None = None) -> Known:
    attributes = {"start": " ".join(map(str, starts))}
    if steps != [1, 1, 1]:
        attributes["step"] = " ".join(map(str, steps))
    return sheet.add("slice", known, output=output, shape=plain(sheet.made[output] if shape is None else shape), attributes=attributes)
