"""The `part_marker` scheme: one bit for each array-sized part of each channel, and one a channel; zero parts are neither written nor read.

Parts are pieces of PE array rows x cols, ragged at the bottom and at the right. Markers take C * (P + 1) bits for P parts a channel.
Source:  Liang et al., Dynamic runtime feature map pruning, arXiv 1812.09922, Algorithm 1
"""

from __future__ import annotations

from accelsim.errors import TraceError
from accelsim.hardware import Accelerator
from accelsim.schemes.base import EncodedMap, mark
from accelsim.trace import Trace, part_flags


def encode(trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
    """Zero parts are skipped. Raises `TraceError` for a trace without masks."""
    if trace.maps[index].mask is None:
        raise TraceError(
            f"scheme 'part_marker' needs to know which elements are zero; the trace of {trace.graph.name} on {trace.image} "
            f"({trace.source}) holds only counts of zero channels\n"
            "    make a trace with 'accelsim infer', or replay this one under dense or channel_marker"
        )
    rows, cols = machine.pe_array.rows, machine.pe_array.cols
    zero = part_flags(trace.maps[index], rows, cols)
    shape = trace.graph.nodes[index].shape
    return mark(shape, rows, cols, machine.data.ifmap_bits, zero, metadata_bits=zero.size + shape[0])
