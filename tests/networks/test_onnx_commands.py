"""ONNX networks by way of files and verbs: network files, `check`, `infer`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_samples import floats, model, op, save
from PIL import Image

from accelsim import checks, simulate, tracefile
from accelsim.errors import ConfigError, ModelError
from accelsim.runfile import load_network_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small classifier of grey photographs, its network file, and a photograph."""
    nodes = (
        op("Conv", "x w", "a", name="first", pads=[1, 1, 1, 1]),
        op("Relu", "a", "r"),
        op("GlobalAveragePool", "r", "m"),
        op("Flatten", "m", "f"),
        op("Softmax", "f", "y", name="scores"),
    )
    save(tmp_path / "small.onnx", model(*nodes, constants={"w": floats(3, 1, 3, 3)}, shape=("N", 1, 6, 8)))
    (tmp_path / "network.yaml").write_text("network: {name: mine, onnx: small.onnx, preprocessing: grey}\n", "utf-8")
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "photo.png")
    return tmp_path


def test_a_network_file_names_an_onnx_file(folder: Path) -> None:
    network = simulate.load_network(load_network_file(folder / "network.yaml"))
    assert (network.graph.name, network.graph.nodes[1].name) == ("mine", "first")


def test_infer_records_its_trace(folder: Path) -> None:
    ((path, trace),) = simulate.infer(folder / "network.yaml", folder / "traces", [str(folder / "photo.png")])
    assert path.name == "mine_photo.npz"
    again = tracefile.load(path)
    assert [node.kind for node in again.graph.nodes] == ["input", "conv", "avgpool", "softmax"]
    assert again.provenance["network_file"] == "small.onnx"
    assert "top5" in trace.provenance


def test_check_shows_layers_and_totals(folder: Path) -> None:
    text = checks.describe(folder / "small.onnx")
    assert text.splitlines()[0].split() == ["layer", "kind", "output", "C", "x", "H", "x", "W", "elements", "MACs", "weights"]
    assert "small: 4 nodes" in text
    assert "1,296 MACs, 30 weights; weights loaded" in text
    assert "mine: 4 nodes" in checks.describe(folder / "network.yaml")


def test_check_lists_all_operators_that_are_not_known(folder: Path) -> None:
    save(folder / "odd.onnx", model(op("Det", "x", "a", name="one"), op("NonZero", "x", "b", name="two"), outputs="a b"))
    with pytest.raises(ModelError, match=r"(?s)2 operators are not supported:\n    'one': operator 'Det'\n    'two': operator 'NonZero'"):
        checks.describe(folder / "odd.onnx")


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("onnx: small.onnx, darknet: {cfg: small.onnx}", "network.onnx: one network is enough, darknet names another"),
        ("onnx: smal.onnx", r"network.onnx: no such file: .*smal.onnx"),
        ("onnx: small.onnx, synthetic_weights: 1", "network.synthetic_weights: an ONNX file has weights of its own"),
        ("labels: {file: small.onnx}", "network: no network is named"),
    ],
)
def test_a_network_file_names_one_network_that_is_there(folder: Path, keys: str, fault: str) -> None:
    (folder / "bad.yaml").write_text(f"network: {{name: bad, preprocessing: grey, {keys}}}\n", "utf-8")
    with pytest.raises(ConfigError, match=fault):
        load_network_file(folder / "bad.yaml")
