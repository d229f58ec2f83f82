"""The ways to DRAM: an on-chip port, or PCI Express, whose formulas stand in `link`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.configfile.families import OneOf
from accelsim.errors import RefusalError
from accelsim.hardware import link
from accelsim.hardware.part import Count, Part
from accelsim.units import Bytes, Picoseconds, format_bytes


class BusLink(Part):
    """An on-chip port, full duplex."""

    kind: Literal["bus"]
    """An on-chip port."""
    bytes_per_cycle: Count = 16
    """Bytes each way per cycle of the accelerator clock."""
    latency: Picoseconds = 0
    """Time on the way, each way."""


class PcieLink(Part):
    """PCI Express, full duplex; formulas of the transaction layer in `link`."""

    kind: Literal["pcie"]
    """PCI Express."""
    generation: Annotated[int, Field(ge=1, le=5)] = 3
    """Generation: 2.5, 5, 8, 16, 32 GT/s a lane."""
    lanes: Annotated[int, OneOf(link.LANES)] = 8
    """Lanes."""
    max_payload: Annotated[Bytes, OneOf(link.PAYLOADS, show=format_bytes)] = 256
    """Most data of a packet."""
    max_read_request: Annotated[Bytes, OneOf((128, 256, 512, 1024, 2048, 4096), show=format_bytes)] = 512
    """Most data that one read request asks for."""
    read_completion_boundary: Annotated[Bytes, OneOf((64, 128), show=format_bytes)] = 64
    """Border at which the host may cut completions."""
    completions: Literal["payload", "boundary"] = "payload"
    """How a read comes back: in packets of `max_payload`, or cut at each read completion boundary, as some hosts do."""
    tags: Count = 32
    """Read requests in flight."""
    round_trip: Picoseconds = 900_000
    """Unloaded time of a read beyond wire and DRAM time."""
    posted_credits: Count | None = None
    """Credits of 16 bytes that the host grants for data of posted writes, given back a round trip later; if absent, always enough."""
    accounting: Literal["sym", "pub"] = "sym"
    """Acknowledgement intervals read as symbol times (`sym`), or as bytes, as published (`pub`: pessimistic)."""

    @model_validator(mode="after")
    def _one_packet(self) -> PcieLink:
        if self.posted_credits is not None and self.posted_credits * link.CREDIT < self.max_payload:
            fault = f"posted_credits {self.posted_credits} are {self.posted_credits * link.CREDIT} bytes, less than one packet"
            fix = f"write {self.max_payload // link.CREDIT} or more, or make max_payload smaller"
            raise RefusalError(fault, fix, at=["posted_credits", "max_payload"])
        return self
