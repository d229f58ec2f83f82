"""Every command that the controller issues against the distances of the standard, by a checker that shares nothing with the kernels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller as control
from accelsim.kernels.dram import state
from tests.strategies import technologies

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "configs/memory").glob("*.yaml"))
LONG_AGO = -(10**9)


def place(memory: Memory, burst: int) -> tuple[int, int]:
    """Bank and row of a burst, bit by bit as the mapping says; banks of one group are neighbours."""
    found: dict[str, int] = defaultdict(int)
    seen: dict[str, int] = defaultdict(int)
    for field in memory.mapping.split()[:-1]:
        name = field.rstrip("0123456789")
        for _ in range(int(field[len(name) :])):
            found[name] |= (burst & 1) << seen[name]
            seen[name] += 1
            burst >>= 1
    return found["bg"] * memory.banks + found["ba"], burst


class Checker:
    """The banks of one channel, command by command."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.t, self.burst = memory, memory.resolved, memory.burst_clocks
        self.rows: dict[int, int] = {}
        self.last: dict[tuple[str, int], int] = defaultdict(lambda: LONG_AGO)
        self.activates: list[tuple[int, int]] = []
        self.busy_until = self.refreshed = self.closed = LONG_AGO
        self.commands = self.refreshes = 0

    def near(self, one: int, other: int) -> str:
        """Whether a distance between two banks is the short one or the long one."""
        return "L" if one // self.memory.banks == other // self.memory.banks else "S"

    def activate(self, now: int, bank: int, row: int) -> None:
        t = self.t
        assert bank not in self.rows
        assert now >= self.last["pre", bank] + t["RP"]
        assert now >= self.last["act", bank] + t["RC"]
        assert now >= self.refreshed + t["RFC"]
        assert all(now >= time + t[f"RRD_{self.near(bank, other)}"] for time, other in self.activates)
        assert len(self.activates) < 4 or now >= self.activates[-4][0] + t["FAW"]
        self.activates.append((now, bank))
        self.rows[bank], self.last["act", bank] = row, now

    def precharge(self, now: int, bank: int) -> None:
        assert bank in self.rows
        assert now >= self.closable(bank)
        assert now >= self.closed + self.t["PPD"]
        del self.rows[bank]
        self.last["pre", bank] = self.closed = now

    def closable(self, bank: int) -> int:
        """When a row may be closed."""
        t, written = self.t, self.last["write", bank] + self.t["CWL"] + self.burst
        return max(self.last["act", bank] + t["RAS"], self.last["read", bank] + t["RTP"], written + t["WR"])

    def refresh(self, now: int) -> None:
        t = self.t
        for bank in range(self.memory.bank_groups * self.memory.banks):
            assert now >= (self.closable(bank) if bank in self.rows else self.last["pre", bank]) + t["RP"]
        self.refreshes += 1
        self.rows.clear()
        self.refreshed = now

    def column(self, now: int, kind: str, burst: int) -> None:
        t, (bank, row) = self.t, place(self.memory, burst)
        assert self.rows.get(bank) == row
        assert now >= self.last["act", bank] + t["RCD" if kind == "read" else "RCDWR"]
        for other in range(self.memory.bank_groups * self.memory.banks):
            near = self.near(bank, other)
            assert now >= self.last[kind, other] + t[f"CCD_{near}"]
            if kind == "read":
                assert now >= self.last["write", other] + t["CWL"] + self.burst + t[f"WTR_{near}"]
            else:
                assert now >= self.last["read", other] + t["CL"] + self.burst + t["RTRS"] - t["CWL"]
        data = now + t["CL" if kind == "read" else "CWL"]
        assert data >= self.busy_until
        self.busy_until, self.last[kind, bank] = data + self.burst, now


def watch(memory: Memory, bursts: list[int], kinds: list[int], pace: int) -> Checker:
    """Drive a channel and tell the checker of all that changes; precharges within a refresh are known by its time alone."""
    channel, checker = state.new_state(*packed(memory, state.PARAMETERS)), Checker(memory)
    banks = [state.BANK_AT + state.BANK_SIZE * bank for bank in range(memory.bank_groups * memory.banks)]
    sent, now, done = 0, 1, 0
    while done < len(bursts):
        if state.next_event(channel) <= now:
            before, refreshes = [int(channel[bank + state.OPEN_ROW]) for bank in banks], int(channel[state.REFRESHES])
            served = control.step(channel, now)
            after = [int(channel[bank + state.OPEN_ROW]) for bank in banks]
            changed = [bank for bank, row in enumerate(before) if row != after[bank]]
            if channel[state.REFRESHES] > refreshes:
                checker.refresh(int(channel[banks[0] + state.NOT_BEFORE_ACTIVATE]) - memory.resolved["RFC"])
                assert now >= checker.refreshes * memory.resolved["REFI"]
            else:
                assert len(changed) + (served != state.NONE) <= 1 + memory.dual_command
                if served != state.NONE:
                    tag = int(channel[served + state.TAG])
                    checker.column(now, "write" if kinds[tag] == state.WRITE else "read", bursts[tag])
                    done += 1
                for bank in changed:
                    if after[bank] == state.NONE:
                        checker.precharge(now, bank)
                    else:
                        checker.activate(now, bank, after[bank])
            checker.commands += len(changed) + (served != state.NONE)
        if sent < len(bursts) and state.room(channel, kinds[sent]) and now % pace == 0:
            control.admit(channel, now, bursts[sent], kinds[sent], sent)
            sent += 1
        if sent == len(bursts):
            control.flush(channel, now + 1)
        now += 1
    # The last one may be due and wait for banks that are to be closed.
    assert checker.refreshes >= now // memory.resolved["REFI"] - 1
    return checker


def requests(count: int, spread: int, run: int, writes: float, seed: int) -> tuple[list[int], list[int]]:
    """Runs of neighbouring bursts anywhere in `spread`, a part of them writes."""
    random = np.random.default_rng(seed)
    starts = np.repeat(random.integers(0, spread, -(-count // run)) * run, run)[:count]
    bursts = starts + np.arange(count) % run
    kinds = np.where(np.repeat(random.random(-(-count // run)) < writes, run)[:count], state.WRITE, state.READ)
    return bursts.tolist(), kinds.tolist()


streams = st.tuples(st.sampled_from([8, 200, 2**16]), st.sampled_from([1, 4, 32]), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 99))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("controller", ["dramsim3", "ramulator"])
@pytest.mark.parametrize("policy", ["open", "closed"])
@settings(max_examples=4, deadline=None)
@given(stream=streams, pace=st.sampled_from([1, 7]))
def test_commands_of_every_technology_keep_their_distances(name, controller, policy, stream, pace):
    override = [f"controller.preset={controller}", f"page_policy={policy}"]
    memory = load_memory(Path(__file__).parents[2] / "configs/memory" / f"{name}.yaml", override)
    assert watch(memory, *requests(150, *stream), pace).commands >= 150


@settings(max_examples=150, deadline=None)
@given(memory=technologies, stream=streams, pace=st.integers(1, 3))
def test_commands_of_any_technology_keep_their_distances(memory, stream, pace):
    watch(memory.alone, *requests(150, *stream), pace)
