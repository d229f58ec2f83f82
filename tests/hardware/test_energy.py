"""The table of what events cost, and the prices that a machine gets from it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import configfile
from accelsim.errors import ConfigError
from accelsim.hardware import describe, load_accelerator
from accelsim.hardware.energy import BufferEnergy, Energy, MacEnergy, MacPoint, SizePoint, interpolated, prices, stated
from accelsim.hardware.memory import load_memory

CONFIGS = Path(__file__).parents[2] / "configs"
TABLES = sorted((CONFIGS / "energy").glob("*.yaml"))
EDGE = CONFIGS / "accelerator" / "edge.yaml"
KIB = 1024


def table(name: str) -> Energy:
    return configfile.load(CONFIGS / "energy" / f"{name}.yaml", Energy, "energy")


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_that_ships_is_sound_named_after_its_file_and_has_sources(path: Path) -> None:
    found = table(path.stem)
    assert found.name == path.stem
    assert all(part.source for part in (found.mac, found.buffer, found.link, found.dram, found.static))


def test_the_default_is_the_documented_45_nm_table() -> None:
    assert Energy() == table("45nm")
    assert load_accelerator(EDGE).energy == Energy()


def test_every_machine_that_ships_has_prices() -> None:
    for path in sorted((CONFIGS / "accelerator").glob("*.yaml")):
        price = load_accelerator(path).prices
        assert min(price.mac, price.ifmap_read, price.link, price.dram_read) > 0


def test_prices_at_known_points_are_the_published_numbers() -> None:
    edge = load_accelerator(EDGE, ["buffer.size=128 KiB", "data={ifmap_bits: 8, filter_bits: 8}", "marker_memory.size=8 KiB"]).prices
    assert (edge.mac, edge.ifmap_read * 32, edge.ofmap_write * 32) == (300_000, 74_000_000, 88_000_000)
    assert (edge.dram_read, edge.dram_write, edge.activate) == (8 * 8_000_000, 8 * 8_000_000, 0)
    assert edge.link * 8 == pytest.approx(8 * 8 * 310e6 / 256 / 2, rel=1e-3)
    assert edge.static == 256 * 57
    assert edge.estimates == ()


def test_between_known_points_a_price_grows_as_a_power_and_says_so() -> None:
    edge = load_accelerator(EDGE).prices
    assert edge.ifmap_read == pytest.approx(math.sqrt(2_312_500 * 5_250_000), abs=1)
    assert edge.mac == pytest.approx(math.sqrt(300_000 * 3_200_000), abs=1)
    assert edge.estimates == (
        "memory of 256 KiB: interpolated between known sizes",
        "memory of 4 KiB: extrapolated beyond the known sizes",
        "MAC of 16 x 16 bit: interpolated between known widths",
    )
    text = describe(load_accelerator(EDGE))
    assert "# energy (45nm): 0.9798 pJ a MAC; buffer 3.484 pJ/B read" in text
    assert "# energy of a memory of 4 KiB: extrapolated beyond the known sizes\n" in text


def test_each_memory_of_a_split_buffer_has_its_own_price() -> None:
    price = load_accelerator(EDGE, ["buffer={organisation: split, ifmap: 8 KiB, filter: 32 KiB, ofmap: 512 KiB}"]).prices
    assert (price.ifmap_read, price.filter_read, price.ofmap_read) == (359_375, 843_750, 5_250_000)
    assert (price.ifmap_write, price.filter_write, price.ofmap_write) == (812_500, 1_625_000, 5_031_250)


def test_the_kind_of_link_chooses_its_price() -> None:
    assert load_accelerator(EDGE).prices.link == 4_840_000
    assert load_accelerator(CONFIGS / "accelerator" / "pcie.yaml").prices.link == 8 * 4_400_000


def test_one_known_width_is_scaled_with_the_product_of_the_operands_bits() -> None:
    eyeriss = table("65nm_eyeriss")
    known = {"buffers": (KIB, KIB, KIB), "marker_memory": KIB, "link": "bus", "elements": 1}
    assert prices(eyeriss, operand_bits=(16, 16), **known).mac == 4 * 2_890_000
    mixed = prices(eyeriss, operand_bits=(16, 8), **known)
    assert mixed.mac == pytest.approx(2 * 2_890_000, abs=1)
    assert mixed.estimates[-1] == "MAC of 16 x 8 bit: from the one known width"
    assert mixed.ifmap_read == 2_275_000


@pytest.mark.parametrize("given", ["energy table", "memory file"])
def test_ddr4_counts_activates_and_standing_power_apart(shared: Path, given: str) -> None:
    """Energy per byte of three streams of the golden table out of activates, bytes and time: within 1 %."""
    dram = table("45nm_ddr4").dram if given == "energy table" else stated(load_memory(CONFIGS / "memory/ddr4_2400.yaml"))
    assert dram is not None
    lines = (shared / "golden/dram/dramsim3_ddr4_bgi.csv").read_text().splitlines()
    titles, compared = lines[0].split(","), 0
    for line in lines[1:]:
        row = dict(zip(titles, line.split(","), strict=True))
        if row["pattern"] not in ("seq_r", "seq_w", "rand"):
            continue
        moved = 64 * int(row["served"])
        nanoseconds = moved / float(row["GBps"])
        golden = sum(float(row[f"pJ_per_B_{part}"]) for part in ("act", "rdwr", "ref", "bg"))
        per_byte = dram.write if row["pattern"] == "seq_w" else dram.read
        ours = (int(row["acts"]) * dram.activate / moved + per_byte) / 1e6 + dram.background / 1e3 * nanoseconds / moved
        assert ours == pytest.approx(golden, rel=0.01)
        compared += 1
    assert compared > 20


class TestEnergyOfATechnology:
    DDR4 = CONFIGS / "accelerator/ddr4.yaml"

    def test_is_what_its_file_says(self) -> None:
        machine = load_accelerator(self.DDR4)
        price = machine.prices
        assert (price.dram_read * 64, price.dram_write * 64) == (pytest.approx(2943e6, abs=64), pytest.approx(2559e6, abs=64))
        assert price.activate == 3463 * 10**6
        # 412.8 mW standby, and a refresh of 695.2 nJ every 9360 clocks of 833 ps
        assert price.static - 256 * 57 == pytest.approx(412_800 + 695.2e6 / (9360 * 0.833), abs=1)
        assert price.estimates[-1] == "byte, activate and standby of DDR4-2400: as its own file says"

    def test_is_drawn_by_each_channel(self) -> None:
        machine = load_accelerator(self.DDR4, ["dram.technology.channels=2", "dram.technology.mapping=bg2 ch1 col7 ba2 row"])
        one = load_accelerator(self.DDR4).prices
        assert machine.prices.static - 256 * 57 == pytest.approx(2 * (one.static - 256 * 57), abs=1)
        assert (machine.prices.dram_read, machine.prices.activate) == (one.dram_read, one.activate)

    def test_gives_way_to_what_is_written_in_the_energy_table(self) -> None:
        price = load_accelerator(self.DDR4, ["energy.dram.read=9 pJ/bit", "energy.dram.source=mine"]).prices
        assert (price.dram_read, price.activate, price.static) == (72_000_000, 0, 256 * 57)
        assert price.estimates[-1] == "byte, activate and standby of DDR4-2400: not its own, but of mine"

    def test_is_that_of_the_table_where_its_file_says_nothing_and_this_is_told(self) -> None:
        price = load_accelerator(self.DDR4, ["dram.technology.energy=null"]).prices
        assert (price.dram_read, price.activate) == (64_000_000, 0)
        assert price.estimates[-1].endswith("not its own, but of LPDDR4, 8 pJ/bit all told, Accelergy CACTI-DRAM table")

    @pytest.mark.parametrize("path", sorted((CONFIGS / "memory").glob("*.yaml")), ids=lambda path: path.stem)
    def test_has_a_source_in_every_file_that_ships(self, path: Path) -> None:
        energy = load_memory(path).energy
        assert energy is None or energy.source


@given(
    st.lists(st.tuples(st.integers(1, 2**30), st.integers(0, 10**12)), min_size=1, max_size=5, unique_by=lambda point: point[0]),
    st.lists(st.integers(1, 2**40), min_size=2, max_size=2).map(sorted),
)
def test_a_larger_memory_never_costs_less_where_the_table_says_so(points: list[tuple[int, int]], sizes: list[int]) -> None:
    energies = sorted(energy for _, energy in points)
    ascending = tuple(zip(sorted(size for size, _ in points), energies, strict=True))
    small, large = (interpolated(ascending, size) for size in sizes)
    assert 0 <= small <= large
    assert all(interpolated(ascending, size) == energy for size, energy in ascending)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "energy.mac={widths: [{bits: 8, energy: 1 pJ}, {bits: 8, energy: 2 pJ}], source: me}",
            "accelerator.energy.mac.widths.1.bits: bits 8 stands after 8\n    list them in ascending order",
        ),
        (
            "energy.mac={widths: [{bits: 8, energy: 1 pJ}, {bits: 16, energy: 2 fJ}], source: me}",
            "accelerator.energy.mac.widths.1.energy: the energy of bits 16 is less than that of bits 8",
        ),
        ("energy.mac.sorce=me", "unknown key 'sorce'\n    allowed: widths, source.  Did you mean 'source'?"),
        ("energy.dram.read=8", "8 has no unit\n    write 8 pJ/B or 8 pJ/bit"),
        ("energy.static.pe=1 pJ", "'1 pJ' is an energy, not a power\n    allowed units: uW, mW, W"),
        ("energy.mac.widths=[]", "widths"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_accelerator(EDGE, [override])
    assert message in str(refused.value)


def test_a_table_of_ones_own_is_included_by_its_path(tmp_path: Path) -> None:
    shutil.copy(CONFIGS / "energy" / "45nm.yaml", tmp_path / "base.yaml")
    (tmp_path / "mine.yaml").write_text("energy:\n  include: base.yaml\n  name: mine\n  static: {pe: 1 mW}\n")
    (tmp_path / "machine.yaml").write_text(f"{EDGE.read_text()}  energy: {{include: mine.yaml}}\n")
    machine = load_accelerator(tmp_path / "machine.yaml")
    assert (machine.energy.name, machine.energy.static.pe, machine.energy.mac) == ("mine", 1000, Energy().mac)
    assert machine.prices.static == 256_000


def test_one_price_can_be_set_alone() -> None:
    machine = load_accelerator(EDGE, ["energy.dram.read=3.9 pJ/bit", "energy.buffer.ifmap_reads=0.11"])
    assert (machine.prices.dram_read, machine.prices.dram_write) == (31_200_000, 64_000_000)
    assert machine.energy.buffer.ifmap_reads == 0.11
    assert "ifmap_reads: 0.11" in describe(machine)


def test_from_python_lists_are_checked_too() -> None:
    with pytest.raises(ValueError, match="size 1 stands after 2"):
        BufferEnergy(read=(SizePoint(size=2, energy=1), SizePoint(size=1, energy=1)), write=(SizePoint(size=1, energy=1),), source="me")
    assert MacEnergy(widths=(MacPoint(bits=8, energy=1),), source="me").widths[0].bits == 8
