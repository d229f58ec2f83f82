"""The `sbnet` scheme: one bit for each block of positions; blocks that are zero in all channels are not written, read or computed with.

SBNet is given its mask of active blocks from outside, before the layer runs. Here a block is inactive where the map is zero in every
channel of it, so nothing is lost and no mask need be given: the producer finds it when it writes the block. A consumer computes an output
part if its window touches an active block, halo included, and fills in the bias elsewhere.
Saves reads, writes, multiply-accumulates and cycles; weights are loaded as ever.
Source:  Ren et al., SBNet: sparse blocks network for fast inference, arXiv 1801.02108
"""

from __future__ import annotations

import numpy as np

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EncodedMap, Saves, mark
from accelsim.trace import FeatureMap, part_flags

NEEDS: base.Needs = "masks"
SAVES = Saves(reads=True, writes=True, macs=True, cycles=True)


class Options(base.Options):
    """The block, and how blocks lie."""

    height: base.Size = 8
    """Rows of a block."""
    width: base.Size = 8
    """Columns of a block."""
    layout: base.Layout = "raster"
    """Blocks at their place in each channel, each in a slot of whole accesses, or the live ones packed."""
    fallback: bool = False
    """Whether a map that flags would not make smaller is stored as it is, for one bit."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Inactive blocks are skipped in every channel."""
    zero = np.asarray(part_flags(fmap, options.height, options.width).all(axis=0, keepdims=True))
    return mark(fmap, machine, (options.height, options.width), zero, zero.size, SAVES, options.layout, fallback=options.fallback)
