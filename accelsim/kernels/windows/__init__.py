"""Kernels that slide a window over a map, their sums in registers: `conv2d`, four filters at a time; `depthwise`; `maxpool`.

They may call each other: the cache of these files is keyed by the content of all of them (`compile.py`).
"""

from __future__ import annotations

from accelsim.kernels.windows.conv import conv2d
from accelsim.kernels.windows.depthwise import depthwise
from accelsim.kernels.windows.finish import CLIP, LEAKY, LINEAR, RELU
from accelsim.kernels.windows.maps import add, place
from accelsim.kernels.windows.maxpool import maxpool
from accelsim.kernels.windows.vectors import WIDE

__all__ = ["CLIP", "LEAKY", "LINEAR", "RELU", "WIDE", "add", "conv2d", "depthwise", "maxpool", "place"]
