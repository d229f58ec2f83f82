"""The drafts of a network's nodes, as a run of the model shows them one after another.

An operation of PyTorch is one function in `OPERATIONS`: it gets the sheet and the call's own arguments, in which tensors that hold data
of the images are `Known`, and says what the call makes. What it cannot express it refuses with `Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

import torch

from accelsim.graph import Attribute, Shape

Sizes = tuple[int, ...]
"""Shape of a tensor without its batch."""


class Refusal(Exception):  # noqa: N818 - caught where it is raised; what users see is a ModelError
    """Why a call cannot be expressed as nodes."""


@dataclass(frozen=True)
class Known:
    """Data of a draft in a tensor of this shape (the same elements in the same order)."""

    draft: int
    shape: Sizes


@dataclass(frozen=True)
class Lost:
    """Data that came out of operations that are not recorded. `causes`: their names and what was wrong with each."""

    causes: Mapping[str, str]


@dataclass(eq=False)
class Draft:
    """A node in the making.

    `geometry`: kernel, stride, pad, dilation, groups of the node; `call` and `output`: which tensor of which call holds its data;
    `factors`: of a `scale` by two numbers, those.
    """

    number: int
    name: str
    kind: str
    inputs: list[int]
    shape: Shape
    call: int
    output: int = 0
    geometry: dict[str, Any] = field(default_factory=dict)
    activation: str = "linear"
    slope: float = 0.0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    factors: tuple[float, float] | None = None
    dtype: str = "float32"


class Sheet:
    """Drafts so far. While an operation is asked, `made` are the shapes of the tensors that its call has made, and `narrows` says
    whether their type has fewer bits than what it read.
    """

    def __init__(self, images: torch.Tensor) -> None:
        self.drafts = [Draft(0, "input", "input", [], plain(tuple(images.shape[1:])), -1, dtype=_type(images))]
        self.made: tuple[Sizes, ...] = ()
        self.narrows = False
        self.name = ""
        self._call = -1
        self._dtype = ""
        self._names = {"input": 1}

    def begin(self, name: str, call: int, made: tuple[Sizes, ...], read: torch.Tensor, first: torch.Tensor) -> None:
        """Say which call comes next, the first tensor that it has read and the first that it has made."""
        self.name, self._call, self.made = name, call, made
        self.narrows, self._dtype = first.dtype.itemsize < read.dtype.itemsize, _type(first)

    def forget(self, count: int) -> None:
        """Keep only the first `count` drafts."""
        del self.drafts[count:]

    def add(self, kind: str, *inputs: Known, shape: Shape | None = None, output: int = 0, **more: Any) -> Known:
        """Draft a node whose map is in tensor `output` of this call; `shape` where that is not the tensor's own."""
        made = plain(self.made[output]) if shape is None else shape
        return Known(self._draft(self.name, kind, inputs, made, output, **more), self.made[output])

    def shape(self, known: Known) -> Shape:
        """Shape of the node that a tensor's data came from."""
        return self.drafts[known.draft].shape

    def settle(self, given: Any) -> Known:
        """The same data as a map of the tensor's own shape: a node `reshape` where the shapes differ."""
        known = required(given)
        shape = plain(known.shape)
        if shape == self.shape(known):
            return known
        return Known(self._draft(f"{self.name}_reshape", "reshape", [known], shape, 0), known.shape)

    def same(self, given: Any, kind: str, **more: Any) -> Known:
        """Draft a node that works on each element by itself, whatever the tensor's shape."""
        known = required(given)
        return self.add(kind, known, shape=self.shape(known), **more)

    def _draft(self, name: str, kind: str, inputs: Sequence[Known], shape: Shape, output: int, **more: Any) -> int:
        number = len(self.drafts)
        reads = [known.draft for known in inputs]
        self.drafts.append(Draft(number, self._unique(name), kind, reads, shape, self._call, output, dtype=self._dtype, **more))
        return number

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{name}_{count}" if count else name


Operation = Callable[..., Known | Sequence[Known | None]]
OPERATIONS: dict[str, Operation] = {}
"""What is known, by the function's name without home and underscore; filled by the modules of operations when they are imported."""

Described = TypeVar("Described", bound=Operation)


def operation(*names: str) -> Callable[[Described], Described]:
    """Enter a function into `OPERATIONS`."""

    def enter(function: Described) -> Described:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return enter


def plain(sizes: Sizes) -> Shape:
    """Channels, rows and columns of a tensor: the last two axes and all before; of two axes channels and columns."""
    if len(sizes) < 2:
        return ((*sizes, 1)[0], 1, 1)
    if len(sizes) == 2:
        return (sizes[0], 1, sizes[1])
    return (prod(sizes[:-2]), sizes[-2], sizes[-1])


def axis(dim: Any, sizes: Sizes) -> int:
    """Which axis of a map (0 channels, 1 rows, 2 columns) a dimension of a tensor is. Raises `Refusal` for the batch and in channels."""
    rank = len(sizes) + 1
    if not isinstance(dim, int) or not -rank <= dim < rank:
        raise Refusal(f"dimension {dim!r} of {rank}")
    place = dim % rank
    if place == 0:
        raise Refusal("it works across the images of a batch")
    if rank > 4 and place < rank - 2:
        raise Refusal(f"it works along a part of the channels of {list(sizes)}")
    return 0 if place == 1 and rank <= 4 else 2 if place == rank - 1 else 1


def required(known: Any) -> Known:
    """The tensor that must hold data of the images."""
    if not isinstance(known, Known):
        raise Refusal("its first argument is not data of the images")
    return known


def constant(given: Any, what: str) -> torch.Tensor:
    """A tensor that must not hold data of the images."""
    if not isinstance(given, torch.Tensor):
        raise Refusal(f"its {what} come from the images")
    return given


def elements(sizes: Sizes) -> int:
    """How many elements a shape has."""
    return prod(sizes)


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
