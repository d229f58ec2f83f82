"""From when a DRAM command is allowed: the distances that JEDEC asks for, between commands that were issued and those that may be next."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

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

LONG_AGO = -(10**9)
"""When what was never issued was issued: no distance reaches from there to clock 0."""


class Timing:
    """The commands that a channel has issued, as far as they bear on the next.

    `last`: by BANK, GROUP and RANK, the number of that, and the command: when it was issued there; `activates`: the last four.
    Units:   clocks; `clocks`: parameters by name
    """

    def __init__(self, clocks: Mapping[str, int]) -> None:
        self.clocks = clocks
        self.last = [[[LONG_AGO] * 5 for _ in range(clocks["banks"])] for _ in (BANK, GROUP, RANK)]
        self.activates = deque([LONG_AGO] * 4, maxlen=4)
        self.rules: dict[int, list[tuple[int, int, int]]] = {command: [] for command in range(5)}
        for scope, before, after, name in DISTANCES:
            self.rules[after].append((scope, before, clocks[name]))

    def places(self, bank: int) -> tuple[list[int], list[int], list[int]]:
        """What was last issued where a command to a bank goes, by scope."""
        return self.last[BANK][bank], self.last[GROUP][bank // self.clocks["banks_per_group"]], self.last[RANK][0]

    def earliest(self, bank: int, command: int) -> int:
        """From which clock a bank may have a command."""
        places = self.places(bank)
        time = max(0, *(places[scope][before] + clocks for scope, before, clocks in self.rules[command]))
        return max(time, self.activates[0] + self.clocks["four_activates"]) if command == ACTIVATE else time

    def issue(self, bank: int, command: int, clock: int) -> None:
        """Note a command."""
        for place in self.places(bank):
            place[command] = clock
        if command == ACTIVATE:
            self.activates.append(clock)
