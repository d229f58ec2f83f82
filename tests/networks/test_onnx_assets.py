"""The real ONNX networks, from their network files: values and zero channels of every layer, and the replay of their traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_oracle import pairs

from accelsim import inference, simulate
from accelsim.images import PRESETS, preprocess
from accelsim.networks.network import total_macs, total_weights
from accelsim.runfile import NetworkFile, load_network_file

ROOT = Path(__file__).parents[2]
IMAGES = {
    "mobilenet_v2": "images/five_rgb.npz:dog",
    "squeezenet_v1.0": "images/five_rgb.npz:cat",
    "resnet20": "cifar10_test500.npz:images:17",
    "resnet56": "cifar10_test500.npz:images:42",
}


def opened(shared: Path, name: str) -> tuple[NetworkFile, np.ndarray]:
    """The network file, and its photograph as the network takes it."""
    file = load_network_file(ROOT / f"configs/network/{name}.yaml")
    return file, inference.photograph(f"{shared}/assets/{IMAGES[name]}", file.preprocessing).tensor


@pytest.mark.parametrize("name", IMAGES)
def test_every_layer_is_that_of_onnx_runtime_and_its_zero_channels_are_the_same(shared: Path, name: str) -> None:
    file, image = opened(shared, name)
    assert file.onnx is not None
    found = pairs(file.onnx, image[None])
    outputs = {entry.name for entry in onnx.load(file.onnx).graph.output}
    dead = 0
    for pair in found:
        tolerance = 1e-4 if pair.name in outputs else 1e-4 * np.abs(pair.theirs).max(initial=1.0)
        np.testing.assert_allclose(pair.ours, pair.theirs, rtol=0, atol=tolerance, err_msg=pair.name)
        theirs, ours = pair.zero_channels
        np.testing.assert_array_equal(ours, theirs, err_msg=pair.name)
        dead += int(theirs.sum())
    assert dead > 20, "a comparison without zero channels says nothing of them"
    layers = {node.index for node in simulate.load_network(file).graph.nodes if node.kind != "input"}
    seen = {pair.node.index for pair in found}
    # what Slice and Pad of the shortcuts make is compared, too; nothing but a border that became padding may be left out
    assert layers == seen


@pytest.mark.parametrize(
    ("name", "millions_of_macs", "millions_of_weights"),
    [
        ("mobilenet_v2", 300, 3.49),  # Sandler et al. 2018, table 4: 300 M multiply-adds, 3.4 M parameters
        ("squeezenet_v1.0", 861, 1.248),  # Iandola et al. 2016, table 1: 1,248,424 parameters (4.8 MB of float32)
        ("resnet20", 40.6, 0.27),  # He et al. 2016, table 6: 0.27 M and 0.85 M parameters
        ("resnet56", 125.5, 0.85),
    ],
)
def test_work_and_weights_are_those_that_were_published(
    shared: Path, name: str, millions_of_macs: float, millions_of_weights: float
) -> None:
    file, _ = opened(shared, name)
    graph = simulate.load_network(file).graph
    assert total_macs(graph) / 1e6 == pytest.approx(millions_of_macs, rel=3e-3)
    assert total_weights(graph) / 1e6 == pytest.approx(millions_of_weights, rel=4e-3)


def test_resnet20_is_right_as_often_as_an_independent_implementation_says(shared: Path) -> None:
    """79.8 % and 99.2 % of the 500 images, measured with PyTorch (README of the assets)."""
    file, _ = opened(shared, "resnet20")
    prepared = inference.prepare(simulate.load_network(file))
    stack = np.load(shared / "assets/cifar10_test500.npz")
    best = []
    for image in stack["images"]:
        scores = inference.predict(prepared, preprocess(image, PRESETS["cifar10"]))
        best.append([index for index, _ in inference.top(scores)])
    hits = np.array(best) == stack["labels"][:, None]
    assert hits[:, 0].mean() == pytest.approx(0.798)
    assert hits.any(axis=1).mean() == pytest.approx(0.992)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet20"])
def test_a_trace_replays_and_the_marker_saves(shared: Path, name: str) -> None:
    file, _ = opened(shared, name)
    source = inference.photograph(f"{shared}/assets/{IMAGES[name]}", file.preprocessing)
    trace = next(inference.record(simulate.load_network(file), [source]))
    results = [simulate.replay(trace, ROOT / "configs/accelerator/edge.yaml", scheme) for scheme in ("dense", "channel_marker")]
    dense, marked = (sum(row.bytes_moved for row in result.layers) for result in results)
    assert 0.8 * dense < marked < dense
    assert "input" in results[0].fused
