"""Every network of the zoo replays under every scheme that needs no data of its own, on a small and on a large machine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from accelsim import simulate
from accelsim.networks import scalesim, synthetic, zoo
from accelsim.networks.network import total_macs
from accelsim.networks.zoo.builder import Builder

ACCELERATORS = Path(__file__).parents[1] / "configs" / "accelerator"
MACHINES = {name: simulate.load_accelerator(ACCELERATORS / f"{name}.yaml") for name in ("edge", "paper")}
SMALL = {"alexnet_darknet": 67}
"""Input sizes that keep the test quick; 64 for all others."""


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_replays_with_masks_and_with_counts_alone(name: str) -> None:
    graph = zoo.load(f"{name}@{SMALL.get(name, 64)}").graph
    frames = {}
    for machine, masks, scheme in (("edge", True, "dense"), ("edge", True, "channel_marker"), ("paper", False, "channel_marker")):
        trace = synthetic.trace(graph, zero_channels=0.2, sparsity=0.5, masks=masks)
        frame = frames[machine, scheme] = simulate.replay(trace, MACHINES[machine], scheme).as_frame()
        assert frame["macs_done"].sum() + frame["macs_skipped"].sum() == total_macs(graph)
        assert set(frame["source"]) == {"synthetic"}
    dense, marked = frames["edge", "dense"], frames["edge", "channel_marker"]
    assert dense["macs_skipped"].sum() == 0
    assert marked["macs_skipped"].sum() > 0
    assert marked["read_ifmap_bytes"].sum() < dense["read_ifmap_bytes"].sum()
    assert marked["write_ofmap_bytes"].sum() < dense["write_ofmap_bytes"].sum()
    assert frames["paper", "channel_marker"]["macs_skipped"].sum() == marked["macs_skipped"].sum(), "the same zero channels"


def test_shortcuts_between_maps_of_different_size_and_gates_are_one_model_on_both_engines() -> None:
    net = Builder("both", 32)
    wide = net.conv("wide", 40, 3)
    net.squeeze_excite("gate", 8, activation="relu", gate="hardsigmoid")
    net.normalise("norm")
    net.conv("narrow", 24, 3, 2)
    net.avgpool("pool", 2, 2)
    last = net.conv("deep", 64, 3)
    net.add("darknet", last, wide, activation="relu")
    trace = synthetic.trace(net.graph(), zero_channels=0.3, sparsity=0.6)
    machine = simulate.load_accelerator(ACCELERATORS / "tiny_buffer.yaml")
    fast, reference = (simulate.replay(trace, machine, "channel_marker", engine).as_frame() for engine in ("fast", "reference"))
    pd.testing.assert_frame_equal(fast, reference)
    assert list(fast["kind"]) == ["conv", "avgpool", "conv", "conv", "mul", "scale", "conv", "avgpool", "conv", "add"]


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_a_topology_of_scale_sim_replays_with_the_cycles_of_its_formula(tmp_path: Path, dataflow: str) -> None:
    file = tmp_path / "net.csv"
    file.write_text("name,a,b,c,d,e,f,g,\nConv2, 27, 27, 5, 5, 96, 256, 1,\nConv3, 13, 13, 3, 3, 256, 384, 1,\n", "utf-8")
    settings = ["accelerator.pe_array.rows=32", "accelerator.pe_array.cols=32", f"accelerator.pe_array.dataflow={dataflow}"]
    machine = simulate.load_accelerator(ACCELERATORS / "paper.yaml", settings)
    graph = scalesim.load(file).graph
    dense, marked = (
        simulate.replay(synthetic.trace(graph, zero_channels=0.25, sparsity=0.25), machine, scheme).as_frame().set_index("layer")
        for scheme in ("dense", "channel_marker")
    )
    for name, pixels, window, filters in (("Conv2", 23 * 23, 25 * 96, 256), ("Conv3", 11 * 11, 9 * 256, 384)):
        high, wide, time, fill = {
            "os": (pixels, filters, window, 32),
            "ws": (window, filters, pixels, 64),
            "is": (window, pixels, filters, 64),
        }[dataflow]
        folds = -(-high // 32) * -(-wide // 32)
        row = dense.loc[name]
        assert row["busy_cycles"] == folds * time
        assert row["stall_fill_drain_cycles"] == folds * (fill + 32 - 2)
    assert list(dense.index) == ["Conv2", "Conv3"]
    assert marked["read_ifmap_bytes"].sum() == 0.75 * dense["read_ifmap_bytes"].sum()
    assert (marked["read_metadata_bytes"] > 0).all(), "markers of maps that were not made here come from memory"
