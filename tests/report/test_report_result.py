"""One replay, accounted for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import MARKER_TRANSFERS, PERIOD, accelerator, dense, marker, schedule, timeline, trace

from accelsim.errors import EngineError
from accelsim.report import COLUMNS, Result
from accelsim.report.result import ENERGY_COLUMNS, STALL_COLUMNS
from accelsim.timeline import CAUSES

CONTRACT = """
    network image scheme layer kind total_cycles busy_cycles stall_ifmap_cycles stall_filter_cycles stall_metadata_cycles
    stall_output_cycles stall_fill_drain_cycles stall_start_cycles macs_done macs_skipped read_ifmap_bytes read_filter_bytes
    read_metadata_bytes write_ofmap_bytes write_metadata_bytes bytes_wanted bytes_moved link_overhead_bytes
"""


def test_columns_begin_as_promised() -> None:
    promised = CONTRACT.split()
    assert list(COLUMNS[: len(promised)]) == promised
    assert list(dense().as_frame().columns) == list(COLUMNS)


def test_windows_run_from_last_tile_to_last_tile_and_the_last_layer_takes_the_drain() -> None:
    first, last = dense().layers
    assert (first.total_cycles, first.busy_cycles) == (46, 30)
    assert [getattr(first, name) for name in STALL_COLUMNS] == [4, 3, 0, 0, 4, 5, 0]
    assert (last.total_cycles, last.busy_cycles) == (49, 30)
    assert [getattr(last, name) for name in STALL_COLUMNS] == [0, 0, 1, 8, 3, 7, 0]


def test_stall_columns_stand_in_the_order_of_the_causes() -> None:
    assert [name for name in COLUMNS if name in STALL_COLUMNS] == [f"stall_{cause}_cycles" for cause in CAUSES]


def test_bytes_are_told_by_tensor_and_direction() -> None:
    first, last = marker().layers
    assert (first.read_ifmap_bytes, first.read_filter_bytes, first.write_ofmap_bytes, first.write_metadata_bytes) == (96, 216, 96, 1)
    assert (last.read_ifmap_bytes, last.read_filter_bytes, last.read_metadata_bytes, last.write_ofmap_bytes) == (192, 108, 1, 16)
    assert (first.bytes_wanted, first.bytes_moved, first.bytes_dense, first.link_overhead_bytes) == (537, 704, 568, 24)
    assert (last.descriptors, last.bursts, last.tiles) == (5, 5, 1)


def test_a_store_that_is_read_back_is_a_spill_and_not_an_ofmap_write() -> None:
    first = dense().layers[0]
    assert (first.write_psum_bytes, first.read_psum_bytes, first.write_ofmap_bytes) == (64, 64, 128)


def test_an_ifmap_fetched_twice_has_two_loads() -> None:
    first, last = dense().layers
    assert (first.ifmap_loads, last.ifmap_loads) == (1.0, 2.0)


def test_ifmap_loads_follow_the_dense_scheme_whatever_is_skipped() -> None:
    assert [row.ifmap_loads for row in marker().layers] == [row.ifmap_loads for row in dense().layers]


def test_utilisation_is_macs_over_array_and_busy_cycles() -> None:
    assert [row.utilisation for row in dense().layers] == [pytest.approx(1728 / 120), pytest.approx(288 / 120)]


def test_a_layer_without_macs_has_no_utilisation() -> None:
    table, zero = schedule(), np.zeros(3, np.int64)
    pool = replace(table, layers=replace(table.layers, macs=zero[:2]), tiles=replace(table.tiles, macs_done=zero))
    assert np.isnan([row.utilisation for row in Result.of(trace(), accelerator(), pool, timeline()).layers]).all()


def test_rows_describe_the_layers_own_output() -> None:
    first = dense().layers[0]
    assert (first.zero_channels, first.channels, first.output_elements, first.saved_elements) == (1, 4, 64, 16)


def test_totals_and_rates() -> None:
    result = dense()
    assert result.totals["total_cycles"] == 95
    assert result.stall_cycles == 35
    assert result.time_us == pytest.approx(0.095)
    assert result.achieved_gb_per_s == pytest.approx(1152 / 95)
    assert result.stall_percent == pytest.approx(100 * 35 / 95)
    assert marker().macs_skipped_percent == pytest.approx(100 * 72 / 2016)


def test_a_result_names_its_source_wherever_it_is_shown() -> None:
    result = dense("published statistics")
    assert "published statistics" in repr(result)
    assert "published statistics" in result._repr_html_()
    assert set(result.as_frame()["source"]) == {"published statistics"}


def test_counts_are_whole_numbers_in_the_frame() -> None:
    frame = dense().as_frame()
    kinds = {name: frame[name].dtype.kind for name in COLUMNS}
    assert [name for name, kind in kinds.items() if kind == "f"] == ["ifmap_loads", "utilisation", *ENERGY_COLUMNS]
    assert all(kinds[name] == "i" for name in COLUMNS if name.endswith(("cycles", "bytes", "elements", "macs_done", "bursts")))


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ({"busy_cycles": [10, 21, 30]}, "conv1 (dense): busy + stalls = total cycles does not hold: 47 == 46"),
        ({"macs_done": [864, 864, 287]}, "conv2 (dense): MACs done + skipped = layer MACs does not hold: 287 == 288"),
    ],
)
def test_a_broken_identity_names_layer_and_numbers(broken: dict[str, list[int]], text: str) -> None:
    table = schedule()
    tiles = replace(table.tiles, **{name: np.array(values) for name, values in broken.items()})
    with pytest.raises(EngineError) as error:
        Result.of(trace(), accelerator(), replace(table, tiles=tiles), timeline())
    assert str(error.value) == text


def test_bytes_that_were_wanted_but_not_moved_are_an_error() -> None:
    times = timeline()
    with pytest.raises(EngineError, match=r"conv1 \(dense\): bytes wanted <= bytes moved"):
        Result.of(trace(), accelerator(), schedule(), replace(times, bytes_moved=times.bytes_moved // 2))


def test_a_refill_without_its_spill_is_an_error() -> None:
    table = schedule()
    lonely = replace(table.transfers, wait_transfer=np.full(8, -1))
    with pytest.raises(EngineError, match="psum bytes read = psum bytes spilled does not hold: 64 == 0"):
        Result.of(trace(), accelerator(), replace(table, transfers=lonely), timeline())


def test_a_tile_that_ends_between_clock_edges_is_an_error() -> None:
    times = timeline()
    with pytest.raises(EngineError, match="conv2: its last tile does not end on an edge of the 1000 ps clock"):
        Result.of(trace(), accelerator(), schedule(), replace(times, tile_end=times.tile_end + np.array([0, 0, 1])))


def test_a_timeline_of_another_schedule_is_an_error() -> None:
    with pytest.raises(EngineError, match="belongs to another schedule"):
        Result.of(trace(), accelerator(), schedule(), timeline(MARKER_TRANSFERS))


@given(
    stalls=st.lists(st.lists(st.integers(0, 10**6), min_size=len(CAUSES), max_size=len(CAUSES)), min_size=3, max_size=3),
    busy=st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    drain=st.integers(0, 10**6),
)
def test_layers_add_up_to_the_run_on_any_timeline(stalls: list[list[int]], busy: list[int], drain: int) -> None:
    causes, works = np.array(stalls), np.array(busy)
    ends = np.cumsum(causes.sum(axis=1) + works) * PERIOD
    table = schedule()
    times = replace(timeline(), tile_start=ends, tile_end=ends, stall_cycles=causes, drain_cycles=drain)
    result = Result.of(trace(), accelerator(), replace(table, tiles=replace(table.tiles, busy_cycles=works)), times)
    assert result.totals["total_cycles"] * PERIOD == ends[-1] + drain * PERIOD
    assert result.stall_cycles == causes.sum() + drain
    assert result.totals["bytes_wanted"] == sum(value for name, value in result.totals.items() if name.startswith(("read_", "write_")))
