"""The decoders and encoders between buffer and DMA engine, one a DMA channel: the meaning of `Schedule.codecs`."""

from __future__ import annotations

import numpy as np

from accelsim.engines.machine import Machine
from accelsim.engines.stalls import columns
from accelsim.schedule.tables import WRITE, Codecs, Schedule


class Codec:
    """What each channel's codec has done, and when it will be done with a transfer.

    A channel's decoder takes reads in the order in which their last byte arrives, its encoder takes writes in the order of the queue.
    Units:   times are ps
    """

    def __init__(self, schedule: Schedule, machine: Machine) -> None:
        transfers = schedule.transfers
        table = columns(schedule.codecs or Codecs(*np.zeros((2, transfers.tile.size), np.int64)))
        moves = (transfers.descriptor_high > transfers.descriptor_low).tolist()
        self.cycles, self.latency = (
            [int(number * machine.period * moved) for number, moved in zip(table[name], moves, strict=True)]
            for name in ("cycles", "latency")
        )
        self.channel = list(zip(transfers.direction.tolist(), transfers.channel.tolist(), strict=True))
        self.first: dict[int, int] = {}
        self.encoded: dict[int, int] = {}
        self.free: dict[tuple[int, int], int] = {}

    def arrived(self, x: int, now: int) -> None:
        """Data of read `x` is there."""
        self.first.setdefault(x, now)

    def encode(self, x: int, now: int) -> int:
        """Write `x` may start; when its first byte is encoded."""
        if self.cycles[x] + self.latency[x] == 0:
            return now
        begun = max(now, self.free.get(self.channel[x], 0))
        self.free[self.channel[x]] = begun + self.cycles[x]
        self.encoded[x] = begun + self.cycles[x] + self.latency[x]
        return begun + self.latency[x]

    def done(self, x: int, now: int) -> int:
        """The last request of transfer `x` has ended; when its last byte is decoded, or encoded."""
        if self.channel[x][0] == WRITE or self.cycles[x] + self.latency[x] == 0:
            return max(now, self.encoded.get(x, 0))
        begun = max(self.first[x], self.free.get(self.channel[x], 0))
        self.free[self.channel[x]] = max(now, begun + self.cycles[x])
        return self.free[self.channel[x]] + self.latency[x]
