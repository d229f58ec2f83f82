"""Networks that everybody knows, without weights: graphs written from the tables of their papers.

They give shapes, multiply-accumulates and parameter counts, replay with synthetic traces, and run with synthetic weights
(`networks.synthetic`). In the six networks named `..._darknet` or used there unchanged (VGG-16, TinyNet) are the geometries of the
zero-channel paper (Liang et al., arXiv 1812.09922).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accelsim.errors import ModelError, choices, quoted
from accelsim.networks.network import Network
from accelsim.networks.zoo import branched, mobilenet, plain, resnet, squeezenet
from accelsim.networks.zoo.builder import Builder

PREFIX = "zoo:"
"""How the command line tells these names from files: `zoo:resnet50`, at another input size `zoo:resnet50@256`."""

MAX_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a network is built, where the table of its layers is printed, and the height and width of its usual input."""

    build: Callable[[str, int], Builder]
    paper: str
    size: int = 224


_HOWARD = "Howard et al., arXiv 1704.04861, 2017, table 1"
_SANDLER = "Sandler et al., CVPR 2018, table 2"
_HE = "He et al., CVPR 2016, table 1"
_IANDOLA = "Iandola et al., arXiv 1602.07360, 2016, table 1"
_LIANG = "as in Liang et al., arXiv 1812.09922"

_NETWORKS: Mapping[str, Architecture] = MappingProxyType(
    {
        "alexnet": Architecture(plain.alexnet, "Krizhevsky, arXiv 1404.5997, 2014, one column"),
        "alexnet_darknet": Architecture(plain.alexnet_darknet, f"Krizhevsky et al., NIPS 2012, figure 2, without groups, {_LIANG}", 227),
        "densenet121": Architecture(branched.densenet121, "Huang et al., CVPR 2017, table 1"),
        "efficientnet_b0": Architecture(branched.efficientnet_b0, "Tan and Le, ICML 2019, table 1"),
        "googlenet": Architecture(branched.googlenet, "Szegedy et al., CVPR 2015, table 1, with batch normalisation"),
        "mobilenet_v1": Architecture(mobilenet.mobilenet_v1, _HOWARD),
        "mobilenet_v2": Architecture(mobilenet.mobilenet_v2, _SANDLER),
        "mobilenet_v2_darknet": Architecture(mobilenet.mobilenet_v2_darknet, f"{_SANDLER}, {_LIANG}"),
        "mobilenet_v3_large": Architecture(mobilenet.mobilenet_v3_large, "Howard et al., ICCV 2019, table 1"),
        "mobilenet_v3_small": Architecture(mobilenet.mobilenet_v3_small, "Howard et al., ICCV 2019, table 2"),
        "resnet18": Architecture(resnet.resnet18, _HE),
        "resnet50": Architecture(resnet.resnet50, f"{_HE}, stride in the 3x3"),
        "resnet50_darknet": Architecture(resnet.resnet50_darknet, f"{_HE}, {_LIANG}", 256),
        "squeezenet_1.0": Architecture(squeezenet.squeezenet_1_0, _IANDOLA),
        "squeezenet_1.1": Architecture(squeezenet.squeezenet_1_1, f"{_IANDOLA}, as changed by its authors"),
        "squeezenet_1.1_darknet": Architecture(squeezenet.squeezenet_1_1_darknet, f"{_IANDOLA}, {_LIANG}", 227),
        "tinynet": Architecture(plain.tinynet, "Redmon, Tiny Darknet, 2016, table of layers"),
        "vgg16": Architecture(plain.vgg16, "Simonyan and Zisserman, ICLR 2015, table 1, D"),
    }
)


def names() -> tuple[str, ...]:
    """Names of all networks, sorted."""
    return tuple(sorted(_NETWORKS))


def load(name: str) -> Network:
    """Build a network. Its weights are not there; `provenance` tells the paper and the parameters as their authors count them.

    Units:   `name`: one of `names()`, or that and the height and width of another input: `resnet50@256`
    Raises:  `ModelError` for an unknown name, or an input that is too small or too large for the network
    """
    architecture, net = _built(name)
    provenance = {
        "network_file": f"{PREFIX}{name}",
        "architecture": architecture.paper,
        "parameters": f"{net.parameters:,} before batch normalisation is folded",
    }
    return Network(net.graph(), None, provenance)


def parameters(name: str) -> int:
    """Trainable parameters as the authors of a network count them: scale and shift of each normalised channel included.

    Raises:  as `load`
    """
    return _built(name)[1].parameters


def _built(name: str) -> tuple[Architecture, Builder]:
    known, at, side = name.partition("@")
    if known not in _NETWORKS:
        raise ModelError(f"{PREFIX}{name}: {quoted(known)} is not in the zoo\n    {choices(names(), known)}")
    architecture = _NETWORKS[known]
    size = architecture.size
    if at:
        if not (side.isascii() and side.isdecimal() and len(side) <= 5 and 1 <= int(side) <= MAX_SIZE):
            raise ModelError(f"{PREFIX}{name}: input size {quoted(side)}; allowed: 1 to {MAX_SIZE}, usual: {size}")
        size = int(side)
    return architecture, architecture.build(known if size == architecture.size else f"{known}@{size}", size)
