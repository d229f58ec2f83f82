"""The `part_marker` scheme: one bit for each array-sized part of each channel, and one a channel; zero parts are neither written nor read.

Parts are pieces of PE array rows x cols, ragged at the bottom and at the right, or (`linear`) raster runs of as many elements. Markers
take C * (P + 1) bits for P parts a channel.
Saves reads, writes, multiply-accumulates and cycles of (part, channel) pairs whose window holds zero parts alone, and the weights of
channels that no pair of a tile needs.
Source:  Liang et al., Dynamic runtime feature map pruning, arXiv 1812.09922, Algorithm 1
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import model_validator

from accelsim.errors import RefusalError
from accelsim.graph import Shape
from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import EVERYTHING, EncodedMap, mark
from accelsim.trace import FeatureMap, linear_flags, part_flags, part_grid

NEEDS: base.Needs = "masks"
SAVES = EVERYTHING
CODEC = "one comparison a write lane; no cost in throughput"


class Options(base.Options):
    """What a part is, how markers are counted and parts lie."""

    height: base.Size | None = None
    """Rows of a part; the array's if not given."""
    width: base.Size | None = None
    """Columns of a part; the array's if not given."""
    parts: Literal["grid", "linear"] = "grid"
    """Pieces of a channel, or raster runs of height x width elements."""
    summary: Literal["flag", "count"] = "flag"
    """What is kept for a channel beside its parts: whether all of them are zero, or how many: ceil(log2(P + 1)) bits."""
    layout: base.Layout = "raster"
    """Parts at their place in the channel, each in a slot of whole accesses, or the live ones packed."""
    fallback: bool = False
    """Whether a map that flags would not make smaller is stored as it is, for one bit."""

    @model_validator(mode="after")
    def _linear_parts_lie_in_the_raster(self) -> Options:
        if self.parts == "linear" and self.layout != "raster":
            raise RefusalError(f"linear parts cannot lie in layout {self.layout!r}", "allowed: layout raster, or parts grid", at=["layout"])
        return self


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Zero parts are skipped."""
    rows, cols = options.height or machine.pe_array.rows, options.width or machine.pe_array.cols
    channels, parts = fmap.shape[0], parts_of_a_channel(fmap.shape, rows, cols, options.parts)
    metadata = channels * (parts + (1 if options.summary == "flag" else parts.bit_length()))
    if options.parts == "grid":
        zero = part_flags(fmap, rows, cols)
        return mark(fmap, machine, (rows, cols), zero, metadata, SAVES, options.layout, fallback=options.fallback)
    # Runs are no rectangles: each element is a unit of its own, live where its run is.
    runs = np.repeat(linear_flags(fmap, rows, cols), rows * cols, axis=1)[:, : fmap.shape[1] * fmap.shape[2]]
    return mark(fmap, machine, (1, 1), runs.reshape(fmap.shape), metadata, SAVES, fallback=options.fallback)


def parts_of_a_channel(shape: Shape, rows: int, cols: int, parts: str) -> int:
    """P: how many parts a channel has."""
    _, down, across = part_grid(shape, rows, cols)
    return -(-shape[1] * shape[2] // (rows * cols)) if parts == "linear" else down * across
