"""The network that a network file describes: read, and then what it asks to be done before it runs: pruning, then quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from accelsim import inference, pruning, quantise
from accelsim.errors import ConfigError, choices
from accelsim.layers.base import Tensor
from accelsim.networks import darknet, onnx, synthetic, zoo
from accelsim.networks.network import Network
from accelsim.runfile import WAYS, NetworkFile


def load_network(file: NetworkFile, progress: inference.Progress = inference.silent) -> Network:
    """Read the network that a network file describes, and prune and quantise it where the file says so."""
    if file.zoo is not None:
        known = zoo.load(file.zoo)
        network = replace(known, graph=replace(known.graph, name=file.name))
    elif file.darknet is not None:
        network = darknet.load(file.darknet.cfg, file.darknet.weights, name=file.name)
    elif file.onnx is not None:
        network = onnx.load(file.onnx, name=file.name)
    else:
        raise ConfigError(f"{file.name}: names no network\n    {choices(WAYS)}")
    network = network if file.synthetic_weights is None else synthetic.network(network, file.synthetic_weights)
    return apply(network, file, progress)


def apply(network: Network, file: NetworkFile, progress: inference.Progress = inference.silent) -> Network:
    """The network as its file wants it.

    Raises:  `ConfigError` for layers that it has not, `ModelError` where it has no weights, or a calibration image does not fit
    """
    if file.prune is not None:
        network = pruning.prune(network, file.prune, stored_weights(file))
    if file.quantise is not None:
        images = (inference.photograph(image, file.preprocessing) for image in file.quantise.images)
        network = quantise.quantise(network, file.quantise, images, progress)
    return network


def stored_weights(file: NetworkFile) -> Mapping[int, Tensor]:
    """Weights by node as Darknet's file has them, batch normalisation not folded in; of other formats none: what runs is what is stored.

    Shapes:  [K, weights of a filter]
    """
    if file.darknet is None or file.darknet.weights is None:
        return {}
    found = darknet.parameters(file.darknet.cfg, file.darknet.weights)
    return {node.index: arrays["weights"].reshape(node.shape[0], -1) for node, arrays in found if "weights" in arrays}
