"""Energy of a layer by part, out of what the replay counted and the machine's prices.

What is counted, and what is an estimate:
* MACs done cost; MACs skipped do not, nor do cycles in which the array idles (their leakage is in the static part).
* Buffer: each byte that the DMA engine brings is written once, each byte that it takes away is read once, each result of the array is
  written once, each partial sum that comes back is read once. Operands that the array reads are an estimate: MACs done times the reads a
  MAC of `operand_reads`, or each byte that was brought once, whichever is more. Marker bits that stay on chip cost nothing.
* Link: bytes moved and the link's own overhead. DRAM: bytes moved, which include burst rounding, and activates where there are rows.
* Static: standing power over the layer's cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from accelsim.hardware import Data
from accelsim.hardware.energy import Prices
from accelsim.hardware.operands import Reads

PARTS = ("mac", "buffer", "link", "dram", "static")
"""Where energy goes; the columns of a report are `energy_<part>_nj`."""


@dataclass(frozen=True, slots=True)
class Events:
    """What happened in one layer.

    Units:   bytes wanted by tensor, as in `layers.csv`; `*_moved` bytes that the DRAM moved each way; `link` bytes on the wire, overhead
             included; `activates` of DRAM rows (a flat DRAM has none); `duration` picoseconds; `kept_*` bytes of maps that stay in the
             buffer: of the one that the layer reads there, and of its own that is not written to DRAM
    """

    macs_done: int
    read_ifmap: int
    read_filter: int
    read_psum: int
    write_ofmap: int
    write_psum: int
    metadata: int
    read_moved: int
    write_moved: int
    link: int
    duration: int
    activates: int = 0
    kept_read: int = 0
    kept_written: int = 0


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of one layer by part. Units: femtojoules, whole, so that parts add up to their sum exactly."""

    mac: int
    buffer: int
    link: int
    dram: int
    static: int

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return self.mac + self.buffer + self.link + self.dram + self.static


def energy(events: Events, price: Prices, reads: Reads, data: Data) -> Energy:
    """Energy of one layer on a machine with these prices."""
    # What was brought is read at least once, also by layers without MACs.
    ifmap = max(ceil(events.macs_done * reads.ifmap) * data.ifmap_bits // 8, events.read_ifmap + events.kept_read)
    filters = max(ceil(events.macs_done * reads.filter) * data.filter_bits // 8, events.read_filter)
    sums = ceil(events.macs_done * reads.psum) * data.psum_bits // 8
    results = events.write_ofmap + events.write_psum
    buffer = (
        events.read_ifmap * price.ifmap_write
        + ifmap * price.ifmap_read
        + events.read_filter * price.filter_write
        + filters * price.filter_read
        + (events.read_psum + results + sums) * (price.ofmap_write + price.ofmap_read)
        + events.kept_written * price.ofmap_write
        + events.metadata * (price.marker_write + price.marker_read)
    )
    dram = events.read_moved * price.dram_read + events.write_moved * price.dram_write + events.activates * price.activate
    parts = (events.macs_done * price.mac, buffer, events.link * price.link, dram, events.duration * price.static)
    return Energy(*((part + 500) // 1000 for part in parts))
