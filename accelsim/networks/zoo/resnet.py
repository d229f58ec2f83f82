"""ResNet-18 and ResNet-50.

Source:  He et al., Deep residual learning for image recognition, CVPR 2016, table 1
"""

from __future__ import annotations

from accelsim.networks.zoo.builder import Builder

WIDTHS = (64, 128, 256, 512)


def resnet18(name: str, size: int) -> Builder:
    """ResNet-18: two 3x3 convolutions a block, projections where the shape changes (option B)."""
    net = _stem(name, size)
    for stage, width in enumerate(WIDTHS, 2):
        for block in range(2):
            stride = 2 if block == 0 and stage > 2 else 1
            source, place = net.last, f"conv{stage}_{block + 1}"
            net.conv(f"{place}a", width, 3, stride)
            main = net.conv(f"{place}b", width, 3, activation="linear")
            net.add(f"{place}/add", main, _shortcut(net, place, source, width, stride), activation="relu")
    return _head(net)


def resnet50(name: str, size: int) -> Builder:
    """ResNet-50 with the stride in the 3x3 convolution ("v1.5"), as is usual today; the paper has it in the first 1x1."""
    net = _stem(name, size)
    for stage, (width, count) in enumerate(zip(WIDTHS, (3, 4, 6, 3), strict=True), 2):
        for block in range(count):
            stride = 2 if block == 0 and stage > 2 else 1
            source, place = net.last, f"conv{stage}_{block + 1}"
            main = _bottleneck(net, place, width, stride)
            net.add(f"{place}/add", main, _shortcut(net, place, source, 4 * width, stride), activation="relu")
    return _head(net)


def resnet50_darknet(name: str, size: int) -> Builder:
    """ResNet-50 of Darknet (256 x 256, leaky), as the zero-channel paper runs it.

    Shortcuts have no projections: channels that both maps have are added, of the finer map every other row and column. The classifier
    is a 1x1 convolution before the average.
    """
    net = Builder(name, size, activation="leaky", norm=True)
    net.conv("conv1", 64, 7, 2)
    net.darknet_maxpool("pool1", 2, 2)
    for stage, (width, count) in enumerate(zip(WIDTHS, (3, 4, 6, 3), strict=True), 2):
        for block in range(count):
            source, place = net.last, f"conv{stage}_{block + 1}"
            main = _bottleneck(net, place, width, 2 if block == 0 and stage > 2 else 1)
            net.add(f"{place}/add", main, source, activation="leaky")
    net.conv("conv6", 1000, 1, activation="linear", norm=False)
    net.avgpool("avgpool")
    net.softmax()
    return net


def _stem(name: str, size: int) -> Builder:
    net = Builder(name, size, norm=True)
    net.conv("conv1", 64, 7, 2)
    net.maxpool("pool1", 3, 2, pad=1)
    return net


def _bottleneck(net: Builder, place: str, width: int, stride: int) -> int:
    net.conv(f"{place}a", width, 1)
    net.conv(f"{place}b", width, 3, stride)
    return net.conv(f"{place}c", 4 * width, 1, activation="linear")


def _shortcut(net: Builder, place: str, source: int, filters: int, stride: int) -> int:
    if stride == 1 and net.channels(source) == filters:
        return source
    return net.conv(f"{place}/projection", filters, 1, stride, activation="linear", source=source)


def _head(net: Builder) -> Builder:
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net
