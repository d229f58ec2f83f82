"""Static against dynamic zero channels over a folder of traces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accelsim import inference, runfile, simulate, tracefile
from accelsim.errors import ConfigError, TraceError
from accelsim.hardware import Accelerator
from accelsim.studies import dynamic
from accelsim.trace import Trace, measure

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "network/digits"


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    file = runfile.load_network_file(DIGITS / "network.yaml")
    sources = (inference.photograph(str(DIGITS / f"images/{digit}.png"), file.preprocessing) for digit in range(4))
    return list(inference.record(simulate.load_network(file), sources))


@pytest.fixture(scope="module")
def machine() -> Accelerator:
    return simulate.load_accelerator(CONFIGS / "accelerator/edge.yaml")


@pytest.fixture(scope="module")
def split(traces: list[Trace], machine: Accelerator) -> dynamic.Split:
    (found,) = dynamic.analyse(traces, machine, ["channel_marker"])
    return found


def test_static_and_dynamic_add_up_to_the_zero_channels_of_each_image(traces: list[Trace], split: dynamic.Split) -> None:
    assert (split.channels["images"] == 4).all()
    names = [node.name for node in traces[0].graph.nodes]
    some = 0
    for row in split.channels.to_dict("records"):
        flags = np.array([trace.maps[names.index(row["layer"])].zero_channels for trace in traces])
        zero = flags.sum(axis=1)
        assert row["static"] == flags.all(axis=0).sum()
        assert row["sometimes"] == flags.any(axis=0).sum() - row["static"]
        assert row["dynamic_mean"] == pytest.approx(zero.mean() - row["static"])
        assert (row["dynamic_minimum"], row["dynamic_maximum"]) == (zero.min() - row["static"], zero.max() - row["static"])
        assert row["removable"] <= row["static"]
        some += row["sometimes"]
    assert some, "the example has dynamic channels"


def test_totals_are_mean_minimum_and_maximum_over_the_images(traces: list[Trace], machine: Accelerator, split: dynamic.Split) -> None:
    cycles = [simulate.replay(trace, machine, "channel_marker").totals["total_cycles"] for trace in traces]
    dense = [simulate.replay(trace, machine, "dense").totals["total_cycles"] for trace in traces]
    row = split.totals.query("variant == 'original' and scheme == 'channel_marker' and quantity == 'total_cycles'").iloc[0]
    assert (row["mean"], row["minimum"], row["maximum"]) == (np.mean(cycles), min(cycles), max(cycles))
    ratios = np.array(cycles) / np.array(dense)
    np.testing.assert_allclose(
        row[["ratio_mean", "ratio_minimum", "ratio_maximum"]].astype(float), [ratios.mean(), ratios.min(), ratios.max()]
    )


def dead(trace: Trace, indices: tuple[int, ...], channel: int) -> Trace:
    """The trace with one channel of some maps all zero."""
    maps = list(trace.maps)
    for index in indices:
        alive = maps[index].nonzero().copy()
        alive[channel] = False
        maps[index] = measure(alive.astype(np.float32), trace.fine_part)
    return replace(trace, maps=tuple(maps))


def test_the_slim_network_is_less_work_and_the_marker_still_gains(traces: list[Trace], machine: Accelerator) -> None:
    graph = traces[0].graph
    conv = next(node for node in graph.nodes if node.kind == "conv")
    (pool,) = graph.consumers(conv.index)
    (found,) = dynamic.analyse([dead(trace, (conv.index, pool), 1) for trace in traces], machine)
    rows = found.channels.set_index("layer")["removable"]
    assert rows[conv.name] >= 1
    assert rows[graph.nodes[pool].name] >= 1
    mean = found.totals.set_index(["variant", "scheme", "quantity"])["mean"]
    for quantity in ("macs_done", "read_ifmap_bytes", "write_ofmap_bytes"):
        assert mean[dynamic.SLIM, "dense", quantity] < mean[dynamic.ORIGINAL, "dense", quantity]
        assert mean[dynamic.SLIM, "channel_marker", quantity] < mean[dynamic.SLIM, "dense", quantity]
    # A marker knows a channel to be zero only once it is computed; without its filter even that is spared.
    assert mean[dynamic.SLIM, "channel_marker", "macs_done"] < mean[dynamic.ORIGINAL, "channel_marker", "macs_done"]
    assert mean[dynamic.SLIM, "channel_marker", "read_ifmap_bytes"] == mean[dynamic.ORIGINAL, "channel_marker", "read_ifmap_bytes"]


def test_a_folder_is_read_by_name_and_tables_and_figure_are_written(traces: list[Trace], machine: Accelerator, tmp_path: Path) -> None:
    for trace in traces[:2]:
        tracefile.save(trace, tmp_path / "traces" / simulate.trace_name(trace))
    splits = dynamic.analyse(tmp_path / "traces", machine)
    assert splits[0].images == ("0", "1")
    paths = {path.relative_to(tmp_path / "r").as_posix() for path in dynamic.write(splits, tmp_path / "r")}
    assert paths == {"channels.csv", "replays.csv", "totals.csv", "figures/digits_static_dynamic.png", "figures/digits_static_dynamic.svg"}
    assert len(pd.read_csv(tmp_path / "r" / "replays.csv")) == 2 * 2 * 2
    assert len(list(dynamic.terminal_tables(splits[0]))) == 2


def test_without_a_machine_only_channels_are_counted(traces: list[Trace], tmp_path: Path) -> None:
    (found,) = dynamic.analyse(traces)
    assert found.totals.empty
    assert {path.name for path in dynamic.write([found], tmp_path, figures=False)} == {"channels.csv"}
    assert len(list(dynamic.terminal_tables(found))) == 1


def test_networks_and_epsilons_are_told_apart(traces: list[Trace], tmp_path: Path) -> None:
    others = [replace(trace, epsilon=0.5) for trace in traces[:2]]
    splits = dynamic.analyse([*traces[:2], *others])
    assert [len(split.images) for split in splits] == [2, 2]
    names = {path.stem for path in dynamic.write(splits, tmp_path) if path.suffix == ".png"}
    assert names == {"digits_channel_eps0_static_dynamic", "digits_channel_eps0.5_static_dynamic"}


def test_too_few_images_are_refused(traces: list[Trace], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="digits at epsilon 0 \\(channel\\): one image, 0; on one image every zero channel is static\n"):
        dynamic.analyse(traces[:1])
    with pytest.raises(ConfigError, match="two traces of image '0'"):
        dynamic.analyse([traces[0], traces[0]])
    with pytest.raises(ConfigError, match="no such folder"):
        dynamic.analyse(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds no trace"):
        dynamic.analyse(tmp_path)


def test_counts_without_positions_are_refused_by_name() -> None:
    with pytest.raises(TraceError, match=r"alexnet_dog_statistics\.npz: holds counts of zero channels, not which they are"):
        dynamic.analyse(Path(__file__).parents[2] / "traces")
