"""One DRAM channel as those outside see it: accesses arrive, clocks are worked through, ends become known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

from accelsim.engines.banks import Banks
from accelsim.engines.dram.timing import READ, REFRESH, Timing

HIT, MISS, CONFLICT = "hits", "misses", "conflicts"
Pieces = tuple[tuple[int, int, int], ...]


@dataclass(eq=False)
class Access:
    """One burst. `kind`: READ or WRITE; `tag`: whose it is; `arrival`: clock."""

    kind: int
    bank: int
    row: int
    tag: int
    arrival: int


@dataclass(eq=False)
class Bank:
    """One bank: its open row, how many column commands that had, how the next access finds it, and the accesses queued for it, in order."""

    number: int
    row: int | None
    columns: int
    finds: str
    queue: list[Access]


@dataclass(frozen=True)
class End:
    """The end of an access has become known: the clock at which its data has passed (READ), or at which it was taken (WRITE)."""

    access: Access
    clock: int


def gathered(number: int, pieces: Pieces) -> int:
    """Bits of an access's number, as shift, mask and place of each piece."""
    return sum(((number >> shift) & mask) << place for shift, mask, place in pieces)


class Channel(ABC):
    """Accesses enter in order of arrival, at most one a clock, after all else of that clock; one without room holds up those behind it.

    `done`: all clocks before this one have been worked through. A channel for whose work nobody waits is left alone, and catches up later.
    """

    def __init__(self, banks: Banks) -> None:
        self.clocks = dict(banks.parameters)
        self.pieces = banks.bank_pieces
        self.timing = Timing(self.clocks)
        self.banks = [Bank(number, None, 0, HIT, []) for number in range(self.clocks["banks"])]
        self.arrivals: deque[Access] = deque()
        self.counts = dict.fromkeys(("reads", "writes", "activates", "refreshes", HIT, MISS, CONFLICT, "last_data"), 0)
        self.refresh_due = self.clocks["refresh_interval"]
        self.done = self.open = 0

    @abstractmethod
    def due(self) -> int | None:
        """The next clock at which something happens that somebody waits for; None if nobody waits."""

    @abstractmethod
    def work(self, clock: int) -> list[End]:
        """Do all that happens at the clock that is due; the ends that are known by that."""

    @abstractmethod
    def catch_up(self, clock: int) -> None:
        """Do all that happens before a clock while nothing arrives."""

    @abstractmethod
    def close(self, clock: int) -> dict[str, int]:
        """Nothing comes after a clock: write what is held, and tell what was counted; `last_data`: when the last data had passed."""

    def arrive(self, number: int, kind: int, tag: int, clock: int) -> None:
        """An access (address // burst) arrives at a clock that is not yet done."""
        if self.open == 0:
            self.catch_up(clock)
        self.arrivals.append(Access(kind, gathered(number, self.pieces), number >> self.clocks["row_shift"], tag, clock))
        self.open += 1

    def count(self, command: int, bank: Bank, clock: int) -> int:
        """Count a column command; the clock at which its data has passed."""
        kind = "read" if command == READ else "write"
        self.counts[f"{kind}s"] += 1
        self.counts[bank.finds] += 1
        bank.finds = HIT
        self.counts["last_data"] = clock + self.clocks[f"{kind}_latency"] + self.clocks["burst"]
        return self.counts["last_data"]

    def refreshed(self, clock: int) -> None:
        """All banks are closed, and are refreshed at a clock."""
        for bank in self.banks:
            self.timing.issue(bank.number, REFRESH, clock)
            bank.row, bank.finds = None, HIT
        self.counts["refreshes"] += 1
        self.refresh_due += self.clocks["refresh_interval"]

    def skip(self, clock: int) -> None:
        """Only refreshes happen before a clock: count all but the last ones, with nothing to close."""
        if all(bank.row is None for bank in self.banks):
            refreshes = max(0, (clock - self.refresh_due) // self.clocks["refresh_interval"] - 2)
            self.counts["refreshes"] += refreshes
            self.refresh_due += refreshes * self.clocks["refresh_interval"]
