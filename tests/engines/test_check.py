"""Does each identity really catch a timeline that breaks it, and say so with numbers?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from strategies import Schedule, Sketch, banked, machine, strided, technology

from accelsim.engines import check as identities
from accelsim.engines import run
from accelsim.engines.check import Run, check_timeline, same
from accelsim.engines.occupancy import Occupancy
from accelsim.errors import EngineError
from accelsim.schedule.tables import FILTER, IFMAP, OFMAP

KIT = machine(
    setup_cycles=2, latency_up=300, latency_down=400, dram_latency=5000, request_overhead=24, read_overhead=20, write_overhead=24, access=32
)


def two_layers() -> Schedule:
    """Two layers of two tiles: every table and every rule has a row to break."""
    sketch = Sketch(slots=(1, 2, 1))
    for layer in range(2):
        sketch.layer(drain=layer)
        metadata = sketch.metadata(strided(8192, 16), channel=1, **({"wait_layer": 0} if layer else {}))
        for tile in range(2):
            ifmap, filters, ofmap = sketch.block(IFMAP), sketch.block(FILTER), sketch.block(OFMAP)
            sketch.load(ifmap, strided(128 * tile, 100), wait_transfer=metadata)
            sketch.load(filters, strided(4096, 64, rows=2, row_pitch=96), channel=1)
            sketch.tile(busy=10, fill=2, ifmap=ifmap, filters=filters, ofmap=ofmap, metadata=metadata, macs=8)
            sketch.store(ofmap, strided(16384 + 128 * tile, 128))
    return sketch.build()


SCHEDULE = two_layers()
SOUND = run(SCHEDULE, KIT)


def bump(owner: Any, path: str, row: int | tuple[int, int] | None, by: int) -> Any:
    """A copy of a frozen table in which one number is `by` larger."""
    name, _, rest = path.partition(".")
    if rest:
        return replace(owner, **{name: bump(getattr(owner, name), rest, row, by)})
    if row is None:
        return replace(owner, **{name: getattr(owner, name) + by})
    column = getattr(owner, name).copy()
    column[row] += by
    return replace(owner, **{name: column})


@dataclass(frozen=True)
class Fault:
    """A number that is wrong: in the timeline, or (path from `schedule`) in the tables it is held against."""

    identity: str
    check: Callable[[Run], None]
    path: str
    row: int | tuple[int, int] | None
    by: int

    def break_run(self) -> Run:
        if self.path.startswith("schedule."):
            return Run(bump(SCHEDULE, self.path.removeprefix("schedule."), self.row, self.by), SOUND, KIT)
        return Run(SCHEDULE, bump(SOUND, self.path, self.row, self.by), KIT)


LATE, EARLY = 10**9, -(10**9)
FAULTS = [
    Fault("stalls are not negative", identities.cycles_add_up, "stall_cycles", (1, 0), -1000),
    Fault("fill and drain as scheduled", identities.cycles_add_up, "stall_cycles", (1, 4), 1),
    Fault("only a layer's first tile waits for its start", identities.cycles_add_up, "stall_cycles", (1, 5), 1),
    Fault("start = end before + stalls", identities.cycles_add_up, "stall_cycles", (2, 1), 1),
    Fault("start = end before + stalls", identities.cycles_add_up, "tile_start", 0, 1000),
    Fault("end = start + cycles", identities.cycles_add_up, "tile_end", 3, 1000),
    Fault("busy + stalls = total", identities.cycles_add_up, "drain_cycles", None, 1),
    Fault("busy + stalls = total", identities.cycles_add_up, "end", None, 1000),
    Fault("bytes wanted <= described", identities.bytes_add_up, "schedule.transfers.bytes_wanted", 1, 1),
    Fault("bytes described <= moved", identities.bytes_add_up, "bytes_moved", 1, -32),
    Fault("bytes moved = sum over bursts", identities.bytes_add_up, "bytes_moved", 1, 32),
    Fault("bursts as descriptors cut", identities.bytes_add_up, "bursts", 1, 1),
    Fault("link overhead = sum over packets", identities.bytes_add_up, "overhead_bytes", 1, 1),
    Fault("MACs done + skipped = layer MACs", identities.macs_add_up, "schedule.layers.macs", 1, 1),
    Fault("MACs done + skipped = layer MACs", identities.macs_add_up, "schedule.tiles.macs_skipped", 3, -1),
    Fault("busy = bytes / rate", identities.parts_fit, "link_down_busy", None, 100),
    Fault("busy = bytes / rate", identities.parts_fit, "link_up_busy", None, -1),
    Fault("busy = bytes / rate", identities.parts_fit, "dram_busy", None, 100),
    Fault("port busy = one cycle a burst", identities.parts_fit, "port_busy", None, 1000),
    Fault("busy of any part <= total", identities.parts_fit, "end", None, 1 - SOUND.end),
    Fault("total <= sum of all phases", identities.parts_fit, "end", None, LATE),
    Fault("tiles run in order", identities.order_is_kept, "tile_end", 0, LATE),
    Fault("no tile before its ifmap load", identities.order_is_kept, "transfer_end", 1, LATE),
    Fault("no tile before its filter load", identities.order_is_kept, "transfer_end", 2, LATE),
    Fault("no tile before its metadata", identities.order_is_kept, "transfer_end", 0, LATE),
    Fault("a transfer ends after its start", identities.order_is_kept, "transfer_end", 3, EARLY),
    Fault("a transfer waits for its transfer", identities.order_is_kept, "transfer_start", 1, EARLY),
    Fault("a transfer waits for earlier layers", identities.order_is_kept, "layer_stored", 0, LATE),
    Fault("no store before its tile", identities.order_is_kept, "transfer_start", 3, -10_000),
    Fault("occupancy never above slots", identities.slots_are_kept, "transfer_start", 4, EARLY),
    Fault("a drained buffer is empty", identities.slots_are_kept, "transfer_start", 9, -20_000),
    Fault("blocks never over-filled", identities.slots_are_kept, "schedule.blocks.bytes", 0, -1),
    Fault("peak between what was held and what slots hold", identities.slots_are_kept, "peak_bytes", 2, 1),
    Fault("peak between what was held and what slots hold", identities.slots_are_kept, "peak_bytes", 0, -1),
    Fault("layer stored = end of its stores", identities.ends_agree, "layer_stored", 1, 1),
    Fault("end = last event", identities.ends_agree, "end", None, 1),
]


def test_a_sound_run_keeps_every_identity() -> None:
    check_timeline(SCHEDULE, SOUND, KIT)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.identity} ({fault.path})")
def test_a_corrupted_run_is_named(fault: Fault) -> None:
    broken = fault.break_run()
    with pytest.raises(EngineError) as caught:
        fault.check(broken)
    assert f"broken identity '{fault.identity}'" in str(caught.value)
    assert any(letter.isdigit() for letter in str(caught.value))
    with pytest.raises(EngineError):
        check_timeline(broken.schedule, broken.timeline, broken.machine)


def test_the_message_carries_the_row_and_its_numbers() -> None:
    broken = bump(SOUND, "bytes_moved", 1, 32)
    with pytest.raises(EngineError) as caught:
        check_timeline(SCHEDULE, broken, KIT)
    assert str(caught.value) == "broken identity 'bytes moved = sum over bursts': transfer 1: moved 160, recounted 128"


def test_every_column_of_the_timeline_is_guarded() -> None:
    guarded = {fault.path for fault in FAULTS}
    assert set(vars(SOUND)) <= guarded | {"tile_end", "tile_start", "dram_counts"}


BANKED = banked(KIT, technology(channels=2), latency=1000)
ROWS = run(SCHEDULE, BANKED)


@pytest.mark.parametrize(
    ("path", "row", "by", "identity"),
    [
        ("dram_counts", (0, 0), 1, "DRAM accesses = bytes / burst"),
        ("dram_counts", (1, 4), 1, "hits + misses + conflicts = accesses"),
        ("dram_counts", (0, 2), -(10**6), "a row that is not open is activated"),
        ("dram_counts", (1, 7), -(10**9), "one access at a time on a data bus"),
        ("dram_busy", None, 1, "DRAM busy = accesses x burst time"),
        ("bytes_moved", 1, 32, "DRAM accesses = bytes / burst"),
    ],
)
def test_a_corrupted_count_of_rows_is_named(path: str, row: int | tuple[int, int] | None, by: int, identity: str) -> None:
    check_timeline(SCHEDULE, ROWS, BANKED)
    with pytest.raises(EngineError) as caught:
        identities.banks_add_up(Run(SCHEDULE, bump(ROWS, path, row, by), BANKED))
    assert f"broken identity '{identity}'" in str(caught.value)


def test_a_flat_dram_counts_no_rows() -> None:
    with pytest.raises(EngineError, match="a flat DRAM has no rows"):
        identities.banks_add_up(Run(SCHEDULE, ROWS, KIT))


@pytest.mark.parametrize(
    ("buffer", "fault"),
    [
        ({"organisation": "unified", "size": 419}, "420 bytes in a buffer of 419"),
        ({"organisation": "split", "ifmap": 100, "filter": 255, "ofmap": 64}, "256 filter bytes in a buffer of 255"),
    ],
)
def test_an_over_filled_buffer_is_named(monkeypatch: pytest.MonkeyPatch, buffer: dict[str, Any], fault: str) -> None:
    monkeypatch.setattr(identities, "resolve", lambda accelerator: KIT)
    held = Occupancy.of(SCHEDULE, SOUND).peak["all"]
    roomy = {name: held if name != "organisation" else value for name, value in buffer.items()}
    identities.check(SCHEDULE, SOUND, SimpleNamespace(buffer=SimpleNamespace(**roomy)))
    with pytest.raises(EngineError, match=fault):
        identities.check(SCHEDULE, SOUND, SimpleNamespace(buffer=SimpleNamespace(**buffer)))


def test_an_identity_that_holds_is_silent() -> None:
    same("nothing", True, "no numbers")
