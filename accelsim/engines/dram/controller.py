"""A controller with a choice: first ready, first come, first served, over banks that have each a queue."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from accelsim.engines.banks import Banks
from accelsim.engines.dram.channel import CONFLICT, HIT, MISS, Access, Bank, Channel, End
from accelsim.engines.dram.timing import ACTIVATE, PRECHARGE, READ, REFRESH, WRITE


class Command(NamedTuple):
    """A command that a bank has a use for, from when it is allowed, and for which access (None: to close a row nobody waits for)."""

    bank: Bank
    kind: int
    clock: int
    access: Access | None

    @property
    def is_column(self) -> bool:
        """Whether it moves data."""
        return self.kind in (READ, WRITE)


class Controller(Channel):
    """One command a clock, or a column and a row command; refresh instead, when it is due.

    `last`: the bank that had the last command; `known`: the commands there is a use for, and `wake`: the clock of the next event;
    None where something has changed since they were looked for.
    """

    def __init__(self, banks: Banks) -> None:
        super().__init__(banks)
        self.last = self.banks[-1].number
        self.known: list[Command] | None = None
        self.wake: int | None = None

    @abstractmethod
    def served(self, bank: Bank) -> list[Access]:
        """The accesses of a bank's queue that may be served now."""

    @abstractmethod
    def best(self, commands: list[Command]) -> Command:
        """Which of several commands that are allowed at the same clock is issued."""

    @abstractmethod
    def room(self, access: Access) -> bool:
        """Whether there is room for an access."""

    @abstractmethod
    def enter(self, access: Access) -> None:
        """Take an access, for which there is room."""

    @abstractmethod
    def flush(self) -> None:
        """Begin to write what is held, however little."""

    def due(self) -> int | None:
        """The clock of the next event, or of the first arrival if there is room for it."""
        if self.open == 0:
            return None
        event = self.event()
        return max(self.done, min(event, self.arrivals[0].arrival) if self.arrivals and self.room(self.arrivals[0]) else event)

    def work(self, clock: int) -> list[End]:
        """What the controller has to do, then one arrival; a write ends by being taken."""
        end = self.step(clock) if self.event() <= clock else None
        ends = [end] if end else []
        if self.arrivals and self.arrivals[0].arrival <= clock and self.room(self.arrivals[0]):
            access = self.arrivals.popleft()
            self.enter(access)
            self.wake = None
            ends += [End(access, clock)] if access.kind == WRITE else []
        self.done = clock + 1
        self.open -= len(ends)
        return ends

    def pass_clock(self, clock: int) -> None:
        """Have the controller do what it has to do at a clock at which nothing arrives and for which nobody waits."""
        self.step(clock)
        self.done = clock + 1

    def catch_up(self, clock: int) -> None:
        """Event by event."""
        while (now := max(self.event(), self.done)) < clock:
            self.pass_clock(now)
            if self.idle:
                self.skip(clock)
                self.wake = None

    def close(self, clock: int) -> dict[str, int]:
        """Work on until nothing is left."""
        self.catch_up(clock)
        self.flush()
        self.changed()
        self.pass_clock(max(clock, self.done))
        while not self.idle:
            self.pass_clock(max(self.event(), self.done))
        return self.counts

    @property
    def idle(self) -> bool:
        """Whether nothing but refresh would ever happen without a new arrival."""
        return self.next_event() is None

    def event(self) -> int:
        """The next clock at which there is something to do."""
        if self.wake is None:
            event = self.next_event()
            self.wake = self.refresh_due if event is None else min(event, self.refresh_due)
        return self.wake

    def changed(self) -> None:
        """A queue or a row is not what it was."""
        self.known = self.wake = None

    def next_event(self) -> int | None:
        """The clock of the next command."""
        return min((command.clock for command in self.commands()), default=None)

    def commands(self) -> list[Command]:
        """All commands for which there is a use."""
        if self.known is None:
            self.known = [
                Command(bank, kind, self.timing.earliest(bank.number, kind), access)
                for bank in self.banks
                if bank.queue or self.clocks["closed_page"]
                for kind, access in self.wishes(bank)
            ]
        return self.known

    def wishes(self, bank: Bank) -> list[tuple[int, Access | None]]:
        """The commands that a bank has a use for, and the accesses for which. Without any in the queue, only a closed page policy asks.

        Hits are served first; a row stays open until none is left, or until it had so many that an older access to another row may have
        its turn.
        """
        queue = self.served(bank)
        if bank.row is None:
            return [(ACTIVATE, queue[0])] if queue else []
        if not bank.queue:
            return [(PRECHARGE, None)]
        hits = [access for access in queue if access.row == bank.row]
        firsts = [next((access for access in hits if access.kind == kind), None) for kind in (READ, WRITE)]
        found: list[tuple[int, Access | None]] = [(access.kind, access) for access in firsts if access]
        if queue and queue[0].row != bank.row and (not hits or bank.columns >= self.clocks["hit_cap"]):
            found.append((PRECHARGE, queue[0]))
        return found

    def turn(self, command: Command) -> int:
        """How far a command's bank is in turn after the last one."""
        return (command.bank.number - self.last - 1) % len(self.banks)

    def step(self, clock: int) -> End | None:
        """Refresh, or issue one command, or one of each sort."""
        if clock >= self.refresh_due:
            self.refresh(clock)
            return None
        first, end = self.issue_best(clock, (True, False))
        if first is not None and self.clocks["dual_command"]:
            _, other = self.issue_best(clock, (not first.is_column,))
            end = end or other
        return end

    def issue_best(self, clock: int, sorts: tuple[bool, ...]) -> tuple[Command | None, End | None]:
        """Issue the best command of some sorts (columns: True) that is allowed at a clock; that, and the end that it makes known."""
        allowed = [command for command in self.commands() if command.clock <= clock and command.is_column in sorts]
        if not allowed:
            return None, None
        command = self.best(allowed)
        return command, self.issue(command, clock)

    def issue(self, command: Command, clock: int) -> End | None:
        """Issue a command; the end of a read is known by that."""
        bank, access = command.bank, command.access
        self.changed()
        self.timing.issue(bank.number, command.kind, clock)
        self.last = bank.number
        if command.kind == PRECHARGE:
            bank.row, bank.finds = None, CONFLICT if bank.queue else HIT
            return None
        assert access is not None  # only to close a row none is needed
        if command.kind == ACTIVATE:
            bank.row, bank.columns = access.row, 0
            bank.finds = MISS if bank.finds == HIT else bank.finds
            self.counts["activates"] += 1
            return None
        bank.queue.remove(access)
        bank.columns += 1
        end = End(access, self.count(command.kind, bank, clock))
        self.left(access)
        return end if command.kind == READ else None

    def left(self, access: Access) -> None:
        """An access has left its bank's queue."""

    def refresh(self, clock: int) -> None:
        """Close every bank, one a clock as soon as each may, then refresh them all."""
        self.changed()
        while opened := [bank for bank in self.banks if bank.row is not None]:
            times = {bank.number: max(clock, self.timing.earliest(bank.number, PRECHARGE)) for bank in opened}
            bank = min(opened, key=lambda bank: times[bank.number])
            clock = times[bank.number]
            self.timing.issue(bank.number, PRECHARGE, clock)
            bank.row = None
            clock += 1
        self.refreshed(max(clock, *(self.timing.earliest(bank.number, REFRESH) for bank in self.banks)))
