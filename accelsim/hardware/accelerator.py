"""The machine: frozen sizes, rates and timings, as YAML gives them after units are resolved.

Every quantity is an integer in base units: bytes, hertz, bytes per second, picoseconds, cycles of the accelerator clock, bits.
Machines that cannot be built are refused here; that a layer's tile fits into the buffer is found by the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from accelsim import configfile
from accelsim.configfile.families import Member, OneOf
from accelsim.configfile.faults import PLACES
from accelsim.errors import RefusalError, refuse
from accelsim.hardware import link
from accelsim.hardware.banking import Banking
from accelsim.hardware.dram import BankedDram, FlatDram
from accelsim.hardware.energy import Energy, Prices, prices
from accelsim.hardware.link import LinkTiming
from accelsim.hardware.tilings import Slots, Tilings
from accelsim.units import Bytes, Hertz, Picoseconds, format_bytes, format_hertz, format_time

Count = Annotated[int, Field(ge=1, le=2**20)]
Cycles = Annotated[int, Field(ge=0, le=2**31)]
_WHOLE = "elements lie in memory as whole bytes"
_NIBBLES = "an element is whole halves of a byte"
_WIDTHS = tuple(range(4, 33, 4))
_PAGE = 4096
"""Bytes of a page, whose border no PCI Express request crosses (base specification)."""


class Part(BaseModel):
    """Base of every part of the machine: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class PeArray(Part):
    """The grid of processing elements: the h x w of Algorithm 1."""

    rows: Count
    """Rows of processing elements; the height h of a part."""
    cols: Count
    """Columns of processing elements; the width w of a part."""
    dataflow: Annotated[str, Member("dataflows")] = "spatial"
    """Which loops the array unrolls and what stays in it."""


class Data(Part):
    """Bits of an element of each tensor. Partial sums that leave the array have `psum_bits`.

    In DRAM, elements of a row (weights of a slice) lie side by side, two of 4 bits in a byte; the buffer gives each whole bytes. Where two
    tiles share a byte, both read it, and both write it: that a memory would have to merge is not counted.
    """

    ifmap_bits: Annotated[int, OneOf(_WIDTHS, _NIBBLES)] = 16
    """Bits of an element of a feature map."""
    filter_bits: Annotated[int, OneOf(_WIDTHS, _NIBBLES)] = 16
    """Bits of a weight."""
    psum_bits: Annotated[int, OneOf((16, 32, 64), _WHOLE)] = 32
    """Bits of a partial sum where it leaves the array before it is complete."""

    @property
    def ifmap_room(self) -> int:
        """Bits that an element of a map takes in the buffer: whole bytes."""
        return -(-self.ifmap_bits // 8) * 8

    @property
    def filter_room(self) -> int:
        """Bits that a weight takes in the buffer: whole bytes."""
        return -(-self.filter_bits // 8) * 8


class UnifiedBuffer(Part):
    """One memory, carved anew for each layer: slots x (ifmap + filter + ofmap tile) must fit."""

    organisation: Literal["unified"]
    """One memory for all tensors."""
    size: Bytes
    """Capacity."""
    slots: Count | Slots = 2
    """Tiles of each tensor that it holds: 1 = no overlap, 2 = double buffering; one number, or one each for ifmap, filter, ofmap."""
    keep_on_chip: bool = False
    """Leave a layer's output in the buffer for the next layer, whole, beside the tiles of both, wherever that saves DRAM traffic."""
    banking: Banking | None = None
    """Its banks and ports; without them the DMA engine and the array never meet."""


class SplitBuffer(Part):
    """Three memories; each holds `slots` tiles of its tensor."""

    organisation: Literal["split"]
    """One memory for each tensor."""
    ifmap: Bytes
    """Capacity for input feature maps."""
    filter: Bytes
    """Capacity for weights."""
    ofmap: Bytes
    """Capacity for output feature maps and partial sums."""
    slots: Count | Slots = 2
    """Tiles that each memory holds: 1 = no overlap, 2 = double buffering; one number, or one each for ifmap, filter, ofmap."""
    banking: Banking | None = None
    """Banks and ports of each memory; without them the DMA engine and the array never meet."""


class Dma(Part):
    """The DMA engine.

    A request covers whole accesses of `access` bytes, is at most `burst` bytes long and never crosses `boundary`. One request is
    granted per accelerator cycle over all channels. The first descriptor of a transfer costs `setup_cycles`; each next one
    `next_descriptor_cycles` where descriptors are prefetched (`outstanding_descriptors` > 1), else `setup_cycles` again.
    """

    read_channels: Count = 2
    """Channels that load."""
    write_channels: Count = 1
    """Channels that store."""
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
    boundary: Bytes = _PAGE
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
    """Border at which the host may cut completions; reads that begin on it come back in packets of `max_payload`."""
    tags: Count = 32
    """Read requests in flight."""
    round_trip: Picoseconds = 900_000
    """Unloaded time of a read beyond wire and DRAM time."""
    accounting: Literal["sym", "pub"] = "sym"
    """Acknowledgement intervals read as symbol times (`sym`), or as bytes, as published (`pub`: pessimistic)."""


class MarkerMemory(Part):
    """On-chip memory for marker bits; what does not fit is metadata traffic."""

    size: Bytes = 4096
    """Capacity."""


class Layout(Part):
    """How tensors lie in DRAM."""

    fmap: Literal["chw"] = "chw"
    """Feature maps: channel by channel."""
    filter: Literal["kcrs", "ckrs"] = "ckrs"
    """Weights: output-major `kcrs`, or channel-major `ckrs`, where the weights of a zero channel lie together."""


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
            if self.dma.boundary > _PAGE:
                fault = f"boundary {boundary}, but no PCI Express request may cross a page of {format_bytes(_PAGE)}"
                faults.append(RefusalError(fault, f"allowed: up to {format_bytes(_PAGE)}", at=["dma.boundary", "link.kind"]))
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
        return LinkTiming(rate, rate, link.NO_LIMIT, 0, 0, 0, port.latency, port.latency, link.NO_LIMIT, link.NO_LIMIT)
    rate = round(link.packet_rate(port.generation, port.lanes, port.max_payload, port.accounting))
    up = port.round_trip // 2
    return LinkTiming(
        down_rate=rate,
        up_rate=rate,
        payload=port.max_payload,
        read_overhead=link.COMPLETION_OVERHEAD,
        write_overhead=link.WRITE_OVERHEAD,
        request_overhead=link.REQUEST_OVERHEAD,
        latency_up=up,
        latency_down=port.round_trip - up,
        outstanding_reads=port.tags,
        max_request=port.max_read_request,
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
        bytes_in_flight=request * min(dma.read_channels * dma.outstanding_requests, timing.outstanding_reads),
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
