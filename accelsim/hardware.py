"""The machine: frozen sizes, rates and timings, as YAML gives them after units are resolved.

Every quantity is an integer in base units: bytes, hertz, bytes per second, picoseconds, cycles of the accelerator clock, bits.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from accelsim.units import Bytes, BytesPerSecond, Hertz, Picoseconds

Count = Annotated[int, Field(ge=1)]
Cycles = Annotated[int, Field(ge=0)]
Bits = Annotated[int, Field(ge=4, le=32)]


class Part(BaseModel):
    """Base of every part of the machine: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PeArray(Part):
    """The grid of processing elements: the h x w of Algorithm 1."""

    rows: Count
    cols: Count
    dataflow: str = "spatial"


class Data(Part):
    """Bits of an element of each tensor. Partial sums that leave the array have `psum_bits`."""

    ifmap_bits: Bits = 16
    filter_bits: Bits = 16
    psum_bits: Annotated[int, Field(ge=8, le=64)] = 32


class UnifiedBuffer(Part):
    """One memory, carved anew for each layer: slots x (ifmap + filter + ofmap tile) must fit."""

    organisation: Literal["unified"]
    size: Bytes
    slots: Count = 2


class SplitBuffer(Part):
    """Three memories; each holds `slots` tiles of its tensor."""

    organisation: Literal["split"]
    ifmap: Bytes
    filter: Bytes
    ofmap: Bytes
    slots: Count = 2


class Dma(Part):
    """The DMA engine.

    A request covers whole accesses of `access` bytes, is at most `burst` bytes long and never crosses `boundary`. One request is
    granted per accelerator cycle over all channels. Each channel has at most `outstanding_requests` requests and
    `outstanding_descriptors` descriptors in flight. The first descriptor of a transfer costs `setup_cycles`; each next one
    `next_descriptor_cycles` where descriptors are prefetched (`outstanding_descriptors` > 1), else `setup_cycles` again.
    Runs of live data that lie less than `min_skip` bytes apart are moved as one. `dims`: dimensions of one descriptor (1 to 3).
    """

    read_channels: Count = 2
    write_channels: Count = 1
    setup_cycles: Cycles = 38
    next_descriptor_cycles: Cycles = 2
    outstanding_descriptors: Count = 4
    outstanding_requests: Count = 32
    access: Bytes = 64
    burst: Bytes = 256
    boundary: Bytes = 4096
    min_skip: Bytes = 64
    dims: Annotated[int, Field(ge=1, le=3)] = 3


class BusLink(Part):
    """An on-chip port, full duplex: `bytes_per_cycle` of the accelerator clock each way, `latency` each way."""

    kind: Literal["bus"]
    bytes_per_cycle: Count = 16
    latency: Picoseconds = 0


class PcieLink(Part):
    """PCI Express, full duplex; formulas of the transaction layer as in `machine.md` section 3 (pcie-bench, SIGCOMM 2018).

    `round_trip`: unloaded time of a read beyond wire and DRAM time. `tags`: reads in flight.
    `accounting`: `sym` reads acknowledgement intervals as symbol times, `pub` as bytes (pessimistic).
    """

    kind: Literal["pcie"]
    generation: Annotated[int, Field(ge=1, le=5)] = 3
    lanes: Literal[1, 2, 4, 8, 16] = 8
    max_payload: Bytes = 256
    max_read_request: Bytes = 512
    read_completion_boundary: Bytes = 64
    tags: Count = 32
    round_trip: Picoseconds = 900_000
    accounting: Literal["sym", "pub"] = "sym"


class FlatDram(Part):
    """A DRAM without banks: `rate` shared by reads and writes, first come first served, then `latency` for a read."""

    kind: Literal["flat"]
    rate: BytesPerSecond
    latency: Picoseconds = 0


class MarkerMemory(Part):
    """On-chip memory for marker bits; what does not fit is metadata traffic."""

    size: Bytes = 4096


class Layout(Part):
    """How tensors lie in DRAM. `filter`: output-major `kcrs` or channel-major `ckrs`."""

    fmap: Literal["chw"] = "chw"
    filter: Literal["kcrs", "ckrs"] = "ckrs"


class Accelerator(Part):
    """The whole machine."""

    name: str
    clock: Hertz
    pe_array: PeArray
    data: Data = Data()
    buffer: Annotated[UnifiedBuffer | SplitBuffer, Field(discriminator="organisation")]
    marker_memory: MarkerMemory = MarkerMemory()
    dma: Dma = Dma()
    link: Annotated[BusLink | PcieLink, Field(discriminator="kind")]
    dram: FlatDram
    layout: Layout = Layout()

    @property
    def period(self) -> int:
        """Accelerator clock period, picoseconds (rounded to the nearest)."""
        return round(10**12 / self.clock)
