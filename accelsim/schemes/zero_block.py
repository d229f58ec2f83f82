"""The `zero_block` scheme (Zebra): one bit for each block of each channel; zero blocks are neither written nor read.

Only traffic is saved: the array works on all of the map, and weights are loaded as ever. Zebra trains a network and a threshold so that
many blocks fall below it. With `threshold` a block whose largest magnitude is at most that counts as zero: lossy, of a network that was
not trained for it. `accelsim evaluate` measures what it costs in accuracy: mode `part`, `part` the block, epsilons the thresholds (one for
all layers, or by layer); any threshold, by channel too, with `inference.run(..., through=scheme.seen)`. Only layers that write feature
maps are touched (`graph.OVERWRITTEN`), never scores.
Source:  Zebra, arXiv 2205.00779
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.graph import OVERWRITTEN, Node
from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes._thresholds import NONE, Written, cleared, without_parts
from accelsim.schemes.base import TRAFFIC, EncodedMap, mark
from accelsim.trace import FeatureMap, Trace, open_loop_flags, part_flags, part_maxima

NEEDS: base.Needs = "masks"
SAVES = TRAFFIC
CODEC = "one comparison a write lane; no cost in throughput"


class Options(base.Options):
    """The block, what counts as zero, and how blocks lie."""

    height: base.Size = 4
    """Rows of a block."""
    width: base.Size = 4
    """Columns of a block."""
    threshold: Written = NONE
    """Largest magnitude of a block that counts as zero: a number; or by layer, `conv1:0.1;conv2*:0.2`; by channel, `conv1:0.1/0/0.2`."""
    layout: base.Layout = "packed"
    """Live blocks one after the other, blocks at their place in the channel, or each in a slot of whole accesses."""
    fallback: bool = False
    """Whether a map that flags would not make smaller is stored as it is, for one bit."""

    @property
    def lossy(self) -> bool:
        """Whether any threshold is above zero."""
        return self.threshold != NONE


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Zero blocks are skipped."""
    zero = part_flags(fmap, options.height, options.width)
    return mark(fmap, machine, (options.height, options.width), zero, zero.size, SAVES, options.layout, fallback=options.fallback)


def prepare(trace: Trace, index: int, options: Options) -> FeatureMap:
    """The map without the blocks within the threshold: from values where the trace has them, else from its part maxima.

    Raises:  `TraceError` where it has neither, or parts that blocks cut; `ConfigError` for a threshold of a layer that is not there
    """
    node, fmap = trace.graph.nodes[index], trace.maps[index]
    options.threshold.require_layers(trace.graph)
    limits = _limits(node, options)
    if limits is None:
        return fmap
    if fmap.values is None:
        small = open_loop_flags(trace, index, options.height, options.width, limits)
    else:
        small = part_maxima(fmap.values, options.height, options.width) <= limits[:, None, None]
    return without_parts(fmap, small, options.height, options.width)


def seen(node: Node, values: NDArray[Any], options: Options) -> NDArray[Any]:
    """The map with zeros in the blocks within the threshold."""
    limits = _limits(node, options)
    if limits is None:
        return values
    small = part_maxima(values, options.height, options.width) <= limits[:, None, None]
    return cleared(values, small, options.height, options.width)


def _limits(node: Node, options: Options) -> NDArray[np.float32] | None:
    """Threshold of each channel; None where there is none."""
    return options.threshold.of(node) if options.lossy and node.kind in OVERWRITTEN else None
