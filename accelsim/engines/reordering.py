"""The DRAM of banks in the readable engine: requests are cut into accesses, channels work clock by clock, ends come in their own order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.banks import Banks
from accelsim.kernels.dram.front import arrive, due, tick
from accelsim.kernels.dram.state import NEVER, NONE
from accelsim.schedule.tables import READ

Int = NDArray[np.int64]


class Request(Protocol):
    """What a DRAM needs to know of a request. Units: bytes."""

    direction: int
    address: int
    size: int


AnyRequest = TypeVar("AnyRequest", bound=Request)


class Clock(Protocol):
    """Who knows the time, ps, and does things later."""

    @property
    def time(self) -> int:
        """Now."""

    def call(self, time: int, action: Callable[[], None], last: bool = False) -> None:
        """Do something at `time`, or `last` of all that happens then."""


@dataclass
class Open(Generic[AnyRequest]):
    """A request whose last access has not ended: how many have not, and the latest end of those that have."""

    request: AnyRequest
    left: int
    end: int = 0


class BankedDram(Generic[AnyRequest]):
    """Takes requests in order, gives reads to `deliver` and writes to `arrived` in the order of their ends.

    Ties of reads go in the order of arrival, which is that of the grants.
    """

    def __init__(
        self,
        banks: Banks,
        in_flight: int,
        clock: Clock,
        deliver: Callable[[AnyRequest], None],
        arrived: Callable[[AnyRequest], None],
    ) -> None:
        self.banks, self.clock, self.deliver, self.arrived = banks, clock, deliver, arrived
        self.states, self.fronts = banks.new_channels(in_flight)
        self.open: dict[int, Open[AnyRequest]] = {}
        self.ready: list[tuple[int, int]] = []
        self.accepted = self.busy = 0

    def accept(self, request: AnyRequest) -> None:
        """Have every access of a request arrive at its channel, at the first clock from now on."""
        number, clock = self.accepted, -(-self.clock.time // self.banks.clock)
        self.accepted += 1
        low, count = request.address // self.banks.burst, request.size // self.banks.burst
        self.open[number] = Open(request, count)
        for access in range(low, low + count):
            channel = self.banks.channel(access)
            arrive(self.states[channel], self.fronts[channel], clock, access, 1, request.direction, number)
            self.plan(channel)

    def plan(self, channel: int) -> None:
        """Have a channel work at its next clock, after all that can arrive by then."""
        clock = due(self.fronts[channel])
        if clock < NEVER:
            self.clock.call(max(self.clock.time, clock * self.banks.clock), lambda: self.work(channel, clock), last=True)

    def work(self, channel: int, clock: int) -> None:
        """One clock of a channel, unless it was planned anew."""
        if due(self.fronts[channel]) != clock:
            return
        taken, read, end = tick(self.states[channel], self.fronts[channel])
        if taken != NONE:
            self.ended(taken, (clock + 1) * self.banks.clock)
        if read != NONE:
            self.ended(read, end * self.banks.clock + self.banks.latency)
        self.plan(channel)

    def ended(self, number: int, time: int) -> None:
        """An access of a request ends at `time`; with the last one, the request does."""
        job = self.open[number]
        job.left -= 1
        job.end = max(job.end, time)
        if job.left:
            return
        if job.request.direction == READ:
            heappush(self.ready, (job.end, number))
            self.clock.call(job.end, self.hand_over)
        else:
            request = self.open.pop(number).request
            self.clock.call(job.end, lambda: self.arrived(request))

    def hand_over(self) -> None:
        """Give away the reads whose data is there."""
        while self.ready and self.ready[0][0] <= self.clock.time:
            self.deliver(self.open.pop(heappop(self.ready)[1]).request)

    def close(self, end: int) -> Int:
        """What the channels have done once they have written all they hold: `DRAM_COUNTS`."""
        counts = self.banks.close(self.states, self.fronts, end)
        self.busy = self.banks.bus_time(int(counts[:, :2].sum()))
        return counts
