"""Networks of branches and dense connections: GoogLeNet, DenseNet-121, EfficientNet-B0."""

from __future__ import annotations

from accelsim.networks.zoo.builder import Builder

INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj."""

DENSE_BLOCKS, GROWTH, BOTTLENECK = (6, 12, 24, 16), 32, 4

MBCONV = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))
"""Expansion, kernel, stride of the first, channels, layers."""


def googlenet(name: str, size: int) -> Builder:
    """GoogLeNet with batch normalisation, without the auxiliary classifiers of training.

    The branch that the paper calls 5x5 has a 3x3 window, as in the weights that are in use (those of torchvision).
    Source:  Szegedy et al., Going deeper with convolutions, CVPR 2015, table 1
    """
    net = Builder(name, size, norm=True)
    net.conv("conv1", 64, 7, 2)
    net.maxpool("pool1", 3, 2, ceil=True)
    net.conv("conv2/reduce", 64, 1)
    net.conv("conv2", 192, 3)
    net.maxpool("pool2", 3, 2, ceil=True)
    for place, widths in INCEPTION.items():
        _inception(net, f"inception{place}", *widths)
        if place == "3b":
            net.maxpool("pool3", 3, 2, ceil=True)
        elif place == "4e":
            net.maxpool("pool4", 2, 2, ceil=True)
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net


def densenet121(name: str, size: int) -> Builder:
    """DenseNet-121, growth 32. A normalisation before a convolution cannot be folded into it and stands as a layer of its own.

    Source:  Huang et al., Densely connected convolutional networks, CVPR 2017, table 1
    """
    net = Builder(name, size, norm=True)
    net.conv("conv0", 64, 7, 2)
    net.maxpool("pool0", 3, 2, pad=1)
    for block, count in enumerate(DENSE_BLOCKS, 1):
        maps = [net.last]
        for number in range(1, count + 1):
            place = f"dense{block}_{number}"
            joined = maps[0] if len(maps) == 1 else net.concat(f"{place}/concat", *maps)
            net.normalise(f"{place}/norm", source=joined)
            net.conv(f"{place}/conv1", BOTTLENECK * GROWTH, 1)
            maps.append(net.conv(f"{place}/conv2", GROWTH, 3, activation="linear", norm=False, bias=False))
        net.concat(f"dense{block}/concat", *maps)
        if block < len(DENSE_BLOCKS):
            net.normalise(f"transition{block}/norm")
            net.conv(f"transition{block}/conv", net.channels(net.last) // 2, 1, activation="linear", norm=False, bias=False)
            net.avgpool(f"transition{block}/pool", 2, 2)
    net.normalise("norm5")
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net


def efficientnet_b0(name: str, size: int) -> Builder:
    """EfficientNet-B0, with swish everywhere.

    Source:  Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019, table 1
    """
    net = Builder(name, size, activation="swish", norm=True)
    net.conv("stem", 32, 3, 2)
    for stage, (expansion, kernel, first_stride, filters, count) in enumerate(MBCONV, 2):
        for number in range(1, count + 1):
            place, source, stride = f"stage{stage}_{number}", net.last, first_stride if number == 1 else 1
            channels = net.channels(source)
            if expansion > 1:
                net.conv(f"{place}/expand", expansion * channels, 1)
            net.depthwise(f"{place}/dw", kernel, stride)
            net.squeeze_excite(f"{place}/se", max(1, channels // 4), activation="swish", gate="logistic")
            main = net.conv(f"{place}/project", filters, 1, activation="linear")
            if stride == 1 and channels == filters:
                net.add(f"{place}/add", main, source)
    net.conv("head", 1280, 1)
    net.avgpool("avgpool")
    net.fc("fc", 1000)
    net.softmax()
    return net


def _inception(net: Builder, place: str, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> int:
    source = net.last
    first = net.conv(f"{place}/1x1", one, 1, source=source)
    net.conv(f"{place}/3x3_reduce", reduce3, 1, source=source)
    second = net.conv(f"{place}/3x3", three, 3)
    net.conv(f"{place}/5x5_reduce", reduce5, 1, source=source)
    third = net.conv(f"{place}/5x5", five, 3)
    net.maxpool(f"{place}/pool", 3, 1, pad=1, source=source)
    fourth = net.conv(f"{place}/pool_proj", pool, 1)
    return net.concat(f"{place}/concat", first, second, third, fourth)
