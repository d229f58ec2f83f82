"""Bandwidth over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import comparison, dense, schedule, timeline

from accelsim.report.bandwidth import WINDOWS, Bandwidth
from accelsim.timeline import Timeline


def times(starts: list[int], lengths: list[int], end: int = 0) -> Timeline:
    """The sample's eight transfers at other times."""
    start = np.array(starts)
    stop = start + np.array(lengths)
    return replace(timeline(), transfer_start=start, transfer_end=stop, end=max(end, int(stop.max())))


def moved(bandwidth: Bandwidth) -> tuple[float, float]:
    """Bytes of all windows, read and written."""
    seconds = np.diff(bandwidth.edges) / 1e12
    return float((bandwidth.read * seconds).sum() * 1e9), float((bandwidth.write * seconds).sum() * 1e9)


@given(
    st.lists(st.integers(0, 10**8), min_size=8, max_size=8),
    st.lists(st.integers(1, 10**7), min_size=8, max_size=8),
    st.integers(0, 2 * 10**8),
    st.integers(1, 300),
)
def test_windows_add_up_to_every_byte(starts: list[int], lengths: list[int], end: int, windows: int) -> None:
    bandwidth = Bandwidth.of(schedule(), times(starts, lengths, end), windows)
    reads, writes = moved(bandwidth)
    assert reads == pytest.approx(128 + 256 + 64 + 256 + 192, rel=1e-6)
    assert writes == pytest.approx(64 + 128 + 64, rel=1e-6)
    assert min(bandwidth.read.min(), bandwidth.write.min()) >= 0
    assert len(bandwidth.edges) == len(bandwidth.read) + 1 == len(bandwidth.write) + 1


def test_a_transfer_has_its_rate_while_it_lasts_and_none_before_and_after() -> None:
    alone = replace(times([2000] + [9000] * 7, [4000] + [1] * 7, 10_000), bytes_moved=np.array([40, 0, 0, 0, 0, 0, 0, 0]))
    bandwidth = Bandwidth.of(schedule(), alone, 10)
    assert bandwidth.edges.tolist() == list(range(0, 11_000, 1000))
    np.testing.assert_allclose(bandwidth.read, [0, 0, 10, 10, 10, 10, 0, 0, 0, 0], atol=1e-9)


def test_what_waits_behind_its_channel_moves_no_bytes_yet() -> None:
    queued = replace(times([0, 1000] + [9000] * 6, [4000, 7000] + [1] * 6, 10_000), bytes_moved=np.array([40, 40, 0, 0, 0, 0, 0, 0]))
    table = schedule()
    channels = replace(table, transfers=replace(table.transfers, channel=np.zeros(8, np.int64)))
    np.testing.assert_allclose(Bandwidth.of(channels, queued, 5).read, [10, 10, 10, 10, 0], atol=1e-9)


def test_a_run_in_which_nothing_moves_has_no_bandwidth() -> None:
    still = replace(timeline(), bytes_moved=np.zeros(8, np.int64))
    bandwidth = Bandwidth.of(schedule(), still)
    assert len(bandwidth.read) == WINDOWS
    assert not bandwidth.read.any()
    assert not bandwidth.write.any()


def test_the_frame_names_windows_schemes_and_source() -> None:
    frame = comparison().bandwidth_frame()
    over_time = ["time_us", "until_us", "read_gb_per_s", "write_gb_per_s"]
    held = ["held_ifmap_bytes", "held_filter_bytes", "held_ofmap_bytes", "held_kept_bytes"]
    assert list(frame.columns) == ["network", "image", "scheme", *over_time, *held, "source"]
    assert list(frame.groupby("scheme", sort=False).size()) == [WINDOWS, WINDOWS]
    assert frame["until_us"].max() == pytest.approx(dense().time_us)
