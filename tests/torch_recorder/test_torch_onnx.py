"""The recorder's trace of a model equals our engine's trace of its ONNX export, mask for mask."""

from __future__ import annotations

import pytest

pytest.importorskip("torch.nn", reason="PyTorch is not installed: pip install 'accelsim[torch]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'accelsim[onnx]'")

from torch_samples import MODELS, Inception, Plain, Residual, Shuffle, cancellations, export, make, pictures, recorded

from accelsim import inference
from accelsim.networks import onnx


def compared(kind, folder, **settings):
    """Cancellations, elements and elements that epsilon has overwritten, over all maps and images."""
    model, images = make(kind), pictures(3)
    network = onnx.load(export(model, images, folder / f"{kind.__name__}.onnx"))
    inputs = [inference.Input(f"image_{number}", image.numpy(), {}) for number, image in enumerate(images)]
    ours = list(inference.record(network, inputs, fine_part=(1, 1), **settings))
    theirs = recorded(model, images, **settings)
    assert len(ours) == len(theirs) == 3
    counted = elements = zeros = 0
    for found, expected in zip(theirs, ours, strict=True):
        # the exporter leaves dropout out
        pairs = [(node, fmap) for node, fmap in zip(found.graph.nodes, found.maps, strict=True) if node.kind != "dropout"]
        for (node, fmap), other, wanted in zip(pairs, expected.graph.nodes, expected.maps, strict=True):
            for field in ("kind", "shape", "kernel", "stride", "pad", "dilation", "groups", "activation"):
                assert getattr(node, field) == getattr(other, field), (node.name, field)
            assert node.slope == pytest.approx(other.slope)
            assert len(node.inputs) == len(other.inputs)
            counted += cancellations(fmap, wanted, node.name)
            elements += fmap.elements
            zeros += fmap.zero_elements
    return counted, elements, zeros


@pytest.mark.parametrize("kind", MODELS)
def test_traces_are_equal(kind, tmp_path):
    counted, elements, zeros = compared(kind, tmp_path)
    assert counted <= 1e-4 * elements
    assert zeros


@pytest.mark.parametrize("kind", [Plain, Residual, Inception, Shuffle])
@pytest.mark.parametrize("mode", ["channel", "part", "element"])
def test_traces_are_equal_under_epsilon(kind, mode, tmp_path):
    _, _, plain = compared(kind, tmp_path)
    counted, elements, zeros = compared(kind, tmp_path, epsilon=0.7, mode=mode, part=(3, 4))
    assert counted <= 1e-4 * elements
    assert zeros > plain, "the example must prune something"
