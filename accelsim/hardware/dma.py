"""The DMA engine: channels, descriptors, requests and the borders they keep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from accelsim.errors import RefusalError, refuse
from accelsim.hardware.part import Count, Part
from accelsim.units import Bytes, format_bytes

Cycles = Annotated[int, Field(ge=0, le=2**31)]
READERS, WRITERS = 3, 2
"""Channels that transfers are given to; further ones stay idle."""
PAGE = 4096
"""Bytes of a page, whose border no PCI Express request crosses (base specification)."""


class Dma(Part):
    """The DMA engine.

    A request covers whole accesses of `access` bytes, is at most `burst` bytes long and never crosses `boundary`. One request is
    granted per accelerator cycle over all channels. The first descriptor of a transfer costs `setup_cycles`; each next one
    `next_descriptor_cycles` where descriptors are prefetched (`outstanding_descriptors` > 1), else `setup_cycles` again.
    """

    read_channels: Count = 2
    """Channels that load: filters on the first, maps on the second, marker bits and partial sums on the third, as far as there are."""
    write_channels: Count = 1
    """Channels that store: maps and partial sums on the first, marker bits on the last."""
    setup_cycles: Cycles = 38
    """Cycles before the first request of a transfer."""
    next_descriptor_cycles: Cycles = 2
    """Cycles before the first request of each next descriptor, where descriptors are prefetched."""
    outstanding_descriptors: Count = 4
    """Descriptors of a channel in flight; 1 = no prefetch."""
    outstanding_requests: Count = 32
    """Requests of a channel in flight."""
    access: Bytes = 64
    """Smallest piece that the memory moves; a power of two."""
    burst: Bytes = 256
    """Largest request; a multiple of `access`."""
    boundary: Bytes = PAGE
    """Address border that no request crosses; a power of two and a multiple of `burst`."""
    min_skip: Bytes = 64
    """Runs of live data that lie less than this apart are moved as one."""
    dims: Annotated[int, Field(ge=1, le=3)] = 3
    """Dimensions that one descriptor covers."""

    @model_validator(mode="after")
    def _buildable(self) -> Dma:
        access, burst, boundary = (format_bytes(size) for size in (self.access, self.burst, self.boundary))
        faults = []
        if self.access & (self.access - 1):
            faults.append(RefusalError(f"access {access} is not a power of two", "allowed: 1 B, 2 B, 4 B, ... 64 B, ...", at=["access"]))
        if self.burst % self.access:
            fix = f"write a multiple of {access}, for example {format_bytes(-(-self.burst // self.access) * self.access)}"
            faults.append(RefusalError(f"burst {burst} is not a multiple of access {access}", fix, at=["burst", "access"]))
        if self.boundary & (self.boundary - 1):
            faults.append(RefusalError(f"boundary {boundary} is not a power of two", "usual: 4 KiB", at=["boundary"]))
        elif self.boundary % self.burst:
            fix = f"write a burst that divides {boundary}, for example 256 B"
            faults.append(RefusalError(f"boundary {boundary} is not a multiple of burst {burst}", fix, at=["boundary", "burst", "access"]))
        refuse(faults)
        return self
