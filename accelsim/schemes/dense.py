"""The `dense` scheme: everything is moved; the yardstick."""

from __future__ import annotations

import numpy as np

from accelsim.hardware import Accelerator
from accelsim.schemes.base import EncodedMap, mark
from accelsim.trace import Trace


def encode(trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
    """Every channel is stored, whatever it holds, and nothing else."""
    channels, height, width = shape = trace.graph.nodes[index].shape
    return mark(shape, height, width, machine.data.ifmap_bits, np.zeros((channels, 1, 1), dtype=np.bool_), 0)
