"""DRAM technologies: every file of ours is sound, times become clocks as JEDEC has it, and what cannot be is refused in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import ConfigError
from accelsim.hardware.memory import Memory, load_memory

FOLDER = Path(__file__).parents[2] / "configs/memory"
FILES = sorted(FOLDER.glob("*.yaml"))


def load(name: str, *overrides: str) -> Memory:
    return load_memory(FOLDER / f"{name}.yaml", overrides)


class TestOurFiles:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
    def test_each_loads_and_names_its_source(self, path):
        memory = load_memory(path)
        assert memory.source
        assert memory.resolved["RC"] >= memory.resolved["RAS"]

    # Source: data rate times bus width of each standard
    @pytest.mark.parametrize(
        ("name", "rate", "capacity"),
        [
            ("ddr3_1600", 12.8e9, 8 << 30),
            ("ddr4_2400", 19.2e9, 8 << 30),
            ("ddr4_2400_row", 19.2e9, 8 << 30),
            ("ddr4_3200", 25.6e9, 8 << 30),
            ("gddr5", 64e9, 2 << 30),
            ("hbm2", 32e9, 512 << 20),
            ("lpddr4_3200", 12.8e9, 2 << 30),
            ("lpddr5_6400", 25.6e9, 2 << 30),
        ],
    )
    def test_peak_rate_and_capacity(self, name, rate, capacity):
        memory = load(name)
        assert memory.peak_rate == pytest.approx(rate, rel=1e-3)
        assert memory.capacity == capacity

    def test_all_are_in_the_table_above(self):
        assert len(FILES) == 8

    # Source: golden/dram, unloaded latencies of DRAMsim3, which counts one clock more
    @pytest.mark.parametrize(
        ("name", "hit", "conflict"), [("ddr4_2400", 22, 56), ("ddr4_2400_row", 22, 56), ("lpddr4_3200", 40, 98), ("hbm2", 17, 45)]
    )
    def test_unloaded_latency(self, name, hit, conflict):
        memory = load(name)
        assert memory.read_latency("hit") + 1 == hit
        assert memory.read_latency("conflict") + 1 == conflict
        assert memory.read_latency("closed") - memory.read_latency("hit") == memory.resolved["RCD"]

    # Source: golden/dram, README
    @pytest.mark.parametrize(("name", "ceiling"), [("ddr4_2400", 0.955), ("lpddr4_3200", 0.928), ("hbm2", 0.933)])
    def test_refresh_ceiling(self, name, ceiling):
        assert load(name).refresh_ceiling == pytest.approx(ceiling, abs=5e-4)

    def test_an_include_changes_the_map_alone(self):
        plain, row = load("ddr4_2400"), load("ddr4_2400_row")
        assert row.timing == plain.timing
        assert row.pieces() != plain.pieces()


class TestClocks:
    @pytest.mark.parametrize(
        ("ns", "clocks"),
        # JEDEC's rounding leaves 2.6 % of a clock: 13.75 ns are 11.0 clocks of 1.25 ns, 13.78 still are, 13.79 are 12
        [(13.75, 11), (13.78, 11), (13.79, 12), (0.0, 0), (15.0, 12)],
    )
    def test_times_round_up_but_for_the_guard_band(self, ns, clocks):
        assert load("ddr3_1600", f"timing.tRCD_ns={ns}", "timing.nRCD=null").resolved["RCD"] == clocks

    def test_the_refresh_interval_rounds_down(self):
        memory = load("ddr4_2400", "timing.nREFI=null", "timing.tREFI_ns=7800")
        assert memory.resolved["REFI"] == 9363

    def test_what_is_absent_follows_its_neighbour(self):
        clocks = load("lpddr4_3200").resolved
        assert (clocks["CCD_L"], clocks["RRD_L"], clocks["WTR_L"], clocks["RCDWR"]) == (8, 16, 16, 29)
        assert clocks["RC"] == 68 + 29

    def test_gaps_between_commands_are_those_of_the_standard(self):
        # Source: golden/dram, README: read to write CL + BL - CWL + tRTRS; write to read CWL + BL + tWTR
        found = load("ddr4_2400").parameters()
        assert found["read_to_write"] == 17 + 4 - 12 + 1
        assert (found["write_to_read_short"], found["write_to_read_long"]) == (12 + 4 + 3, 12 + 4 + 9)
        assert found["write_to_precharge"] == 12 + 4 + 18
        assert load("ddr4_2400", "controller.preset=ramulator").parameters()["read_to_write"] == 17 + 4 - 12 + 2


def located(memory: Memory, burst: int) -> dict[str, int]:
    return {name: sum(((burst >> shift) & mask) << place for shift, mask, place in pieces) for name, pieces in memory.pieces().items()}


class TestMapping:
    def test_fields_stand_from_the_lowest_bits(self):
        memory = load("ddr4_2400")
        # bg2 col7 ba2 row; a bank's number is its group's times four, and its own
        assert located(memory, 0b10_11_0000001_01) == {"bank": 1 * 4 + 3, "row": 2, "channel": 0}

    def test_a_field_may_stand_twice(self):
        memory = load("ddr4_2400", "mapping=bg1 col7 bg1 ba2 row")
        assert located(memory, 1)["bank"] == 4
        assert located(memory, 1 << 8)["bank"] == 8

    def test_channels_have_bits_of_their_own(self):
        memory = load("hbm2", "channels=8", "mapping=ch3 col5 ba2 bg2 row")
        assert [located(memory, burst)["channel"] for burst in (0, 1, 7, 8)] == [0, 1, 7, 0]
        assert memory.peak_rate == pytest.approx(256e9)

    def test_a_channel_alone_is_mapped_as_a_technology_of_one(self):
        one = load("hbm2", "channels=8", "mapping=ch1 col5 ba2 ch2 bg2 row").alone
        assert one == load("hbm2")
        assert one.pieces() == load("hbm2").pieces()

    @given(burst=st.integers(0, 2**27 - 1), name=st.sampled_from([path.stem for path in FILES]))
    def test_no_two_bursts_share_bank_row_and_column(self, burst, name):
        memory = load(name)
        place = located(memory, burst)
        assert place["bank"] < memory.bank_groups * memory.banks
        # Everything but the column follows from the other bits, so clearing it keeps the place.
        (row_shift, _, _), bank_bits = memory.pieces()["row"][0], memory.pieces()["bank"]
        kept = sum(mask << shift for shift, mask, _ in bank_bits) | (burst >> row_shift << row_shift)
        assert located(memory, burst & kept) == place


REFUSED = {
    "timing.tRCD_ns=14": "nRCD and tRCD_ns are both given",
    "timing.nRP=null": "nRP is missing",
    "mapping=bg2 col7 row": "needed: ba2",
    "mapping=bg2 col7 ba2": "does not end with 'row'",
    "mapping=bg2 colum7 ba2 row": "Did you mean 'col'?",
    "banks=3": "banks 3 is not a power of two",
    "banks=32": "4 bank groups of 32 banks are 128 banks",
    "row=32 B": "row 32 B is smaller than burst 64 B",
    "tCK=0.833": "0.833 has no unit",
    "tCK=0 ns": "tCK is zero",
    "controller.high=33": "high 33 is more than the write queue holds",
    "controller.preset=dramsim": "Did you mean 'dramsim3'?",
    "timing.nRFC=9360": "a refresh of 9360 clocks every 9360 clocks leaves the banks no time to work",
    "timing.nREFI=500": "allowed: REFI more than RFC + 162",
    "ranks=2": "allowed: 1",
    "timing.nRRCD=3": "Did you mean 'nRCD'?",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_be_is_refused_with_a_remedy(override):
    with pytest.raises(ConfigError) as fault:
        load("ddr4_2400", override)
    assert REFUSED[override] in str(fault.value)


def test_all_faults_of_a_file_are_told_at_once():
    with pytest.raises(ConfigError) as fault:
        load("ddr4_2400", "banks=3", "row=5 KiB")
    assert "banks 3" in str(fault.value)
    assert "row 5120" in str(fault.value)
