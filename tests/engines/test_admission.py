"""Is a schedule that contradicts itself refused before compiled code indexes with it?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from strategies import Schedule, Sketch, machine, strided

from accelsim.engines import ENGINES, run
from accelsim.engines.admission import require_sound
from accelsim.errors import EngineError
from accelsim.schedule.tables import FILTER, IFMAP, NONE, OFMAP


def sound() -> Schedule:
    sketch = Sketch()
    for _ in range(2):
        sketch.layer()
        metadata = sketch.metadata(strided(0, 64), channel=1)
        for _ in range(2):
            ifmap, filters, ofmap = sketch.block(IFMAP), sketch.block(FILTER), sketch.block(OFMAP)
            sketch.load(ifmap, strided(0, 64))
            sketch.load(filters, strided(0, 64), channel=1)
            sketch.tile(ifmap=ifmap, filters=filters, ofmap=ofmap, metadata=metadata)
            sketch.store(ofmap, strided(0, 64))
    return sketch.build()


def changed(schedule: Schedule, table: str, column: str, row: int, value: int) -> Schedule:
    rows = getattr(schedule, table)
    numbers = getattr(rows, column).copy()
    numbers[row] = value
    return replace(schedule, **{table: replace(rows, **{column: numbers})})


def test_a_sound_schedule_is_taken() -> None:
    require_sound(sound(), machine())


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "fault"),
    [
        ("tiles", "ifmap_block", 1, 99, "tiles.ifmap_block row 1 is 99: allowed is -1 to 11"),
        ("tiles", "ifmap_block", 1, 4, "tiles.ifmap_block row 1 is 4: the block belongs to another class"),
        ("tiles", "ifmap_block", 1, 0, "tiles.ifmap_block row 1 is 0: the tile lies outside the block's first and last tile"),
        ("tiles", "ifmap_block", 3, NONE, "blocks.first_tile row 3 is 3: that tile does not use the block"),
        ("tiles", "metadata", 0, 3, "tiles.metadata row 0 is 3: a read is needed"),
        ("tiles", "busy_cycles", 2, -1, "tiles.busy_cycles row 2 is -1: allowed is 0 to"),
        ("tiles", "busy_cycles", 2, 2**50 // 1024, None),
        ("tiles", "layer", 2, 0, "tiles.layer disagrees with layers.tile_low and tile_high"),
        ("layers", "tile_low", 1, 3, "layers.tile_low row 1 is 3: layers must share the tiles out in order"),
        ("layers", "drain", 1, 2, "layers.drain row 1 is 2: allowed is 0 to 1"),
        ("blocks", "tensor", 0, 1, "blocks.tensor row 1 is 0: blocks must be sorted by class"),
        ("blocks", "order", 5, 0, "blocks.order row 5 is 0: needed is the number within the class"),
        ("blocks", "first_tile", 1, 0, "blocks.first_tile row 1 is 0: blocks of a class must be sorted by first tile"),
        ("blocks", "last_tile", 0, 1, "blocks.last_tile row 0 is 1: that tile does not use the block"),
        ("blocks", "load", 0, 2, "blocks.load row 0 is 2: that transfer serves another block"),
        ("blocks", "load", 0, NONE, "transfers.block row 0 is 1: the block names another load"),
        ("blocks", "store", 0, 3, "blocks.store row 0 is 3: only ofmap blocks are stored"),
        ("transfers", "channel", 3, 1, "transfers.channel \\(write\\) row 0 is 1: allowed is 0 to 0"),
        ("transfers", "channel", 0, 2, "transfers.channel \\(read\\) row 0 is 2: allowed is 0 to 1"),
        ("transfers", "descriptor_low", 1, 4, "transfers.descriptor_low row 1 is 4: allowed is at most descriptor_high"),
        ("transfers", "wait_transfer", 1, -2, "transfers.wait_transfer row 1 is -2: allowed is -1 to 13"),
        ("transfers", "tile", 3, 1, "blocks.store row 0 is 3: the store's tile is not the block's last tile"),
        ("descriptors", "row_bytes", 0, 0, "descriptors.row_bytes row 0 is 0: allowed is 1 to"),
        ("descriptors", "rows", 0, 2**40, None),
        ("descriptors", "plane_pitch", 0, 2**50, None),
    ],
)
def test_contradictions_are_named(table: str, column: str, row: int, value: int, fault: str | None) -> None:
    schedule = changed(sound(), table, column, row, value)
    if fault is None:
        require_sound(schedule, machine())
    else:
        with pytest.raises(EngineError, match=fault):
            require_sound(schedule, machine())


def test_addresses_beyond_the_clock_of_integers_are_refused() -> None:
    schedule = changed(changed(sound(), "descriptors", "rows", 3, 2**40), "descriptors", "row_pitch", 3, 2**30)
    with pytest.raises(EngineError, match=r"descriptors row 3 is .*: addresses beyond 2\*\*60 are refused"):
        require_sound(schedule, machine())


def test_array_work_beyond_the_clock_of_integers_is_refused() -> None:
    schedule = changed(sound(), "tiles", "busy_cycles", 0, 2**40)
    with pytest.raises(EngineError, match=r"1\.1e\+21 ps of array and codec work do not fit the engine's clock"):
        require_sound(schedule, machine(period=10**9))


def test_columns_of_different_length_are_refused() -> None:
    schedule = sound()
    short: Any = replace(schedule, layers=replace(schedule.layers, macs=np.zeros(1, np.int64)))
    with pytest.raises(EngineError, match="columns of Layers differ in length"):
        require_sound(short, machine())


def test_no_slot_is_no_buffer() -> None:
    with pytest.raises(EngineError, match=r"slots are \(1, 0, 1\), needed is one or more"):
        require_sound(replace(sound(), slots=(1, 0, 1)), machine())


def stuck(**waits: int) -> Schedule:
    sketch = Sketch(slots=(1, 1, 1))
    sketch.layer()
    ifmap = sketch.block(IFMAP)
    sketch.load(ifmap, strided(0, 64), **waits)
    ofmap = sketch.block(OFMAP)
    sketch.tile(ifmap=ifmap, ofmap=ofmap)
    sketch.store(ofmap)
    return sketch.build()


def queue_blocks_itself() -> Schedule:
    """A second load before the first one's slot can be free, and ahead of what would free it."""
    sketch = Sketch(slots=(1, 1, 1))
    sketch.layer()
    first, second, filters = sketch.block(IFMAP), sketch.block(IFMAP), sketch.block(FILTER)
    sketch.load(first, strided(0, 64))
    sketch.load(second, strided(0, 64))
    sketch.load(filters, strided(0, 64))
    sketch.tile(ifmap=first, filters=filters)
    sketch.tile(ifmap=second, filters=filters)
    return sketch.build()


def drain_waits_for_itself() -> Schedule:
    """A drained layer that still uses a block of the layer before."""
    sketch = Sketch()
    sketch.layer()
    filters = sketch.block(FILTER)
    sketch.tile(filters=filters)
    sketch.layer(drain=1)
    ifmap = sketch.block(IFMAP)
    sketch.load(ifmap, strided(0, 64))
    sketch.tile(ifmap=ifmap, filters=filters)
    return sketch.build()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (stuck(wait_transfer=0), "transfer 0 (ifmap read, layer 'layer0') never started: it waits for transfer 0"),
        (
            stuck(wait_layer=0),
            "transfer 0 (ifmap read, layer 'layer0') never started: it waits for the store of layer 'layer0', transfer 1",
        ),
        (queue_blocks_itself(), "transfer 1 (ifmap read, layer 'layer0') never started: it waits for the slot of block 0"),
        (drain_waits_for_itself(), "transfer 0 (ifmap read, layer 'layer1') never started: it waits for the buffer to drain"),
    ],
)
def test_a_stuck_replay_says_what_it_waits_for(engine: str, schedule: Schedule, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        run(schedule, machine(), engine)
    assert str(caught.value).splitlines()[-1].strip() == text
