"""Small PyTorch models of every build, and what tests say of a recorded trace."""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import accelsim.torch
from accelsim.layers import layer

torch.set_num_threads(1)


class Plain(nn.Module):
    """Convolutions, batch normalisation, pooling and two fully connected layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.conv2 = nn.Conv2d(8, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
        self.leaky = nn.LeakyReLU(0.1)
        self.fc1 = nn.Linear(6 * 5 * 6, 10)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(10, 5)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = torch.flatten(self.leaky(self.conv2(x)), 1)
        return self.softmax(self.fc2(self.dropout(self.relu(self.fc1(x)))))


class Block(nn.Module):
    """A residual block with a projection."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)) if stride > 1 else None

    def forward(self, x):
        kept = x if self.down is None else self.down(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += kept
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        return self.fc(self.pool(self.layer1(F.relu(self.stem(x)))).flatten(1))


class PreActivated(nn.Module):
    """The sum is read twice: as it is, and normalised and activated; so neither joins it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.conv1, self.conv2 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv1(F.relu(self.bn1(x)))
        x = x + self.conv2(F.relu(self.bn2(x)))
        return F.relu(x).mean((2, 3))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        self.three = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(11, 4, 1)

    def forward(self, x):
        joined = torch.cat([self.one(x), self.three(x), self.pool(x)], 1)
        return F.avg_pool2d(self.last(joined), 3, 2, 1, ceil_mode=True, count_include_pad=True)


class Separable(nn.Module):
    """Depthwise separable, with ReLU6, a gate of squeeze and excitation, and hard activations."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Hardsigmoid())
        self.pointwise = nn.Sequential(nn.Conv2d(8, 6, 1, bias=False), nn.BatchNorm2d(6), nn.SiLU())

    def forward(self, x):
        x = self.depthwise(self.stem(x))
        return self.pointwise(x * self.squeeze(x))


class Functional(nn.Module):
    """Weights as parameters, nothing but functions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(6, 3, 3, 3) / 4)
        self.second = nn.Parameter(torch.randn(4, 6, 3, 3) / 4)
        self.matrix = nn.Parameter(torch.randn(5, 4 * 8 * 7) / 8)
        self.bias = nn.Parameter(torch.randn(5))

    def forward(self, x):
        x = (x - 0.1) / 0.5
        x = F.relu(F.conv2d(x, self.first, padding="same"))
        x = F.max_pool2d(x, 2)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.second).clamp(min=0)
        return F.linear(x.view(x.size(0), -1), self.matrix, self.bias)


class Shared(nn.Module):
    """One convolution and one activation, used again and again."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.act(self.stem(x))
        for _ in range(3):
            x = self.act(self.conv(x))
        return x


class Shuffle(nn.Module):
    """Channels split, shuffled by hand and by function; the halves upsampled and joined again."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(4, 4, 1, groups=2)

    def forward(self, x):
        left, right = F.relu(self.conv(x)).chunk(2, dim=1)
        x = torch.cat((left, F.relu(self.grouped(right))), dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return F.interpolate(x[:, 1:5], scale_factor=2, mode="nearest")


class Line(nn.Module):
    """One-dimensional: rows of the image one after the other."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 5, stride=2, padding=2)
        self.bn = nn.BatchNorm1d(6)
        self.fc = nn.Linear(6, 4)
        self.bn2 = nn.BatchNorm1d(4)

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.bn(self.conv(x.flatten(2)))), 3)
        return F.elu(self.bn2(self.fc(x.mean(2))))


class Smooth(nn.Module):
    """Gelu as a module and as a function, which the exporter takes apart before opset 20, and logarithms of probabilities."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.GELU(), nn.Conv2d(6, 6, 3, 1, 1, groups=6), nn.ReLU())
        self.expand, self.project = nn.Conv2d(6, 12, 1), nn.Conv2d(12, 6, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.project(F.gelu(self.expand(x)))
        return F.log_softmax(self.fc(F.gelu(x).mean((2, 3))), dim=1)


MODELS = (Plain, Residual, PreActivated, Inception, Separable, Functional, Shared, Shuffle, Line, Smooth)
SHAPE = (3, 16, 14)


def make(kind, seed=0):
    """A model with random weights; normalisation has means and variances as if trained, and some channels that never fire."""
    torch.manual_seed(seed)
    model = kind().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.2, 1)
            nn.init.normal_(module.bias, 0, 0.3)
            with torch.no_grad():
                module.bias[1] = -9
    return model


def pictures(count=2, seed=1):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def recorded(model, images, **settings):
    """Traces with the magnitude of every element as part maxima."""
    with torch.no_grad(), accelsim.torch.record(model, fine_part=(1, 1), **settings) as recorder:
        model(images)
    return recorder.traces


def nodes(trace):
    return [(node.name, node.kind, node.activation) for node in trace.graph.nodes]


def cancellations(found, expected, name=""):
    """How many elements are zero in one map and next to nothing in the other; everything else must agree."""
    one, other = found.part_max, expected.part_max
    tolerance = 2e-5 * max(float(other.max()), 1e-3)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=tolerance, err_msg=name)
    differ = found.nonzero() != expected.nonzero()
    assert np.maximum(one, other)[differ].max(initial=0) <= tolerance, name
    return int(differ.sum())


def follows_its_graph(trace, image):
    """Run the trace's own graph, which has no weights, with the layers' numpy forward, and compare the magnitudes of every map."""
    maps = []
    for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
        inputs = [maps[index] for index in node.inputs] or [image.numpy()]
        maps.append(layer(node.kind).forward(node, inputs, {}))
        assert maps[-1].shape == node.shape, node.name
        np.testing.assert_allclose(fmap.part_max, np.abs(maps[-1]), rtol=1e-4, atol=5e-6, err_msg=f"{node.name} ({node.kind})")
        # what is exactly zero may not depend on the order in which numbers are added up
        if node.kind not in ("resize", "lrn"):
            np.testing.assert_array_equal(fmap.nonzero(), maps[-1] != 0, err_msg=f"{node.name} ({node.kind})")


def export(model, images, path):
    """Export with PyTorch's own exporter that needs no further package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (images[:1],), str(path), dynamo=False, opset_version=17)
    return path
