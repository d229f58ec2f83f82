"""The `ebpc` scheme (extended bit-plane compression): runs of zeros, and bit planes of the differences of the values between them.

What it takes depends on the values, and a trace holds only which elements are zero. So it cannot be replayed, and is refused by name.
Source:  Cavigelli et al., EBPC, JETCAS 2019, arXiv 1908.11645
"""

from __future__ import annotations

from accelsim.errors import TraceError
from accelsim.hardware import Accelerator
from accelsim.schemes import base
from accelsim.schemes.base import COMPRESSION, EncodedMap
from accelsim.trace import FeatureMap

NEEDS: base.Needs = "values"
SAVES = COMPRESSION


class Options(base.Options):
    """None."""


def encode(fmap: FeatureMap, machine: Accelerator, options: Options) -> EncodedMap:
    """Nothing: `Scheme.encode` refuses every trace. Raises `TraceError`."""
    raise TraceError("scheme 'ebpc' needs the values of feature maps, which no trace holds")
