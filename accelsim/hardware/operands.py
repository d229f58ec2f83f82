"""How often the PE array reaches into the buffer, by dataflow: what its operands cost in energy, and in accesses of the buffer's banks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelsim.hardware.chip import PeArray
from accelsim.hardware.energy import BufferEnergy


@dataclass(frozen=True, slots=True)
class Reads:
    """Elements read from the buffer for one MAC; `psum` also written back as often."""

    ifmap: float
    filter: float
    psum: float = 0.0


def operand_reads(array: PeArray, buffer: BufferEnergy) -> Reads:
    """How often a MAC reaches into the buffer when the whole array works; with idle lanes it is more often. What `buffer` says comes first.

    spatial: each element of the array takes its own ifmap element (no links between neighbours), all share one weight.
    os: an ifmap element passes along a row, a weight down a column.
    ws, is: what stays in the array is read as it is brought; the other operand passes along, sums leave each column.
    row_stationary: Eyeriss as measured, 208.5 MB of buffer accesses for 2.66 G MACs of 16 bit, shared out evenly between the operands.
    A dataflow that is not among them has no reuse: each operand is read for each MAC.
    Source:  row_stationary: Chen et al., JSSC 2017, table V; the others follow from the dataflow
    """
    rows, cols = array.rows, array.cols
    known = {
        "spatial": Reads(ifmap=1.0, filter=1 / (rows * cols)),
        "os": Reads(ifmap=1 / cols, filter=1 / rows),
        "ws": Reads(ifmap=1 / cols, filter=0.0, psum=1 / rows),
        "is": Reads(ifmap=0.0, filter=1 / cols, psum=1 / rows),
        "row_stationary": Reads(ifmap=0.0196, filter=0.0196),
    }
    reads = known.get(array.dataflow, Reads(ifmap=1.0, filter=1.0))
    given = {"ifmap": buffer.ifmap_reads, "filter": buffer.filter_reads, "psum": buffer.psum_reads}
    return replace(reads, **{name: value for name, value in given.items() if value is not None})
