"""ONNX operators that move elements or only rename them: shapes, axes, pieces, borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from accelsim.graph import Attribute, Shape
from accelsim.layers import concat, pad
from accelsim.networks.onnx_build import Build, Reader, View, fold, folded_axis
from accelsim.networks.onnx_call import Call
from accelsim.networks.onnx_operands import axis, constant, integers, operand, real, scalar, view


def _identity(build: Build, call: Call) -> None:
    found = view(build, call)
    build.alias(call, found, found.sizes, found.quantum)


def _dropout(build: Build, call: Call) -> None:
    if any(call.outputs[1:]) or (call.given(2) and constant(build, call, 2, "training_mode").any()):
        raise call.fault("in training mode, or its mask is used; export the model for inference")
    _identity(build, call)


def _cast(build: Build, call: Call) -> None:
    if call.integer("to", 0) not in (1, 10, 11, 16):
        raise call.fault("a map is turned into integers or truth values; allowed: real numbers")
    found = real(build, call)
    build.alias(call, found, found.sizes)


def _reshape(build: Build, call: Call) -> None:
    found = view(build, call)
    wanted = integers(build, call, 1, "shape") or ()
    whole = call.integer("allowzero", 0)
    if any(size == 0 and at >= len(found.sizes) for at, size in enumerate(wanted)) and not whole:
        raise call.fault(f"shape {list(wanted)} for a tensor of {list(found.sizes)}; 0 stands for a size that is not there")
    sizes = [found.sizes[at] if size == 0 and not whole else size for at, size in enumerate(wanted)]
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = prod(found.sizes) // known
    if prod(sizes) != prod(found.sizes) or any(size < 1 for size in sizes):
        raise call.fault(
            f"shape {list(wanted)} for a tensor of {list(found.sizes)}; elements must stay as many (the batch is taken as 1: a batch "
            "written into the model must be 1 or -1)"
        )
    build.alias(call, found, sizes, found.quantum)


def _flatten(build: Build, call: Call) -> None:
    found = view(build, call)
    rank = len(found.sizes)
    given = call.integer("axis", 1)
    at = given if given == rank else axis(call, given, rank)
    build.alias(call, found, (prod(found.sizes[:at]), prod(found.sizes[at:])), found.quantum)


def _squeeze(build: Build, call: Call) -> None:
    found = view(build, call)
    rank = len(found.sizes)
    axes = integers(build, call, 1, "axes")
    drop = {axis(call, value, rank) for value in axes} if axes is not None else {at for at in range(rank) if found.sizes[at] == 1}
    if any(found.sizes[at] != 1 for at in drop):
        raise call.fault(f"axes {sorted(drop)} of {list(found.sizes)} are not all of length 1")
    build.alias(call, found, [size for at, size in enumerate(found.sizes) if at not in drop], found.quantum)


def _unsqueeze(build: Build, call: Call) -> None:
    found = view(build, call)
    axes = integers(build, call, 1, "axes") or ()
    rank = len(found.sizes) + len(axes)
    new = {axis(call, value, rank) for value in axes}
    if len(new) != len(axes):
        raise call.fault(f"axes {list(axes)} name one axis twice")
    rest = iter(found.sizes)
    build.alias(call, found, [1 if at in new else next(rest) for at in range(rank)], found.quantum)


def _transpose(build: Build, call: Call) -> None:
    found = view(build, call)
    rank = len(found.sizes)
    order = call.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise call.fault(f"perm {list(order)} for {rank} axes")
    sizes = [found.sizes[at] for at in order]
    long = [at for at in range(rank) if found.sizes[at] > 1]
    moved = [long.index(at) for at in order if at in long]
    if moved == sorted(moved):
        build.alias(call, found, sizes, found.quantum)
        return
    shape = fold(sizes, len(sizes) > 1 and sizes[0] == 1)
    node = build.drafts[found.index]
    if node.kind == "input" and found.sole and rank == 4 and tuple(order) == (0, 3, 1, 2):
        # exporters that keep channels last begin with this; images are handed in channels first anyway
        build.drafts[found.index] = replace(node, shape=shape)
        build.notes["input_layout"] = "channels last in the file, channels first here"
        build.take_over(call, found, sizes)
        return
    attributes = {"view": " ".join(str(found.sizes[at]) for at in long), "order": " ".join(map(str, moved))}
    build.put(call, build.draft(call.name, "permute", (found.index,), shape, {}, attributes=attributes), sizes, found.quantum)


def _concat(build: Build, call: Call) -> None:
    views = [operand(build, call, position) for position in range(len(call.inputs))]
    rank = len(views[0].sizes)
    at = axis(call, call.integer("axis", 1), rank)
    others = {tuple(size for number, size in enumerate(found.sizes) if number != at) for found in views}
    if len(others) != 1 or len({len(found.sizes) for found in views}) != 1:
        raise call.fault(f"{', '.join(str(list(found.sizes)) for found in views)} along axis {at} do not fit together")
    if len({found.quantum for found in views}) != 1:
        raise call.fault("its integers stand for different numbers; allowed: one scale and zero point")
    sizes = list(views[0].sizes)
    sizes[at] = sum(found.sizes[at] for found in views)
    if len(views) == 1:
        build.alias(call, views[0], sizes, views[0].quantum)
        return
    batched = len(sizes) > 1 and sizes[0] == 1
    along = folded_axis(rank, batched, at)
    if along is None and prod(sizes[:at]) == 1:
        along = 0
    if along is None:
        raise call.fault(f"along axis {at} of {sizes}; allowed: the first axis after the batch, and the last two")
    sources = tuple(build.image(call, found, batched) for found in views)
    attributes: dict[str, Attribute] = {"axis": concat.AXES[along]} if along else {}
    index = build.draft(call.name, "concat", sources, build.drafts[sources[0]].shape, {}, attributes=attributes)
    build.put(call, index, sizes, views[0].quantum)


def _piece(
    build: Build, call: Call, found: View, start: Mapping[int, int], step: Mapping[int, int], sizes: Sequence[int], out: int
) -> None:
    """Cut a piece out of a view; `start` and `step` of the axes that are cut, `sizes` of all axes of the piece."""
    rank, batched = len(found.sizes), found.batched
    cut = [at for at in range(rank) if sizes[at] != found.sizes[at] or step.get(at, 1) != 1]
    if not cut:
        build.put(call, found.index, sizes, found.quantum, out)
        made = build.views[call.outputs[out]]
        build.views[call.outputs[out]] = replace(made, alone=found.sole)
        return
    # an axis of length 1 is kept whole or lost, so what is cut is longer
    places = {at: folded_axis(rank, batched, at) for at in cut}
    own = rank - batched
    if own > 3 and any(place == 0 for place in places.values()):
        # channels are made of several axes: the first of them is cut in blocks of the others
        inside = prod(found.sizes[batched + 1 : rank - 2])
        first = batched
        places = {at: place if at != first or inside == 1 else None for at, place in places.items()}
    if None in places.values() or len(set(places.values())) != len(places):
        raise call.fault(f"cuts axes {cut} of {list(found.sizes)}; allowed: the first axis after the batch, and the last two")
    source = build.image(call, found)
    starts, steps = [0, 0, 0], [1, 1, 1]
    for at, place in places.items():
        starts[place or 0], steps[place or 0] = start.get(at, 0), step.get(at, 1)
    shape = fold(sizes, batched)
    attributes = {"start": " ".join(map(str, starts)), "step": " ".join(map(str, steps))}
    name = call.name if len(call.outputs) == 1 else f"{call.name}_{out}"
    build.put(call, build.draft(name, "slice", (source,), shape, {}, attributes=attributes), sizes, found.quantum, out)


def _slice(build: Build, call: Call) -> None:
    found = view(build, call)
    rank = len(found.sizes)
    starts, ends = (integers(build, call, at, key) or () for at, key in ((1, "starts"), (2, "ends")))
    axes = integers(build, call, 3, "axes") or tuple(range(len(starts)))
    steps = integers(build, call, 4, "steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.fault(f"starts {list(starts)}, ends {list(ends)}, axes {list(axes)}, steps {list(steps)} do not belong together")
    sizes, first, by = list(found.sizes), {}, {}
    for start, end, given, step in zip(starts, ends, axes, steps, strict=True):
        at = axis(call, given, rank)
        kept = range(*slice(start, end, step).indices(found.sizes[at]))
        if not kept:
            raise call.fault(f"from {start} to {end} of {list(found.sizes)} along axis {at}: nothing is left")
        sizes[at], first[at], by[at] = len(kept), kept[0], step if len(kept) > 1 else 1
    _piece(build, call, found, first, by, sizes, 0)


def _split(build: Build, call: Call) -> None:
    found = view(build, call)
    at = axis(call, call.integer("axis", 0), len(found.sizes))
    parts = integers(build, call, 1, "split")
    if parts is None:
        count = call.integer("num_outputs", len(call.outputs))
        size = -(-found.sizes[at] // count) if count > 0 else 0
        parts = tuple(min(size, found.sizes[at] - number * size) for number in range(count))
    if sum(parts) != found.sizes[at] or len(parts) != len(call.outputs) or any(size < 1 for size in parts):
        raise call.fault(f"parts {list(parts)} of {list(found.sizes)} along axis {at} for {len(call.outputs)} outputs")
    low = 0
    for out, size in enumerate(parts):
        if call.outputs[out]:
            sizes = [size if number == at else whole for number, whole in enumerate(found.sizes)]
            _piece(build, call, replace(found, alone=False), {at: low}, {}, sizes, out)
        low += size


def _pad(build: Build, call: Call) -> None:
    found = real(build, call)
    rank = len(found.sizes)
    amounts = integers(build, call, 1, "pads") or ()
    value = scalar(build, call, 2, "value", 0.0) if call.version >= 11 else call.number("value", 0.0)
    mode = call.text("mode", "constant", pad.MODES)
    axes = integers(build, call, 3, "axes") or tuple(range(rank))
    if len(amounts) != 2 * len(axes):
        raise call.fault(f"pads {list(amounts)} for {len(axes)} axes; allowed: two for each")
    around = [(0, 0)] * rank
    for number, given in enumerate(axes):
        around[axis(call, given, rank)] = (amounts[number], amounts[number + len(axes)])
    sizes = [size + sum(pair) for size, pair in zip(found.sizes, around, strict=True)]
    if any(min(pair) < 0 for pair in around):
        raise call.fault(f"pads {list(amounts)}; allowed: 0 or more (use Slice to take elements away)")
    if sizes == list(found.sizes):
        build.alias(call, found, sizes)
        return
    batched = found.batched and around[0] == (0, 0)
    places = {at: folded_axis(rank, batched, at) for at in range(rank) if around[at] != (0, 0)}
    inside = prod(found.sizes[batched + 1 : rank - 2]) if rank - batched > 3 else 1
    if None in places.values() or (inside > 1 and 0 in places.values()):
        raise call.fault(f"pads axes {list(places)} of {list(found.sizes)}; allowed: the first axis after the batch, and the last two")
    own = [(0, 0)] * 3
    for at, place in places.items():
        own[place or 0] = around[at]
    attributes: dict[str, Attribute] = {"mode": mode} if mode != "constant" else {"value": float(np.float32(value))}
    attributes |= {key: amount for key, amount in zip(("front", "back"), own[0], strict=True) if amount}
    source = build.image(call, found, batched)
    edges = (own[1][0], own[2][0], own[1][1], own[2][1])
    shape: Shape = build.drafts[source].shape
    build.put(call, build.draft(call.name, "pad", (source,), shape, {}, pad=edges, attributes=attributes), sizes)


READERS: Mapping[str, Reader] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
}
