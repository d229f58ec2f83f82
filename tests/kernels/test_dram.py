"""The DRAM channel: every timing blocks at n - 1 and lets pass at n, nothing is lost, and formulas hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.memory import Memory, load_memory, packed
from accelsim.kernels.dram import controller as control
from accelsim.kernels.dram import driver, inorder, state

READ, WRITE = state.READ, state.WRITE
FOLDER = Path(__file__).parents[2] / "configs/memory"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ARRIVAL = {"dramsim3": 2, "ramulator": 1}
"""Clocks from arrival to the first command."""
# column 7, bank group 2, bank 2, row, lowest bits first
COLUMN, GROUP, BANK, ROW = 1, 1 << 7, 1 << 9, 1 << 11


def ddr4(controller: str = "dramsim3", **timing: int) -> Memory:
    """DDR4-2400 with a page contiguous in one bank, other timings, writes that go at once, and no refresh in the way."""
    changes = {"nREFI": 1_000_000, "nCL": 20, "nCWL": 16, **timing}
    control = [f"controller.preset={controller}", "controller.low=0"]
    return load_memory(FOLDER / "ddr4_2400_row.yaml", [*control, *(f"timing.{name}={value}" for name, value in changes.items())])


def stepped(channel, now: int) -> tuple[int, int, int] | None:
    """Have the controller work; tag, kind and arrival of the request whose column command that was."""
    e = control.step(channel, now)
    return None if e == state.NONE else tuple(int(channel[e + field]) for field in (state.TAG, state.KIND, state.ARRIVAL))


def served(memory: Memory, requests: Sequence[tuple[int, int, int]]) -> list[int]:
    """When the data of each request (clock, burst, kind) has passed the bus."""
    channel = state.new_state(*packed(memory, state.PARAMETERS))
    done, pending, now = [0] * len(requests), list(enumerate(requests)), 0
    while True:
        if state.next_event(channel) <= now:
            request = stepped(channel, now)
            if request:
                tag, kind, arrival = request
                assert (kind, arrival) == (requests[tag][2], requests[tag][0])
                (done[tag],) = named(channel, "LAST_DATA")
        while pending and pending[0][1][0] <= now:
            tag, (_, burst, kind) = pending.pop(0)
            assert state.room(channel, kind)
            control.admit(channel, now, burst, kind, tag)
        if not pending and state.idle(channel):
            break
        now = min([state.next_event(channel), *(request[0] for _, request in pending[:1])])
    return done


@pytest.mark.parametrize("controller", ARRIVAL)
class TestUnloadedLatency:
    def test_of_a_closed_bank_is_rcd_cl_and_the_burst(self, controller):
        assert served(ddr4(controller), [(5, 0, READ)]) == [5 + ARRIVAL[controller] + 17 + 20 + 4]

    def test_of_a_hit_is_cl_and_the_burst(self, controller):
        assert served(ddr4(controller), [(5, 0, READ), (200, 1, READ)])[1] == 200 + ARRIVAL[controller] + 20 + 4

    def test_of_a_conflict_adds_rp(self, controller):
        assert served(ddr4(controller), [(5, 0, READ), (200, ROW, READ)])[1] == 200 + ARRIVAL[controller] + 17 + 17 + 20 + 4


def opened(*bursts: int) -> list[tuple[int, int, int]]:
    """Open the rows of these bursts long before."""
    return [(1 + 100 * k, burst, READ) for k, burst in enumerate(bursts)]


def gap(memory: Memory, requests: list[tuple[int, int, int]]) -> int:
    """Clocks between the data of the last two requests."""
    done = served(memory, requests)
    return done[-1] - done[-2]


# What two requests in a row have to keep apart: a value, the requests, the distance of their data by formula.
# CL 20, CWL 16, burst 4, RCD = RP = 17, RAS 39; the second request arrives one clock after the first.
CASES = {
    "CCD_L": (6, [*opened(0), (900, 1, READ), (901, 2, READ)], lambda n: n),
    "CCD_S": (5, [*opened(0, GROUP), (900, 1, READ), (901, GROUP + 1, READ)], lambda n: n),
    "RRD_S": (5, [(900, 0, READ), (901, GROUP, READ)], lambda n: n),
    "RRD_L": (7, [(900, 0, READ), (901, BANK, READ)], lambda n: n),
    "FAW": (30, [(900 + k, (k % 4) * GROUP + (k // 4) * BANK, READ) for k in range(5)], lambda n: n - 3 * 4),
    "RCD": (17, [*opened(0), (900, 1, READ), (901, BANK, READ)], lambda n: n + 1),
    "RP": (18, [*opened(0), (900, 1, READ), (1000, ROW, READ)], lambda n: 100 + n + 17),
    "RAS": (60, [(900, 0, READ), (901, ROW, READ)], lambda n: n + 17),
    "RTP": (12, [*opened(0), (900, 1, READ), (901, ROW, READ)], lambda n: n + 17 + 17),
    "WR": (18, [*opened(0), (900, 1, WRITE), (901, ROW, WRITE)], lambda n: 16 + 4 + n + 17 + 17),
    "WTR_L": (9, [*opened(0), (900, 1, WRITE), (902, 2, READ)], lambda n: n + 20 + 4),
    "WTR_S": (4, [*opened(0, GROUP), (900, 1, WRITE), (902, GROUP + 1, READ)], lambda n: n + 20 + 4),
    "RTRS": (3, [*opened(0), (900, 1, READ), (901, 2, WRITE)], lambda n: 4 + n),
}
LATER = {("ramulator", "RTRS"): 1}
"""Ramulator leaves one clock more between a read and a write."""


@pytest.mark.parametrize("controller", ARRIVAL)
@pytest.mark.parametrize("timing", CASES)
def test_a_command_is_blocked_at_n_less_one_and_ready_at_n(controller, timing):
    value, requests, formula = CASES[timing]
    for n in (value, value + 1):
        assert gap(ddr4(controller, **{f"n{timing}": n}), requests) == formula(n) + LATER.get((controller, timing), 0)


def test_activates_of_one_bank_are_rc_apart():
    requests = [(900, 0, READ), (901, ROW, READ)]
    assert gap(ddr4(nRC=90), requests) == 90
    assert gap(ddr4(nRC=91), requests) == 91


def test_a_write_may_follow_its_activate_earlier_than_a_read():
    memory = ddr4(nRCDWR=10)
    start = 900 + ARRIVAL["dramsim3"]
    assert served(memory, [(900, 0, WRITE)]) == [start + 10 + 16 + 4]
    assert served(memory, [(900, 0, READ)]) == [start + 17 + 20 + 4]


def test_precharges_keep_their_distance():
    # Two conflicts in two bank groups, in step; both banks could be closed at once.
    requests = [*opened(0, GROUP), (900, ROW, READ), (901, ROW + GROUP, READ)]
    assert gap(ddr4(), requests) == 4
    assert gap(ddr4(nPPD=9), requests) == 9


class TestRefresh:
    def test_a_read_that_meets_it_waits_until_its_end(self):
        # The row is closed at 5000, refresh follows RP later, activate RFC after that.
        memory = ddr4(nREFI=5000, nRFC=420)
        assert served(memory, [(100, 0, READ), (4999, 1, READ)])[1] == 5000 + 17 + 420 + 17 + 20 + 4

    def test_a_command_just_before_goes_first(self):
        memory = ddr4(nREFI=5000, nRFC=420)
        assert served(memory, [(100, 0, READ), (4997, 1, READ)])[1] == 4999 + 20 + 4

    # The `row` map leaves the bus idle between bursts of one bank group.
    @pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_row")])
    def test_a_long_stream_comes_near_its_ceiling(self, name):
        memory = load_memory(FOLDER / f"{name}.yaml")
        cycles, channel = run(memory, list(range(6000)), outstanding=64)
        (refreshes,) = named(channel, "REFRESHES")
        busy = 6000 * memory.burst_clocks
        assert cycles >= busy + refreshes * memory.resolved["RFC"]
        assert busy / cycles > 0.95 * memory.refresh_ceiling


def test_a_closed_page_is_closed_when_nothing_waits_for_it():
    override = ["page_policy=closed", "timing.nREFI=1000000"]
    memory = load_memory(FOLDER / "ddr4_2400_row.yaml", override)
    # The second read finds the bank closed, not the wrong row open.
    requests = [(5, 0, READ), (300, ROW, READ)]
    assert served(memory, requests)[1] - 300 == ARRIVAL["dramsim3"] + memory.read_latency("closed")
    assert served(memory, [(5, 0, READ), (300, 1, READ)])[1] - 300 == ARRIVAL["dramsim3"] + memory.read_latency("closed")


def test_two_banks_share_the_command_bus_but_for_dual_commands():
    # A column command and an activate that could go in the same clock.
    requests = [*opened(0), (898, GROUP + 1, READ), (900 + 17 - 2, 1, READ), (916, 2 * GROUP, READ)]
    plain = served(ddr4(), requests)
    dual = served(ddr4().model_copy(update={"dual_command": True}), requests)
    assert sum(dual) <= sum(plain)


def run(memory: Memory, bursts: list[int], kinds: list[int] | None = None, outstanding: int = 32, layout=state):
    """Drive a stream; its clocks and the channel at the end."""
    channel = layout.new_state(*packed(memory, layout.PARAMETERS))
    latency = np.zeros(len(bursts), np.int64)
    words = np.array(bursts, np.int64), np.array(kinds or [READ] * len(bursts), np.int64)
    stream = inorder.stream if layout is inorder else driver.stream
    return stream(channel, *words, outstanding, 1, 0, latency), channel


def named(channel, *names: str) -> list[int]:
    return [int(channel[getattr(state, name)]) for name in names]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("controller", ARRIVAL)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_request_is_served_once_and_the_bus_holds_one_burst_at_a_time(name, controller, data):
    memory = load_memory(FOLDER / f"{name}.yaml", [f"controller.preset={controller}"])
    bursts = data.draw(st.lists(st.integers(0, 2**14), min_size=1, max_size=150))
    kinds = data.draw(st.lists(st.sampled_from([READ, READ, WRITE]), min_size=len(bursts), max_size=len(bursts)))
    pace = data.draw(st.integers(1, 12))
    channel = state.new_state(*packed(memory, state.PARAMETERS))
    tag, now, ends, done = 0, 1, [], {}
    while len(done) < len(bursts):
        request = stepped(channel, now) if state.next_event(channel) <= now else None
        if request:
            (end,), (which, kind, arrival) = named(channel, "LAST_DATA"), request
            assert which not in done
            assert kind == kinds[which]
            assert end >= arrival + memory.read_latency("hit") - memory.resolved["CL"] + min(memory.resolved["CL"], memory.resolved["CWL"])
            done[which] = end
            ends.append(end)
        if tag < len(bursts) and state.room(channel, kinds[tag]):
            control.admit(channel, now, bursts[tag], kinds[tag], tag)
            tag += 1
        elif tag == len(bursts):
            control.flush(channel, now + 1)
        now += pace if tag % 3 == 0 else 1
    assert sorted(done) == list(range(len(bursts)))
    assert all(later - sooner >= memory.burst_clocks for sooner, later in pairwise(ends))
    reads, writes, hits, misses, conflicts, activates = named(channel, "READS", "WRITES", "HITS", "MISSES", "CONFLICTS", "ACTIVATES")
    assert (reads, writes) == (kinds.count(READ), kinds.count(WRITE))
    assert hits + misses + conflicts == reads + writes
    assert misses + conflicts <= activates


def test_random_bursts_are_bound_by_four_activates():
    memory = load_memory(FOLDER / "ddr4_2400.yaml")
    bursts = np.random.default_rng(0).integers(0, 2**27, 8000).tolist()
    cycles, channel = run(memory, bursts)
    bound = 4 * memory.burst_clocks / memory.resolved["FAW"] * memory.refresh_ceiling
    assert 0.97 * bound < 8000 * memory.burst_clocks / cycles <= 1.005 * bound
    assert named(channel, "ACTIVATES")[0] > 7900


def test_reads_in_flight_bound_the_rate():
    memory = ddr4()
    cycles, _ = run(memory, list(range(500)), outstanding=1)
    # Arrival to command, CL and burst; then the next arrives at once. The first opens the row, and so does each of the three next rows.
    assert 500 * (2 + 24) < cycles < 500 * (2 + 24) + 4 * (17 + 17) + 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run_length", [1, 4, 4000])
def test_in_order_equals_the_full_model_with_one_read_in_flight(name, run_length):
    memory = load_memory(FOLDER / f"{name}.yaml")
    starts = np.random.default_rng(1).integers(0, 2**24, 4000 // run_length + 1) * run_length
    bursts = (starts[:, None] + np.arange(run_length)).reshape(-1)[:4000].tolist()
    full, _ = run(memory, bursts, outstanding=1)
    fast, _ = run(memory, bursts, outstanding=1, layout=inorder)
    # They differ in the precharges before a refresh, which the full model issues one a clock, and in their distance.
    assert fast == pytest.approx(full, rel=0.02)


@pytest.mark.parametrize("name", ["ddr4_2400", "lpddr4_3200", "hbm2"])
def test_in_order_equals_the_full_model_on_streams(name):
    memory = load_memory(FOLDER / f"{name}.yaml")
    full, _ = run(memory, list(range(8000)))
    fast, _ = run(memory, list(range(8000)), layout=inorder)
    assert fast == pytest.approx(full, rel=0.01)


def test_in_order_counts_what_it_does():
    memory = load_memory(FOLDER / "ddr4_2400.yaml")
    kinds = [READ, WRITE] * 500
    _, channel = run(memory, [k // 2 + (1 << 20) * (k % 2) for k in range(1000)], kinds, layout=inorder)
    reads, writes, hits, misses, conflicts = (
        int(channel[getattr(inorder, name)]) for name in ("READS", "WRITES", "HITS", "MISSES", "CONFLICTS")
    )
    assert (reads, writes) == (500, 500)
    assert hits + misses + conflicts == 1000
    assert misses + conflicts == int(channel[inorder.ACTIVATES])


@pytest.mark.parametrize("layout", [state, inorder], ids=["full", "in order"])
def test_names_of_indices_are_those_of_the_parameters(layout):
    assert [getattr(layout, name.upper()) for name in layout.PARAMETERS] == list(range(len(layout.PARAMETERS)))
    assert set(layout.PARAMETERS) <= set(ddr4().parameters())
