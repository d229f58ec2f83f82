"""The staged controller (as in DRAMsim3): accesses wait in a read and a write queue; one a clock moves to its bank's short queue.

In a bank's queue reads and writes mix. Writes move in batches: as many as wait when there are `high` of them, or more than `low` while
no bank's queue holds anything; reads wait meanwhile.
"""

from __future__ import annotations

from accelsim.engines.banks import Banks
from accelsim.engines.dram.channel import Access, Bank, End
from accelsim.engines.dram.controller import Command, Controller
from accelsim.engines.dram.timing import READ, WRITE


class Staged(Controller):
    """`waiting`: by READ and WRITE, those that no bank's queue has taken; `batch`: writes to be moved before reads are again."""

    def __init__(self, banks: Banks) -> None:
        super().__init__(banks)
        self.waiting: dict[int, list[Access]] = {READ: [], WRITE: []}
        self.batch = 0

    def room(self, access: Access) -> bool:
        """There is while few enough of its kind wait."""
        return len(self.waiting[access.kind]) < self.clocks["read_queue" if access.kind == READ else "write_queue"]

    def enter(self, access: Access) -> None:
        """Have an access wait."""
        self.waiting[access.kind].append(access)

    def served(self, bank: Bank) -> list[Access]:
        """All that the bank's queue holds."""
        return bank.queue

    def best(self, commands: list[Command]) -> Command:
        """The next bank's in turn; of one bank's a row command before a column, and the column of the access that joined first."""

        def rank(command: Command) -> tuple[int, bool, int]:
            place = command.bank.queue.index(command.access) if command.access in command.bank.queue else 0
            return self.turn(command), command.is_column, place

        return min(commands, key=rank)

    def next_event(self) -> int | None:
        """The clock of the next command; at once, if there is something to move."""
        return 0 if self.batch_begins() or self.movable() else super().next_event()

    def step(self, clock: int) -> End | None:
        """Commands, then one move."""
        end = super().step(clock)
        if self.batch_begins():
            self.batch, self.wake = len(self.waiting[WRITE]), None
        if access := self.movable():
            self.waiting[access.kind].remove(access)
            self.banks[access.bank].queue.append(access)
            self.changed()
            self.batch -= access.kind == WRITE
        return end

    def batch_begins(self) -> bool:
        """Whether it is time for a batch of writes."""
        writes = len(self.waiting[WRITE])
        queued = any(bank.queue for bank in self.banks)
        return self.batch == 0 and writes > self.clocks["low"] and (writes >= self.clocks["high"] or not queued)

    def movable(self) -> Access | None:
        """The oldest access, of the kind that is moved now, whose bank's queue has room."""
        waiting = self.waiting[WRITE if self.batch else READ]
        return next((access for access in waiting if len(self.banks[access.bank].queue) < self.clocks["bank_queue"]), None)

    def flush(self) -> None:
        """All writes are one batch."""
        self.batch = len(self.waiting[WRITE])
