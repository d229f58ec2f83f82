"""Pooling layers that are computed as the tiles of a convolution leave the array (`accelerator.fuse_pooling`).

The convolution runs as ever; its results pass a pooling unit on their way out, so that the pooled map is written and the other is not:
markers and codes, too, are those of the pooled map. A tile writes the outputs whose windows it completes. Windows that reach over a
tile's border wait in the unit, which is taken to keep up with the array; its lines of unfinished windows are not modelled. Tiles keep
their room in the buffer, where partial sums are collected. What a scheme need not compute of the pooled map is computed all the same.
A pooling layer is taken into the convolution before it if it alone reads that.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from accelsim.graph import Graph
from accelsim.schedule.geometry import Geometry, Int

POOLS = ("maxpool", "avgpool")


def fusions(graph: Graph) -> dict[int, int]:
    """The convolution that each pooling layer is taken into, by its number."""
    readers = Counter(index for node in graph.nodes for index in node.inputs)
    pools = [node for node in graph.nodes if node.kind in POOLS]
    return {node.index: node.inputs[0] for node in pools if graph.nodes[node.inputs[0]].kind == "conv" and readers[node.inputs[0]] == 1}


def completed(pool: Geometry, axis: int, low: Int, high: Int) -> tuple[Int, Int]:
    """Pooled rows (axis 0) or columns (axis 1) that tiles of the convolution complete, low and high (exclusive), maybe none.

    Shapes:  `low`, `high` int64 [tiles]: the tiles' rows or columns, which follow each other; so are the results
    """
    outputs = np.arange((pool.out_height, pool.out_width)[axis], dtype=np.int64)
    ends = pool.window(axis, outputs, outputs + 1)[1]
    return np.searchsorted(ends, low, side="right"), np.searchsorted(ends, high, side="right")
