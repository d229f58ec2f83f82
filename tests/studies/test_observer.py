"""Observer mode: what the bus tells, and that padding hides what it says it hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import schedule_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import plots, simulate, tracefile
from accelsim.errors import ConfigError
from accelsim.studies import observer
from accelsim.studies.observer import WHOLE
from accelsim.trace import Trace

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "configs/accelerator/edge.yaml"
DIGITS = ROOT / "configs/network/digits"
NET = schedule_samples.graph((4, 12, 12), schedule_samples.conv(8, 3), schedule_samples.maxpool(), schedule_samples.conv(6, 3))
volumes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20)


def images(count: int, zeros: float = 0.6) -> list[Trace]:
    """One network on images with different zeros."""
    made = (schedule_samples.trace(NET, seed=seed, zeros=zeros, dead=0.4) for seed in range(count))
    return [Trace(**{**vars(trace), "image": f"image {number}"}) for number, trace in enumerate(made)]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Trace]:
    """The network that ships, on six images."""
    folder = tmp_path_factory.mktemp("traces")
    chosen = [str(DIGITS / f"images/{digit}.png") for digit in range(6)]
    return [trace for _, trace in simulate.infer(DIGITS / "network.yaml", folder, chosen)]


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=5, unique=True),
    st.floats(0, 1),
    st.sampled_from(("channel_marker", "part_marker")),
)
def test_padded_to_dense_a_marker_moves_the_same_bytes_for_any_mask(seeds: list[int], zeros: float, scheme: str) -> None:
    machine = simulate.load_accelerator(EDGE, ["buffer.size=4 KiB", "marker_memory.size=1 B"])
    made = [schedule_samples.trace(NET, seed=seed, zeros=zeros, dead=0.3) for seed in seeds]
    traces = [Trace(**{**vars(trace), "image": str(number)}) for number, trace in enumerate(made)]
    (view,) = observer.observe(traces, machine, [scheme], ["dense"])
    leaks = view.leaks[(view.leaks["scheme"] == scheme) & (view.leaks["padding"] == "dense")]
    assert set(leaks["distinct_of_bytes"]) == {1}
    assert not leaks["bits_of_bytes"].any()
    metadata = view.layers[(view.layers["scheme"] == scheme) & (view.layers["padding"] == "dense")]
    assert (metadata["read_bytes"] >= metadata["dense_read_bytes"]).all()


@given(volumes, st.integers(1, 12), st.integers(1, 6))
def test_finer_bins_cost_no_more_and_hide_no_more(pairs: list[tuple[int, int]], bins: int, times: int) -> None:
    seen, dense = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    coarse, fine = observer.pad(seen, dense, f"bins:{bins}"), observer.pad(seen, dense, f"bins:{bins * times}")
    assert (np.minimum(seen, dense) <= fine).all()
    assert (fine <= coarse).all()
    assert (coarse <= observer.pad(seen, dense, "dense")).all()
    assert (observer.pad(seen, dense, "bins:1") == observer.pad(seen, dense, "dense")).all()


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
    st.integers(0, 10**6),
    st.sampled_from(("none", "dense", "powers_of_two", "bins:5")),
)
def test_padding_keeps_the_order_of_volumes_and_never_takes_away(values: list[int], dense: int, padding: str) -> None:
    seen = np.array(sorted(values), dtype=np.int64)
    padded = observer.pad(seen, np.full_like(seen, dense), padding)
    assert (np.diff(padded) >= 0).all()
    assert (padded >= (seen if padding == "none" else np.minimum(seen, dense))).all()
    assert padding == "none" or (padded <= dense).all()
    if padding == "bins:5":
        assert len(set(padded[seen <= dense])) <= 5
    if padding == "powers_of_two":
        own = padded[(padded != dense) & (padded != seen)]
        assert all(value & (value - 1) == 0 for value in own.tolist())


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_bits_are_the_entropy_of_what_is_seen(values: list[int]) -> None:
    distinct, bits = observer.told(values)
    shares = [values.count(value) / len(values) for value in set(values)]
    assert distinct == len(set(values))
    assert bits == pytest.approx(-sum(share * np.log2(share) for share in shares), abs=1e-9)
    assert 0 <= bits <= np.log2(len(values)) + 1e-9


def test_what_is_seen_adds_up_to_what_the_replay_moved() -> None:
    machine = simulate.load_accelerator(EDGE, ["marker_memory.size=1 B"])
    traces = images(2)
    (view,) = observer.observe(traces, machine, ["channel_marker", "zvc"])
    for trace in traces:
        for result in simulate.compare(trace, machine, ["channel_marker", "zvc"]).results:
            rows = view.layers[(view.layers["image"] == trace.image) & (view.layers["padding"] == "none")]
            own = rows[rows["scheme"] == result.scheme]
            assert (own["read_bytes"] + own["written_bytes"]).tolist() == [row.bytes_moved for row in result.layers]
            assert own["cycles"].tolist() == [row.total_cycles for row in result.layers]


def test_without_padding_the_traffic_tells_images_apart_and_dense_tells_none(digits: list[Trace]) -> None:
    (view,) = observer.observe(digits, simulate.load_accelerator(EDGE), ["channel_marker"])
    whole = view.leaks[view.leaks["layer"] == WHOLE].set_index(["scheme", "padding"])
    assert whole.loc[("dense", "none"), "bits"] == 0
    assert whole.loc[("channel_marker", "none"), "distinct_of_bytes"] == 6
    assert whole.loc[("channel_marker", "none"), "bits_of_bytes"] == pytest.approx(np.log2(6))
    assert whole.loc[("channel_marker", "dense"), "bits"] == 0
    layers = view.leaks[(view.leaks["layer"] != WHOLE) & (view.leaks["padding"] == "none")]
    assert layers[layers["scheme"] == "channel_marker"]["bits"].max() <= np.log2(6) + 1e-9
    assert (view.leaks["bits"] >= view.leaks[["bits_read_bytes", "bits_written_bytes", "bits_cycles"]].max(axis=1) - 1e-9).all()


def test_padding_costs_more_the_more_it_hides(digits: list[Trace]) -> None:
    (view,) = observer.observe(digits, simulate.load_accelerator(EDGE), ["channel_marker"], ["bins:64", "bins:8", "dense"])
    costs = view.costs[view.costs["scheme"] == "channel_marker"]
    assert list(costs["padding"]) == ["none", "bins:64", "bins:8", "dense"]
    for column in ("bytes", "cycles"):
        assert costs[column].is_monotonic_increasing
    assert costs["bits_of_bytes"].is_monotonic_decreasing
    assert costs["bytes_ratio"].iloc[-1] == 1
    assert costs["cycles_ratio"].iloc[-1] == 1
    assert costs["bytes_price"].iloc[0] == 1


def test_a_padded_layer_takes_what_its_bytes_take_or_as_long_as_dense() -> None:
    slow = simulate.load_accelerator(EDGE, ["dram.rate=200 MB/s"])
    (view,) = observer.observe(images(1), slow, ["channel_marker"], ["bins:2"])
    rows = view.layers[view.layers["padding"] == "bins:2"]
    needed = (rows["read_bytes"] + rows["written_bytes"]) * (slow.clock / 200e6)
    assert (rows["cycles"] >= np.minimum(needed, rows["dense_cycles"]) - 1).all()
    assert (rows["cycles"] <= rows["dense_cycles"]).all()


@pytest.mark.parametrize("padding", ["all", "bins", "bins:0", "bins:x", "bins:2000000", "dense:3"])
def test_paddings_that_are_none_are_refused(padding: str) -> None:
    with pytest.raises(ConfigError, match=r"padding: '.*'\n    allowed: none, dense, powers_of_two, bins:8"):
        observer.observe([], simulate.load_accelerator(EDGE), paddings=[padding])


def test_two_traces_of_one_image_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"two traces of image 'image 0'\n    keep one"):
        observer.observe([*images(1), *images(1)], simulate.load_accelerator(EDGE))


def test_figures_are_of_one_network() -> None:
    (view,) = observer.observe(images(2), simulate.load_accelerator(EDGE), ["channel_marker", "zvc"])
    figure = plots.observed(view.layers, view.costs)
    assert len(figure.axes) == 2
    with pytest.raises(ConfigError, match="a figure shows one network"):
        plots.observed(view.layers, pd.concat([view.costs, view.costs.assign(network="other")]))
    with pytest.raises(ConfigError, match="at most 5 schemes"):
        plots.observed(view.layers, pd.concat([view.costs.assign(scheme=str(number)) for number in range(6)]))


def test_observe_prints_and_writes_its_tables(program, tmp_path: Path) -> None:
    code, out, _ = program("observe", ROOT / "configs/paper/observe.yaml", "--results", tmp_path / "r", "--padding", "dense")
    assert code == 0
    assert "what the bus tells about 10 images (at most 3.32 bits)" in out
    seen, leaks, costs = (pd.read_csv(tmp_path / "r" / f"{name}.csv") for name in ("seen", "leaks", "costs"))
    assert set(seen["image"]) == set(range(10))
    assert list(costs["padding"]) == ["none", "none", "dense", "none", "dense", "none", "dense"]
    assert set(leaks["layer"]) > {WHOLE}
    assert (tmp_path / "r" / "figures" / "digits_observed.svg").is_file()


def test_traces_and_folders_of_them_need_a_machine(program, tmp_path: Path) -> None:
    for trace in images(2):
        tracefile.save(trace, tmp_path / f"{trace.image}.npz")
    code, out, _ = program("observe", tmp_path, "--accelerator", EDGE, "--scheme", "part_marker")
    assert code == 0
    assert "part_marker" in out
    code, _, err = program("observe", tmp_path)
    assert code == 2
    assert "name one: --accelerator" in err
    code, _, err = program("observe", ROOT / "configs/paper/observe.yaml", "--accelerator", EDGE)
    assert code == 2
    assert "remove --accelerator" in err
