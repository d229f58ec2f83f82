"""Why a layer takes longer under a scheme than under the yardstick: what the array waits for, and what the DMA engine has more of."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware import Dma
from accelsim.report.result import STALL_COLUMNS, LayerRow

WAITS = {
    "busy_cycles": "computing",
    "stall_ifmap_cycles": "waiting for its ifmap",
    "stall_filter_cycles": "waiting for its filters",
    "stall_metadata_cycles": "waiting for markers",
    "stall_output_cycles": "waiting to store",
    "stall_fill_drain_cycles": "filling and draining the array",
    "stall_start_cycles": "waiting for the layers before it",
    "stall_conflict_cycles": "waiting for banks of the buffer",
}
"""What the array does in the cycles of a column."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """One layer that takes longer.

    Units:   `cycles` more in all, of which `cause_cycles` more of `cause`, the column that grew most (first of equals); `descriptors` more,
             at most `setup_cycles` of the DMA engine for them; `metadata_bytes` wanted more; `bytes_moved` more (negative: fewer)
    """

    layer: str
    cycles: int
    cause: str
    cause_cycles: int
    descriptors: int
    setup_cycles: int
    metadata_bytes: int
    bytes_moved: int

    @classmethod
    def of(cls, base: LayerRow, other: LayerRow, dma: Dma) -> Slowdown | None:
        """Compare a layer with itself under the yardstick; None where it takes no longer."""

        def more(*names: str) -> int:
            return sum(getattr(other, name) - getattr(base, name) for name in names)

        if more("total_cycles") <= 0:
            return None
        cause = max(("busy_cycles", *STALL_COLUMNS), key=more)
        each = dma.setup_cycles if dma.outstanding_descriptors == 1 else dma.next_descriptor_cycles
        return cls(
            layer=base.layer,
            cycles=more("total_cycles"),
            cause=cause,
            cause_cycles=more(cause),
            descriptors=more("descriptors"),
            setup_cycles=max(0, more("descriptors")) * each,
            metadata_bytes=more("read_metadata_bytes", "write_metadata_bytes"),
            bytes_moved=more("bytes_moved"),
        )

    @property
    def why(self) -> str:
        """The cause, and what may stand behind it."""
        behind = []
        if self.descriptors > 0:
            behind.append(f"{self.descriptors:,} more descriptor{'s' * (self.descriptors > 1)}, {self.setup_cycles:,} cycles of set-up")
        if self.metadata_bytes > 0:
            behind.append(f"{self.metadata_bytes:,} bytes of metadata")
        if self.bytes_moved > 0:
            behind.append(f"{self.bytes_moved:,} more bytes moved")
        return f"+{self.cause_cycles:,} {WAITS[self.cause]}; {', '.join(behind) or 'no more traffic, but in another order'}"

    def __str__(self) -> str:
        return f"{self.layer} (+{self.cycles:,} cycles: {self.why})"
