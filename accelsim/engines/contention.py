"""Banks and ports of the buffer: the cycles for which the array is held because the DMA engine wanted the same bank.

The model, at the granularity of a tile:
* Words of `width` bytes lie in neighbouring banks one after another; each bank serves `ports` accesses a cycle.
* What the array reads and writes during a tile is spread evenly over the tile's cycles and over the banks, without conflicts of its own
  (its addresses are known beforehand). Where it wants more than all ports give, the tile takes as many cycles as they need.
* A transfer goes on during the first tile that runs while the slot of its block is free to be filled, or emptied, if there is one: with one
  slot there is none. It moves no more than the link carries in the cycles of that tile.
* An access of the DMA engine falls on any bank alike. Where all ports of that bank are taken in that cycle, it goes first, for its data
  comes from a link that cannot wait, and the array waits a cycle. So a tile is held for accesses x share of full banks, rounded up.
* `slots`: every slot has banks of its own, so that the DMA engine never meets the array, which reaches only the banks of one slot.
The DMA engine's own time does not change. Conflicts in the three memories of a split buffer are added up, as if none fell together.
Source:  the model is our own, made to be checked by hand. Shapes to compare: Gemmini's scratchpad has 4 single-ported banks of 16 bytes
         (repository at 8c3f992), NVDLA's buffer 16 two-ported banks (hw at 8e06b1b). How often the array reaches in: `operands`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.schedule.tables import FILTER, IFMAP, NONE, OFMAP, Schedule

if TYPE_CHECKING:
    from accelsim.engines.machine import Machine
    from accelsim.hardware import Accelerator

Int = NDArray[np.int64]

CLASSES = (IFMAP, FILTER, OFMAP)
SECOND = 10**12
"""Picoseconds."""


@dataclass(frozen=True)
class Ports:
    """The buffer's banks, resolved.

    `split`: ifmap, filter and ofmap have such banks each. `own_banks`: every slot has banks of its own. `reads`: accesses of a MAC to an
    element of ifmap, filter and partial sum; `bits` of each. Units: `width` bytes
    """

    banks: int
    ports: int
    width: int
    split: bool
    own_banks: bool
    reads: tuple[float, float, float]
    bits: tuple[int, int, int]


def resolve(accelerator: Accelerator) -> Ports | None:
    """The engine's view of a buffer; None where the array never meets the DMA engine."""
    from accelsim.hardware.operands import operand_reads

    banking, data = accelerator.buffer.banking, accelerator.data
    if banking is None:
        return None
    reads = operand_reads(accelerator.pe_array, accelerator.energy.buffer)
    return Ports(
        banks=banking.banks,
        ports=banking.ports,
        width=banking.width,
        split=accelerator.buffer.organisation == "split",
        own_banks=banking.mapping == "slots",
        reads=(reads.ifmap, reads.filter, reads.psum),
        bits=(data.ifmap_bits, data.filter_bits, data.psum_bits),
    )


def conflict_cycles(schedule: Schedule, machine: Machine) -> Int:
    """Cycles for which the banks of the buffer hold up each tile, int64 [tiles]."""
    tiles, ports = schedule.tiles, machine.ports
    if ports is None or not tiles.layer.size:
        return np.zeros(tiles.layer.size, np.int64)
    held = np.zeros(tiles.layer.size, object)
    cycles = (tiles.busy_cycles + tiles.fill_cycles).astype(object)  # whole numbers of any size, so that products do not wrap
    array, (coming, going) = array_bytes(schedule, ports), moved_bytes(schedule)
    banks = max(1, ports.banks // max(schedule.slots)) if ports.own_banks else ports.banks
    for memory in ([IFMAP], [FILTER], [OFMAP]) if ports.split else (list(CLASSES),):
        wanted = np.add.reduce(-(-array[memory] // ports.width), axis=0)
        longer = np.maximum(cycles, -(-wanted // (banks * ports.ports)))
        met = np.zeros_like(held)
        if not ports.own_banks:
            for way, rate in ((coming, machine.down_rate), (going, machine.up_rate)):
                carried = longer * machine.period * rate // (SECOND * ports.width)
                met += np.minimum(np.add.reduce(-(-way[memory] // ports.width), axis=0), carried)
        full = np.maximum(0, wanted - banks * (ports.ports - 1) * longer)
        held += longer - cycles - (-met * full // np.maximum(1, banks * longer))
    return held.astype(np.int64)


def array_bytes(schedule: Schedule, ports: Ports) -> NDArray[np.object_]:
    """Bytes that the array reads and writes in the buffer, [class, tile]; at least what was brought for the tile, once.

    Partial sums are read and written back; results are written once, sums that were spilled and come back are read once.
    """
    blocks, transfers, macs = schedule.blocks, schedule.transfers, schedule.tiles.macs_done
    reached = [np.ceil(macs * reads).astype(np.int64) * bits // 8 for reads, bits in zip(ports.reads, ports.bits, strict=True)]
    brought = np.zeros((len(CLASSES), macs.size), np.int64)
    for numbers, tile in ((blocks.load, blocks.first_tile), (blocks.store, blocks.last_tile)):
        used = numbers != NONE
        np.add.at(brought, (blocks.tensor[used], tile[used]), transfers.bytes_wanted[numbers[used]])
    reached[IFMAP], reached[FILTER] = np.maximum(reached[IFMAP], brought[IFMAP]), np.maximum(reached[FILTER], brought[FILTER])
    reached[OFMAP] = 2 * reached[OFMAP] + brought[OFMAP]
    return np.array(reached, object)


def moved_bytes(schedule: Schedule) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Bytes that the DMA engine writes into the buffer and reads from it while each tile runs, [class, tile] both."""
    tiles, blocks, transfers, layers = schedule.tiles, schedule.blocks, schedule.transfers, schedule.layers
    coming, going = (np.zeros((len(CLASSES), tiles.layer.size), np.int64) for _ in range(2))
    rows = np.arange(blocks.order.size)
    slots = np.array(schedule.slots, np.int64)[blocks.tensor]
    # A load: from the tile after the block that had its slot, or after the layer it waits for, up to its own first tile.
    began = np.where(blocks.order >= slots, blocks.last_tile[np.maximum(rows - slots, 0)] + 1, 0)
    began = np.where(layers.drain[blocks.layer] == 1, np.maximum(began, layers.tile_low[blocks.layer]), began)
    waits = np.where(blocks.load != NONE, transfers.wait_layer[blocks.load], NONE) if transfers.tile.size else blocks.load
    began = np.where(waits != NONE, np.maximum(began, layers.tile_high[waits]), began)
    beside = (blocks.load != NONE) & (began < blocks.first_tile)
    np.add.at(coming, (blocks.tensor[beside], began[beside]), transfers.bytes_wanted[blocks.load[beside]])
    # A store: during the next tile, if that is of the same layer and does not itself wait for the slot.
    after = np.minimum(blocks.last_tile + 1, tiles.layer.size - 1)
    heir = np.minimum(rows + slots, rows.size - 1)
    awaited = (rows + slots < rows.size) & (blocks.tensor[heir] == blocks.tensor) & (blocks.first_tile[heir] <= after)
    beside = (blocks.store != NONE) & (after > blocks.last_tile) & (tiles.layer[after] == blocks.layer) & ~awaited
    np.add.at(going, (blocks.tensor[beside], after[beside]), transfers.bytes_wanted[blocks.store[beside]])
    return coming.astype(object), going.astype(object)
