"""What the data was: the graph, and for each feature map which elements were not zero.

A trace says nothing of schemes; so a new scheme needs no new trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import Graph, Shape

FORMAT = 1


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One node's output as a trace knows it.

    Shapes:  `zero_channels` bool [C], True where every element is zero (after pruning, so the consumer sees it so);
             `mask` uint8 [ceil(C*H*W/8)], packed big-endian non-zero bits in C, H, W order, or None in a statistics trace;
             `part_max` float32 [C, ceil(H/h), ceil(W/w)], max|x| per fine part (of the trace's `fine_part` h, w; NaN counts as infinity),
             or None.
    Units:   `zero_elements`: count, or None where unknown.
    In a statistics trace only the number of zero channels is known; `zero_channels` then spreads them evenly, and
    `Trace.positions_known` is False.
    """

    shape: Shape
    zero_channels: NDArray[np.bool_]
    zero_elements: int | None
    mask: NDArray[np.uint8] | None = None
    part_max: NDArray[np.float32] | None = None

    def nonzero(self) -> NDArray[np.bool_]:
        """Unpack the mask. Shapes: bool [C, H, W]. Raises `TraceError` for a statistics trace."""
        ...


@dataclass(frozen=True, eq=False)
class Trace:
    """One network on one image at one epsilon.

    `maps[i]` belongs to `graph.nodes[i]`. `source`: 'inference', 'published statistics' or 'synthetic'; reports repeat it.
    `epsilon` and `mode` ('channel', 'part', 'element') say what inference did to the data. `fine_part`: (h, w).
    `provenance`: texts: network file and sha256, weights sha256, image and sha256, preprocessing, engine version, ...
    """

    graph: Graph
    maps: tuple[FeatureMap, ...]
    image: str
    epsilon: float
    mode: str
    fine_part: tuple[int, int]
    source: str
    provenance: Mapping[str, str]

    @property
    def has_masks(self) -> bool:
        """Whether every map has its mask."""
        ...

    @property
    def positions_known(self) -> bool:
        """Whether `zero_channels` are the real ones, not spread from a count."""
        ...
