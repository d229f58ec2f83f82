"""What events cost: picojoules per multiply-accumulate, byte and activate, and standing power, each with its source.

Published tables give a few sizes and widths only. Between two of them a price is interpolated on logarithmic axes (a straight line there:
energy grows as a power of size), beyond the first and last the nearest line goes on, and a single entry of a MAC is scaled with the
product of its operands' bits, as the area of a multiplier is. `Prices.estimates` says where that happened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from accelsim.errors import RefusalError
from accelsim.hardware.memory import Memory
from accelsim.hardware.part import Part
from accelsim.units import Attojoules, AttojoulesPerByte, Bytes, Microwatts, format_bytes

Source = Annotated[str, Field(min_length=1, max_length=400)]
ReadsPerMac = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Points = tuple[tuple[int, int], ...]


def _require_ascending(name: str, points: Sequence[tuple[int, int]], key: str) -> None:
    """Refuse a list that is not ascending, or in which the larger is the cheaper."""
    for index, ((size, energy), (next_size, next_energy)) in enumerate(pairwise(points), 1):
        if next_size <= size:
            raise RefusalError(f"{key} {next_size} stands after {size}", "list them in ascending order", at=[f"{name}.{index}.{key}"])
        if next_energy < energy:
            fault = f"the energy of {key} {next_size} is less than that of {key} {size}"
            raise RefusalError(fault, "a larger one costs as much or more: check the units", at=[f"{name}.{index}.energy"])


class MacPoint(Part):
    """Energy of a multiply-accumulate of one width."""

    bits: Annotated[int, Field(ge=1, le=64)]
    """Bits of both operands."""
    energy: Attojoules
    """Energy of one."""


class SizePoint(Part):
    """Energy of access to a memory of one size."""

    size: Bytes
    """Size of the memory."""
    energy: AttojoulesPerByte
    """Energy of each byte."""


class MacEnergy(Part):
    """Multiply-accumulates, with the registers that feed them."""

    widths: Annotated[tuple[MacPoint, ...], Field(min_length=1)] = (
        MacPoint(bits=8, energy=300_000),
        MacPoint(bits=32, energy=3_200_000),
    )
    """Known widths, ascending."""
    source: Source = "Horowitz, ISSCC 2014, 45 nm 0.9 V: integer multiply and 32-bit add"
    """Where the numbers come from."""

    @model_validator(mode="after")
    def _ascending(self) -> MacEnergy:
        _require_ascending("widths", [(point.bits, point.energy) for point in self.widths], "bits")
        return self


def _sizes(*points: tuple[int, int]) -> tuple[SizePoint, ...]:
    return tuple(SizePoint(size=kib * 1024, energy=energy) for kib, energy in points)


class BufferEnergy(Part):
    """On-chip memories."""

    read: Annotated[tuple[SizePoint, ...], Field(min_length=1)] = _sizes((8, 359_375), (32, 843_750), (128, 2_312_500), (512, 5_250_000))
    """Known sizes, ascending."""
    write: Annotated[tuple[SizePoint, ...], Field(min_length=1)] = _sizes((8, 812_500), (32, 1_625_000), (128, 2_750_000), (512, 5_031_250))
    """Known sizes, ascending."""
    ifmap_reads: ReadsPerMac | None = None
    """Ifmap elements that the array reads for one MAC; if absent, what the dataflow allows (`report.energy`)."""
    filter_reads: ReadsPerMac | None = None
    """Weights that the array reads for one MAC; likewise."""
    psum_reads: ReadsPerMac | None = None
    """Partial sums that the array reads, and writes back, for one MAC; likewise."""
    source: Source = "CACTI 7, 45 nm, LSTP, one bank, 256-bit port"
    """Where the numbers come from."""

    @model_validator(mode="after")
    def _ascending(self) -> BufferEnergy:
        for name, points in (("read", self.read), ("write", self.write)):
            _require_ascending(name, [(point.size, point.energy) for point in points], "size")
        return self


class LinkEnergy(Part):
    """What lies between accelerator and DRAM: each byte on the wire, headers included."""

    bus: AttojoulesPerByte = 4_840_000
    """A link of kind bus."""
    pcie: AttojoulesPerByte = 35_200_000
    """A link of kind pcie."""
    source: Source = (
        "bus: 5 mm of wire, Keckler et al., IEEE Micro 31(5), 2011, table 1; pcie: 4.4 pJ/bit, power model of CENT, ASPLOS 2025"
    )
    """Where the numbers come from."""


class DramEnergy(Part):
    """DRAM: what bytes and activates cost, and what it draws all the time; left as it is here, a technology's own energy comes before."""

    read: AttojoulesPerByte = 64_000_000
    """Each byte read."""
    write: AttojoulesPerByte = 64_000_000
    """Each byte written."""
    activate: Attojoules = 0
    """Each activate with its precharge, over the whole channel; a flat DRAM has none."""
    background: Microwatts = 0
    """Standby and refresh."""
    source: Source = "LPDDR4, 8 pJ/bit all told, Accelergy CACTI-DRAM table"
    """Where the numbers come from."""


def stated(technology: Memory) -> DramEnergy | None:
    """What the file of a technology says that its commands cost, refreshes as standing power; None where it says nothing."""
    energy = technology.energy
    if energy is None:
        return None
    # pJ/ps are watts
    refresh = 10**6 * energy.refresh_pJ / (technology.resolved["REFI"] * technology.tCK)
    return DramEnergy(
        read=round(10**6 * energy.read_pJ / technology.burst),
        write=round(10**6 * energy.write_pJ / technology.burst),
        activate=round(10**6 * energy.activate_pJ),
        background=round(technology.channels * (10**3 * energy.background_mW + refresh)),
        source=energy.source or technology.source,
    )


class StaticPower(Part):
    """What the chip draws all the time, whatever it does."""

    pe: Microwatts = 57
    """Each processing element."""
    rest: Microwatts = 0
    """Everything else on the chip."""
    source: Source = "leakage of a 16-bit PE, 45 nm synthesis, Bit Fusion, ISCA 2018, artifact"
    """Where the numbers come from."""


class Energy(Part):
    """The whole table. The defaults are those of `configs/energy/45nm.yaml`, where every number has its source beside it."""

    name: Annotated[str, Field(min_length=1, max_length=80)] = "45nm"
    """What reports call it."""
    mac: MacEnergy = MacEnergy()
    """Multiply-accumulates."""
    buffer: BufferEnergy = BufferEnergy()
    """On-chip memories."""
    link: LinkEnergy = LinkEnergy()
    """Between accelerator and DRAM."""
    dram: DramEnergy = DramEnergy()
    """DRAM."""
    static: StaticPower = StaticPower()
    """Standing power."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The table for one machine.

    Units:   attojoules: `mac` each, `activate` each; `ifmap_*`, `filter_*`, `ofmap_*` (the memories that hold them), `marker_*`, `link`
             and `dram_*` per byte; `static` microwatts (attojoules per picosecond). `estimates`: what is not in the table itself.
    """

    mac: int
    ifmap_read: int
    ifmap_write: int
    filter_read: int
    filter_write: int
    ofmap_read: int
    ofmap_write: int
    marker_read: int
    marker_write: int
    link: int
    dram_read: int
    dram_write: int
    activate: int
    static: int
    estimates: tuple[str, ...]


def dram_energy(table: DramEnergy, technology: Memory | None) -> DramEnergy:
    """What the DRAM costs: by the table where that was written, else by the technology if it says so, else by the table's defaults."""
    return (stated(technology) if technology is not None and table == DramEnergy() else None) or table


def _of_dram(table: DramEnergy, technology: Memory | None) -> str:
    """Whose numbers a technology is priced with; empty for a DRAM that is none."""
    if technology is None:
        return ""
    dram = dram_energy(table, technology)
    own = dram == stated(technology)
    return f"byte, activate and standby of {technology.name}: " + ("as its own file says" if own else f"not its own, but of {dram.source}")


def prices(
    table: Energy,
    *,
    operand_bits: tuple[int, int],
    buffers: tuple[int, int, int],
    marker_memory: int,
    link: str,
    elements: int,
    technology: Memory | None = None,
) -> Prices:
    """Resolve the table for a machine.

    Units:   bits of ifmap and filter elements; bytes of the memories for ifmap, filter, ofmap (a unified one three times) and markers;
             `link` its kind; `elements` processing elements. `technology`: the DRAM's, where it is banked
    """
    widths = tuple((point.bits, point.energy) for point in table.mac.widths)
    reads, writes = (tuple((point.size, point.energy) for point in points) for points in (table.buffer.read, table.buffer.write))
    sizes = dict(zip(("ifmap", "filter", "ofmap", "marker"), (*buffers, marker_memory), strict=True))
    cost = {name: (interpolated(reads, size), interpolated(writes, size)) for name, size in sizes.items()}
    estimates = [_about(reads, size, f"memory of {format_bytes(size)}", "size") for size in dict.fromkeys(sizes.values())]
    width = math.sqrt(operand_bits[0] * operand_bits[1])
    estimates.append(_about(widths, width, f"MAC of {operand_bits[0]} x {operand_bits[1]} bit", "width"))
    estimates.append(_of_dram(table.dram, technology))
    dram = dram_energy(table.dram, technology)
    return Prices(
        mac=interpolated(widths, width, lone_power=2.0),
        **{f"{name}_{way}": energy for name, both in cost.items() for way, energy in zip(("read", "write"), both, strict=True)},
        link=table.link.pcie if link == "pcie" else table.link.bus,
        dram_read=dram.read,
        dram_write=dram.write,
        activate=dram.activate,
        static=table.static.pe * elements + table.static.rest + dram.background,
        estimates=tuple(text for text in estimates if text),
    )


def interpolated(points: Points, at: float, lone_power: float = 0.0) -> int:
    """Energy at a size or width, on the straight line through its neighbours on logarithmic axes, rounded to whole attojoules.

    `lone_power`: the exponent where there is but one point. Beyond the ends no line is steeper than the square. Where an end of a segment
    costs nothing, it is a straight line on plain axes.
    """
    known = dict(points)
    if at in known:
        return known[int(at)]
    if len(points) == 1:
        ((size, energy),) = points
        return round(energy * math.pow(at / size, lone_power))
    upper = next((index for index, (size, _) in enumerate(points) if size > at), len(points) - 1)
    (left, low), (right, high) = points[max(upper, 1) - 1], points[max(upper, 1)]
    if not low or not high:
        return max(0, round(low + (high - low) * (at - left) / (right - left)))
    power = math.log(high / low) / math.log(right / left)
    if at > right:
        return round(high * math.pow(at / right, min(power, 2.0)))
    return round(low * math.pow(at / left, min(power, 2.0) if at < left else power))


def _about(points: Points, at: float, what: str, unit: str) -> str:
    """How the price of something was found, where the table does not hold it; empty where it does."""
    known = [point for point, _ in points]
    if at in known:
        return ""
    if len(known) == 1:
        how = f"from the one known {unit}"
    elif known[0] < at < known[-1]:
        how = f"interpolated between known {unit}s"
    else:
        how = f"extrapolated beyond the known {unit}s"
    return f"{what}: {how}"
