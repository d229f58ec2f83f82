"""The `dense` scheme: everything is moved; the yardstick."""

from __future__ import annotations

import numpy as np

from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EncodedMap, Saves, mark
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "counts"
SAVES = Saves()


class Options(base.Options):
    """None."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Every channel is stored, whatever it holds, and nothing else."""
    return mark(fmap, machine, fmap.shape[1:], np.zeros((1, 1, 1), dtype=np.bool_), 0, SAVES)
