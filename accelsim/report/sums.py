"""Sums over the rows of a table, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sums:
    """Integer sums of rows by layer.

    Shapes:  `order` int64 [rows]: rows by layer, None where they lie so; `first` int64 [n]: where each layer that has rows begins among
             them, `layers` int64 [n]: which layers those are, of `count`
    """

    order: Int | None
    first: Int
    layers: Int
    count: int

    @classmethod
    def by(cls, layer: Int, count: int) -> Sums:
        """Sums by the layer of each row."""
        order = None if (np.diff(layer) >= 0).all() else np.argsort(layer, kind="stable")
        many = np.bincount(layer, minlength=count)
        layers = np.flatnonzero(many)
        return cls(order, (np.cumsum(many) - many)[layers], layers, count)

    def __call__(self, values: Int) -> Int:
        """Sums of some values of all rows. Shapes: int64 [rows] -> [count]."""
        found = np.zeros(self.count, np.int64)
        if self.layers.size:
            found[self.layers] = np.add.reduceat(values if self.order is None else values[self.order], self.first)
        return found
