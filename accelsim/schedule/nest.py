"""A scheduled node before it is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.graph import Node
from accelsim.hardware.tilings import FixedTiling
from accelsim.schedule.geometry import Geometry, geometry
from accelsim.schedule.work import Source


@dataclass(frozen=True, eq=False)
class Nest:
    """One scheduled node: its loops, its name in messages, what is fixed of its tiling, and what it reads.

    `made`: the node whose map it writes: itself, or the pooling layer that its results pass. `sources` of each operand; `reads`: stored
    maps. A negative number among `reads` is an alias (see `views`); the maps whose bytes it means are there, too.
    """

    node: Node
    made: Node
    layer: Geometry
    label: str
    fixed: FixedTiling
    sources: tuple[Source, ...]
    reads: frozenset[int]

    @property
    def pool(self) -> Geometry | None:
        """The pooling layer that its results pass."""
        return None if self.made is self.node else geometry(self.made, [self.node.shape])
