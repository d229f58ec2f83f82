"""Requests of the DMA engine: cut into accesses, served by channels clock by clock, ended in an order of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.banks import Banks
from accelsim.engines.dram.channel import Channel, gathered
from accelsim.engines.dram.inorder import InOrder
from accelsim.engines.dram.staged import Staged
from accelsim.engines.dram.strict import Strict
from accelsim.schedule.tables import READ
from accelsim.timeline import DRAM_COUNTS

Int = NDArray[np.int64]


def new_channel(banks: Banks) -> Channel:
    """An idle channel at clock 0."""
    if banks.in_order:
        return InOrder(banks)
    return Strict(banks) if banks.strict else Staged(banks)


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
        clock: Clock,
        deliver: Callable[[AnyRequest], None],
        arrived: Callable[[AnyRequest], None],
    ) -> None:
        self.banks, self.clock, self.deliver, self.arrived = banks, clock, deliver, arrived
        self.channels = [new_channel(banks) for _ in range(banks.channels)]
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
            self.channel(access).arrive(access, request.direction, number, clock)
        for channel in dict.fromkeys(map(self.channel, range(low, low + count))):
            self.plan(channel)

    def channel(self, access: int) -> Channel:
        """The channel of an access, by its number (address // burst)."""
        return self.channels[gathered(access, self.banks.channel_pieces)]

    def plan(self, channel: Channel) -> None:
        """Have a channel work at its next clock, after all that can arrive by then."""
        clock = channel.due()
        if clock is not None:
            self.clock.call(max(self.clock.time, clock * self.banks.clock), lambda: self.work(channel, clock), last=True)

    def work(self, channel: Channel, clock: int) -> None:
        """One clock of a channel, unless it was planned anew."""
        if channel.due() != clock:
            return
        for end in channel.work(clock):
            if end.access.kind == READ:
                self.ended(end.access.tag, end.clock * self.banks.clock + self.banks.latency)
            else:
                self.ended(end.access.tag, (end.clock + 1) * self.banks.clock)
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
        counts = [channel.close(-(-end // self.banks.clock)) for channel in self.channels]
        self.busy = self.banks.bus_time(sum(count["reads"] + count["writes"] for count in counts))
        table = [[count[name] for name in DRAM_COUNTS] for count in counts]
        return np.array(table, np.int64) * np.where(np.array(DRAM_COUNTS) == "last_data", self.banks.clock, 1)
