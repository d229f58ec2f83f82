"""What a link costs: rates, packet overheads and latencies as plain integers, with PCI Express in closed form.

Source:  R. Neugebauer et al., Understanding PCIe performance for end host networking, SIGCOMM 2018 (pcie-bench): packet overheads and
         limit intervals; the latter are the acknowledgement and flow-control limits of the PCI Express base specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

NO_LIMIT = 2**40
"""Packet size or number of requests of a link that bounds neither."""

LANES = (1, 2, 4, 8, 16)
_TRANSFERS = (2_500_000_000, 5_000_000_000, 8_000_000_000, 16_000_000_000, 32_000_000_000)
_GEN3 = {128: (333, 224, 169, 163, 144), 256: (512, 313, 214, 203, 168), 512: (655, 385, 250, 182, 182)}
_LIMITS: Mapping[int, Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {
        1: {128: (237, 128, 73, 67, 48), 256: (416, 217, 118, 107, 72), 512: (559, 289, 154, 86, 86)},
        2: {128: (288, 179, 124, 118, 99), 256: (467, 268, 169, 158, 123), 512: (610, 340, 205, 137, 137)},
        **dict.fromkeys((3, 4, 5), _GEN3),
    }
)
PAYLOADS = tuple(_GEN3)
"""Maximum payload sizes with a known limit interval, bytes."""
_DLLP, _SKIP, _SKIP_INTERVAL = 8, 4, 1538
WRITE_OVERHEAD, REQUEST_OVERHEAD, COMPLETION_OVERHEAD = 24, 24, 20
"""Bytes of framing, sequence number, CRC and header: write and read request with 64-bit address; completion with data."""
CREDIT = 16
"""Bytes of data that one credit of flow control stands for (base specification)."""


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """A link as engines see it; `down` leads to the accelerator, `up` away from it.

    Units:   rates in bytes per second on the wire, after what the data link layer takes; `payload`: most bytes of a packet;
             `read_overhead` bytes down per completion packet; `write_overhead` bytes up per write packet; `request_overhead` bytes up per
             read request; latencies in picoseconds; `outstanding_reads`: read requests in flight; `max_request`: bytes of a read request;
             `completion`: most bytes of a completion packet
    """

    down_rate: int
    up_rate: int
    payload: int
    read_overhead: int
    write_overhead: int
    request_overhead: int
    latency_up: int
    latency_down: int
    outstanding_reads: int
    max_request: int
    completion: int


def raw_rate(generation: int, lanes: int) -> Fraction:
    """Bytes per second each way after line coding: 8b/10b up to generation 2, 128b/130b from 3."""
    coding = Fraction(8, 10) if generation <= 2 else Fraction(128, 130)
    return _TRANSFERS[generation - 1] * coding * lanes / 8


def packet_rate(generation: int, lanes: int, payload: int, accounting: str) -> Fraction:
    """Bytes per second each way that are left for packets: one ACK and one UpdateFC per limit interval, one SKIP per 1538 bytes.

    `accounting`: `sym` reads the interval as symbol times, in which every lane carries a byte; `pub` as bytes, as published (pessimistic).
    """
    interval = _LIMITS[generation][payload][LANES.index(lanes)] * (lanes if accounting == "sym" else 1)
    return raw_rate(generation, lanes) * (1 - 2 * Fraction(_DLLP, interval) - Fraction(_SKIP, _SKIP_INTERVAL))


def write_rate(timing: LinkTiming, size: int) -> float:
    """Peak rate of writes of `size` bytes each, bytes of payload per second."""
    return timing.up_rate * size / (size + -(-size // timing.payload) * timing.write_overhead)


def credited_rate(rate: int, credits: int, round_trip: int, payload: int) -> int:
    """What of a wire's rate writes can use whose data wait for credits that come back a round trip later, headers included.

    Units:   bytes per second; `credits` of `CREDIT` bytes; picoseconds; `payload` bytes of a packet
    """
    if not round_trip:
        return rate
    return min(rate, credits * CREDIT * 10**12 * (payload + WRITE_OVERHEAD) // (payload * round_trip))


def read_rate(timing: LinkTiming, size: int) -> float:
    """Peak rate of reads of `size` bytes each, bytes of payload per second; what the latency allows may be less."""
    down = size + -(-size // timing.completion) * timing.read_overhead
    up = -(-size // timing.max_request) * timing.request_overhead
    return size / max(down / timing.down_rate, up / timing.up_rate)


def duplex_rate(timing: LinkTiming, size: int) -> float:
    """Peak rate each way when reads and writes of `size` bytes run at once, bytes of payload per second."""
    down = size + -(-size // timing.completion) * timing.read_overhead
    up = size + -(-size // timing.payload) * timing.write_overhead + -(-size // timing.max_request) * timing.request_overhead
    return size / max(down / timing.down_rate, up / timing.up_rate)
