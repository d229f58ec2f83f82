"""Banks and ports of the buffer: small cases by hand, against a walk over every cycle and bank, and what more banks can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FILTER, IFMAP, NONE, OFMAP, Machine, Schedule, Sketch, buffer_ports, machine, runs, strided

from accelsim.engines import ENGINES, replay, run
from accelsim.engines.check import check_timeline
from accelsim.engines.contention import Ports, conflict_cycles, resolve
from accelsim.errors import ConfigError, EngineError
from accelsim.hardware import load_accelerator
from accelsim.schedule import build
from accelsim.timeline import CAUSES
from accelsim.tracefile import load

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "configs" / "accelerator" / "edge.yaml"
ONE = Ports(banks=1, ports=1, width=1, split=False, own_banks=False, reads=(1.0, 0.0, 0.0), bits=(8, 16, 32))
"""A single port, at which every byte of the array and of the DMA engine passes; a MAC reads one byte of the ifmap."""
CONFLICT = CAUSES.index("conflict")


def three_tiles(slots: int = 2, macs: int = 100, loaded: int = 40) -> Schedule:
    """Three tiles of 200 cycles, each with an ifmap of its own; the loads of the second and third find a slot free."""
    sketch = Sketch(slots=(slots, 1, 1))
    sketch.layer()
    for tile in range(3):
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(1000 * tile, loaded))
        sketch.tile(busy=200, ifmap=ifmap, macs=2 * macs - macs // 2 * 2)
    return sketch.build()


def held(schedule: Schedule, ports: Ports, **changes: int) -> list[int]:
    return conflict_cycles(schedule, machine(ports=ports, **changes)).tolist()  # type: ignore[arg-type]


class TestByHand:
    def test_an_access_of_the_dma_engine_finds_the_port_taken_as_often_as_the_array_uses_it(self) -> None:
        # 100 bytes in 200 cycles: every other cycle is taken, so half of 40 accesses hold the array up; the last tile has no load beside it
        assert held(three_tiles(macs=100, loaded=40), ONE) == [20, 20, 0]

    def test_two_banks_halve_it(self) -> None:
        assert held(three_tiles(), replace(ONE, banks=2)) == [10, 10, 0]

    def test_a_second_port_takes_it_away(self) -> None:
        assert held(three_tiles(), replace(ONE, ports=2)) == [0, 0, 0]

    def test_one_slot_lets_nothing_be_loaded_beside_a_tile(self) -> None:
        assert held(three_tiles(slots=1), ONE) == [0, 0, 0]

    def test_slots_with_banks_of_their_own_never_meet(self) -> None:
        assert held(three_tiles(), replace(ONE, banks=2, own_banks=True)) == [0, 0, 0]

    def test_an_array_that_wants_more_than_all_ports_give_takes_the_cycles_they_need(self) -> None:
        # 1000 bytes through one port: 800 cycles more; the port is always taken, so each of 40 accesses holds it up
        assert held(three_tiles(macs=1000), ONE) == [840, 840, 800]

    def test_no_more_meets_a_tile_than_the_link_carries_beside_it(self) -> None:
        # 50 MB/s are 10 bytes in 200 cycles of a nanosecond
        assert held(three_tiles(), ONE, down_rate=50_000_000) == [5, 5, 0]

    def test_a_store_meets_the_next_tile_of_its_layer(self) -> None:
        sketch = Sketch(slots=(2, 2, 2))
        sketch.layer()
        for tile in range(3):
            ofmap = sketch.block(OFMAP)
            sketch.tile(busy=100, ofmap=ofmap)
            sketch.store(ofmap, strided(1000 * tile, 50))
        # each tile writes 50 results in 100 cycles and meets the 50 bytes of the tile before
        assert held(sketch.build(), ONE) == [0, 25, 25]

    def test_memories_of_a_split_buffer_do_not_meet(self) -> None:
        sketch = Sketch(slots=(2, 2, 1))
        sketch.layer()
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(0, 10))
        for tile in range(2):
            filters = sketch.block(FILTER)
            sketch.load(filters, strided(1000 * (tile + 1), 40), channel=1)
            sketch.tile(busy=100, ifmap=ifmap, filters=filters, macs=50)
        schedule = sketch.build()
        # 50 bytes of ifmap and 40 of the filter in 100 cycles; the filter of the second tile comes beside the first
        assert held(schedule, ONE) == [36, 0]
        assert held(schedule, replace(ONE, split=True)) == [16, 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tile_is_longer_by_its_conflicts_which_are_a_stall_of_their_own(engine: str) -> None:
    schedule, kit = three_tiles(), machine(ports=ONE)  # type: ignore[arg-type]
    timeline = run(schedule, kit, engine)
    assert timeline.stall_cycles[:, CONFLICT].tolist() == [20, 20, 0]
    assert ((timeline.tile_end - timeline.tile_start) // kit.period).tolist() == [220, 220, 200]
    check_timeline(schedule, timeline, kit)


def test_a_conflict_that_is_not_the_banks_breaks_an_identity() -> None:
    schedule, kit = three_tiles(), machine(ports=ONE)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="conflicts as the banks make them"):
        check_timeline(schedule, run(schedule, kit), replace(kit, ports=None))


def walked(accesses: int, cycles: int, banks: int, ports: int) -> int:
    """Banks with all ports taken, over all cycles, of an array whose accesses lie evenly over cycles and go round the banks."""
    full, done = 0, 0
    for cycle in range(cycles):
        now = (cycle + 1) * accesses // cycles - done
        done += now
        taken = np.bincount((np.arange(now) + done) % banks, minlength=banks)
        full += int((taken >= ports).sum())
    return full


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 40), st.integers(0, 18), st.integers(0, 60))
def test_the_formula_is_a_walk_over_every_cycle_and_bank(banks: int, ports: int, cycles: int, each: int, loaded: int) -> None:
    accesses = min(each, banks * ports) * cycles
    sketch = Sketch()
    sketch.layer()
    for tile in range(2):
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(4096 * tile, max(1, loaded)))
        sketch.tile(busy=cycles, ifmap=ifmap)
    schedule = sketch.build()
    macs = np.array([accesses, 0], np.int64)
    schedule = replace(schedule, tiles=replace(schedule.tiles, macs_done=macs))
    accesses = max(accesses, 1, loaded)  # what was brought is read once
    longer = max(cycles, -(-accesses // (banks * ports)))
    if accesses % longer:
        return  # a walk spreads whole accesses
    expected = longer - cycles - (-max(1, loaded) * walked(accesses, longer, banks, ports) // (banks * longer))
    assert held(schedule, replace(ONE, banks=banks, ports=ports))[0] == expected


@settings(max_examples=80, deadline=None)
@given(runs(), buffer_ports)
def test_more_banks_or_ports_never_cost_more(drawn: tuple[Schedule, Machine], ports: Ports) -> None:
    schedule, kit = drawn
    cost = conflict_cycles(schedule, replace(kit, ports=ports))
    assert (cost >= 0).all()
    for better in (replace(ports, banks=2 * ports.banks), replace(ports, ports=ports.ports + 1)):
        assert (conflict_cycles(schedule, replace(kit, ports=better)) <= cost).all()


def test_without_banks_the_buffer_is_never_in_the_way() -> None:
    assert resolve(load_accelerator(EDGE)) is None
    assert held(three_tiles(), None) == [0, 0, 0]  # type: ignore[arg-type]


def test_a_network_meets_its_own_loads_at_few_banks_and_not_at_many() -> None:
    # the array reads 256 elements of 16 bits a cycle: 32 accesses of 16 bytes
    trace, cases = load(ROOT / "traces" / "tiny_dog.npz"), {None: 0, "banks=64,ports=2": 0, "banks=64": 0, "banks=16": 0}
    ends = []
    for case in cases:
        accelerator = load_accelerator(EDGE, [f"buffer.banking.{key}" for key in (case or "").split(",") if key])
        timeline = replay(build(trace, accelerator, "dense"), accelerator)
        ends.append(timeline.end)
        cases[case] = int(timeline.stall_cycles[:, CONFLICT].sum())
    none, many, single, few = cases.values()
    assert none == many == 0 < single < few
    assert ends[0] == ends[1] < ends[2] < ends[3]


def test_a_bank_of_no_port_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"banking\.ports"):
        load_accelerator(EDGE, ["buffer.banking.banks=4", "buffer.banking.ports=0"])


def test_no_block_no_cost() -> None:
    sketch = Sketch()
    sketch.layer()
    sketch.tile(busy=0)
    schedule = sketch.build()
    assert schedule.tiles.ifmap_block[0] == NONE
    assert held(schedule, ONE) == [0]
