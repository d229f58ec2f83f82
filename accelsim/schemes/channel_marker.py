"""The `channel_marker` scheme: one bit a channel says that it is wholly zero; such a channel is neither written nor read.

The fetch unit is a channel's plane. Whether a channel is zero is known when its last element is; a producer holds zero parts back and
writes them late where the channel turns out to live, so the bytes written are those of the live channels.
Saves reads, writes, the weights of zero channels, their multiply-accumulates and cycles.
Source:  Liang et al., Dynamic runtime feature map pruning, arXiv 1812.09922
"""

from __future__ import annotations

from typing import Literal

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EVERYTHING, EncodedMap, mark
from accelsim.schemes.part_marker import parts_of_a_channel
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "counts"
SAVES = EVERYTHING
CODEC = "one comparison a write lane; no cost in throughput"


class Options(base.Options):
    """How markers are counted and channels lie."""

    printed: bool = False
    """Markers as Algorithm 1 prints them, a bit for each of P parts and one a channel: C * (P + 1) bits instead of C."""
    parts: Literal["grid", "linear"] = "grid"
    """What `printed` counts: array-sized pieces of a channel, or raster runs of as many elements."""
    layout: base.Layout = "raster"
    """Channels one after the other, each in a slot of whole accesses, or the live ones packed."""
    fallback: bool = False
    """Whether a map that flags would not make smaller is stored as it is, for one bit."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Zero channels are skipped. A statistics trace suffices."""
    channels, height, width = fmap.shape
    parts = parts_of_a_channel(fmap.shape, machine.pe_array.rows, machine.pe_array.cols, options.parts) if options.printed else 0
    zero = fmap.zero_channels.reshape(channels, 1, 1)
    return mark(fmap, machine, (height, width), zero, channels * (parts + 1), SAVES, options.layout, fallback=options.fallback)
