"""The `channel_marker` scheme: one bit a channel says that it is wholly zero; such a channel is neither written nor read.

The fetch unit is a channel's plane. Markers take C bits. (Algorithm 1 as printed keeps C * (P + 1), P parts and a summary a channel;
that many are counted by `part_marker`, which uses them.) Whether a channel is zero is known when its last element is; a producer holds
zero parts back and writes them late where the channel turns out to live, so the bytes written are those of the live channels.
Source:  Liang et al., Dynamic runtime feature map pruning, arXiv 1812.09922
"""

from __future__ import annotations

from accelsim.hardware import Accelerator
from accelsim.schemes.base import EncodedMap, mark
from accelsim.trace import Trace


def encode(trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
    """Zero channels are skipped. A statistics trace suffices."""
    channels, height, width = shape = trace.graph.nodes[index].shape
    zero = trace.maps[index].zero_channels.reshape(channels, 1, 1)
    return mark(shape, height, width, machine.data.ifmap_bits, zero, metadata_bits=channels)
