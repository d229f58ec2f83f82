"""The `gemm_column` scheme (semi-structured): positions that are zero in all channels are no columns of the matrix product.

A layer as a matrix product has one column for each position of its ofmap. A mask that training fixed names columns which are left out:
the layer neither computes nor writes them, and whoever reads the map knows that they are zero. The array gathers the other columns, so a
tile's cycles shrink by the share of its positions that are left out. The mask takes a bit a position.
Saves writes, reads, multiply-accumulates and cycles of the layer that makes the map (not of its consumers); weights are loaded as ever.
Here the mask names the positions that the trace shows to be zero in every channel. For a network that was trained with a mask that is the
mask; for any other it is what an oracle would know before the layer runs, and an upper bound.
Source:  semi-structured sparsity of activations as GEMM columns, arXiv 2309.06626
"""

from __future__ import annotations

import numpy as np

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EncodedMap, Saves, mark
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "masks"
SAVES = Saves(reads=True, writes=True, macs=True, cycles=True, needs_training=True)


class Options(base.Options):
    """None."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Positions that are zero in every channel are skipped, and not computed by the layer that makes the map."""
    computed = np.asarray(fmap.nonzero().any(axis=0))
    # Its consumers skip no work: a column of theirs is one of their own ofmap's.
    saves = Saves(reads=True, writes=True)
    return mark(fmap, machine, (1, 1), ~computed[None], computed.size, saves, computed=computed)
