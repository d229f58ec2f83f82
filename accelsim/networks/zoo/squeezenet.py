"""SqueezeNet 1.0 and 1.1.

Source:  Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, arXiv 1602.07360, table 1; 1.1: the authors'
         repository (first window 3x3 with 64 filters, pooling after fire3 and fire5)
"""

from __future__ import annotations

from collections.abc import Callable

from accelsim.networks.zoo.builder import Builder

SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Filters of the squeeze convolution of each fire module; each of the two expansions has four times as many."""


def squeezenet_1_0(name: str, size: int) -> Builder:
    """SqueezeNet 1.0: 96 filters of 7x7 first, pooling after conv1, fire4 and fire8."""
    net = Builder(name, size)
    net.conv("conv1", 96, 7, 2, pad=0)
    return _body(net, (1, 4, 8), lambda place: net.maxpool(place, 3, 2, ceil=True))


def squeezenet_1_1(name: str, size: int) -> Builder:
    """SqueezeNet 1.1: 64 filters of 3x3 first, pooling after conv1, fire3 and fire5."""
    net = Builder(name, size)
    net.conv("conv1", 64, 3, 2, pad=0)
    return _body(net, (1, 3, 5), lambda place: net.maxpool(place, 3, 2, ceil=True))


def squeezenet_1_1_darknet(name: str, size: int) -> Builder:
    """SqueezeNet 1.1 with Darknet's pooling, which pads (57 x 57 after the first), as the zero-channel paper runs it."""
    net = Builder(name, size)
    net.conv("conv1", 64, 3, 2, pad=0)
    return _body(net, (1, 3, 5), lambda place: net.darknet_maxpool(place, 3, 2))


def _body(net: Builder, pooled: tuple[int, ...], pool: Callable[[str], int]) -> Builder:
    if 1 in pooled:
        pool("pool1")
    for number, squeezed in SQUEEZED.items():
        place = f"fire{number}"
        source = net.conv(f"{place}/squeeze1x1", squeezed, 1)
        narrow = net.conv(f"{place}/expand1x1", 4 * squeezed, 1, source=source)
        wide = net.conv(f"{place}/expand3x3", 4 * squeezed, 3, source=source)
        net.concat(f"{place}/concat", narrow, wide)
        if number in pooled:
            pool(f"pool{number}")
    net.conv("conv10", 1000, 1)
    net.avgpool("pool10")
    net.softmax()
    return net
