"""Nodes of the graph as they grow out of ONNX operators, one after the other.

A tensor of ONNX has any number of axes; a feature map has three. So a tensor is a *view* of the map that a node makes: the same elements
in the same order, under sizes of its own. Operators that change sizes alone (Flatten, Reshape, Squeeze, ...) make another view and no
node; a `reshape` node appears only where a later operator needs channels, rows and columns that the map does not have.
Activations, scalings and paddings join the node that is already there when nobody else reads what it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Attribute, Graph, Node, Shape
from accelsim.layers import layer
from accelsim.layers.base import Tensor
from accelsim.networks.network import Network
from accelsim.networks.onnx_call import Call

Reader = Callable[["Build", Call], None]
"""Adds one operator to a build. Raises `ModelError` where it cannot."""
Array = NDArray[np.generic]
MAX_ELEMENTS = 2**28
ACTIVATED = frozenset({"conv", "fc", "scale", "maxpool", "avgpool", "add", "sub", "mul", "activation"})
"""Kinds that take on an activation."""
WEIGHTED = frozenset({"conv", "fc", "scale"})
"""Kinds that take on a scaling of their channels."""


@dataclass(frozen=True)
class Quantum:
    """How integers stand for real numbers: (integer - zero point) * scale. Its tensor is held in real numbers all the same."""

    scale: float
    zero_point: int
    dtype: str


@dataclass(frozen=True)
class View:
    """A tensor: the map of draft `index`, seen under `sizes`.

    `reads`: how often it is read; `alone`: the map has no other view that anybody reads. `quantum`: the tensor's integers, where the file
    has integers here.
    """

    index: int
    sizes: tuple[int, ...]
    reads: int
    alone: bool = True
    quantum: Quantum | None = None

    @property
    def sole(self) -> bool:
        """Whether nobody but the operator at hand reads the map."""
        return self.alone and self.reads == 1

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch of 1."""
        return len(self.sizes) > 1 and self.sizes[0] == 1


def fold(sizes: Sequence[int], batched: bool) -> Shape:
    """Channels, rows and columns of a tensor: the last two axes and all before; of two axes channels and columns."""
    own = tuple(sizes[1:] if batched else sizes)
    if len(own) < 2:
        return (own[0] if own else 1, 1, 1)
    if len(own) == 2:
        return (own[0], 1, own[1])
    return (prod(own[:-2]), own[-2], own[-1])


def folded_axis(rank: int, batched: bool, axis: int) -> int | None:
    """Which of channels (0), rows (1), columns (2) an axis becomes; None for the batch and for axes inside the channels."""
    own, at = rank - batched, axis - batched
    if at == 0:
        return 0
    if at < 0 or (own > 3 and at < own - 2):
        return None
    return 2 if at == own - 1 else 1


class Build:
    """Drafts of nodes, and what the tensors made so far are.

    `constants`: tensors that are the same for every image; `folded`: elements of those that were worked out. `sizes`: of all tensors made
    so far, `views`: what those are that still are tensors. `uses`: how often each tensor is read, outputs of the model included.
    """

    def __init__(self, image: str, sizes: tuple[int, ...], constants: Mapping[str, Array], uses: Mapping[str, int]) -> None:
        self.uses = uses
        self.constants: dict[str, Array] = dict(constants)
        self.views: dict[str, View] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.drafts: list[Node] = []
        self.weights: list[dict[str, Tensor]] = []
        self.notes: dict[str, str] = {}
        self.folded = 0
        self._names: dict[str, int] = {}
        self._reshaped: dict[tuple[int, Shape], int] = {}
        index = self.draft("input", "input", (), fold(sizes, len(sizes) > 1), {})
        self.views[image] = View(index, sizes, uses.get(image, 0))

    def draft(self, name: str, kind: str, inputs: tuple[int, ...], shape: Shape, weights: Mapping[str, Tensor], **fields: object) -> int:
        """Add a draft; `shape` is what the kind needs to know of it (filters of a convolution, say). Returns its number."""
        # callers name Node's own fields
        node = Node(len(self.drafts), self._unique(name), kind, inputs, shape, **fields)  # type: ignore[arg-type]  # one type for all fields
        made = layer(kind).output_shape(node, [self.drafts[index].shape for index in inputs])
        if prod(made) > MAX_ELEMENTS:
            raise ModelError(f"{name}: a feature map of {list(made)} elements; allowed: up to {MAX_ELEMENTS:,}")
        self.drafts.append(replace(node, shape=made))
        self.weights.append(dict(weights))
        return node.index

    def put(self, call: Call, index: int, sizes: Sequence[int], quantum: Quantum | None = None, output: int = 0) -> None:
        """Say what an operator made."""
        name = call.outputs[output]
        if prod(sizes) != self.drafts[index].elements:
            raise call.fault(f"makes {list(sizes)}, but its map is {list(self.drafts[index].shape)}; the model contradicts itself")
        self.sizes[name] = tuple(sizes)
        self.views[name] = View(index, tuple(sizes), self.uses.get(name, 0), quantum=quantum)

    def alias(self, call: Call, view: View, sizes: Sequence[int], quantum: Quantum | None = None) -> None:
        """Say that an operator only looks at its input in another way, or not as integers any more."""
        self.put(call, view.index, sizes)
        self.views[call.outputs[0]] = replace(self.views[call.outputs[0]], alone=view.sole, quantum=quantum)

    def take_over(self, call: Call, view: View, sizes: Sequence[int], quantum: Quantum | None = None) -> None:
        """Say that an operator became part of the draft of its input: what that was before is no tensor any more."""
        self.forget(view.index)
        self.put(call, view.index, sizes, quantum)

    def forget(self, index: int) -> None:
        """Drop all tensors that are views of a draft."""
        self.views = {name: view for name, view in self.views.items() if view.index != index}

    def image(self, call: Call, view: View, batched: bool | None = None) -> int:
        """Number of a draft whose map has the channels, rows and columns of a view, through a `reshape` where needed."""
        shape = fold(view.sizes, view.batched if batched is None else batched)
        return self.shaped(call, view.index, shape)

    def shaped(self, call: Call, index: int, shape: Shape) -> int:
        """Number of a draft with the elements of another and the given shape."""
        if self.drafts[index].shape == shape:
            return index
        if (index, shape) not in self._reshaped:
            self._reshaped[index, shape] = self.draft(f"{call.name}_reshape", "reshape", (index,), shape, {})
        return self._reshaped[index, shape]

    def constant_draft(self, call: Call, values: Tensor) -> int:
        """Number of a draft that hands out fixed numbers. Shapes: values [C, H, W]."""
        shape: Shape = (values.shape[0], values.shape[1], values.shape[2])
        return self.draft(f"{call.name}_constant", "constant", (0,), shape, {"values": np.ascontiguousarray(values, np.float32)})

    def activates(self, view: View) -> bool:
        """Whether the draft of a view can take on an activation."""
        node = self.drafts[view.index]
        return view.sole and node.kind in ACTIVATED and node.activation == "linear" and "quantum" not in node.attributes

    def activate(
        self,
        call: Call,
        view: View,
        activation: str,
        slope: float = 0.0,
        attributes: Mapping[str, Attribute] | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Apply an activation to a view: in its own node if that can take it on, else in a new one."""
        more, extra = dict(attributes or {}), dict(weights or {})
        if self.activates(view):
            node = self.drafts[view.index]
            self.drafts[view.index] = replace(node, activation=activation, slope=slope, attributes={**node.attributes, **more})
            self.weights[view.index] |= extra
            self.take_over(call, view, view.sizes)
            return
        shape = self.drafts[view.index].shape
        fields = {"activation": activation, "slope": slope, "attributes": more}
        index = self.draft(call.name, "activation", (view.index,), shape, extra, **fields)
        self.put(call, index, view.sizes)

    def scale(self, call: Call, view: View, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> None:
        """Multiply each channel of a view by a factor and add an offset: in its own node if that has weights, else in a new one.

        Shapes:  factor, offset float64 [C] of the map that the view has as channels, rows, columns; or [1] for all alike
        """
        node = self.drafts[view.index]
        alike = factor.size == offset.size == 1
        shape = node.shape if alike else fold(view.sizes, view.batched)
        factor, offset = (np.broadcast_to(values, shape[:1]) for values in (factor, offset))
        if self.activates(view) and node.kind in WEIGHTED and node.shape == shape:
            held = self.weights[view.index]
            aside = (-1, *(1,) * (held["weight"].ndim - 1))
            weight = held["weight"].astype(np.float64) * factor.reshape(aside)
            bias = held["bias"].astype(np.float64) * factor + offset
            held |= {"weight": _rounded(call, weight), "bias": _rounded(call, bias)}
            self.take_over(call, view, view.sizes)
            return
        source = view.index if alike else self.image(call, view)
        weights = {"weight": _rounded(call, factor), "bias": _rounded(call, offset)}
        self.put(call, self.draft(call.name, "scale", (source,), shape, weights), view.sizes)

    def network(self, name: str, outputs: Sequence[str], provenance: Mapping[str, str]) -> tuple[Network, dict[str, View]]:
        """Number the drafts that lead to an output, and make the network; and all tensors that it still has, by name."""
        needed = {0} | {self.views[output].index for output in outputs if output in self.views}
        for node in reversed(self.drafts):
            if node.index in needed:
                needed |= set(node.inputs)
        number = {index: at for at, index in enumerate(sorted(needed))}
        nodes, weights = [], {}
        for index, at in number.items():
            node = self.drafts[index]
            nodes.append(replace(node, index=at, inputs=tuple(number[producer] for producer in node.inputs)))
            if self.weights[index]:
                weights[at] = {role: np.ascontiguousarray(held, np.float32) for role, held in self.weights[index].items()}
        views = {tensor: replace(view, index=number[view.index]) for tensor, view in self.views.items() if view.index in number}
        return Network(Graph(name, tuple(nodes)), weights, {**provenance, **self.notes}), views

    def _unique(self, name: str) -> str:
        text = "".join(char if char.isprintable() else "_" for char in name)[:120] or "node"
        self._names[text] = count = self._names.get(text, 0) + 1
        return text if count == 1 else self._unique(f"{text}_{count}")


def _rounded(call: Call, values: NDArray[np.float64]) -> Tensor:
    if values.size and not np.abs(values).max() <= float(np.finfo(np.float32).max):
        raise call.fault("its numbers leave the range of float32 or are not finite; the file is damaged")
    return np.ascontiguousarray(values, np.float32)
