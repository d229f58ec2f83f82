"""A graph written down layer by layer, as the tables of papers give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from types import MappingProxyType

from accelsim.errors import ModelError
from accelsim.graph import NO_ATTRIBUTES, Attribute, Graph, Node
from accelsim.layers import layer

LEAKY_SLOPE = 0.1
"""Darknet's."""
HARD_SIGMOID: Mapping[str, Attribute] = MappingProxyType({"alpha": 1 / 6, "beta": 0.5})
"""relu6(x + 3) / 6 (Howard et al., Searching for MobileNetV3, ICCV 2019, section 5.2)."""


class Builder:
    """Adds one node after another; each method gives the index of the node it made.

    A node reads the one before it unless `source` says otherwise. `pad` None keeps the size at stride 1 (kernel // 2 on every side).
    `norm`: batch normalisation follows the convolution; like everywhere here it is folded into weights and bias, which the convolution
    then has.
    `parameters` counts as the networks' authors do: weights, biases of layers without normalisation, and two numbers (scale and shift)
    for each normalised channel; folded, there is one bias a channel.
    """

    def __init__(self, name: str, size: int, channels: int = 3, activation: str = "relu", norm: bool = False) -> None:
        self.name = name
        self.activation = activation
        self.norm = norm
        self.parameters = 0
        self.nodes = [Node(0, "input", "input", (), (channels, size, size))]

    @property
    def last(self) -> int:
        """Index of the node made last."""
        return len(self.nodes) - 1

    def channels(self, index: int) -> int:
        """Channels of the map of node `index`."""
        return self.nodes[index].shape[0]

    def graph(self) -> Graph:
        """The nodes so far."""
        return Graph(self.name, tuple(self.nodes))

    def conv(
        self,
        name: str,
        filters: int,
        kernel: int,
        stride: int = 1,
        *,
        pad: int | None = None,
        groups: int = 1,
        activation: str | None = None,
        norm: bool | None = None,
        bias: bool = True,
        source: int | None = None,
    ) -> int:
        """A convolution with a square window, its normalisation and activation. `bias` counts only where nothing normalises."""
        side = kernel // 2 if pad is None else pad
        index = self._layer(
            name,
            "conv",
            (self.last if source is None else source,),
            filters=filters,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            pad=(side, side, side, side),
            groups=groups,
            activation=self.activation if activation is None else activation,
        )
        normalised = self.norm if norm is None else norm
        self._count(index, filters * (2 if normalised else int(bias)))
        return index

    def depthwise(self, name: str, kernel: int, stride: int = 1, *, activation: str | None = None, norm: bool | None = None) -> int:
        """A convolution with one filter a channel."""
        channels = self.channels(self.last)
        return self.conv(name, channels, kernel, stride, groups=channels, activation=activation, norm=norm)

    def normalise(self, name: str, *, source: int | None = None) -> int:
        """A normalisation that no convolution before it can take in: one factor and one summand a channel, then the activation."""
        source = self.last if source is None else source
        index = self._layer(name, "scale", (source,), activation=self.activation)
        self._count(index, self.channels(source))
        return index

    def fc(self, name: str, outputs: int, *, activation: str = "linear") -> int:
        """A fully connected layer."""
        index = self._layer(name, "fc", (self.last,), filters=outputs, activation=activation)
        self._count(index, outputs)
        return index

    def maxpool(self, name: str, kernel: int, stride: int, *, pad: int = 0, ceil: bool = False, source: int | None = None) -> int:
        """A max pooling with a square window. `ceil`: a last window may hang over the far edges, if it begins inside."""
        source = self.last if source is None else source
        far = pad
        if ceil:
            span = self.nodes[source].shape[1] + 2 * pad
            count = -(-(span - kernel) // stride) + 1
            count -= (count - 1) * stride >= span - pad
            far += max(0, (count - 1) * stride + kernel - span)
        return self._layer(name, "maxpool", (source,), kernel=(kernel, kernel), stride=(stride, stride), pad=(pad, pad, far, far))

    def darknet_maxpool(self, name: str, kernel: int, stride: int) -> int:
        """A max pooling as Darknet pads it: kernel - 1 in all, the smaller half before the map."""
        near, far = (kernel - 1) // 2, kernel - 1 - (kernel - 1) // 2
        return self._layer(name, "maxpool", (self.last,), kernel=(kernel, kernel), stride=(stride, stride), pad=(near, near, far, far))

    def avgpool(self, name: str, kernel: int | None = None, stride: int | None = None) -> int:
        """An average pooling; of each whole channel where `kernel` is None."""
        height, width = self.nodes[self.last].shape[1:]
        window = (height, width) if kernel is None else (kernel, kernel)
        return self._layer(name, "avgpool", (self.last,), kernel=window, stride=window if stride is None else (stride, stride))

    def add(self, name: str, *sources: int, activation: str = "linear") -> int:
        """The sum of maps."""
        return self._layer(name, "add", sources, activation=activation)

    def multiply(self, name: str, *sources: int) -> int:
        """The product of a map with one factor for each of its channels."""
        return self._layer(name, "mul", sources)

    def concat(self, name: str, *sources: int) -> int:
        """Channels of maps one after another."""
        return self._layer(name, "concat", sources)

    def softmax(self, name: str = "softmax") -> int:
        """Probabilities."""
        return self._layer(name, "softmax", (self.last,))

    def squeeze_excite(self, name: str, squeezed: int, *, activation: str, gate: str) -> int:
        """Weigh each channel of the last map by what a small network makes of all channel means.

        Source:  Hu et al., Squeeze-and-excitation networks, CVPR 2018, figure 2
        """
        source = self.last
        self.avgpool(f"{name}/squeeze")
        self.conv(f"{name}/reduce", squeezed, 1, activation=activation, norm=False)
        factors = self.conv(f"{name}/expand", self.channels(source), 1, activation=gate, norm=False)
        return self.multiply(f"{name}/scale", source, factors)

    def _layer(
        self,
        name: str,
        kind: str,
        sources: tuple[int, ...],
        *,
        filters: int = 1,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
        activation: str = "linear",
    ) -> int:
        draft = Node(
            index=len(self.nodes),
            name=name,
            kind=kind,
            inputs=sources,
            shape=(filters, 1, 1),
            kernel=kernel,
            stride=stride,
            pad=pad,
            groups=groups,
            activation=activation,
            slope=LEAKY_SLOPE if activation == "leaky" else 0.0,
            attributes=HARD_SIGMOID if activation == "hardsigmoid" else NO_ATTRIBUTES,
        )
        try:
            shape = layer(kind).output_shape(draft, [self.nodes[source].shape for source in sources])
        except ModelError as fault:
            raise ModelError(f"{self.name}: {fault}\n    choose another input size") from fault
        self.nodes.append(replace(draft, shape=shape))
        return self.last

    def _count(self, index: int, others: int) -> None:
        node = self.nodes[index]
        shapes = [self.nodes[source].shape for source in node.inputs]
        self.parameters += prod(layer(node.kind).weight_shapes(node, shapes)["weight"]) + others
