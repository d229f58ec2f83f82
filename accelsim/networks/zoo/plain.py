"""Networks that are one chain of layers: AlexNet, VGG-16, TinyNet."""

from __future__ import annotations

from accelsim.networks.zoo.builder import Builder


def alexnet(name: str, size: int) -> Builder:
    """AlexNet without groups and local response normalisation.

    Source:  Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997, 2014, section 5 (one column)
    """
    net = Builder(name, size)
    net.conv("conv1", 64, 11, 4, pad=2)
    net.maxpool("pool1", 3, 2)
    net.conv("conv2", 192, 5)
    net.maxpool("pool2", 3, 2)
    net.conv("conv3", 384, 3)
    net.conv("conv4", 256, 3)
    net.conv("conv5", 256, 3)
    return _classifier(net)


def alexnet_darknet(name: str, size: int) -> Builder:
    """AlexNet with the widths of the first paper, both halves joined (no groups), as the zero-channel paper runs it.

    Source:  Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NIPS 2012, figure 2; no groups as in
             Darknet's alexnet.cfg
    """
    net = Builder(name, size)
    net.conv("conv1", 96, 11, 4, pad=0)
    net.maxpool("pool1", 3, 2)
    net.conv("conv2", 256, 5)
    net.maxpool("pool2", 3, 2)
    net.conv("conv3", 384, 3)
    net.conv("conv4", 384, 3)
    net.conv("conv5", 256, 3)
    return _classifier(net)


def vgg16(name: str, size: int) -> Builder:
    """VGG-16, configuration D.

    Source:  Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015, table 1
    """
    net = Builder(name, size)
    for stage, (count, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for number in range(1, count + 1):
            net.conv(f"conv{stage}_{number}", filters, 3)
        net.maxpool(f"pool{stage}", 2, 2)
    for number, outputs in ((6, 4096), (7, 4096)):
        net.fc(f"fc{number}", outputs, activation="relu")
    net.fc("fc8", 1000)
    net.softmax()
    return net


def tinynet(name: str, size: int) -> Builder:
    """Tiny Darknet, with leaky rectifiers.

    Source:  Redmon, https://pjreddie.com/darknet/tiny-darknet, table of layers
    """
    net = Builder(name, size, activation="leaky", norm=True)
    net.conv("conv1", 16, 3)
    net.darknet_maxpool("pool1", 2, 2)
    net.conv("conv2", 32, 3)
    net.darknet_maxpool("pool2", 2, 2)
    number = 3
    for stage, (squeezed, filters) in enumerate(((16, 128), (32, 256), (64, 512)), 3):
        for _ in range(2):
            net.conv(f"conv{number}", squeezed, 1)
            net.conv(f"conv{number + 1}", filters, 3)
            number += 2
        if stage < 5:
            net.darknet_maxpool(f"pool{stage}", 2, 2)
    net.conv(f"conv{number}", 128, 1)
    net.conv(f"conv{number + 1}", 1000, 1, activation="linear", norm=False)
    net.avgpool("avgpool")
    net.softmax()
    return net


def _classifier(net: Builder) -> Builder:
    net.maxpool("pool5", 3, 2)
    net.fc("fc6", 4096, activation="relu")
    net.fc("fc7", 4096, activation="relu")
    net.fc("fc8", 1000)
    net.softmax()
    return net
