"""Who kept the PE array waiting: the gaps before tiles, shared out by cause. The meaning of `Timeline.stall_cycles`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.engines.machine import Machine
from accelsim.schedule.tables import NONE
from accelsim.timeline import CAUSES

Columns = dict[str, list[int]]


def columns(table: object) -> Columns:
    """A table of a schedule as lists of Python integers: numpy's would leak into SimPy's clock."""
    return {name: column.tolist() for name, column in vars(table).items()}


@dataclass(frozen=True)
class Moments:
    """When things happened, ps: tiles, transfers (end), block releases; per layer: all stores up to it, all earlier blocks released."""

    tile_start: Sequence[int]
    tile_end: Sequence[int]
    transfer_end: Sequence[int]
    released: Sequence[int]
    stored: Sequence[int]
    drained: Sequence[int]


@dataclass(frozen=True)
class Stalls:
    """The tables of a schedule as lists, and when everything happened."""

    machine: Machine
    tiles: Columns
    blocks: Columns
    transfers: Columns
    layers: Columns
    slots: tuple[int, int, int]
    conflicts: Sequence[int]
    moments: Moments

    def of(self, t: int) -> list[int]:
        """Cycles by cause in the gap before tile `t`, and inside it its fill and drain and its conflicts in the buffer.

        In a layer's first gap, what passes before the layer could start belongs to `start`. The rest belongs to the condition that was
        fulfilled last; ties go to the first in the order of CAUSES.
        """
        tile = {name: column[t] for name, column in self.tiles.items()}
        previous, start = (self.moments.tile_end[t - 1] if t else 0), self.moments.tile_start[t]
        opened = max([previous, *map(self.machine.edge, self.openings(t))])
        times = {
            "ifmap": self.fulfilled(tile["ifmap_block"]),
            "filter": self.fulfilled(tile["filter_block"]),
            "metadata": self.moments.transfer_end[tile["metadata"]] if tile["metadata"] != NONE else 0,
            "output": self.fulfilled(tile["ofmap_block"]),
        }
        last = max(times, key=lambda cause: times[cause])  # the first of equals
        cycles = dict.fromkeys(CAUSES, 0) | {"start": (opened - previous) // self.machine.period}
        cycles |= {"fill_drain": tile["fill_cycles"], "conflict": self.conflicts[t]}
        cycles[last] = (start - opened) // self.machine.period
        return list(cycles.values())

    def openings(self, t: int) -> list[int]:
        """When what the layer of tile `t` needs to start had come about, if `t` is its first: producers stored, buffer drained."""
        layer, ifmap = self.tiles["layer"][t], self.tiles["ifmap_block"][t]
        if t != self.layers["tile_low"][layer]:
            return []
        reads = [self.tiles["metadata"][t], self.blocks["load"][ifmap] if ifmap != NONE else NONE]
        waits = [self.transfers["wait_layer"][x] for x in reads if x != NONE]
        drained = [self.moments.drained[layer]] if self.layers["drain"][layer] else []
        return drained + [self.moments.stored[wait] for wait in waits if wait != NONE]

    def fulfilled(self, block: int) -> int:
        """When `block` held what its tiles need: its load ended or, without one, its slot was free; 0 for no block."""
        if block == NONE:
            return 0
        if self.blocks["load"][block] != NONE:
            return self.moments.transfer_end[self.blocks["load"][block]]
        slots = self.slots[self.blocks["tensor"][block]]
        return self.moments.released[block - slots] if self.blocks["order"][block] >= slots else 0
