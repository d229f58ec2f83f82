"""Operators that copy what they are given: no element is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.graph import Node
from accelsim.kernels import elementwise, windows
from accelsim.layers import concat
from accelsim.layers import pad as padding
from accelsim.layers.base import Tensor
from accelsim.operators.base import Allocate, Flags
from accelsim.operators.team import COPIED, Team


@dataclass(frozen=True, eq=False)
class Slice:
    """Some channels, rows and columns: those of `index`."""

    node: Node
    index: tuple[slice, slice, slice]

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy what is kept."""
        ofmap = empty(self.node.shape)
        ofmap[...] = inputs[0][self.index]
        return ofmap


@dataclass(frozen=True, eq=False)
class Pad:
    """A border of one value; `inside`: where the map lies."""

    node: Node
    inside: tuple[slice, ...]

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Lay the border around the map."""
        ofmap = empty(self.node.shape)
        ofmap.fill(padding.value(self.node))
        ofmap[self.inside] = inputs[0]
        return ofmap


@dataclass(frozen=True, eq=False)
class Concat:
    """Channels of several maps one after another."""

    node: Node
    team: Team

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy."""
        ofmap, channel = empty(self.node.shape), 0
        for data in inputs:
            by_rows = self.team.divides(data)
            self.team.share(windows.place, (data, channel, ofmap, by_rows), data.shape[1 - (not by_rows)], COPIED * data.size)
            channel += data.shape[0]
        return ofmap


@dataclass(frozen=True, eq=False)
class Join:
    """Rows or columns of several maps one after another."""

    node: Node

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Copy."""
        return np.concatenate(inputs, axis=concat.axis(self.node), out=empty(self.node.shape))


@dataclass(frozen=True, eq=False)
class Upsample:
    """Nearest-neighbour enlargement."""

    node: Node

    def __call__(self, inputs: Sequence[Tensor], zero_channels: Sequence[Flags], empty: Allocate) -> Tensor:
        """Repeat rows and columns."""
        ofmap = empty(self.node.shape)
        _, height, width = inputs[0].shape
        elementwise.upsample(inputs[0], self.node.shape[1] // height, self.node.shape[2] // width, ofmap)
        return ofmap
