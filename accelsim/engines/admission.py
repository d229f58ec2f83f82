"""What a schedule must be before an engine takes it, and what to say when a replay gets stuck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.machine import Machine
from accelsim.errors import EngineError
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, NONE, OFMAP, READ, TENSOR_NAMES, WRITE, Schedule
from accelsim.timeline import Timeline

Int = NDArray[np.int64]

FARTHEST = float(2**60)
"""Addresses and times stay below this, so that sums of a few of them stay inside int64."""


def require_sound(schedule: Schedule, machine: Machine) -> None:
    """Refuse a schedule whose tables contradict each other, before compiled code indexes with them.

    Raises:  EngineError naming the table, the row and the value
    """
    tiles, blocks, transfers, descriptors, layers = (
        schedule.tiles,
        schedule.blocks,
        schedule.transfers,
        schedule.descriptors,
        schedule.layers,
    )
    for table in (tiles, blocks, transfers, descriptors, layers):
        sizes = {name: column.shape for name, column in vars(table).items()}
        if len(set(sizes.values())) > 1:
            raise EngineError(f"schedule: columns of {type(table).__name__} differ in length: {sizes}")
    count = {
        "tiles": tiles.layer.size,
        "blocks": blocks.order.size,
        "transfers": transfers.tile.size,
        "descriptors": descriptors.rows.size,
        "layers": layers.drain.size,
    }
    if len(schedule.slots) != OFMAP + 1 or min(schedule.slots) < 1:
        raise EngineError(f"schedule: slots are {schedule.slots}, needed is one or more for each of ifmap, filter, ofmap")
    limits: list[tuple[str, Int, int, int]] = [
        ("tiles.layer", tiles.layer, 0, count["layers"] - 1),
        ("tiles.ifmap_block", tiles.ifmap_block, NONE, count["blocks"] - 1),
        ("tiles.filter_block", tiles.filter_block, NONE, count["blocks"] - 1),
        ("tiles.ofmap_block", tiles.ofmap_block, NONE, count["blocks"] - 1),
        ("tiles.metadata", tiles.metadata, NONE, count["transfers"] - 1),
        ("tiles.busy_cycles", tiles.busy_cycles, 0, 2**40),
        ("tiles.fill_cycles", tiles.fill_cycles, 0, 2**40),
        ("blocks.tensor", blocks.tensor, IFMAP, OFMAP),
        ("blocks.layer", blocks.layer, 0, count["layers"] - 1),
        ("blocks.bytes", blocks.bytes, 0, 2**50),
        ("blocks.load", blocks.load, NONE, count["transfers"] - 1),
        ("blocks.store", blocks.store, NONE, count["transfers"] - 1),
        ("blocks.first_tile", blocks.first_tile, 0, count["tiles"] - 1),
        ("blocks.last_tile", blocks.last_tile, 0, count["tiles"] - 1),
        ("transfers.tensor", transfers.tensor, IFMAP, METADATA),
        ("transfers.direction", transfers.direction, READ, WRITE),
        ("transfers.layer", transfers.layer, 0, count["layers"] - 1),
        ("transfers.channel (read)", transfers.channel[transfers.direction == READ], 0, machine.read_channels - 1),
        ("transfers.channel (write)", transfers.channel[transfers.direction == WRITE], 0, machine.write_channels - 1),
        ("transfers.tile", transfers.tile, 0, count["tiles"] - 1),
        ("transfers.block", transfers.block, NONE, count["blocks"] - 1),
        ("transfers.descriptor_low", transfers.descriptor_low, 0, count["descriptors"]),
        ("transfers.descriptor_high", transfers.descriptor_high, 0, count["descriptors"]),
        ("transfers.wait_transfer", transfers.wait_transfer, NONE, count["transfers"] - 1),
        ("transfers.wait_layer", transfers.wait_layer, NONE, count["layers"] - 1),
        ("descriptors.address", descriptors.address, 0, 2**56),
        ("descriptors.row_bytes", descriptors.row_bytes, 1, 2**50),
        ("descriptors.rows", descriptors.rows, 1, 2**40),
        ("descriptors.row_pitch", descriptors.row_pitch, 0, 2**50),
        ("descriptors.planes", descriptors.planes, 1, 2**40),
        ("descriptors.plane_pitch", descriptors.plane_pitch, 0, 2**50),
        ("layers.drain", layers.drain, 0, 1),
    ]
    if schedule.codecs is not None:
        limits += [(f"codecs.{name}", column, 0, 2**40) for name, column in vars(schedule.codecs).items()]
        for name, column in vars(schedule.codecs).items():
            if column.shape != transfers.tile.shape:
                raise EngineError(f"schedule: codecs.{name} has {column.size} rows for {count['transfers']} transfers")
    for name, column, low, high in limits:
        if column.size and not low <= column.min() <= column.max() <= high:
            require(name, (column >= low) & (column <= high), column, f"allowed is {low} to {high}")
    require_linked(schedule)
    rows, planes = descriptors.rows.astype(np.float64), descriptors.planes.astype(np.float64)
    reach = planes * (rows * (descriptors.row_pitch + descriptors.row_bytes) + descriptors.plane_pitch)
    require("descriptors", reach < FARTHEST, reach, "addresses beyond 2**60 are refused")
    cycles = float(np.sum(tiles.busy_cycles + tiles.fill_cycles, dtype=np.float64))
    if schedule.codecs is not None:
        cycles += float(np.sum(schedule.codecs.cycles + schedule.codecs.latency, dtype=np.float64))
    work = cycles * machine.period
    if work > FARTHEST:
        raise EngineError(f"schedule: {work:.3g} ps of array and codec work do not fit the engine's clock")


def require_linked(schedule: Schedule) -> None:
    """Refuse rows that point at each other wrongly; indices are known to be in range.

    Raises:  EngineError naming the table, the row and the value
    """
    tiles, blocks, transfers, layers = schedule.tiles, schedule.blocks, schedule.transfers, schedule.layers
    sizes = layers.tile_high - layers.tile_low
    low = np.cumsum(sizes) - sizes
    require("layers.tile_low", (sizes >= 0) & (layers.tile_low == low), layers.tile_low, "layers must share the tiles out in order")
    if not np.array_equal(np.repeat(np.arange(sizes.size), sizes), tiles.layer):
        raise EngineError("schedule: tiles.layer disagrees with layers.tile_low and tile_high")
    first_of_class = np.searchsorted(blocks.tensor, (IFMAP, FILTER, OFMAP))[blocks.tensor]
    require("blocks.tensor", np.diff(blocks.tensor, prepend=IFMAP) >= 0, blocks.tensor, "blocks must be sorted by class")
    sorted_ = (np.diff(blocks.tensor, prepend=NONE) > 0) | (np.diff(blocks.first_tile, prepend=NONE) > 0)
    require("blocks.first_tile", sorted_, blocks.first_tile, "blocks of a class must be sorted by first tile")
    require(
        "blocks.order", blocks.order == np.arange(blocks.order.size) - first_of_class, blocks.order, "needed is the number within the class"
    )
    rows = np.arange(blocks.order.size)
    for tensor, column in ((IFMAP, tiles.ifmap_block), (FILTER, tiles.filter_block), (OFMAP, tiles.ofmap_block)):
        name = f"tiles.{TENSOR_NAMES[tensor]}_block"
        used = np.flatnonzero(column != NONE)
        block = column[used]
        require(name, blocks.tensor[block] == tensor, block, "the block belongs to another class")
        inside = (blocks.first_tile[block] <= used) & (used <= blocks.last_tile[block])
        require(name, inside, block, "the tile lies outside the block's first and last tile")
        mine = blocks.tensor == tensor
        for end in ("first_tile", "last_tile"):
            tile = getattr(blocks, end)
            require(f"blocks.{end}", ~mine | (column[tile] == rows), tile, "that tile does not use the block")
    require("blocks.store", (blocks.store == NONE) | (blocks.tensor == OFMAP), blocks.store, "only ofmap blocks are stored")
    metadata = tiles.metadata[tiles.metadata != NONE]
    require("tiles.metadata", transfers.direction[metadata] == READ, metadata, "a read is needed")
    numbers = np.arange(transfers.tile.size)
    empty = transfers.descriptor_low > transfers.descriptor_high
    require("transfers.descriptor_low", ~empty, transfers.descriptor_low, "allowed is at most descriptor_high")
    for direction, name in ((READ, "load"), (WRITE, "store")):
        column = getattr(blocks, name)
        used = np.flatnonzero(column != NONE)
        x = column[used]
        require(
            f"blocks.{name}", (transfers.block[x] == used) & (transfers.direction[x] == direction), x, "that transfer serves another block"
        )
        serving = np.flatnonzero((transfers.block != NONE) & (transfers.direction == direction))
        require("transfers.block", column[transfers.block[serving]] == numbers[serving], serving, f"the block names another {name}")
    stored = blocks.store != NONE
    agrees = transfers.tile[blocks.store[stored]] == blocks.last_tile[stored]
    require("blocks.store", agrees, blocks.store[stored], "the store's tile is not the block's last tile")


def require(name: str, holds: NDArray[np.bool_], column: NDArray[np.generic], rule: str) -> None:
    """Raise EngineError for the first row where `holds` is false."""
    if not holds.all():
        row = int(np.argmin(holds))
        raise EngineError(f"schedule: {name} row {row} is {column[row]}: {rule}")


def require_finished(schedule: Schedule, timeline: Timeline) -> None:
    """Say what a replay that could not go on was waiting for.

    Raises:  EngineError naming the first tile and the first transfer that never came to be
    """
    tiles = np.flatnonzero(timeline.tile_end < 0)
    transfers = np.flatnonzero(timeline.transfer_end < 0)
    if not tiles.size and not transfers.size:
        return
    lines = ["the replay is stuck: its schedule cannot proceed"]
    if tiles.size:
        tile = int(tiles[0])
        lines.append(f"    tile {tile} (layer '{schedule.names[schedule.tiles.layer[tile]]}') never started")
    if transfers.size:
        x = int(transfers[0])
        table = schedule.transfers
        job = f"{TENSOR_NAMES[table.tensor[x]]} {'write' if table.direction[x] == WRITE else 'read'}"
        lines.append(f"    transfer {x} ({job}, layer '{schedule.names[table.layer[x]]}') never started: {obstacle(schedule, timeline, x)}")
    raise EngineError("\n".join(lines))


def obstacle(schedule: Schedule, timeline: Timeline, x: int) -> str:
    """The first unmet condition of transfer `x`."""
    transfers, blocks = schedule.transfers, schedule.blocks
    ahead = np.flatnonzero(
        (transfers.channel[:x] == transfers.channel[x])
        & (transfers.direction[:x] == transfers.direction[x])
        & (timeline.transfer_end[:x] < 0)
    )
    wait, layer, block, tile = (
        int(column[x]) for column in (transfers.wait_transfer, transfers.wait_layer, transfers.block, transfers.tile)
    )
    stores = (transfers.direction == WRITE) & (transfers.layer <= layer) & (timeline.transfer_end < 0)
    if ahead.size:
        return f"transfer {ahead[0]} is before it on its channel"
    if wait != NONE and timeline.transfer_end[wait] < 0:
        return f"it waits for transfer {wait}"
    if stores.any():
        return f"it waits for the store of layer '{schedule.names[transfers.layer[np.argmax(stores)]]}', transfer {np.argmax(stores)}"
    if transfers.direction[x] == WRITE:
        return f"it waits for tile {tile}"
    before = block - schedule.slots[blocks.tensor[block]]
    if block != NONE and blocks.order[block] >= schedule.slots[blocks.tensor[block]] and not released(schedule, timeline)[before]:
        return f"it waits for the slot of block {before}"
    return "it waits for the buffer to drain"


def released(schedule: Schedule, timeline: Timeline) -> NDArray[np.bool_]:
    """Which blocks have been released, [blocks]."""
    blocks = schedule.blocks
    return np.where(blocks.store != NONE, timeline.transfer_end[blocks.store] >= 0, timeline.tile_end[blocks.last_tile] >= 0)
