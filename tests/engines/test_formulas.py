"""Does the model give the number a formula gives? One class, two engines. Cycles are 1000 ps, and every rate is a byte a picosecond."""

from __future__ import annotations

import pytest
from strategies import Machine, Schedule, Sketch, machine, one_tile, strided

from accelsim.engines import ENGINES, run
from accelsim.errors import ConfigError, EngineError
from accelsim.schedule.tables import FILTER, IFMAP, OFMAP
from accelsim.timeline import CAUSES, Timeline


def stalls(timeline: Timeline, tile: int) -> dict[str, int]:
    """Causes that are not zero."""
    return {cause: cycles for cause, cycles in zip(CAUSES, timeline.stall_cycles[tile].tolist(), strict=True) if cycles}


def two_tiles(*, slots: int, busy: int = 50) -> Schedule:
    """Two tiles, each with an ifmap block of its own."""
    sketch = Sketch(slots=(slots, 1, 1))
    sketch.layer()
    for tile in range(2):
        ifmap = sketch.block(IFMAP, 64)
        sketch.load(ifmap, strided(64 * tile, 64))
        sketch.tile(busy=busy, ifmap=ifmap)
    return sketch.build()


@pytest.mark.parametrize("engine", ENGINES)
class TestOneModel:
    def test_one_burst_takes_the_sum_of_its_parts(self, engine: str) -> None:
        kit = machine(setup_cycles=3, latency_up=500, dram_latency=7000, latency_down=900, request_overhead=24, read_overhead=20)
        timeline = run(one_tile(strided(0, 64), busy=5), kit, engine)
        arrived = 3000 + 24 + 500 + 64 + 7000 + (64 + 20) + 900
        assert timeline.transfer_start.tolist() == [3000]
        assert timeline.transfer_end.tolist() == [arrived]
        assert timeline.tile_start.tolist() == [12_000]
        assert timeline.end == 17_000
        assert stalls(timeline, 0) == {"ifmap": 12}
        assert timeline.overhead_bytes.tolist() == [44]
        assert (timeline.link_up_busy, timeline.dram_busy, timeline.link_down_busy, timeline.port_busy) == (24, 64, 84, 1000)

    def test_one_write_ends_in_the_dram_without_its_latency(self, engine: str) -> None:
        kit = machine(setup_cycles=2, latency_up=500, dram_latency=7000, latency_down=900, write_overhead=24)
        sketch = Sketch()
        sketch.layer()
        ofmap = sketch.block(OFMAP)
        sketch.tile(busy=5, ofmap=ofmap)
        sketch.store(ofmap, strided(0, 64))
        timeline = run(sketch.build(), kit, engine)
        assert timeline.transfer_start.tolist() == [7000]
        assert timeline.end == timeline.transfer_end[0] == timeline.layer_stored[0] == 7000 + (64 + 24) + 500 + 64
        assert timeline.drain_cycles == 3

    def test_rates_round_each_burst_up(self, engine: str) -> None:
        timeline = run(one_tile(strided(0, 64)), machine(dram_rate=3 * 10**9), engine)
        assert timeline.dram_busy == 21_334  # 64 bytes at 3 bytes a nanosecond

    def test_dram_bound_run_takes_bytes_by_rate(self, engine: str) -> None:
        timeline = run(one_tile(strided(0, 64_000), busy=0), machine(dram_rate=16 * 10**9), engine)
        assert timeline.transfer_end[0] == 64_000 * 1000 // 16 + 64
        assert timeline.dram_busy == 4_000_000

    def test_link_bound_run_takes_bytes_and_headers_by_rate(self, engine: str) -> None:
        kit = machine(down_rate=10**10, payload=32, read_overhead=20)
        timeline = run(one_tile(strided(0, 6400), busy=0), kit, engine)
        assert timeline.transfer_end[0] == 64 + 100 * (64 + 2 * 20) * 100

    def test_completions_that_are_cut_shorter_than_packets_cost_their_headers(self, engine: str) -> None:
        kit = machine(down_rate=10**10, payload=64, completion=16, read_overhead=20)
        timeline = run(one_tile(strided(0, 6400), busy=0), kit, engine)
        assert timeline.transfer_end[0] == 64 + 100 * (64 + 4 * 20) * 100
        assert timeline.overhead_bytes[0] == 100 * 4 * 20

    def test_port_grants_one_burst_a_cycle(self, engine: str) -> None:
        timeline = run(one_tile(strided(0, 6400), busy=0), machine(), engine)
        assert timeline.transfer_end[0] == 99 * 1000 + 128
        assert timeline.port_busy == 100_000

    def test_array_bound_run_takes_the_sum_of_cycles(self, engine: str) -> None:
        timeline = run(two_tiles(slots=2), machine(), engine)
        assert timeline.end == (1 + 50 + 50) * 1000
        assert stalls(timeline, 1) == {}

    def test_one_outstanding_request_pays_the_latency_each_time(self, engine: str) -> None:
        timeline = run(one_tile(strided(0, 640), busy=0), machine(outstanding_requests=1, dram_latency=9900), engine)
        assert timeline.transfer_end[0] == 10 * 11_000 - 1000 + 28  # 10,028 ps each, the next at the edge after

    def test_reads_in_flight_on_the_link_are_shared_by_all_channels(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        ifmap, filters = sketch.block(IFMAP), sketch.block(FILTER)
        sketch.load(ifmap, strided(0, 64), channel=0)
        sketch.load(filters, strided(64, 64), channel=1)
        sketch.tile(ifmap=ifmap, filters=filters)
        one = run(sketch.build(), machine(outstanding_reads=1, dram_latency=9900), engine)
        two = run(sketch.build(), machine(outstanding_reads=2, dram_latency=9900), engine)
        assert one.transfer_end.tolist() == [10_028, 21_028]
        assert two.transfer_end.tolist() == [10_028, 11_028]

    def test_pipelined_descriptors_hide_what_serialised_ones_pay(self, engine: str) -> None:
        schedule = one_tile(*(strided(128 * row, 64) for row in range(4)))
        kit = {"setup_cycles": 30, "next_descriptor_cycles": 2, "dram_latency": 872}
        pipelined = run(schedule, machine(outstanding_descriptors=4, **kit), engine)
        serialised = run(schedule, machine(outstanding_descriptors=1, **kit), engine)
        assert pipelined.transfer_end[0] == (30 + 3 * 2 + 1) * 1000
        assert serialised.transfer_end[0] == 4 * (30 + 1) * 1000

    def test_descriptors_in_flight_are_limited(self, engine: str) -> None:
        schedule = one_tile(*(strided(128 * row, 64) for row in range(4)))
        timeline = run(schedule, machine(outstanding_descriptors=2, dram_latency=9872), engine)
        assert timeline.transfer_end[0] == 10_000 + 1000 + 10_000  # two and two

    def test_reads_and_writes_use_the_link_at_once(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        first = sketch.block(OFMAP)
        sketch.tile(busy=0, ofmap=first)
        sketch.store(first, strided(0, 6400))
        second = sketch.block(IFMAP)
        sketch.load(second, strided(8192, 6400))
        sketch.tile(busy=0, ifmap=second)
        timeline = run(sketch.build(), machine(up_rate=10**10, down_rate=10**10), engine)
        assert timeline.link_up_busy == timeline.link_down_busy == 640_000
        assert timeline.end < 660_000

    def test_second_load_waits_for_a_free_slot(self, engine: str) -> None:
        single, double = (run(two_tiles(slots=slots), machine(), engine) for slots in (1, 2))
        assert single.transfer_start[1] == single.tile_end[0] == 51_000
        assert double.transfer_start[1] == 1000
        assert stalls(single, 1) == {"ifmap": 1}
        assert (single.peak_bytes[IFMAP], double.peak_bytes[IFMAP]) == (64, 128)

    def test_ofmap_slot_is_free_when_its_store_has_ended(self, engine: str) -> None:
        sketch = Sketch(slots=(1, 1, 1))
        sketch.layer()
        for tile in range(2):
            ofmap = sketch.block(OFMAP)
            sketch.tile(busy=10, ofmap=ofmap)
            sketch.store(ofmap, strided(64 * tile, 64))
        timeline = run(sketch.build(), machine(latency_up=20_000), engine)
        assert timeline.transfer_end[0] == 30_128
        assert timeline.tile_start[1] == 31_000
        assert stalls(timeline, 1) == {"output": 21}
        assert timeline.peak_bytes.tolist() == [0, 0, 64]

    def test_spilled_psum_is_read_back_after_it_was_stored(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        spilled = sketch.block(OFMAP)
        sketch.tile(busy=10, ofmap=spilled)
        store = sketch.store(spilled, strided(0, 64))
        back = sketch.block(OFMAP)
        sketch.load(back, strided(0, 64), wait_transfer=store)
        sketch.tile(busy=10, ofmap=back)
        timeline = run(sketch.build(), machine(), engine)
        assert timeline.transfer_start.tolist() == [10_000, 11_000]
        assert stalls(timeline, 1) == {"output": 2}

    def test_next_layer_starts_when_its_producer_is_stored(self, engine: str) -> None:
        sketch = Sketch()
        producer = sketch.layer()
        ofmap = sketch.block(OFMAP)
        sketch.tile(busy=10, ofmap=ofmap)
        sketch.store(ofmap, strided(0, 640))
        sketch.layer()
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(0, 640), wait_layer=producer)
        sketch.tile(busy=10, ifmap=ifmap)
        timeline = run(sketch.build(), machine(), engine)
        assert timeline.layer_stored.tolist() == [19_128, 19_128]
        assert timeline.transfer_start[1] == 20_000
        assert stalls(timeline, 1) == {"start": 10, "ifmap": 10}

    def test_drained_layer_fills_nothing_before_the_buffer_is_empty(self, engine: str) -> None:
        sketch = Sketch()
        for drain in (0, 1):
            sketch.layer(drain)
            filters = sketch.block(FILTER)
            sketch.load(filters, strided(64 * drain, 64))
            sketch.tile(busy=10, filters=filters)
        timeline = run(sketch.build(), machine(), engine)
        assert timeline.transfer_start[1] == timeline.tile_end[0] == 11_000
        assert stalls(timeline, 1) == {"filter": 1}
        assert timeline.peak_bytes[FILTER] == 64

    @pytest.mark.parametrize(
        ("tensors", "cause"),
        [((IFMAP, FILTER, OFMAP), "ifmap"), ((IFMAP, OFMAP), "ifmap"), ((FILTER, OFMAP), "filter"), ((OFMAP,), "output")],
    )
    def test_a_gap_belongs_to_what_came_last_and_ties_to_the_first_cause(self, engine: str, tensors: tuple[int, ...], cause: str) -> None:
        sketch = Sketch()
        sketch.layer()
        blocks = {tensor: sketch.block(tensor) for tensor in tensors}
        metadata = sketch.metadata(strided(0, 64), channel=0)
        for channel, block in enumerate(blocks.values(), 1):
            sketch.load(block, channel=channel, wait_transfer=metadata)
        filled = {name: blocks[tensor] for name, tensor in (("ifmap", IFMAP), ("filters", FILTER), ("ofmap", OFMAP)) if tensor in blocks}
        sketch.tile(fill=3, metadata=metadata, **filled)
        timeline = run(sketch.build(), machine(read_channels=4), engine)
        assert timeline.transfer_end.tolist() == [128] + [1000] * len(tensors)
        assert stalls(timeline, 0) == {cause: 1, "fill_drain": 3}

    def test_a_transfer_behind_another_competes_from_the_next_cycle(self, engine: str) -> None:
        """Presentable a cycle after the last grant of its channel, and so behind another channel's request of the meantime."""
        sketch = Sketch()
        sketch.layer()
        blocks = [sketch.block(tensor) for tensor in (IFMAP, OFMAP)]
        sketch.load(blocks[0], strided(0, 64), channel=0)
        metadata = sketch.metadata(strided(64, 64), channel=0)
        ready = sketch.metadata(channel=1)
        sketch.load(blocks[1], strided(128, 64), channel=1, wait_transfer=ready)
        sketch.tile(ifmap=blocks[0], ofmap=blocks[1], metadata=metadata)
        timeline = run(sketch.build(), machine(), engine)
        assert timeline.transfer_start.tolist() == [0, 2000, 0, 1000]

    def test_empty_transfer_ends_at_the_next_edge_and_moves_nothing(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        metadata = sketch.metadata(strided(0, 64))
        ifmap = sketch.block(IFMAP)
        empty = sketch.load(ifmap, wait_transfer=metadata, channel=1)
        sketch.tile(ifmap=ifmap)
        timeline = run(sketch.build(), machine(setup_cycles=38), engine)
        assert timeline.transfer_start[empty] == timeline.transfer_end[empty] == 39_000
        assert (timeline.bytes_moved[empty], timeline.bursts[empty], timeline.overhead_bytes[empty]) == (0, 0, 0)

    def test_a_row_across_two_accesses_moves_both(self, engine: str) -> None:
        timeline = run(one_tile(strided(32, 64)), machine(access=64), engine)
        assert (timeline.bytes_moved[0], timeline.bursts[0]) == (128, 2)

    @pytest.mark.parametrize(
        ("job", "bursts", "moved"),
        [
            (strided(0, 16, rows=4, row_pitch=16, planes=2, plane_pitch=64), 1, 128),  # one run
            (strided(0, 16, rows=4, row_pitch=16, planes=2, plane_pitch=128), 2, 128),  # a run a plane
            (strided(0, 16, rows=4, row_pitch=32, planes=2, plane_pitch=128), 8, 512),  # a run a row
            (strided(4032, 128), 2, 128),  # cut at the boundary
            (strided(64, 256), 2, 256),  # cut after each burst, not at its multiples
        ],
    )
    def test_descriptors_are_cut_into_bursts(self, engine: str, job: tuple[int, ...], bursts: int, moved: int) -> None:
        timeline = run(one_tile(job), machine(access=64, burst=128), engine)
        assert (timeline.bursts[0], timeline.bytes_moved[0]) == (bursts, moved)

    def test_equal_keys_are_granted_reads_first_then_by_tile_then_by_channel(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        ofmap = sketch.block(OFMAP)
        sketch.tile(busy=0, ofmap=ofmap)
        write = sketch.store(ofmap, strided(0, 64))
        blocks = [sketch.block(tensor) for tensor in (IFMAP, FILTER, IFMAP)]
        for block, channel in zip(blocks[:2], (2, 1), strict=True):
            sketch.load(block, strided(64, 64), channel=channel)
        sketch.tile(ifmap=blocks[0], filters=blocks[1])
        later = sketch.load(blocks[2], strided(64, 64), channel=0)
        sketch.tile(ifmap=blocks[2])
        timeline = run(sketch.build(), machine(read_channels=3), engine)
        assert timeline.transfer_start.tolist() == [3000, 1000, 0, 2000]
        assert (write, later) == (0, 3)

    def test_removing_work_can_lengthen_a_run(self, engine: str) -> None:
        """Without its ifmap the first tile waits longer: the next tile's load overtakes the filter that it still needs."""

        def whole(rows: int) -> int:
            sketch = Sketch()
            sketch.layer()
            metadata = sketch.metadata(strided(0, 64), channel=1)
            ifmap, filters, following = sketch.block(IFMAP), sketch.block(FILTER), sketch.block(IFMAP)
            sketch.load(ifmap, *(strided(4096 * row, 64) for row in range(rows)), channel=0)
            sketch.load(filters, strided(1 << 16, 64), channel=1, wait_transfer=metadata)
            sketch.tile(busy=1000, ifmap=ifmap, filters=filters, metadata=metadata)
            sketch.load(following, strided(1 << 24, 4096), channel=0)
            sketch.tile(busy=1, ifmap=following)
            kit = machine(dram_rate=16 * 10**9, dram_latency=10_000, setup_cycles=20, outstanding_descriptors=1)
            return run(sketch.build(), kit, engine).end

        assert whole(rows=2) == 1_075_000
        assert whole(rows=0) == 1_176_000

    def test_an_empty_schedule_takes_no_time(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer(drain=1)
        timeline = run(sketch.build(), machine(), engine)
        assert (timeline.end, timeline.drain_cycles, timeline.layer_stored.tolist()) == (0, 0, [0])

    def test_a_stuck_schedule_is_named(self, engine: str) -> None:
        sketch = Sketch()
        sketch.layer()
        ifmap = sketch.block(IFMAP)
        sketch.load(ifmap, strided(0, 64), wait_transfer=1)
        ofmap = sketch.block(OFMAP)
        sketch.tile(ifmap=ifmap, ofmap=ofmap)
        sketch.store(ofmap, strided(0, 64))
        with pytest.raises(EngineError) as caught:
            run(sketch.build(), machine(), engine)
        assert str(caught.value).splitlines() == [
            "the replay is stuck: its schedule cannot proceed",
            "    tile 0 (layer 'layer0') never started",
            "    transfer 0 (ifmap read, layer 'layer0') never started: it waits for transfer 1",
        ]


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown engine 'exact'\n    allowed: fast, reference"):
        run(one_tile(strided(0, 64)), machine(), "exact")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"access": 48}, "dma.burst: requests of 64 bytes"),
        ({"access": 64, "boundary": 96}, "dma.boundary: requests of 96 bytes"),
        ({"burst": 1 << 21, "boundary": 1 << 21}, "dma.burst: a request takes up to 2097152 bytes on the link"),
    ],
)
def test_a_machine_whose_requests_make_no_sense_is_refused(changes: dict[str, int], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        machine(**changes)


def test_requests_are_as_whole_as_the_machine_says() -> None:
    kit: Machine = machine(access=32, read_burst=96, write_burst=64, boundary=128)
    assert list(kit.cut(0, [40, 100, 1, 0, 1, 0])) == [(32, 96), (128, 32)]
    assert list(kit.cut(1, [40, 100, 1, 0, 1, 0])) == [(32, 64), (96, 32), (128, 32)]
