"""Is each operation of PyTorch the node that it is said to be? Its numpy forward must give PyTorch's own numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch.nn", reason="PyTorch is not installed: pip install 'accelsim[torch]'")

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_samples import follows_its_graph, nodes, pictures, recorded

from accelsim.errors import ModelError


class Of(nn.Module):
    """A model of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def kinds(trace):
    return [node.kind for node in trace.graph.nodes[1:]]


OPERATIONS = {
    "relu": (F.relu, ["activation"]),
    "relu in place": (lambda x: torch.relu_(x.clone()), ["activation"]),
    "relu6": (F.relu6, ["activation"]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), ["activation"]),
    "prelu of one slope": (lambda x: F.prelu(x, torch.tensor([0.3])), ["activation"]),
    "elu": (lambda x: F.elu(x, 0.7), ["activation"]),
    "silu": (F.silu, ["activation"]),
    "gate by its sigmoid": (lambda x: x * torch.sigmoid(x), ["activation"]),
    "gate by its hard sigmoid": (lambda x: F.hardsigmoid(x) * x, ["activation"]),
    "mish": (F.mish, ["activation"]),
    "gelu": (F.gelu, ["activation"]),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), ["activation"]),
    "hardswish": (F.hardswish, ["activation"]),
    "hardsigmoid": (F.hardsigmoid, ["activation"]),
    "sigmoid": (torch.sigmoid, ["activation"]),
    "tanh": (torch.tanh, ["activation"]),
    "softplus": (F.softplus, ["activation"]),
    "erf": (torch.erf, ["activation"]),
    "threshold": (lambda x: F.threshold(x, 0, 0), ["activation"]),
    "clamp": (lambda x: x.clamp(-0.5, 0.7), ["activation"]),
    "clamp from below": (lambda x: torch.clamp(x, min=-0.2), ["activation"]),
    "clamp_max": (lambda x: x.clamp_max(0.3), ["activation"]),
    "hardtanh": (F.hardtanh, ["activation"]),
    "dropout at inference": (lambda x: F.dropout2d(x, 0.5, training=False), ["dropout"]),
    "an activation joins a pool": (lambda x: F.relu(F.max_pool2d(x, 2)), ["maxpool"]),
    "add": (lambda x: F.relu(x) + x, ["activation", "add"]),
    "add in place": (lambda x: F.relu(x).add_(x), ["activation", "add"]),
    "add with repeated axes": (lambda x: x + x.mean((2, 3), keepdim=True), ["avgpool", "add"]),
    "add nothing": (lambda x: sum([F.relu(x)]), ["activation"]),
    "sub": (lambda x: F.relu(x) - x, ["activation", "sub"]),
    "mul": (lambda x: F.relu(x) * x[:, 1:2], ["activation", "slice", "mul"]),
    "max_pool2d": (lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2)), ["maxpool"]),
    "max_pool2d rounded up": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), ["maxpool"]),
    "max_pool2d rounded up without pad": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), ["maxpool"]),
    "max_pool2d with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], ["maxpool"]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), ["avgpool"]),
    "avg_pool2d counts its pad": (lambda x: F.avg_pool2d(x, 3, 2, 1), ["avgpool"]),
    "avg_pool2d does not count its pad": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), ["avgpool"]),
    "avg_pool2d rounded up": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), ["avgpool"]),
    "avg_pool2d rounded up without pad": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), ["avgpool"]),
    "avg_pool1d": (lambda x: F.avg_pool1d(x.flatten(2), 4), ["reshape", "avgpool"]),
    "adaptive to one": (lambda x: F.adaptive_avg_pool2d(x, 1), ["avgpool"]),
    "adaptive to windows": (lambda x: F.adaptive_avg_pool2d(x, (4, 7)), ["avgpool"]),
    "adaptive to its own size": (lambda x: F.relu(F.adaptive_avg_pool2d(x, (16, None))), ["activation"]),
    "adaptive maximum": (lambda x: F.adaptive_max_pool2d(x, (2, 1)), ["maxpool"]),
    "mean of rows": (lambda x: x.mean(2), ["avgpool"]),
    "mean of both": (lambda x: x.mean([-1, -2], keepdim=True), ["avgpool"]),
    "amax": (lambda x: torch.amax(x, (2, 3)), ["maxpool"]),
    "lrn": (lambda x: F.local_response_norm(x, 3, alpha=0.5, beta=0.75, k=2.0), ["lrn"]),
    "softmax of channels": (lambda x: F.softmax(x, 1), ["softmax"]),
    "softmax of rows": (lambda x: x.softmax(2), ["softmax"]),
    "softmax of columns": (lambda x: torch.softmax(x, -1), ["softmax"]),
    "softmax of a line": (lambda x: F.softmax(x.flatten(1), dim=1), ["reshape", "softmax"]),
    "interpolate nearest": (lambda x: F.interpolate(x, scale_factor=2), ["upsample"]),
    "interpolate nearest to another size": (lambda x: F.interpolate(x, (24, 21)), ["resize"]),
    "interpolate nearest-exact": (lambda x: F.interpolate(x, (23, 9), mode="nearest-exact"), ["resize"]),
    "interpolate bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), ["resize"]),
    "interpolate bilinear by a fraction": (lambda x: F.interpolate(x, scale_factor=(1.3, 0.7), mode="bilinear"), ["resize"]),
    "interpolate bilinear to corners": (lambda x: F.interpolate(x, (9, 30), mode="bilinear", align_corners=True), ["resize"]),
    "interpolate bicubic": (lambda x: F.interpolate(x, (31, 29), mode="bicubic"), ["resize"]),
    "interpolate area": (lambda x: F.interpolate(x, (8, 7), mode="area"), ["avgpool"]),
    "cat channels": (lambda x: torch.cat([x, F.relu(x)], 1), ["activation", "concat"]),
    "cat rows": (lambda x: torch.cat([x, F.relu(x)], dim=-2), ["activation", "concat"]),
    "cat columns": (lambda x: torch.concat((x, F.relu(x)), dim=3), ["activation", "concat"]),
    "cat lines": (lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), ["avgpool", "maxpool", "concat"]),
    "slice": (lambda x: x[:, 1:, 2:9:3, -5:], ["slice"]),
    "single positions": (lambda x: x[:, 0, ..., 3], ["slice"]),
    "everything": (lambda x: F.relu(x[:, :, None]).squeeze(2), ["activation"]),
    "chunk": (lambda x: torch.cat(x.chunk(2, 3)[::-1], 3), ["slice", "slice", "concat"]),
    "split": (lambda x: x.split([1, 2], dim=1)[1], ["slice"]),
    "narrow": (lambda x: x.narrow(2, 3, 5), ["slice"]),
    "flip": (lambda x: x.flip(1, 3), ["slice"]),
    "pad with zeros": (lambda x: F.pad(x, (1, 2, 3, 0)), ["pad"]),
    "pad with a number": (lambda x: F.pad(x, (1, 1, 1, 1, 0, 2), value=0.5), ["pad"]),
    "pad by reflection": (lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"), ["pad"]),
    "pad by the edge": (lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"), ["pad"]),
    "pad in a circle": (lambda x: F.pad(x, (1, 2, 3, 0), mode="circular"), ["pad"]),
    "pad a line": (lambda x: F.pad(x.mean(2), (2, 1)), ["avgpool", "pad"]),
    "permute": (lambda x: x.permute(0, 2, 3, 1), ["permute"]),
    "transpose": (lambda x: x.transpose(1, -1), ["permute"]),
    "transpose of a pooled map": (lambda x: F.relu(x.mean((2, 3), keepdim=True).transpose(1, 2)), ["avgpool"]),
    "channel shuffle": (lambda x: F.channel_shuffle(torch.cat([x, x], 1), 2), ["concat", "permute"]),
    "channel shuffle by hand": (
        lambda x: torch.cat([x, x.relu()], 1).view(-1, 2, 3, 16, 14).transpose(1, 2).reshape(-1, 6, 16, 14).tanh(),
        ["activation", "concat", "permute", "activation"],
    ),
    "pixel shuffle": (lambda x: F.pixel_shuffle(torch.cat([x, x, x, x], 1), 2), ["concat", "permute"]),
    "another form of the map": (lambda x: F.max_pool2d(x.reshape(-1, 6, 8, 14), 2), ["reshape", "maxpool"]),
    "views without a node": (lambda x: F.relu(x.detach().contiguous().view(-1, 3 * 16 * 14).unflatten(1, (3, 16, 14))), ["activation"]),
}


@pytest.mark.parametrize("what", OPERATIONS)
def test_a_node_means_what_pytorch_computes(what):
    function, expected = OPERATIONS[what]
    images = pictures()
    traces = recorded(Of(function), images)
    for trace, image in zip(traces, images, strict=True):
        assert kinds(trace) == expected
        follows_its_graph(trace, image)


STEPS = (
    F.relu,
    lambda x: F.leaky_relu(x, 0.1),
    torch.tanh,
    lambda x: F.max_pool2d(x, 3, 1, 1),
    lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    lambda x: F.pad(x, (1, 0, 2, 1)),
    lambda x: x + F.relu(x),
    lambda x: x * torch.sigmoid(x),
    lambda x: torch.cat([x, torch.tanh(x)], 1),
    lambda x: x.flip(2),
    lambda x: x.transpose(2, 3),
    lambda x: x[:, :2],
    lambda x: F.interpolate(x, scale_factor=2),
    lambda x: x.flatten(2).unsqueeze(2),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(range(len(STEPS))), min_size=1, max_size=5), st.integers(0, 9))
def test_any_chain_of_operations_means_its_graph(steps, seed):
    images = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(seed))

    def function(x):
        for step in steps:
            x = STEPS[step](x)
        return x

    for trace, image in zip(recorded(Of(function), images), images, strict=True):
        follows_its_graph(trace, image)
        assert np.prod(trace.graph.nodes[-1].shape) == function(images)[0].numel()


@pytest.mark.parametrize(
    ("function", "factor", "summand"),
    [
        (lambda x: x + 2, 1, 2),
        (lambda x: 2 - x, -1, 2),
        (lambda x: x - torch.tensor(2.0), 1, -2),
        (lambda x: -x, -1, 0),
        (lambda x: 3 * x, 3, 0),
        (lambda x: x / 4, 0.25, 0),
        (lambda x: (x * 2 + 1) / 4, 0.5, 0.25),
        (lambda x: (x - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)) / torch.full((1, 3, 1, 1), 2.0), 0.5, None),
    ],
)
def test_numbers_become_one_scale(function, factor, summand):
    images = pictures()
    (trace, _) = recorded(Of(function), images)
    assert kinds(trace) == ["scale"]
    summand = torch.tensor([-0.5, -1.0, -1.5]).view(3, 1, 1) if summand is None else summand
    torch.testing.assert_close(torch.tensor(trace.maps[1].part_max), (images[0] * factor + summand).abs())


def test_an_old_hard_sigmoid_is_seen():
    trace = recorded(Of(lambda x: x * (F.relu6(x + 3) / 6)), pictures())[0]
    assert nodes(trace)[1:] == [("mul", "activation", "hardswish")]
    follows_its_graph(trace, pictures()[0])


def test_a_prelu_has_a_slope_a_channel():
    trace = recorded(nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(4)), pictures())[0]
    assert nodes(trace)[1:] == [("0", "conv", "prelu")]


def test_the_logarithm_of_a_softmax_is_marked():
    trace = recorded(Of(lambda x: F.log_softmax(x.mean((2, 3)), dim=1)), pictures())[0]
    assert trace.graph.nodes[-1].attributes == {"logarithm": True}


REFUSED = {
    "einsum": (lambda x: torch.einsum("nchw->nc", x), "torch.functional.einsum: not known"),
    "across images": (lambda x: torch.cat([x, x], 0), "it makes a tensor [4, 3, 16, 14] of a batch of 2; the first axis must be the batch"),
    "softmax of images": (lambda x: F.softmax(x, 0), "it works across the images of a batch"),
    "mean of channels": (lambda x: x.mean(1), "it reduces dimensions [1] of maps [3, 16, 14]"),
    "all in one": (lambda x: x.mean(), "it makes a tensor []"),
    "unequal windows": (lambda x: F.adaptive_avg_pool2d(x, 5), "windows of unequal size: 16 x 14 does not divide into 5 x 5"),
    "index by a tensor": (lambda x: x[:, torch.tensor([0, 2])], "an index of slice, Tensor, slice, slice; slices and whole numbers"),
    "images picked": (lambda x: x[[1, 0]], "it picks images of the batch"),
    "half of the bits": (lambda x: F.relu(x).half(), "it rounds the data to a narrower type"),
    "linear on rows": (lambda x: F.linear(x, torch.ones(5, 14)), "it multiplies the last axis of maps [3, 16, 14]; flatten"),
    "filters from the image": (lambda x: F.conv2d(x, x[:, :1, :3, :3].reshape(2, 3, 1, 3)), "its filters come from the images"),
    "divided by a map": (lambda x: x / (x.abs() + 1), "torch.Tensor.abs: not known"),
    "limits of tensors": (lambda x: torch.clamp(x, torch.tensor(0.0)), "limits that are tensors; numbers are known"),
    "softplus": (lambda x: F.softplus(x, beta=2), "beta 2; only 1 is known"),
    "alpha": (lambda x: torch.add(x, x, alpha=2), "alpha 2; only 1 is known"),
    "a constant map": (
        lambda x: x + torch.ones(16, 14),
        "numbers of shape [16, 14] with maps of [3, 16, 14]; one number, or one a channel",
    ),
    "normalised by itself": (lambda x: F.batch_norm(x, None, None, training=True), "the batch's own mean; call model.eval() first"),
    "really dropped": (F.dropout, "it is random in training mode; call model.eval() first"),
    "group_norm": (lambda x: F.group_norm(x, 3), "torch.nn.functional.group_norm: not known"),
    "written by index": (lambda x: F.relu(x).index_fill_(1, torch.tensor([0]), 0.0), "index_fill_: not known"),
    "antialias": (lambda x: F.interpolate(x, (8, 8), mode="bilinear", antialias=True), "mode 'bilinear' with antialias; known: area"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_said_is_refused_with_its_reason(what):
    function, message = REFUSED[what]
    with pytest.raises(ModelError) as fault:
        recorded(Of(function), pictures())
    assert message in str(fault.value)
    assert "record(model, opaque=[" in str(fault.value)


def test_writing_through_an_index_is_refused():
    def function(x):
        x = F.relu(x)
        x[:, 0] = 1
        return F.max_pool2d(x, 2)

    with pytest.raises(ModelError, match="__setitem__: not known"):
        recorded(Of(function), pictures())


def test_writing_through_a_view_is_noticed():
    def function(x):
        x = F.relu(x)
        x[:, :1].mul_(2)
        return F.max_pool2d(x, 2)

    with pytest.raises(ModelError, match="relu: it was changed in place through another view of it"):
        recorded(Of(function), pictures())


def test_what_is_only_looked_at_does_not_matter():
    def function(x):
        assert not torch.isnan(x).any()
        assert float(x.std()) > 0
        return F.relu(x), x.flatten(1).argmax(1), torch.zeros_like(x)

    assert kinds(recorded(Of(function), pictures())[0]) == ["activation"]
