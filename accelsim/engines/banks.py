"""A DRAM of banks as the engines see it: integers, the states of its channels, and what these have counted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError
from accelsim.kernels.dram import front, inorder, state
from accelsim.timeline import DRAM_COUNTS

if TYPE_CHECKING:
    from accelsim.hardware.dram import BankedDram

Int = NDArray[np.int64]

MOST_IN_FLIGHT = 1 << 18
"""Accesses under way at a time, over all DMA channels: more do not fit a sensible state."""


@dataclass(frozen=True)
class Banks:
    """A technology and its controller, resolved; the time of day is picoseconds, inside the DRAM it is clocks.

    A request reaches the DRAM at the first clock at or after its arrival. A read has its data `latency` after its last access has passed
    the bus. A write is posted: it has ended one clock after its last access was taken by the controller, which holds it until it suits.

    Units:   `clock`, `latency` ps; `burst` bytes of an access; `parameters` by the names of the kernels, clocks and counts; `bank_pieces`,
             `channel_pieces` shift, mask, place of bits of the access's number
    """

    clock: int
    burst: int
    channels: int
    latency: int
    in_order: bool
    parameters: tuple[tuple[str, int], ...]
    bank_pieces: tuple[tuple[int, int, int], ...]
    channel_pieces: tuple[tuple[int, int, int], ...]

    def new_channels(self, in_flight: int) -> tuple[Int, Int]:
        """Idle channels and their empty fronts, for so many accesses at once: int64 [channels, ...] both."""
        gate = front.new_front(front.IN_ORDER if self.in_order else front.FULL, in_flight)
        return np.repeat(idle(self)[None], self.channels, axis=0), np.repeat(gate[None], self.channels, axis=0)

    def close(self, states: Int, fronts: Int, end: int) -> Int:
        """Have every channel write what it holds at the end of the replay, ps; what each has done: `DRAM_COUNTS`, int64 [channels, 8]."""
        layout = inorder if self.in_order else state
        names = [name.upper() for name in DRAM_COUNTS[:-1]]
        for one, gate in zip(states, fronts, strict=True):
            front.close(one, gate, -(-end // self.clock))
        counted = [[*(int(one[getattr(layout, name)]) for name in names), int(one[layout.LAST_DATA]) * self.clock] for one in states]
        return np.array(counted, np.int64)

    def bus_time(self, accesses: int) -> int:
        """Picoseconds for which so many accesses, evenly over the channels, occupy the data buses, rounded up."""
        return -(-accesses * self.burst_time // self.channels)

    @property
    def strict(self) -> bool:
        """Whether the controller of a channel that is not in order is the strict one."""
        return dict(self.parameters)["controller"] == state.STRICT

    @property
    def burst_time(self) -> int:
        """Picoseconds for which one access occupies its data bus."""
        return dict(self.parameters)["burst"] * self.clock

    def longest(self, accesses: int, requests: int, refreshes: int) -> int:
        """No less than all of these take one after another, ps: every access finds another row, and the bus going the other way."""
        clocks = dict(self.parameters)
        between = ("activate_to_activate", "precharge_to_activate", "activate_to_read", "read_latency", "write_latency", "burst",
                   "write_to_precharge", "read_to_write", "write_to_read_long", "four_activates", "column_long")  # fmt: skip
        access = sum(clocks[name] for name in between) + 8
        refresh = clocks["refresh_time"] + 2 * access + 2 * clocks["banks"]
        return (accesses * access + 2 * requests + refreshes * refresh) * self.clock + requests * self.latency


@lru_cache(16)
def idle(banks: Banks) -> Int:
    """The state of one channel at clock 0; not to be written."""
    layout, values = inorder if banks.in_order else state, dict(banks.parameters)
    one: Int = layout.new_state(np.array([values[name] for name in layout.PARAMETERS], np.int64), pieces(banks.bank_pieces))
    return one


def pieces(of: tuple[tuple[int, int, int], ...]) -> Int:
    """As the kernels take them: int64 [pieces, 3]."""
    return np.array(of, np.int64).reshape(-1, 3)


def resolve(dram: BankedDram, in_flight: int) -> Banks:
    """The engine's view of a DRAM.

    Raises:  ConfigError where the DMA engine may have more accesses in flight than can be simulated
    """
    memory = dram.technology
    if in_flight > MOST_IN_FLIGHT:
        raise ConfigError(
            f"dma.outstanding_requests: {in_flight:,} DRAM accesses may be in flight, at most {MOST_IN_FLIGHT:,} are allowed\n"
            "    make dma.outstanding_requests or dma.burst smaller"
        )
    parts = memory.pieces()
    return Banks(
        clock=memory.tCK,
        burst=memory.burst,
        channels=memory.channels,
        latency=dram.controller_latency,
        in_order=dram.mode == "fast",
        parameters=tuple(memory.parameters().items()),
        bank_pieces=parts["bank"],
        channel_pieces=parts["channel"],
    )
