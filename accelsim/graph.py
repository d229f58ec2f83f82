"""The graph of a network: nodes with their geometry, nothing else.

A `Graph` is plain data. Networks, traces and schedules all speak of the same nodes; what a kind of node means (shapes, MACs,
arithmetic) lives in `layers/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Shape = tuple[int, int, int]
"""Channels, height, width of one feature map (one image)."""

OVERWRITTEN = frozenset({"conv", "maxpool", "add", "scale", "activation", "sub", "mul", "lrn"})
"""Kinds that write feature maps: what is small in their outputs may be overwritten with zeros. Others copy, or make scores."""

Attribute = int | float | str | bool
NO_ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node:
    """One operation and the feature map it makes.

    Shapes:  `shape` is the output (C, H, W); `kernel` (R, S), `stride` and `dilation` (vertical, horizontal);
             `pad` (top, left, bottom, right), elements. For `fc`, kernel is (1, 1) and the ifmap is read flat.
    Units:   elements.
    Kinds:   input, conv, fc, scale, maxpool, avgpool, add, sub, mul, activation, lrn, softmax, concat, slice, pad, reshape, permute,
             upsample, resize, crop, constant, given, dropout, yolo, cost (see `layers/`).
    `inputs` are the indices of the producing nodes, each smaller than `index`. Node 0 is always the `input`.
    `name` is what reports print; for Darknet it is the section number and its title (`003_convolutional`).
    """

    index: int
    name: str
    kind: str
    inputs: tuple[int, ...]
    shape: Shape
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: str = "linear"
    slope: float = 0.0
    dtype: str = "float32"
    zero_point: int = 0
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: NO_ATTRIBUTES)

    @property
    def elements(self) -> int:
        """Elements of the output map."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def images(self) -> int:
        """How many images of a batch its map holds, one below the other (see `batch`): attribute `images`, 1 without."""
        return int(self.attributes.get("images", 1))


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run; `nodes[i].index == i`."""

    name: str
    nodes: tuple[Node, ...]

    def consumers(self, index: int) -> tuple[int, ...]:
        """Indices of the nodes that read the map of node `index`, ascending."""
        return tuple(node.index for node in self.nodes if index in node.inputs)

    def input_shapes(self, index: int) -> tuple[Shape, ...]:
        """Shapes of the maps that node `index` reads, in its own order."""
        return tuple(self.nodes[producer].shape for producer in self.nodes[index].inputs)
