"""Schedules against hand-checked vectors and published counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from schedule_samples import KIB, accelerator, conv, graph, trace

from accelsim.hardware import Data
from accelsim.schedule import build
from accelsim.schedule.loops import Tiling
from accelsim.schedule.tables import FILTER, IFMAP, READ

MODES = {"channel_marker": "channel_mode", "part_marker": "part_mode"}


@pytest.fixture
def part_by_part(monkeypatch):
    """Tile each layer into single parts of the array, filters kept: the tiles of the hand-checked vectors."""

    def parts(prices, number):
        layer, array = prices.nests[number].layer, prices.coder.accelerator.pe_array
        return Tiling(1, layer.filters, layer.channels, array.rows, array.cols, "KCP")

    monkeypatch.setattr("accelsim.schedule.keep.choose", parts)


@pytest.mark.usefixtures("part_by_part")
@pytest.mark.parametrize("case", ["conv1x1 K8 array3x3", "conv3x3 K8 array3x3", "conv1x1 K8 array4x4", "conv3x3 K8 array2x2"])
@pytest.mark.parametrize("scheme", ["dense", *MODES])
def test_what_a_consumer_skips_is_what_was_checked_by_hand(shared: Path, case: str, scheme: str):
    vector = json.loads((shared / "golden/schemes/skip_a.json").read_text())[case]
    tensor = np.array(json.loads((shared / "golden/schemes/tensor_a.json").read_text())["values"])
    net = graph((4, 6, 6), conv(4), conv(vector["K"], vector["kernel"], vector["stride"], vector["pad"]))
    machine = accelerator(*vector["array"], data=Data(ifmap_bits=8, filter_bits=8), min_skip=1, access=1, burst=64)
    schedule = build(trace(net, [np.ones((4, 6, 6)), tensor]), machine, scheme)
    tiles, table = schedule.tiles.layer == 1, schedule.transfers
    mode = MODES.get(scheme, "dense")
    ifmap = (table.layer == 1) & (table.tensor == IFMAP)
    filters = (table.layer == 1) & (table.tensor == FILTER)
    assert tiles.sum() == vector["tiles"]
    assert table.bytes_dense[ifmap].sum() == vector["ifmap_elements_dense_with_halo"]
    assert table.bytes_wanted[ifmap].sum() == vector[f"ifmap_elements_{mode}_with_halo"]
    assert schedule.tiles.busy_cycles[tiles].sum() == vector[f"cycles_{mode}"]
    assert table.bytes_dense[filters].sum() == vector["weights_dense"]
    assert schedule.layers.macs[1] == vector["macs_dense"]
    if scheme != "dense":
        cycles_of_a_pair = vector["K"] * vector["kernel"] ** 2
        skipped = vector["cycles_dense"] - schedule.tiles.busy_cycles[tiles].sum()
        assert skipped == vector[f"skipped_pairs_{mode}"] * cycles_of_a_pair
        assert (table.bytes_dense - table.bytes_wanted)[filters].sum() == vector["weights_skipped_by_zero_channel"]
    if scheme == "channel_marker":
        assert schedule.tiles.macs_skipped[tiles].sum() == vector["macs_skipped_by_zero_channel"]


def test_depthwise_and_fully_connected_consumers_skip_what_was_checked_by_hand(shared: Path):
    vectors = json.loads((shared / "golden/schemes/skip_a.json").read_text())
    tensor = np.array(json.loads((shared / "golden/schemes/tensor_a.json").read_text())["values"])
    deep, full = vectors["depthwise3x3 pad1"], vectors["fc K10"]
    net = graph((4, 6, 6), conv(4), conv(4, 3, groups=4), {"kind": "fc", "filters": 10, "inputs": (1,)})
    machine = accelerator(3, 3, data=Data(ifmap_bits=8, filter_bits=8))
    schedule = build(trace(net, [np.ones((4, 6, 6)), tensor]), machine, "channel_marker")
    table, skipped = schedule.transfers, schedule.transfers.bytes_dense - schedule.transfers.bytes_wanted

    def weights(layer):
        mine = (table.layer == layer) & (table.tensor == FILTER)
        return table.bytes_dense[mine].sum(), skipped[mine].sum()

    assert weights(1) == (deep["weights_dense"], deep["weights_skipped"])
    assert weights(2) == (full["weights_dense"], full["weights_skipped_channel_mode"])
    assert schedule.layers.macs[1] == deep["macs_dense"]
    assert schedule.tiles.macs_skipped[schedule.tiles.layer == 1].sum() == deep["macs_skipped"]


PUBLISHED = {
    "alexnet": ("assets/cfg/alexnet.cfg", (415035, 6037), (62367776, 202112), 3.35),
    "mobilenet": ("assets/cfg/mobilenet.cfg", (9012576, 691880), (3470784, 97260), 4.55),
    "squeezenet": ("assets/squeezenet_v1.1/squeezenet.cfg", (1978523, 8550), (1231552, 32320), 1.70),
    "vgg16": ("assets/cfg/vgg16.cfg", (9115136, 19159), (138344128, 9464192), 0.24),
}
"""Network: cfg; ifmap elements read by conv and fc layers, of them saved; weights, of them saved; per cent of MACs saved."""


@pytest.mark.parametrize("net", PUBLISHED)
def test_the_published_savings_come_out_where_everything_fits(shared: Path, net: str):
    from accelsim.networks import darknet, published

    cfg, ifmap, weights, percent = PUBLISHED[net]
    network = darknet.load(shared / cfg).graph
    data = published.statistics_trace(network, shared / "golden/authors/drfmp_dog_eps0.csv", net)
    machine = accelerator(16, 16, size=1024 * 1024 * KIB, min_skip=1, access=1, burst=64, data=Data(ifmap_bits=8, filter_bits=8))
    schedule = build(data, machine, "channel_marker")
    table = schedule.transfers
    counted = np.isin(np.array(schedule.kinds), ("conv", "fc"))[table.layer] & (table.direction == READ)

    def elements(tensor):
        mine = counted & (table.tensor == tensor)
        return int(table.bytes_dense[mine].sum()), int((table.bytes_dense - table.bytes_wanted)[mine].sum())

    assert elements(IFMAP) == ifmap
    assert elements(FILTER) == weights
    skipped, done = schedule.tiles.macs_skipped.sum(), schedule.tiles.macs_done.sum()
    assert round(100 * skipped / (skipped + done), 2) == percent
