"""The machine as an engine sees it: integers only, whatever link or memory they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelsim.errors import ConfigError
from accelsim.schedule.tables import READ, WRITE

if TYPE_CHECKING:
    from accelsim.engines.banks import Banks
    from accelsim.engines.contention import Ports
    from accelsim.hardware import Accelerator

SECOND = 10**12
"""Picoseconds."""
LONGEST_REQUEST = 1 << 20
"""Bytes on a wire for one request, packet overhead included: keeps bytes * SECOND far inside int64."""
NO_LIMIT = 1 << 20
"""So many reads in flight, or more, are as good as no limit."""


def duration(size: int, rate: int) -> int:
    """Picoseconds that `size` bytes take at `rate` bytes per second, rounded up."""
    return -(-size * SECOND // rate)


@dataclass(frozen=True)
class Machine:
    """DMA, link and DRAM, resolved; with `banks`, the rate and latency of a flat DRAM have no meaning.

    Without `ports` the buffer is never in the way.

    Units:   `period`, `latency_*`, `dram_latency` ps; `*_rate` bytes per second; `access`, `*_burst`, `boundary`, `payload` and overheads
             bytes (`write_overhead` per packet of `payload` bytes, `read_overhead` per packet of `completion` bytes, as `payload` where
             that is 0, `request_overhead` per read request on its way up);
             `outstanding_reads` reads in flight over all channels, 0 for no limit; `setup_cycles`, `next_descriptor_cycles` periods.
    Raises:  ConfigError when requests cannot be whole accesses, or are so long that times would leave int64.
    """

    period: int
    read_channels: int
    write_channels: int
    setup_cycles: int
    next_descriptor_cycles: int
    outstanding_descriptors: int
    outstanding_requests: int
    access: int
    read_burst: int
    write_burst: int
    boundary: int
    up_rate: int
    down_rate: int
    payload: int
    read_overhead: int
    write_overhead: int
    request_overhead: int
    latency_up: int
    latency_down: int
    outstanding_reads: int
    dram_rate: int
    dram_latency: int
    banks: Banks | None = None
    ports: Ports | None = None
    completion: int = 0

    def __post_init__(self) -> None:
        for name, size in (("burst", self.read_burst), ("burst", self.write_burst), ("boundary", self.boundary)):
            if size < self.access or size % self.access:
                raise ConfigError(
                    f"dma.{name}: requests of {size} bytes (the link's limit included) are not whole accesses of {self.access} bytes\n"
                    f"    allowed: multiples of dma.access; set dma.{name} or dma.access accordingly"
                )
        if self.banks is not None and self.access % self.banks.burst:
            raise ConfigError(f"dma.access: {self.access} bytes are not whole DRAM bursts of {self.banks.burst} bytes")
        wire = max(self.down_bytes(READ, self.read_burst), self.up_bytes(WRITE, self.write_burst), self.request_overhead)
        if wire > LONGEST_REQUEST:
            raise ConfigError(
                f"dma.burst: a request takes up to {wire} bytes on the link, at most {LONGEST_REQUEST} are allowed\n"
                "    make dma.burst smaller"
            )

    def packet(self, direction: int) -> int:
        """Most bytes of data in a packet."""
        return self.completion or self.payload if direction == READ else self.payload

    def up_bytes(self, direction: int, size: int) -> int:
        """Bytes towards the memory for a request of `size` bytes."""
        return self.request_overhead if direction == READ else size + -(-size // self.payload) * self.write_overhead

    def down_bytes(self, direction: int, size: int) -> int:
        """Bytes from the memory for a request of `size` bytes."""
        return size + -(-size // self.packet(READ)) * self.read_overhead if direction == READ else 0

    def overhead(self, direction: int, size: int) -> int:
        """Bytes on the link, both ways, beyond the `size` bytes of a request."""
        return self.up_bytes(direction, size) + self.down_bytes(direction, size) - size

    def cut(self, direction: int, descriptor: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Address and size of each request of a descriptor (columns as in `Descriptors`), in order.

        Contiguous rows and planes count as one run; a run is widened to whole accesses, then cut after each burst and at each boundary.
        """
        address, row, rows, row_pitch, planes, plane_pitch = descriptor
        if rows == 1 or row == row_pitch:
            row, rows = row * rows, 1
            if planes == 1 or row == plane_pitch:
                row, planes = row * planes, 1
        burst = self.read_burst if direction == READ else self.write_burst
        for plane in range(planes):
            for line in range(rows):
                low = address + plane * plane_pitch + line * row_pitch
                at, stop = low // self.access * self.access, -(-(low + row) // self.access) * self.access
                while at < stop:
                    size = min(stop - at, burst, self.boundary - at % self.boundary)
                    yield at, size
                    at += size

    @property
    def requests_in_flight(self) -> int:
        """Most requests under way at a time."""
        return (self.read_channels + self.write_channels) * self.outstanding_requests

    @property
    def bursts_in_flight(self) -> int:
        """Most accesses of a banked DRAM under way at a time."""
        longest = max(self.read_burst, self.write_burst)
        return self.requests_in_flight * (longest // self.banks.burst if self.banks else 0)

    def edge(self, time: int) -> int:
        """The first clock edge at or after `time`."""
        return -(-time // self.period) * self.period


def resolve(accelerator: Accelerator) -> Machine:
    """The engine's view of an accelerator.

    Raises:  ConfigError as `Machine` does.
    """
    from accelsim.engines import contention
    from accelsim.hardware import link_timing
    from accelsim.hardware.dram import BankedDram

    dma, link, dram = accelerator.dma, link_timing(accelerator), accelerator.dram
    in_flight = (dma.read_channels + dma.write_channels) * dma.outstanding_requests
    banks = None
    if isinstance(dram, BankedDram):
        from accelsim.engines import banks as banked

        banks = banked.resolve(dram, in_flight * (dma.burst // dram.technology.burst))
    return Machine(
        period=accelerator.period,
        read_channels=dma.read_channels,
        write_channels=dma.write_channels,
        setup_cycles=dma.setup_cycles,
        next_descriptor_cycles=dma.next_descriptor_cycles,
        outstanding_descriptors=dma.outstanding_descriptors,
        outstanding_requests=dma.outstanding_requests,
        access=dma.access,
        read_burst=min(dma.burst, link.max_request),
        write_burst=dma.burst,
        boundary=dma.boundary,
        up_rate=link.up_rate,
        down_rate=link.down_rate,
        payload=min(link.payload, LONGEST_REQUEST),
        read_overhead=link.read_overhead,
        write_overhead=link.write_overhead,
        request_overhead=link.request_overhead,
        latency_up=link.latency_up,
        latency_down=link.latency_down,
        outstanding_reads=link.outstanding_reads if link.outstanding_reads < NO_LIMIT else 0,
        dram_rate=accelerator.dram.rate,
        dram_latency=accelerator.dram.latency,
        banks=banks,
        ports=contention.resolve(accelerator),
        completion=min(link.completion, LONGEST_REQUEST),
    )
