"""The `row_stationary` dataflow (Eyeriss): a set of R x e elements convolves rows in one dimension; sets are folded and replicated.

An element holds one row of a filter and slides it over one row of the ifmap; partial sums move up a column of R elements, so a set makes
e rows of one ofmap. A set wider than the array is folded: its pieces of `cols` columns stand one below the other. Where sets fit several
times, r of them take different channels (their sums are added in the array) and t of them different filters. Kernels with more rows than
the array take several passes. In one pass a set runs p filters over q channels, as many as its scratchpads hold.
Mapping: of all e, r and t that fit, those that take the fewest cycles; ties go to fewer passes, the larger e, the larger t.
Zero channels: only live channels are handed to the sets, so passes of dead channels do not happen. Single zeros of the ifmap close the gate
of the multiplier; that saves energy and no cycle. In Eyeriss' words n images, m filters, q * r channels and e rows are one tile
(`accelerator.tiling`: images, filters, channels, rows; p * t is `filters_at_once`).
Source:  Chen et al., Eyeriss: a spatial architecture for energy-efficient dataflow, ISCA 2016; Eyeriss: an energy-efficient reconfigurable
         accelerator, JSSC 52(1), 2017, sections III and V
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from accelsim.dataflows.base import Cycles, Dataflow, Grain, Int, TileWork
from accelsim.hardware import PeArray

WEIGHTS_PER_CYCLE = 4
"""Weights that enter the array in a cycle before a pass begins: a bus of 64 bit and weights of 16 (JSSC 2017)."""
IFMAP_WORDS, FILTER_WORDS, PSUM_WORDS = 12, 224, 24
"""Words of 16 bit in an element's scratchpads (JSSC 2017): one window row of q channels; p filters of them; p partial sums."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a tile lies on the array. Units: `e` ofmap rows of a set; `r`, `t` sets; `p` filters and `q` channels of a set in a pass."""

    e: int
    r: int
    t: int
    p: int
    q: int


@dataclass(frozen=True, slots=True)
class RowStationary:
    """The dataflow for kernels of `kernel_rows` rows (R)."""

    kernel_rows: int

    def grain(self, array: PeArray, taps: int) -> Grain:
        """Rows for half of the columns where they are even, so that strips may be low, and one filter for each set that fits."""
        beside = 2 if array.cols % 2 == 0 else 1
        return Grain(filters=array.rows // min(self.kernel_rows, array.rows) * beside, height=array.cols // beside)

    def part(self, array: PeArray, out_height: int, out_width: int) -> tuple[int, int]:
        """The whole tile: a channel is handed to all sets or to none."""
        return out_height, out_width

    def mapping(self, filters: int, channels: int, taps: int, out_height: int, array: PeArray) -> Mapping:
        """The mapping of one group of a tile."""
        kernel_cols, one = -(-taps // self.kernel_rows), [np.array([size], dtype=np.int64) for size in (filters, channels, out_height)]

        def mapped(e: int, r: int, t: int) -> tuple[tuple[int, int, int, int], Mapping]:
            of_channels, of_filters = -(-channels // r), -(-filters // t)
            q = max(1, min(of_channels, IFMAP_WORDS // kernel_cols))
            p = max(1, min(of_filters, PSUM_WORDS, FILTER_WORDS // (q * kernel_cols)))
            steps = int(self._steps(one[0], one[1], one[2], e, r, t)[0])
            return (steps, -(-of_channels // q) * -(-of_filters // p), -e, -t), Mapping(min(e, out_height), r, t, p, q)

        return min((mapped(*way) for way in self._ways(array)), key=lambda found: found[0])[1]

    def tile_cycles(self, work: TileWork, array: PeArray) -> Cycles:
        """Cycles of one tile, group by group; loading the weights of the passes is filling."""
        live = work.live_channels.reshape(work.groups, -1).max(axis=1).astype(np.int64)
        live = live[live > 0]
        filters, rows = np.full_like(live, work.filters), np.full_like(live, work.out_height)
        busy = self._busy(filters, live, work.taps, rows, np.full_like(live, work.out_width), array)
        return Cycles(busy=int(busy.sum()), fill=int(_fill(filters, live, work.taps).sum()))

    def dense_cycles(self, groups: Int, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
        """Cycles of dense tiles."""
        return np.asarray(groups * (self._busy(filters, channels, taps, out_height, out_width, array) + _fill(filters, channels, taps)))

    def lanes(self, array: PeArray) -> int:
        """Every element of the array."""
        return array.rows * array.cols

    def _busy(self, filters: Int, channels: Int, taps: int, out_height: Int, out_width: Int, array: PeArray) -> Int:
        """Every element multiplies once a cycle: kernel columns * ofmap columns for each of its filters, channels and rows."""
        steps = (self._steps(filters, channels, out_height, e, r, t) for e, r, t in self._ways(array))
        fewest = reduce(lambda least, other: np.asarray(np.minimum(least, other)), steps)
        passes = -(-self.kernel_rows // array.rows)
        return np.asarray(fewest * passes * -(-taps // self.kernel_rows) * out_width)

    @staticmethod
    def _steps(filters: Int, channels: Int, out_height: Int, e: int, r: int, t: int) -> Int:
        """One-dimensional convolutions that the busiest element does."""
        return np.asarray(-(-out_height // e) * -(-channels // r) * -(-filters // t))

    def _ways(self, array: PeArray) -> Iterator[tuple[int, int, int]]:
        """All (e, r, t) worth trying: the widest set of each kind, and as many sets as fit beside and above each other."""
        stacked = array.rows // min(self.kernel_rows, array.rows)
        beside = sorted({array.cols // e for e in range(1, array.cols + 1)})
        widths = [(array.cols // many, stacked * many) for many in beside]
        widths += [(folds * array.cols, stacked // folds) for folds in range(2, stacked + 1)]
        for e, sets in widths:
            for t in sorted({sets // r for r in range(1, sets + 1)}):
                yield e, sets // t, t


def _fill(filters: Int, channels: Int, taps: int) -> Int:
    """Cycles in which the weights of a group enter the array; each weight of a tile enters once."""
    return np.asarray(-(-filters * channels * taps // WEIGHTS_PER_CYCLE))


_ONE_ROW = RowStationary(kernel_rows=1)
grain, part, lanes = _ONE_ROW.grain, _ONE_ROW.part, _ONE_ROW.lanes
tile_cycles, dense_cycles = _ONE_ROW.tile_cycles, _ONE_ROW.dense_cycles


def of_kernel(kernel: tuple[int, int]) -> Dataflow:
    """The dataflow for a kernel of R x S; the functions of this module are those for one row. Units: elements."""
    return RowStationary(kernel[0])
