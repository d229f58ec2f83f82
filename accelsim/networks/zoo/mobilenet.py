"""MobileNets: chains of depthwise and 1x1 convolutions."""

from __future__ import annotations

from accelsim.networks.zoo.builder import Builder

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters of the 1x1 convolution and stride of the depthwise one before it. The last stride is printed as 2, where 1 is meant."""

V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion t, channels c, repetitions n, stride s of the first of them."""

V2_DARKNET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 1), (6, 96, 3, 2), (6, 160, 3, 2), (6, 320, 1, 1))

Block = tuple[int, int, int, bool, str, int]
"""Kernel, expanded channels, output channels, squeeze-and-excite, activation, stride."""

V3_LARGE: tuple[Block, ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
)
V3_SMALL: tuple[Block, ...] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
)


def mobilenet_v1(name: str, size: int) -> Builder:
    """MobileNet, width 1.

    Source:  Howard et al., MobileNets, arXiv 1704.04861, table 1
    """
    net = Builder(name, size, norm=True)
    net.conv("conv1", 32, 3, 2)
    for number, (filters, stride) in enumerate(V1, 2):
        net.depthwise(f"conv{number}/dw", 3, stride)
        net.conv(f"conv{number}/pw", filters, 1)
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net


def mobilenet_v2(name: str, size: int) -> Builder:
    """MobileNetV2, width 1.

    Source:  Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, table 2
    """
    net = Builder(name, size, activation="relu6", norm=True)
    net.conv("conv1", 32, 3, 2)
    _bottlenecks(net, V2, expand_first=False)
    net.conv("conv2", 1280, 1)
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net


def mobilenet_v2_darknet(name: str, size: int) -> Builder:
    """MobileNetV2 as the zero-channel paper runs it in Darknet.

    ReLU for ReLU6; the first bottleneck expands too (32 to 32); the 64 channels stay at 28 x 28; the classifier is a 1x1 convolution.
    """
    net = Builder(name, size, norm=True)
    net.conv("conv1", 32, 3, 2)
    _bottlenecks(net, V2_DARKNET, expand_first=True)
    net.conv("conv2", 1280, 1)
    net.avgpool("avgpool")
    net.conv("conv3", 1000, 1, activation="linear", norm=False)
    net.softmax()
    return net


def mobilenet_v3_large(name: str, size: int) -> Builder:
    """MobileNetV3-Large.

    Source:  Howard et al., Searching for MobileNetV3, ICCV 2019, table 1
    """
    return _v3(Builder(name, size, activation="hardswish", norm=True), V3_LARGE, 960, 1280)


def mobilenet_v3_small(name: str, size: int) -> Builder:
    """MobileNetV3-Small.

    Source:  Howard et al., Searching for MobileNetV3, ICCV 2019, table 2
    """
    return _v3(Builder(name, size, activation="hardswish", norm=True), V3_SMALL, 576, 1024)


def round_to_eight(channels: int) -> int:
    """The nearest multiple of 8 that does not take more than a tenth away: how these networks keep widths even."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded if 10 * rounded >= 9 * channels else rounded + 8


def _bottlenecks(net: Builder, table: tuple[tuple[int, int, int, int], ...], expand_first: bool) -> None:
    number = 0
    for expansion, filters, count, first_stride in table:
        for repetition in range(count):
            number += 1
            place, source, stride = f"block{number}", net.last, first_stride if repetition == 0 else 1
            if expansion > 1 or expand_first:
                net.conv(f"{place}/expand", expansion * net.channels(source), 1)
            net.depthwise(f"{place}/dw", 3, stride)
            main = net.conv(f"{place}/project", filters, 1, activation="linear")
            if stride == 1 and net.channels(source) == filters:
                net.add(f"{place}/add", main, source)


def _v3(net: Builder, blocks: tuple[Block, ...], last: int, hidden: int) -> Builder:
    net.conv("conv1", 16, 3, 2)
    for number, (kernel, expanded, filters, excite, activation, stride) in enumerate(blocks, 1):
        place, source = f"bneck{number}", net.last
        if expanded != net.channels(source):
            net.conv(f"{place}/expand", expanded, 1, activation=activation)
        net.depthwise(f"{place}/dw", kernel, stride, activation=activation)
        if excite:
            net.squeeze_excite(f"{place}/se", round_to_eight(expanded // 4), activation="relu", gate="hardsigmoid")
        main = net.conv(f"{place}/project", filters, 1, activation="linear")
        if stride == 1 and net.channels(source) == filters:
            net.add(f"{place}/add", main, source)
    net.conv("conv2", last, 1)
    net.avgpool("avgpool")
    net.fc("fc1", hidden, activation="hardswish")
    net.fc("fc2", 1000)
    net.softmax()
    return net
