"""Energy of layers by part."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import DENSE_TRANSFERS, accelerator, comparison, dense, marker, schedule, timeline, trace

from accelsim import dataflows
from accelsim.hardware import Data, PeArray
from accelsim.hardware.dram import BankedDram
from accelsim.hardware.energy import Energy as Table
from accelsim.hardware.memory import load_memory
from accelsim.hardware.operands import Reads, operand_reads
from accelsim.report import Result
from accelsim.report.energy import PARTS, Energy, Events, energy
from accelsim.timeline import DRAM_COUNTS

ARRAY, DATA = PeArray(rows=2, cols=4), Data()
PRICE = accelerator().prices
counts = st.integers(0, 10**9)
events = st.builds(Events, *(counts for _ in fields(Events)))
BUFFER = Table().buffer
shares = st.floats(0, 1)
per_mac = st.builds(Reads, shares, shares, shares)


@given(events, per_mac)
def test_parts_add_up_to_the_total(happened: Events, reads: Reads) -> None:
    spent = energy(happened, PRICE, reads, DATA)
    assert spent.total == sum(getattr(spent, part) for part in PARTS) == sum(astuple(spent))
    assert min(astuple(spent)) >= 0


@given(events, per_mac, st.sampled_from([field.name for field in fields(Events)]), st.integers(1, 10**6))
def test_more_events_never_cost_less(happened: Events, reads: Reads, name: str, more: int) -> None:
    fewer, greater = (energy(each, PRICE, reads, DATA) for each in (happened, replace(happened, **{name: getattr(happened, name) + more})))
    assert all(one <= other for one, other in zip(astuple(fewer), astuple(greater), strict=True))


@given(per_mac)
def test_nothing_that_happens_costs_nothing(reads: Reads) -> None:
    assert energy(Events(*(0 for _ in fields(Events))), PRICE, reads, DATA) == Energy(0, 0, 0, 0, 0)


def test_a_layer_by_hand() -> None:
    """A layer of 1000 MACs on a spatial array of 2 x 4: femtojoules by arithmetic."""
    happened = Events(
        macs_done=1000,
        read_ifmap=96,
        read_filter=216,
        read_psum=64,
        write_ofmap=128,
        write_psum=64,
        metadata=8,
        read_moved=448,
        write_moved=192,
        link=660,
        duration=46_000,
        activates=3,
    )
    price = replace(
        PRICE,
        mac=1_000_000,
        ifmap_read=1000,
        ifmap_write=2000,
        filter_read=3000,
        filter_write=4000,
        ofmap_read=5000,
        ofmap_write=6000,
        marker_read=7000,
        marker_write=8000,
        link=9000,
        dram_read=10_000,
        dram_write=11_000,
        activate=12_000,
        static=500,
    )
    spent = energy(happened, price, operand_reads(ARRAY, BUFFER), DATA)
    # 1000 ifmap elements and 125 weights of 2 bytes are read by the array; 64 + 128 + 64 bytes of sums pass the ofmap memory both ways.
    buffer = 96 * 2 + 2000 * 1 + 216 * 4 + 250 * 3 + 256 * 11 + 8 * 15
    assert astuple(spent) == (1_000_000, buffer, 660 * 9, 448 * 10 + 192 * 11 + 3 * 12, 46_000 * 500 // 1000)


def test_what_was_brought_is_read_at_least_once() -> None:
    pooling = Events(0, 1000, 0, 0, 500, 0, 0, 1024, 512, 1536, 0)
    assert energy(pooling, PRICE, operand_reads(ARRAY, BUFFER), DATA).buffer * 1000 == pytest.approx(
        1000 * (PRICE.ifmap_write + PRICE.ifmap_read) + 500 * (PRICE.ofmap_write + PRICE.ofmap_read), abs=1000
    )


@pytest.mark.parametrize(
    ("dataflow", "reads"),
    [
        ("spatial", Reads(1, 1 / 8)),
        ("os", Reads(1 / 4, 1 / 2)),
        ("ws", Reads(1 / 4, 0, 1 / 2)),
        ("is", Reads(0, 1 / 4, 1 / 2)),
        ("a_new_one", Reads(1, 1)),
    ],
)
def test_operands_are_reused_as_the_dataflow_allows(dataflow: str, reads: Reads) -> None:
    assert operand_reads(ARRAY.model_copy(update={"dataflow": dataflow}), BUFFER) == reads


@pytest.mark.parametrize("dataflow", dataflows.names())
def test_every_dataflow_has_its_own_estimate(dataflow: str) -> None:
    unknown = ARRAY.model_copy(update={"dataflow": "a_new_one"})
    assert operand_reads(PeArray(rows=3, cols=5, dataflow=dataflow), BUFFER) != operand_reads(unknown, BUFFER)


def test_a_table_may_say_better_what_a_mac_reads() -> None:
    given = BUFFER.model_copy(update={"ifmap_reads": 0.11, "psum_reads": 0.5})
    assert operand_reads(ARRAY, given) == Reads(0.11, 1 / 8, 0.5)


def test_a_replay_reports_energy_of_each_layer_and_of_all() -> None:
    result = dense()
    for row in result.layers:
        assert row.energy_nj == pytest.approx(sum(getattr(row, f"energy_{part}_nj") for part in PARTS), rel=1e-12)
    first = result.layers[0]
    assert first.energy_mac_nj == pytest.approx(1728 * PRICE.mac / 1e9, abs=1e-6)
    assert first.energy_dram_nj == pytest.approx((448 * PRICE.dram_read + 192 * PRICE.dram_write) / 1e9)
    assert first.energy_link_nj == pytest.approx((640 + 20) * PRICE.link / 1e9)
    assert first.energy_static_nj == pytest.approx(46_000 * PRICE.static / 1e9)
    assert result.energy_uj["total"] == pytest.approx(sum(row.energy_nj for row in result.layers) / 1e3)
    assert sum(result.energy_uj[part] for part in PARTS) == pytest.approx(result.energy_uj["total"], rel=1e-12)


def test_skipped_macs_and_bytes_cost_nothing() -> None:
    both = dense().layers[1], marker().layers[1]
    assert both[1].energy_mac_nj / both[0].energy_mac_nj == pytest.approx(216 / 288, rel=1e-5)
    assert both[1].energy_dram_nj < both[0].energy_dram_nj


def test_standing_longer_costs_static_energy_and_nothing_else() -> None:
    early, late = (Result.of(trace(), accelerator(), schedule(), timeline(DENSE_TRANSFERS, later)).layers[1] for later in (0, 49))
    assert late.energy_static_nj == pytest.approx(2 * early.energy_static_nj)
    assert all(getattr(late, f"energy_{part}_nj") == getattr(early, f"energy_{part}_nj") for part in PARTS if part != "static")


def test_the_machines_own_table_is_used() -> None:
    machine = accelerator()
    dear = Table(dram=machine.energy.dram.model_copy(update={"read": 2 * machine.energy.dram.read, "write": 2 * machine.energy.dram.write}))
    result = Result.of(trace(), machine.model_copy(update={"energy": dear}), schedule(), timeline())
    assert result.energy_uj["dram"] == pytest.approx(2 * dense().energy_uj["dram"])


def test_a_technology_costs_what_its_file_says_and_its_activates() -> None:
    technology = load_memory(Path(__file__).parents[2] / "configs/memory/ddr4_2400.yaml")
    machine = accelerator().model_copy(update={"dram": BankedDram(kind="banked", technology=technology)})
    opened = np.zeros((1, len(DRAM_COUNTS)), np.int64)
    opened[0, DRAM_COUNTS.index("activates")] = 50
    spent = Result.of(trace(), machine, schedule(), replace(timeline(), dram_counts=opened)).energy_uj
    quiet = Result.of(trace(), machine, schedule(), timeline()).energy_uj
    assert technology.energy is not None
    assert spent["dram"] - quiet["dram"] == pytest.approx(50 * technology.energy.activate_pJ / 1e6)
    read = dense().energy_uj["dram"] / PRICE.dram_read
    assert quiet["dram"] < read * technology.energy.read_pJ * 1e6 / technology.burst
    assert spent["static"] > 10 * dense().energy_uj["static"]


def test_comparisons_tell_energy_and_its_ratio() -> None:
    both = comparison()
    base, other = (result.energy_uj["total"] for result in both.results)
    assert both.ratios("channel_marker")["energy"] == pytest.approx(other / base)
    totals = both.totals().set_index("scheme")
    assert totals.loc["channel_marker", "energy_uj"] == pytest.approx(other)
    assert totals.loc["channel_marker", "energy_ratio"] == pytest.approx(other / base)
    assert totals.loc["dense", "energy_dram_uj"] == pytest.approx(both.baseline.energy_uj["dram"])
    assert f"{base:,.1f} uJ" in repr(both.baseline)
    side = both.side_by_side("channel_marker").set_index("layer")
    assert side.loc["conv2", "energy_nj ratio"] == pytest.approx(both.results[1].layers[1].energy_nj / both.baseline.layers[1].energy_nj)
