"""The machine: frozen sizes, rates and timings, as YAML gives them after units are resolved.

Every quantity is an integer in base units: bytes, hertz, bytes per second, picoseconds, cycles of the accelerator clock, bits.
Machines that cannot be built are refused here; that a layer's tile fits into the buffer is found by the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from accelsim import configfile
from accelsim.configfile.faults import PLACES
from accelsim.errors import RefusalError, refuse
from accelsim.hardware import link
from accelsim.hardware.chip import Data, Layout, MarkerMemory, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.hardware.dma import PAGE, READERS, WRITERS, Dma
from accelsim.hardware.dram import BankedDram, FlatDram
from accelsim.hardware.energy import Energy, Prices, prices
from accelsim.hardware.link import LinkTiming
from accelsim.hardware.links import BusLink, PcieLink
from accelsim.hardware.part import Part
from accelsim.hardware.tilings import Tilings
from accelsim.units import Hertz, format_bytes, format_hertz, format_time


@dataclass(frozen=True)
class Places:
    """Where the values of a machine were written, by dotted path below it; takes no part in comparisons."""

    of: Mapping[str, str] = field(default_factory=dict, compare=False)


class Accelerator(Part):
    """The whole machine."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What reports call it."""
    clock: Hertz
    """Clock of the array, the DMA engine and the bus; at most 10 GHz, where a period is still known to 1 %."""
    pe_array: PeArray
    """The grid of processing elements."""
    data: Data = Data()
    """Bits of an element of each tensor."""
    buffer: Annotated[UnifiedBuffer | SplitBuffer, Field(discriminator="organisation")]
    """On-chip memory for tiles."""
    marker_memory: MarkerMemory = MarkerMemory()
    """On-chip memory for marker bits."""
    dma: Dma = Dma()
    """The engine that moves tiles."""
    link: Annotated[BusLink | PcieLink, Field(discriminator="kind")]
    """What lies between the accelerator and its DRAM."""
    dram: Annotated[FlatDram | BankedDram, Field(discriminator="kind")]
    """The memory that holds maps and weights."""
    layout: Layout = Layout()
    """How tensors lie in DRAM."""
    energy: Energy = Energy()
    """What events cost."""
    tiling: Tilings = Tilings()
    """Tile sizes and loop orders that are fixed; the others are searched."""
    fuse_pooling: bool = False
    """Pool a convolution's outputs as they leave the array, where only that pooling layer reads them: the unpooled map goes nowhere."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 1
    """Images that are worked on together, so that weights in the buffer serve all of them; a trace of one image stands for each."""

    _places: Places = PrivateAttr(default=Places())

    def model_post_init(self, context: Any) -> None:
        """Keep the places that `configfile` hands over."""
        if isinstance(context, Mapping):
            written = {key.partition("accelerator.")[2]: place for key, place in context.get(PLACES, {}).items()}
            self._places = Places({key: place for key, place in written.items() if key})

    @model_validator(mode="after")
    def _buildable(self) -> Accelerator:
        faults = []
        if not 1000 <= self.clock <= 10**10:
            faults.append(RefusalError(f"clock {format_hertz(self.clock)} is out of range", "allowed: 1 kHz to 10 GHz", at=["clock"]))
        if isinstance(self.link, PcieLink):
            request, access, boundary = (format_bytes(x) for x in (self.link.max_read_request, self.dma.access, self.dma.boundary))
            if self.link.max_read_request < self.dma.access:
                fault = f"max_read_request {request} is smaller than one DMA access of {access}"
                faults.append(RefusalError(fault, "enlarge it, or lower dma.access", at=["link.max_read_request", "dma.access"]))
            if self.dma.boundary > PAGE:
                fault = f"boundary {boundary}, but no PCI Express request may cross a page of {format_bytes(PAGE)}"
                faults.append(RefusalError(fault, f"allowed: up to {format_bytes(PAGE)}", at=["dma.boundary", "link.kind"]))
        if isinstance(self.dram, BankedDram) and self.dma.access % self.dram.technology.burst:
            fault = f"access {format_bytes(self.dma.access)} is not a multiple of the DRAM's burst of {self.dram.technology.burst} bytes"
            fix = f"write dma.access: {format_bytes(self.dram.technology.burst)}"
            faults.append(RefusalError(fault, fix, at=["dma.access", "dram.technology.burst", "dram.technology"]))
        refuse(faults)
        return self

    @property
    def period(self) -> int:
        """Accelerator clock period, picoseconds (rounded to the nearest)."""
        return round(10**12 / self.clock)

    @property
    def prices(self) -> Prices:
        """The energy table for this machine."""
        buffer = self.buffer
        sizes = (buffer.size,) * 3 if isinstance(buffer, UnifiedBuffer) else (buffer.ifmap, buffer.filter, buffer.ofmap)
        return prices(
            self.energy,
            operand_bits=(self.data.ifmap_bits, self.data.filter_bits),
            buffers=(sizes[0], sizes[1], sizes[2]),
            marker_memory=self.marker_memory.size,
            link=self.link.kind,
            elements=self.pe_array.rows * self.pe_array.cols,
            technology=self.dram.technology if isinstance(self.dram, BankedDram) else None,
        )

    def place(self, path: str) -> str:
        """Where a value was written, `edge.yaml:12`, or its dotted path where it was not: `place('buffer.size')`."""
        return self._places.of.get(path, f"accelerator.{path}")


EMBEDDED = {"dram.technology": "memory"}
"""Where an accelerator file may hold the path of another file, and that file's root key."""


def load_accelerator(path: str | Path, overrides: Sequence[str] = ()) -> Accelerator:
    """Read an accelerator file. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault of the file."""
    return configfile.load(path, Accelerator, "accelerator", overrides, EMBEDDED)


def link_timing(accelerator: Accelerator) -> LinkTiming:
    """The link as engines see it: plain integers."""
    port = accelerator.link
    if isinstance(port, BusLink):
        rate = port.bytes_per_cycle * accelerator.clock
        return LinkTiming(rate, rate, link.NO_LIMIT, 0, 0, 0, port.latency, port.latency, link.NO_LIMIT, link.NO_LIMIT, link.NO_LIMIT)
    rate = round(link.packet_rate(port.generation, port.lanes, port.max_payload, port.accounting))
    up = port.round_trip // 2
    credits = port.posted_credits
    return LinkTiming(
        down_rate=rate,
        up_rate=rate if credits is None else link.credited_rate(rate, credits, port.round_trip, port.max_payload),
        payload=port.max_payload,
        read_overhead=link.COMPLETION_OVERHEAD,
        write_overhead=link.WRITE_OVERHEAD,
        request_overhead=link.REQUEST_OVERHEAD,
        latency_up=up,
        latency_down=port.round_trip - up,
        outstanding_reads=port.tags,
        max_request=port.max_read_request,
        completion=port.max_payload if port.completions == "payload" else min(port.read_completion_boundary, port.max_payload),
    )


@dataclass(frozen=True)
class Peaks:
    """What the machine could do at best.

    Units:   bytes per second; MACs per second; `read_latency` picoseconds of an unloaded read; `bytes_in_flight` the most that the DMA
             engine and the link keep under way, `bytes_needed` what full rate over that latency takes
    """

    link_read: float
    link_write: float
    dram: float
    macs: float
    read_latency: int
    bytes_in_flight: int
    bytes_needed: int


def peaks(accelerator: Accelerator) -> Peaks:
    """Derive the peak rates of a machine, and whether its requests in flight cover the latency."""
    timing, dma = link_timing(accelerator), accelerator.dma
    request = min(dma.burst, timing.max_request)
    read = link.read_rate(timing, request)
    latency = timing.latency_up + accelerator.dram.latency + timing.latency_down
    return Peaks(
        link_read=read,
        link_write=link.write_rate(timing, dma.burst),
        dram=float(accelerator.dram.rate),
        macs=float(accelerator.pe_array.rows * accelerator.pe_array.cols * accelerator.clock),
        read_latency=latency,
        bytes_in_flight=request * min(min(dma.read_channels, READERS) * dma.outstanding_requests, timing.outstanding_reads),
        bytes_needed=round(min(read, accelerator.dram.rate) * latency / 10**12),
    )


def notices(accelerator: Accelerator) -> tuple[str, ...]:
    """What is buildable but probably not meant. Rule: bytes in flight >= bandwidth x latency (Little's law)."""
    peak, found = peaks(accelerator), []
    if peak.bytes_in_flight < peak.bytes_needed:
        reached = peak.bytes_in_flight / peak.read_latency * 1000
        found.append(
            f"reads in flight cover {peak.bytes_in_flight:,} bytes, but rate x latency ({format_time(peak.read_latency)}) needs "
            f"{peak.bytes_needed:,}: reads reach at most {reached:.3g} GB/s; raise dma.outstanding_requests, dma.burst or link.tags"
        )
    dma = accelerator.dma
    for name, there, used in (("read_channels", dma.read_channels, READERS), ("write_channels", dma.write_channels, WRITERS)):
        if there > used:
            found.append(f"dma.{name} {there}: only {used} of them get work, one for each kind of data; more change nothing")
    timing = link_timing(accelerator)
    if timing.up_rate < timing.down_rate:
        found.append(f"link.posted_credits let writes reach at most {peak.link_write / 1e9:.3g} GB/s; raise them, or lower link.round_trip")
    if isinstance(accelerator.link, PcieLink) and accelerator.dma.access % accelerator.link.read_completion_boundary:
        found.append("reads may begin inside a read completion boundary; the extra completion packet is not modelled")
    return tuple(found)


def describe(accelerator: Accelerator) -> str:
    """The resolved machine as YAML with units and all defaults, derived numbers as comments; `load_accelerator` reads it back."""
    peak, price = peaks(accelerator), accelerator.prices
    derived = (
        f"energy ({accelerator.energy.name}): {price.mac / 1e6:.4g} pJ a MAC; buffer {price.ifmap_read / 1e6:.4g} pJ/B read, "
        f"{price.ofmap_write / 1e6:.4g} pJ/B written; link {price.link / 1e6:.4g}, DRAM {price.dram_read / 1e6:.4g} pJ/B; "
        f"static {price.static / 1e3:.4g} mW",
        *(f"energy of a {estimate}" for estimate in price.estimates),
        f"peak: {peak.macs / 1e9:,.5g} GMAC/s; DRAM {peak.dram / 1e9:.5g} GB/s; "
        f"link {peak.link_read / 1e9:.5g} GB/s reads, {peak.link_write / 1e9:.5g} GB/s writes",
        f"unloaded read latency {format_time(peak.read_latency)}; "
        f"reads in flight {peak.bytes_in_flight:,} bytes, rate x latency {peak.bytes_needed:,} bytes",
        *(f"note: {notice}" for notice in notices(accelerator)),
    )
    written = {"accelerator": accelerator.model_dump(mode="json", exclude_none=True)}
    return configfile.dump(written) + "".join(f"# {line}\n" for line in derived)
