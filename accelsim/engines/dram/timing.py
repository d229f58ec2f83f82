"""From when a DRAM command is allowed: the distances that JEDEC asks for, between commands that were issued and those that may be next."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

READ, WRITE, ACTIVATE, PRECHARGE, REFRESH = range(5)
BANK, GROUP, RANK = range(3)

DISTANCES = (
    (BANK, ACTIVATE, READ, "activate_to_read"),
    (BANK, ACTIVATE, WRITE, "activate_to_write"),
    (BANK, ACTIVATE, PRECHARGE, "activate_to_precharge"),
    (BANK, ACTIVATE, ACTIVATE, "activate_to_activate"),
    (BANK, ACTIVATE, REFRESH, "activate_to_activate"),
    (BANK, PRECHARGE, ACTIVATE, "precharge_to_activate"),
    (BANK, PRECHARGE, REFRESH, "precharge_to_activate"),
    (BANK, READ, PRECHARGE, "read_to_precharge"),
    (BANK, WRITE, PRECHARGE, "write_to_precharge"),
    (GROUP, READ, READ, "column_long"),
    (GROUP, WRITE, WRITE, "column_long"),
    (GROUP, WRITE, READ, "write_to_read_long"),
    (GROUP, ACTIVATE, ACTIVATE, "activate_long"),
    (RANK, READ, READ, "column_short"),
    (RANK, WRITE, WRITE, "column_short"),
    (RANK, READ, WRITE, "read_to_write"),
    (RANK, WRITE, READ, "write_to_read_short"),
    (RANK, ACTIVATE, ACTIVATE, "activate_short"),
    (RANK, PRECHARGE, PRECHARGE, "precharge_to_precharge"),
    (RANK, REFRESH, ACTIVATE, "refresh_time"),
    (RANK, REFRESH, REFRESH, "refresh_time"),
)
"""Where both commands go (the same bank, bank group, or anywhere), the earlier one, the later one, and the clocks between them."""

Place = tuple[int, int]
"""BANK, GROUP or RANK, and its number."""


@dataclass
class Timing:
    """The commands that a channel has issued, as far as they bear on the next.

    Units:   `clocks`: parameters by name
    """

    clocks: Mapping[str, int]
    last: dict[tuple[Place, int], int] = field(default_factory=dict)
    activates: deque[int] = field(default_factory=lambda: deque(maxlen=4))

    def __post_init__(self) -> None:
        self.rules: dict[int, list[tuple[int, int, int]]] = {command: [] for command in range(5)}
        for scope, before, after, name in DISTANCES:
            self.rules[after].append((scope, before, self.clocks[name]))

    def places(self, bank: int) -> tuple[Place, Place, Place]:
        """Where a command to a bank goes, by scope."""
        return (BANK, bank), (GROUP, bank // self.clocks["banks_per_group"]), (RANK, 0)

    def earliest(self, bank: int, command: int) -> int:
        """From which clock a bank may have a command."""
        places, last = self.places(bank), self.last
        times = [last[places[scope], one] + clocks for scope, one, clocks in self.rules[command] if (places[scope], one) in last]
        if command == ACTIVATE and len(self.activates) == 4:
            times.append(self.activates[0] + self.clocks["four_activates"])
        return max(times, default=0)

    def issue(self, bank: int, command: int, clock: int) -> None:
        """Note a command."""
        for place in self.places(bank):
            self.last[place, command] = clock
        if command == ACTIVATE:
            self.activates.append(clock)
