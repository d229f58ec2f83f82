"""The real networks: the paper's totals, the authors' shapes, and probabilities through the readable layers."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from accelsim.images import PRESETS, load_image, preprocess
from accelsim.layers import layer
from accelsim.layers.base import Tensor
from accelsim.networks import darknet
from accelsim.networks.network import Network, output_index, total_elements

CFGS = {
    "alexnet": "cfg/alexnet.cfg",
    "mobilenet": "cfg/mobilenet.cfg",
    "resnet50": "cfg/resnet50.cfg",
    "vgg16": "cfg/vgg16.cfg",
    "squeezenet": "squeezenet_v1.1/squeezenet.cfg",
    "tiny": "tiny/tiny.cfg",
}
GOLDEN_KINDS = {
    "conv": "conv",
    "dwconv": "conv",
    "maxpool": "maxpool",
    "avgpool": "avgpool",
    "fc": "fc",
    "shortcut": "add",
    "route": "concat",
}


def forward(network: Network, image: Tensor) -> list[Tensor]:
    """Every map of the network through the layers' own numpy."""
    maps: list[Tensor] = []
    weights = network.require_weights()
    for node in network.graph.nodes:
        inputs = [maps[producer] for producer in node.inputs] or [image]
        maps.append(layer(node.kind).forward(node, inputs, weights.get(node.index, {})))
        assert maps[-1].shape == node.shape
    return maps


def load(shared: Path, cfg: str) -> Network:
    return darknet.load(shared / "assets" / cfg, (shared / "assets" / cfg).with_suffix(".weights"))


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("alexnet", 781_736),
        ("mobilenet", 9_255_048),
        ("resnet50", 20_086_248),
        ("squeezenet", 3_290_128),
        ("tiny", 3_458_440),
        ("vgg16", 15_087_080),
    ],
)
def test_totals_of_the_papers_table_4(shared: Path, name: str, elements: int) -> None:
    network = darknet.load(shared / "assets" / CFGS[name])
    assert total_elements(network.graph) == elements
    assert network.weights is None


@pytest.mark.parametrize("name", CFGS)
def test_every_layer_has_the_authors_geometry(shared: Path, name: str) -> None:
    graph = darknet.load(shared / "assets" / CFGS[name]).graph
    with (shared / "golden/authors/drfmp_dog_eps0.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["net"] == name]
    assert len(rows) > 10
    for row in rows:
        node = graph.nodes[int(row["layer"]) + 1]
        assert node.kind == GOLDEN_KINDS[row["kind"]], row
        assert node.shape == (int(row["C"]), int(row["H"]), int(row["W"])), row
        if row["weights"]:
            shape = layer(node.kind).weight_shapes(node, graph.input_shapes(node.index))["weight"]
            assert np.prod(shape) == int(row["weights"]), row
        if row["kind"] in ("conv", "dwconv"):
            assert (node.kernel[0], node.stride[0], node.groups) == (int(row["kernel"]), int(row["stride"]), int(row["groups"])), row
        if row["act"]:
            assert node.activation == row["act"], row
        if row["inputs"] and node.kind in ("add", "concat"):
            assert [producer - 1 for producer in node.inputs] == [int(number) for number in row["inputs"].split("+")], row


@pytest.mark.parametrize(
    ("cfg", "depthwise", "convolutions"), [("yolo/yolo-fastest-1.1.cfg", 28, 84), ("yolo/mbv2-yolov3-nano.cfg", 18, 59)]
)
def test_yolo_networks_load_with_their_weights(shared: Path, cfg: str, depthwise: int, convolutions: int) -> None:
    network = load(shared, cfg)
    nodes = [node for node in network.graph.nodes if node.kind == "conv"]
    assert len(nodes) == convolutions
    assert sum(1 < node.groups == node.shape[0] for node in nodes) == depthwise
    assert [node.shape for node in network.graph.nodes if node.kind == "yolo"] == [(255, 10, 10), (255, 20, 20)]
    assert network.provenance["batch_norm_epsilon"] == "1e-05"


def test_provenance_names_files_and_hashes_but_no_folders(shared: Path) -> None:
    network = load(shared, CFGS["tiny"])
    weights = (shared / "assets/tiny/tiny.weights").read_bytes()
    assert network.provenance["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert network.provenance["weights_file"] == "tiny.weights"
    assert not any("/" in text for text in network.provenance.values())


def test_tiny_gives_the_papers_confidence_on_the_five_photographs(shared: Path) -> None:
    network = load(shared, CFGS["tiny"])
    confidence = {}
    for image in ("cat", "dog", "eagle", "giraffe", "horses"):
        data = preprocess(load_image(f"{shared}/assets/images/five_rgb.npz:{image}"), PRESETS["tiny_letterbox"])
        confidence[image] = round(100 * float(forward(network, data)[output_index(network.graph)].max()), 2)
    assert confidence == {"cat": 15.25, "dog": 14.51, "eagle": 54.11, "giraffe": 29.71, "horses": 25.59}


@pytest.mark.parametrize(("image", "top"), [("cat", 281), ("dog", 537)])
def test_squeezenet_equals_the_independent_reference(shared: Path, image: str, top: int) -> None:
    network = load(shared, CFGS["squeezenet"])
    data = preprocess(load_image(f"{shared}/assets/images/five_rgb.npz:{image}"), PRESETS["squeezenet_v1.1"])
    maps = forward(network, data)
    output = maps[output_index(network.graph)].ravel()
    convolutions = [node.index for node in network.graph.nodes if node.kind == "conv"]
    with np.load(shared / "golden/squeezenet_v1.1/tensors.npz") as golden:
        np.testing.assert_allclose(output, golden[f"{image}/output"].ravel(), atol=1e-4)
        zeros = wanted = 0
        for number, index in enumerate(convolutions):
            maxima = golden[f"{image}/{number:03d}/maxabs"]
            # the absolute part, about ten units in the last place of the layer's largest value, is for maxima left over by cancellation
            np.testing.assert_allclose(np.abs(maps[index]).max(axis=(1, 2)), maxima, rtol=1e-4, atol=1e-6 * maxima.max())
            zeros += int((maps[index] == 0).sum())
            wanted += int(golden[f"{image}/{number:03d}/zeros"].sum())
    assert abs(zeros - wanted) <= 1e-4 * wanted
    assert int(output.argmax()) == top


def test_yolo_sees_what_is_on_the_photographs(shared: Path) -> None:
    names = (shared / "assets/yolo/coco.names").read_text().split("\n")
    network = load(shared, "yolo/yolo-fastest-1.1.cfg")
    for image, seen in (("dog", {"dog", "bicycle", "car"}), ("horses", {"horse"}), ("eagle", {"bird"}), ("giraffe", {"giraffe", "zebra"})):
        data = preprocess(load_image(f"{shared}/assets/images/five_rgb.npz:{image}"), PRESETS["yolo"])
        maps = forward(network, data)
        heads = [maps[node.index].reshape(3, 85, -1) for node in network.graph.nodes if node.kind == "yolo"]
        scores = np.concatenate([1 / (1 + np.exp(-head[:, 4:5])) / (1 + np.exp(-head[:, 5:])) for head in heads], axis=2)
        best = scores.max(axis=(0, 2))
        assert seen <= {names[index] for index in np.flatnonzero(best > 0.5)}
