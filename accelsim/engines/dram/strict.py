"""The strict controller (as in Ramulator 2): it sees all accesses at once, but serves only reads or only writes, between two watermarks."""

from __future__ import annotations

from accelsim.engines.banks import Banks
from accelsim.engines.dram.channel import Access, Bank
from accelsim.engines.dram.controller import Command, Controller
from accelsim.engines.dram.timing import READ, WRITE


class Strict(Controller):
    """`serving`: READ or WRITE; `held`: how many of each the controller has; `order`: the place of an access among all that came."""

    def __init__(self, banks: Banks) -> None:
        super().__init__(banks)
        self.serving = READ
        self.held = {READ: 0, WRITE: 0}
        self.order: dict[Access, int] = {}
        self.came = 0

    def room(self, access: Access) -> bool:
        """There is while few enough of its kind are held."""
        return self.held[access.kind] < self.clocks["read_queue" if access.kind == READ else "write_queue"]

    def enter(self, access: Access) -> None:
        """Queue an access."""
        self.banks[access.bank].queue.append(access)
        self.order[access] = self.came
        self.came += 1
        self.held[access.kind] += 1
        self.change_over()

    def served(self, bank: Bank) -> list[Access]:
        """Those of the kind that is served now."""
        return [access for access in bank.queue if access.kind == self.serving]

    def best(self, commands: list[Command]) -> Command:
        """A column before a row command, and then that of the oldest access; rows nobody waits for are closed last, in turn."""

        def rank(command: Command) -> tuple[bool, bool, int]:
            access = command.access
            return not command.is_column, access is None, self.turn(command) if access is None else self.order[access]

        return min(commands, key=rank)

    def left(self, access: Access) -> None:
        """One less is held."""
        self.held[access.kind] -= 1
        del self.order[access]
        self.change_over()

    def change_over(self) -> None:
        """Serve writes from `high` of them on, or while there is no read; reads again from `low` writes on."""
        self.changed()
        reads, writes = self.held[READ], self.held[WRITE]
        if self.serving == READ:
            if writes >= self.clocks["high"] or (reads == 0 and writes > 0):
                self.serving = WRITE
        elif writes <= self.clocks["low"] and reads > 0:
            self.serving = READ

    def flush(self) -> None:
        """Nothing is held back."""
