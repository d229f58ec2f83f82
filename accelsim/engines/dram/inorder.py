"""The channel of `mode: fast`: column commands strictly in order of arrival; rows are opened as soon as an access has come and may.

Writes are posted: they are held until there are `write_queue` of them, and are then written one after another. A write has its place
again when its column command has been issued.
"""

from __future__ import annotations

from accelsim.engines.banks import Banks
from accelsim.engines.dram.channel import CONFLICT, MISS, Access, Channel, End
from accelsim.engines.dram.timing import ACTIVATE, PRECHARGE, READ, REFRESH, WRITE


class InOrder(Channel):
    """`held`: writes that are not yet written; `written`: the clocks at which those before them were, whose places they take."""

    def __init__(self, banks: Banks) -> None:
        super().__init__(banks)
        self.held: list[Access] = []
        self.written: list[int] = []

    def due(self) -> int | None:
        """When the first access has come, and a write finds a place."""
        if not self.arrivals:
            return None
        access = self.arrivals[0]
        room = self.written[len(self.held)] if access.kind == WRITE and self.written else 0
        return max(access.arrival, self.done, room)

    def work(self, clock: int) -> list[End]:
        """Read, or hold a write."""
        access = self.arrivals.popleft()
        self.open -= 1
        self.done = clock + 1
        if access.kind == READ:
            return [End(access, self.serve(access, clock))]
        self.held.append(access)
        if len(self.held) == self.clocks["write_queue"]:
            self.flush(clock)
        return [End(access, clock)]

    def flush(self, clock: int) -> None:
        """Write what is held."""
        passed = [self.serve(access, clock) for access in self.held]
        self.written = [end - self.clocks["write_latency"] - self.clocks["burst"] for end in passed]
        self.held = []

    def serve(self, access: Access, clock: int) -> int:
        """Have the data of an access pass after that of all before it, and refresh first where it must; the clock at which it has."""
        bank, first = self.banks[access.bank], clock + self.clocks["arrival_to_command"]
        while True:
            column = max(first, self.timing.earliest(bank.number, access.kind))
            opened = None
            if bank.row != access.row:
                opened = max(first, self.timing.earliest(bank.number, ACTIVATE))
                if bank.row is not None:
                    closed = max(first, self.timing.earliest(bank.number, PRECHARGE))
                    opened = max(opened, closed + self.clocks["precharge_to_activate"])
                to_column = self.clocks["activate_to_read" if access.kind == READ else "activate_to_write"]
                column = max(column, opened + to_column)
            if column < self.refresh_due:
                break
            self.refresh()
        if opened is not None:
            bank.finds = MISS if bank.row is None else CONFLICT
            bank.row = access.row
            self.timing.issue(bank.number, ACTIVATE, opened)
            self.counts["activates"] += 1
        self.timing.issue(bank.number, access.kind, column)
        return self.count(access.kind, bank, column)

    def refresh(self) -> None:
        """Close all banks as soon as each may, then refresh them."""
        clock = self.refresh_due
        for bank in self.banks:
            if bank.row is not None:
                closed = max(self.refresh_due, self.timing.earliest(bank.number, PRECHARGE))
                clock = max(clock, closed + self.clocks["precharge_to_activate"])
            clock = max(clock, self.timing.earliest(bank.number, REFRESH))
        self.refreshed(clock)

    def catch_up(self, clock: int) -> None:
        """Nothing but refresh happens by itself."""
        while self.refresh_due < clock:
            self.refresh()
            self.skip(clock)

    def close(self, clock: int) -> dict[str, int]:
        """Refresh up to the end, then write what is held."""
        self.catch_up(clock)
        self.flush(max(clock, self.done))
        return self.counts
