"""The machine: what can be built, what cannot and why, and the numbers that follow from it."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_samples import SMALL_MACHINE
from pydantic import ValidationError

from accelsim.configfile.families import members
from accelsim.errors import ConfigError
from accelsim.hardware import (
    Accelerator,
    BusLink,
    Data,
    Dma,
    FlatDram,
    Layout,
    MarkerMemory,
    PcieLink,
    PeArray,
    SplitBuffer,
    UnifiedBuffer,
    describe,
    link,
    link_timing,
    load_accelerator,
    notices,
    peaks,
)
from accelsim.hardware.chip import Banking

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerator"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL_MACHINE)
    return "small.yaml"


def fault(path: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load_accelerator(path, overrides)
    return str(raised.value)


def bus(**changes: Any) -> Accelerator:
    parts: dict[str, Any] = {
        "name": "bus",
        "clock": 800_000_000,
        "pe_array": PeArray(rows=16, cols=16),
        "buffer": UnifiedBuffer(organisation="unified", size=2**18),
        "link": BusLink(kind="bus"),
        "dram": FlatDram(kind="flat", rate=12_800_000_000),
    }
    return Accelerator(**{**parts, **changes})


def pcie(**keys: Any) -> Accelerator:
    return bus(link=PcieLink(kind="pcie", **keys))


# Reading.


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_accelerator_that_ships_is_read_and_named_after_its_file(path: Path) -> None:
    machine = load_accelerator(path)
    assert machine.name == path.stem
    assert not notices(machine)


def test_the_shipped_machines_are_what_their_comments_say() -> None:
    edge, pcie, paper, tiny = (load_accelerator(CONFIGS / f"{name}.yaml") for name in ("edge", "pcie", "paper", "tiny_buffer"))
    assert (edge.pe_array, edge.period) == (PeArray(rows=16, cols=16, dataflow="spatial"), 1250)
    assert edge.buffer == UnifiedBuffer(organisation="unified", size=256 * 1024)
    assert (edge.dram.rate, edge.dram.latency, edge.link) == (12_800_000_000, 60_000, BusLink(kind="bus"))
    assert (pcie.link, pcie.buffer.organisation, pcie.dma) == (PcieLink(kind="pcie"), "split", edge.dma)
    assert (paper.buffer, paper.dram) == (UnifiedBuffer(organisation="unified", size=64 * 2**20), edge.dram)
    assert (tiny.buffer, tiny.pe_array) == (UnifiedBuffer(organisation="unified", size=32 * 1024), PeArray(rows=32, cols=32, dataflow="ws"))


def test_a_value_knows_where_it_was_written(small: str) -> None:
    machine = load_accelerator(small, ["buffer.slots=1"])
    assert machine.place("buffer.size") == "small.yaml:5"
    assert machine.place("pe_array.rows") == "small.yaml:4"
    assert machine.place("buffer.slots") == "--set buffer.slots"
    assert machine.place("dma.burst") == "accelerator.dma.burst"
    assert bus().place("clock") == "accelerator.clock"


def test_places_take_no_part_in_comparisons_and_survive_copies(small: str) -> None:
    first, second = load_accelerator(small), load_accelerator(small, ["name=small"])
    assert first == second
    assert hash(first) == hash(second)
    copied = pickle.loads(pickle.dumps(first))
    assert copied == first
    assert copied.place("clock") == "small.yaml:3"


# Impossible machines.


def test_zero_rows_are_refused(small: str) -> None:
    assert (
        fault(small, "pe_array.rows=0")
        == """\
--set pe_array.rows: 0 is too small
    allowed: 1 or more"""
    )
    Path("small.yaml").write_text(SMALL_MACHINE.replace("rows: 4", "rows: 0"))
    assert (
        fault(small)
        == """\
small.yaml:4:20: accelerator.pe_array.rows: 0 is too small
      4 |   pe_array: {rows: 0, cols: 4}
        |                    ^
    allowed: 1 or more"""
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dma.burst=200 B", "burst 200 B is not a multiple of access 64 B\n    write a multiple of 64 B, for example 256 B"),
        ("dma.access=48 B", "access 48 B is not a power of two\n    allowed: 1 B, 2 B, 4 B, ... 64 B, ..."),
        ("dma.access=512 B", "burst 256 B is not a multiple of access 512 B\n    write a multiple of 512 B, for example 512 B"),
        ("dma.boundary=5000 B", "boundary 5 kB is not a power of two\n    usual: 4 KiB"),
        ("dma.boundary=128 B", "boundary 128 B is not a multiple of burst 256 B\n    write a burst that divides 128 B, for example 256 B"),
        ("clock=20 GHz", "clock 20 GHz is out of range\n    allowed: 1 kHz to 10 GHz"),
        ("data={ifmap_bits: 10}", "10 is not allowed\n    allowed: 4, 8, 12, 16, 20, 24, 28, 32 (an element is whole halves of a byte)"),
        ("data={psum_bits: 8}", "8 is not allowed\n    allowed: 16, 32, 64 (elements lie in memory as whole bytes)"),
        ("link={kind: pcie, lanes: 3}", "3 is not allowed\n    allowed: 1, 2, 4, 8, 16"),
        ("link={kind: pcie, posted_credits: 15}", "posted_credits 15 are 240 bytes, less than one packet\n    write 16 or more"),
        ("link={kind: pcie, max_payload: 1 KiB}", "1 KiB is not allowed\n    allowed: 128 B, 256 B, 512 B"),
        (
            "buffer={organisation: unified, size: 1 KiB, ifmap: 1 KiB}",
            "unknown key 'ifmap'\n    allowed: organisation, size, slots, keep_on_chip, banking\n"
            "    'ifmap' belongs to organisation: split",
        ),
        (
            "buffer={organisation: split, size: 1 KiB}",
            "unknown key 'size'\n    allowed: organisation, ifmap, filter, ofmap, slots, banking\n"
            "    'size' belongs to organisation: unified",
        ),
    ],
)
def test_a_machine_that_cannot_be_built_is_refused(small: str, override: str, message: str) -> None:
    assert message in fault(small, override)


def test_an_unknown_dataflow_is_refused_with_those_there_are(small: str) -> None:
    allowed = ", ".join(members("dataflows"))
    assert "base" not in members("dataflows")
    assert fault(small, "pe_array.dataflow=spatail") == (
        f"--set pe_array.dataflow: 'spatail' is not a known dataflow\n    allowed: {allowed}.  Did you mean 'spatial'?"
    )


def test_a_pcie_request_covers_an_access_and_stays_in_its_page(small: str) -> None:
    overrides = ("link={kind: pcie, max_read_request: 128 B}", "dma={access: 256 B, burst: 256 B, boundary: 8 KiB}")
    assert fault(small, *overrides) == (
        "--set dma: accelerator.dma.boundary: boundary 8 KiB, but no PCI Express request may cross a page of 4 KiB\n"
        "    allowed: up to 4 KiB\n"
        "--set link: accelerator.link.max_read_request: max_read_request 128 B is smaller than one DMA access of 256 B\n"
        "    enlarge it, or lower dma.access"
    )


def test_several_faults_of_one_part_come_together(small: str) -> None:
    message = fault(small, "dma={access: 48 B, burst: 100 B, boundary: 3 KiB}")
    assert [line.partition(": ")[2] for line in message.split("\n") if line.startswith("--set")] == [
        "accelerator.dma.access: access 48 B is not a power of two",
        "accelerator.dma.burst: burst 100 B is not a multiple of access 48 B",
        "accelerator.dma.boundary: boundary 3 KiB is not a power of two",
    ]


def test_from_python_an_impossible_machine_is_refused_too() -> None:
    with pytest.raises(ValidationError, match="burst 100 B is not a multiple of access 64 B"):
        Dma(burst=100)


# Writing.


def machines() -> st.SearchStrategy[Accelerator]:
    sizes = st.integers(1, 2**40)
    powers = st.integers(0, 6).map(lambda power: 2**power)
    counts = st.integers(1, 2**20)
    bankings = st.builds(Banking, banks=counts, ports=counts, width=powers, mapping=st.sampled_from(["interleaved", "slots"]))
    return st.builds(
        Accelerator,
        name=st.text(min_size=1, max_size=10),
        clock=st.integers(1000, 10**10),
        pe_array=st.builds(PeArray, rows=counts, cols=counts),
        data=st.builds(Data, ifmap_bits=st.sampled_from(range(4, 33, 4)), psum_bits=st.sampled_from([16, 32, 64])),
        buffer=st.builds(UnifiedBuffer, organisation=st.just("unified"), size=sizes, banking=st.none() | bankings)
        | st.builds(SplitBuffer, organisation=st.just("split"), ifmap=sizes, filter=sizes, ofmap=sizes, slots=counts),
        marker_memory=st.builds(MarkerMemory, size=sizes),
        dma=st.builds(Dma, access=powers, burst=powers.map(lambda size: 64 * size), min_skip=sizes),
        link=st.builds(BusLink, kind=st.just("bus"), bytes_per_cycle=counts, latency=st.integers(0, 10**15))
        | st.builds(PcieLink, kind=st.just("pcie"), lanes=st.sampled_from(link.LANES), round_trip=st.integers(0, 10**9)),
        dram=st.builds(FlatDram, kind=st.just("flat"), rate=st.integers(1, 10**14), latency=st.integers(0, 10**12)),
        layout=st.builds(Layout, filter=st.sampled_from(["kcrs", "ckrs"])),
    )


@given(machine=machines())
def test_the_described_machine_is_the_same_machine(tmp_path_factory: pytest.TempPathFactory, machine: Accelerator) -> None:
    path = tmp_path_factory.getbasetemp() / "described.yaml"
    path.write_text(describe(machine), encoding="utf-8")
    assert load_accelerator(path) == machine


def test_the_description_has_units_and_derived_numbers(small: str) -> None:
    text = describe(load_accelerator(small, ["dram.latency=60 ns"]))
    assert "  clock: 800 MHz\n" in text
    assert "    size: 64 KiB\n" in text
    assert text.endswith(
        "# peak: 12.8 GMAC/s; DRAM 12.8 GB/s; link 12.8 GB/s reads, 12.8 GB/s writes\n"
        "# unloaded read latency 60 ns; reads in flight 16,384 bytes, rate x latency 768 bytes\n"
    )


def test_too_few_requests_for_the_latency_are_noticed() -> None:
    machine = bus(
        dma=Dma(read_channels=1, outstanding_requests=1, burst=64), dram=FlatDram(kind="flat", rate=12_800_000_000, latency=100_000)
    )
    assert (peaks(machine).bytes_in_flight, peaks(machine).bytes_needed) == (64, 1280)
    assert notices(machine) == (
        "reads in flight cover 64 bytes, but rate x latency (100 ns) needs 1,280: reads reach at most 0.64 GB/s; "
        "raise dma.outstanding_requests, dma.burst or link.tags",
    )


def test_channels_that_never_get_work_are_noticed_and_counted_out() -> None:
    machine = bus(dma=Dma(read_channels=4, write_channels=3))
    assert notices(machine) == (
        "dma.read_channels 4: only 3 of them get work, one for each kind of data; more change nothing",
        "dma.write_channels 3: only 2 of them get work, one for each kind of data; more change nothing",
    )
    assert peaks(machine).bytes_in_flight == peaks(bus(dma=Dma(read_channels=3))).bytes_in_flight
    assert not notices(bus(dma=Dma(read_channels=3, write_channels=2)))


# The link.


def test_a_bus_has_a_rate_and_a_latency_and_nothing_else() -> None:
    timing = link_timing(bus(link=BusLink(kind="bus", bytes_per_cycle=8, latency=5000)))
    assert (timing.down_rate, timing.up_rate, timing.latency_up, timing.latency_down) == (6_400_000_000, 6_400_000_000, 5000, 5000)
    assert timing.read_overhead == timing.write_overhead == timing.request_overhead == 0
    assert link.read_rate(timing, 4096) == link.write_rate(timing, 4096) == link.duplex_rate(timing, 4096) == 6.4e9


def test_a_pcie_read_costs_its_round_trip_once() -> None:
    timing = link_timing(pcie(round_trip=900_001))
    assert timing.latency_up + timing.latency_down == 900_001
    assert (timing.read_overhead, timing.write_overhead, timing.request_overhead) == (20, 24, 24)
    assert (timing.payload, timing.max_request, timing.outstanding_reads) == (256, 512, 32)
    assert all(type(value) is int for value in (timing.down_rate, timing.latency_up, timing.latency_down))


def test_pcie_rates_equal_the_published_model(shared: Path) -> None:
    compared = 0
    with (shared / "golden/pcie/bandwidth_gen3.csv").open() as table:
        for row in csv.DictReader(table):
            for accounting in ("sym", "pub"):
                port = {"lanes": int(row["lanes"][1:]), "max_payload": int(row["mps"]), "accounting": accounting}
                timing, cut = link_timing(pcie(**port)), link_timing(pcie(**port, completions="boundary"))
                expected = {
                    f"tlp_{accounting}_GBps": timing.down_rate,
                    f"wr_{accounting}_GBps": link.write_rate(timing, 4096),
                    f"rd_{accounting}_cplmps_GBps": link.read_rate(timing, 4096),
                    f"rd_{accounting}_rcb64_GBps": link.read_rate(cut, 4096),
                    f"duplex_each_{accounting}_GBps": link.duplex_rate(timing, 4096),
                }
                for column, rate in expected.items():
                    assert rate / 1e9 == pytest.approx(float(row[column]), rel=1e-3), (row["lanes"], row["mps"], column)
                    compared += 1
    assert compared == 150


def test_pcie_rates_of_small_transfers_equal_the_published_model(shared: Path) -> None:
    compared = 0
    with (shared / "golden/pcie/size_sweep_gen3_x8.csv").open() as table:
        for row in csv.DictReader(table):
            timing = link_timing(pcie(max_payload=int(row["mps"]), max_read_request=int(row["mrrs"]), accounting="pub"))
            size = int(row["size_B"])
            rates = (link.write_rate(timing, size), link.read_rate(timing, size), link.duplex_rate(timing, size))
            golden = (row["wr_pub_GBps"], row["rd_pub_GBps"], row["duplex_each_pub_GBps"])
            assert [rate / 1e9 for rate in rates] == pytest.approx([float(value) for value in golden], rel=1e-3)
            compared += 1
    assert compared > 20


def test_credits_for_posted_data_bound_writes_alone() -> None:
    """Source: golden/pcie, README: posted-write rate <= credits * 16 / round trip."""
    wide = pcie(generation=5, lanes=16, posted_credits=1024)
    assert link.write_rate(link_timing(wide), 4096) == pytest.approx(1024 * 16 / 900e-9, rel=1e-6)
    assert link_timing(wide).down_rate == link_timing(pcie(generation=5, lanes=16)).down_rate
    assert "link.posted_credits let writes reach at most 18.2 GB/s" in notices(wide)[-1]
    assert link_timing(pcie(posted_credits=1024)) == link_timing(pcie())
    assert link_timing(pcie(round_trip=0, posted_credits=16)) == link_timing(pcie(round_trip=0))


@pytest.mark.parametrize(
    ("generation", "lanes", "write", "read"),  # GB/s, payload 256 B: machine.md section 3, from the same model for other generations
    [(1, 1, 0.219, 0.222), (1, 16, 3.60, 3.65), (2, 4, 1.78, 1.81), (2, 16, 7.24, 7.34), (4, 8, 14.22, 14.43), (5, 16, 57.12, 57.95)],
)
def test_other_generations_follow_the_same_formulas(generation: int, lanes: int, write: float, read: float) -> None:
    timing = link_timing(pcie(generation=generation, lanes=lanes))
    assert link.write_rate(timing, 4096) / 1e9 == pytest.approx(write, rel=5e-3)
    assert link.read_rate(timing, 4096) / 1e9 == pytest.approx(read, rel=5e-3)
