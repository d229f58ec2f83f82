"""The `zero_block` scheme (Zebra): one bit for each block of each channel; zero blocks are neither written nor read.

Only traffic is saved: the array works on all of the map, and weights are loaded as ever. Zebra trains a network and a threshold so that
many blocks fall below it; here a block is zero where all its elements are, which is the threshold 0 of any network, or the trained
threshold of a network whose maps were zeroed by it when the trace was made.
Source:  Zebra, arXiv 2205.00779
"""

from __future__ import annotations

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import TRAFFIC, EncodedMap, mark
from accelsim.trace import FeatureMap, part_flags

NEEDS: base.Needs = "masks"
SAVES = TRAFFIC


class Options(base.Options):
    """The block, and how blocks lie."""

    height: base.Size = 4
    """Rows of a block."""
    width: base.Size = 4
    """Columns of a block."""
    layout: base.Layout = "packed"
    """Live blocks one after the other, blocks at their place in the channel, or each in a slot of whole accesses."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Zero blocks are skipped."""
    zero = part_flags(fmap, options.height, options.width)
    return mark(fmap, machine, (options.height, options.width), zero, zero.size, SAVES, options.layout)
