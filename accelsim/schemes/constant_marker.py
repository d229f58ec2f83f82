"""The `constant_marker` scheme: the channel marker, and for channels of one value other than zero that value; neither is written nor read.

Behind a zero channel a depthwise convolution makes a map of one value, activation(bias), in every element, and so does whatever else
saturates a channel. A bit a channel says that it is zero; a bit of each other channel that it is constant; then come the values, a word
each. A channel of one element is never told so: its value is all there is.
Saves reads and writes of both kinds of channels; of zero channels also their weights, multiply-accumulates and cycles. A consumer works
with a constant channel as with any other, the buffer supplies it (a 1 x 1 convolution could add it to its biases instead, which is not
modelled).
A trace made from data knows which channels are constant. For others it follows from the graph: an output of a depthwise convolution whose
input channel is zero and which is not zero itself. Of published counts, that is at least as many as the input has more zero channels.
Source:  this project; constants behind zero channels show in the logs of Liang et al., arXiv 1812.09922 (MobileNet, layers 34 and 38)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EVERYTHING, Bool, EncodedMap, mark
from accelsim.trace import FeatureMap, Trace, spread

NEEDS: base.Needs = "counts"
SAVES = EVERYTHING
CODEC = "two comparisons a write lane; no cost in throughput"


class Options(base.Options):
    """How channels lie."""

    layout: base.Layout = "raster"
    """Channels one after the other, each in a slot of whole accesses, or the live ones packed."""
    fallback: bool = False
    """Whether a map that flags would not make smaller is stored as it is, for one bit."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Zero and constant channels are skipped. Where constants are not known there are none."""
    channels, height, width = fmap.shape
    zero = fmap.zero_channels
    constant = np.zeros_like(zero) if fmap.constant_channels is None else fmap.constant_channels
    live = channels - int(np.count_nonzero(zero))
    metadata = channels + live + int(np.count_nonzero(constant)) * machine.data.ifmap_bits
    skipped = (zero | constant).reshape(channels, 1, 1)
    encoded = mark(fmap, machine, (height, width), skipped, metadata, SAVES, options.layout, fallback=options.fallback)
    stored = encoded.unit_bytes[:, 0, 0] > 0
    return replace(encoded, constant=constant & ~stored)


def prepare(trace: Trace, index: int, options: Options) -> FeatureMap:
    """The map with its constant channels, from the graph where the trace does not tell."""
    fmap = trace.maps[index]
    return fmap if fmap.constant_channels is not None else replace(fmap, constant_channels=derived(trace, index))


def derived(trace: Trace, index: int) -> Bool:
    """Channels that are constant because a depthwise convolution reads a zero channel. Shapes: bool [C]."""
    node, fmap = trace.graph.nodes[index], trace.maps[index]
    none = np.zeros(node.shape[0], dtype=np.bool_)
    if node.kind != "conv" or node.shape[1] * node.shape[2] == 1:
        return none
    before = trace.maps[node.inputs[0]]
    if not node.groups == before.shape[0] == node.shape[0]:
        return none
    if trace.positions_known:
        return before.zero_channels & ~fmap.zero_channels
    live = np.flatnonzero(~fmap.zero_channels)
    more = int(np.count_nonzero(before.zero_channels)) - (node.shape[0] - live.size)
    none[live] = spread(min(max(more, 0), live.size), live.size)
    return none
