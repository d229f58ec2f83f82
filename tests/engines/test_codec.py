"""Decoders and encoders between buffer and DMA engine: how long they keep a transfer, by hand, in both engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies import IFMAP, OFMAP, Machine, Schedule, Sketch, banked, machine, strided

from accelsim.engines import ENGINES, run
from accelsim.engines.admission import require_sound
from accelsim.engines.check import check_timeline
from accelsim.errors import EngineError
from accelsim.hardware.memory import load_memory
from accelsim.schedule.tables import Codecs
from accelsim.timeline import Timeline

DDR4 = Path(__file__).parents[2] / "configs" / "memory" / "ddr4_2400.yaml"
# One byte a picosecond through link and DRAM, a period of 1000 ps, requests of 64 bytes: one a cycle; each ends 128 ps after its grant.
KIT: Machine = machine()
READ_END = 2 * 64
WRITE_END = 2 * 64


def coded(schedule: Schedule, *rows: tuple[int, int]) -> Schedule:
    """With cycles and latency of each transfer's codec."""
    cycles, latency = np.array(rows, np.int64).T
    return replace(schedule, codecs=Codecs(cycles.copy(), latency.copy()))


def reads(*sizes: int) -> Schedule:
    sketch = Sketch(slots=(len(sizes), 1, 1))
    sketch.layer()
    for number, size in enumerate(sizes):
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(4096 * number, size))
        sketch.tile(ifmap=ifmap)
    return sketch.build()


def write(size: int) -> Schedule:
    sketch = Sketch()
    sketch.layer()
    ofmap = sketch.block(OFMAP)
    sketch.tile(busy=10, ofmap=ofmap)
    sketch.store(ofmap, strided(0, size))
    return sketch.build()


def checked(schedule: Schedule, engine: str, kit: Machine = KIT) -> Timeline:
    timeline = run(schedule, kit, engine)
    check_timeline(schedule, timeline, kit)
    return timeline


@pytest.mark.parametrize("engine", ENGINES)
class TestByHand:
    def test_a_slow_decoder_takes_its_cycles_from_the_first_data_on(self, engine: str) -> None:
        timeline = checked(coded(reads(256), (10, 0)), engine)
        assert timeline.transfer_end.tolist() == [READ_END + 10 * 1000]

    def test_a_decoder_that_keeps_up_adds_its_latency_alone(self, engine: str) -> None:
        last = 3 * 1000 + READ_END  # four requests, one a cycle
        assert checked(coded(reads(256), (1, 0)), engine).transfer_end.tolist() == [last]
        assert checked(coded(reads(256), (1, 7)), engine).transfer_end.tolist() == [last + 7 * 1000]

    def test_a_channels_decoder_takes_one_transfer_after_another(self, engine: str) -> None:
        timeline = checked(coded(reads(64, 64, 64), (10, 2), (10, 2), (0, 0)), engine)
        first = READ_END + 10 * 1000
        # the third passes no decoder
        assert timeline.transfer_end.tolist() == [first + 2000, first + 10 * 1000 + 2000, 2 * 1000 + READ_END]

    def test_the_array_waits_for_the_last_decoded_byte(self, engine: str) -> None:
        timeline = checked(coded(reads(64), (10, 0)), engine)
        assert timeline.tile_start.tolist() == [11 * 1000]  # the edge after 10.128 cycles
        assert timeline.stall_cycles[0].tolist()[0] == 11

    def test_a_write_begins_after_the_latency_and_ends_after_the_last_encoded_byte(self, engine: str) -> None:
        computed = 10 * 1000
        timeline = checked(coded(write(64), (20, 3)), engine)
        assert timeline.transfer_start[0] == computed + 3 * 1000
        assert timeline.transfer_end[0] == computed + 23 * 1000
        quick = checked(coded(write(64), (0, 3)), engine)
        assert quick.transfer_end[0] == computed + 3 * 1000 + WRITE_END

    def test_an_empty_transfer_passes_no_codec(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap)
        sketch.tile(ifmap=ifmap)
        assert checked(coded(sketch.build(), (50, 50)), engine).transfer_end.tolist() == [0]

    def test_behind_banks_it_takes_its_cycles_too(self, engine: str) -> None:
        kit = banked(machine(256, access=64), load_memory(DDR4))
        plain, slow = checked(reads(1024), engine, kit), checked(coded(reads(1024), (500, 4)), engine, kit)
        first = checked(reads(256), engine, kit)
        assert slow.transfer_end[0] == first.transfer_end[0] + 504 * 1000
        assert (slow.dram_counts == plain.dram_counts).all()


def test_no_codec_is_one_of_no_cycles() -> None:
    schedule = reads(256, 100, 64)
    assert run(schedule, KIT).differences(run(coded(schedule, *[(0, 0)] * 3), KIT)) == []


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(1, 0), (1, 0)], "codecs.cycles has 2 rows for 1 transfers"),
        ([(-1, 0)], "codecs.cycles row 0 is -1"),
        ([(0, 2**41)], "codecs.latency row 0"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows: list[tuple[int, int]], fault: str) -> None:
    with pytest.raises(EngineError, match=fault):
        require_sound(coded(reads(64), *rows), KIT)


def test_a_read_that_ends_before_it_was_decoded_breaks_an_identity() -> None:
    schedule = reads(64)
    with pytest.raises(EngineError, match="a coded read takes as long as its decoder"):
        check_timeline(coded(schedule, (10, 0)), run(schedule, KIT), KIT)
