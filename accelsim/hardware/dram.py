"""The DRAM of a machine: a rate and a latency, or a technology with banks and rows."""

from __future__ import annotations

from typing import Annotated, Literal

from accelsim.configfile.schema import FromPath
from accelsim.hardware.memory import Memory
from accelsim.hardware.part import Part
from accelsim.units import BytesPerSecond, Picoseconds


class FlatDram(Part):
    """A DRAM without banks: `rate` shared by reads and writes, first come first served, then `latency` for a read."""

    kind: Literal["flat"]
    """Rate and latency alone."""
    rate: BytesPerSecond
    """Peak rate, shared by reads and writes."""
    latency: Picoseconds = 0
    """Time from request to first data of a read."""


class BankedDram(Part):
    """A DRAM of banks and rows at command level, with its controller and refresh."""

    kind: Literal["banked"]
    """Channels, banks and rows."""
    technology: Annotated[Memory, FromPath()]
    """Path of a memory file, or its content."""
    mode: Literal["full", "fast"] = "full"
    """`full`: the controller reorders requests; `fast`: they are served in order, a few operations each."""
    controller_latency: Picoseconds = 30_000
    """Time of a read in controller and PHY, beyond its commands and data."""

    @property
    def rate(self) -> int:
        """Bytes per second of the data buses of all channels."""
        return int(self.technology.peak_rate)

    @property
    def latency(self) -> int:
        """Time from request to last data of an unloaded read of a closed bank, picoseconds."""
        waits = self.technology.parameters()["arrival_to_command"] + self.technology.read_latency("closed")
        return waits * self.technology.tCK + self.controller_latency
