"""Eyeriss as measured: bytes and exposed time of our machine, other tables in the same format, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import ConfigError, ModelError
from accelsim.hardware import load_accelerator
from accelsim.hardware.tilings import FixedTiling
from accelsim.validation.chip import Tables, chips_of, layers_of
from accelsim.validation.silicon import LAYER, TOTAL, replay, shipped_machine, validate

CONFIGS = Path(__file__).parents[2] / "configs/accelerator"
TABLE = Path(__file__).parent / "tables/eyeriss_alexnet.csv"
MAPPING = CONFIGS / "eyeriss_alexnet.csv"


@pytest.fixture(scope="module")
def machine():
    return load_accelerator(CONFIGS / "eyeriss.yaml")


@pytest.fixture(scope="module")
def alexnet(machine):
    return validate(machine, Tables.find(TABLE, CONFIGS / "eyeriss.yaml"))


def chips(table=TABLE, mapping=MAPPING):
    return chips_of(Tables(table, mapping, mapping), layers_of(table))


def test_the_machine_moves_what_the_chip_moved(alexnet):
    assert alexnet.passed
    assert [row.name for row in alexnet.rows] == ["CONV1", "CONV2", "CONV3", "CONV4", "CONV5", "Total"]
    assert all(abs(row.error) <= LAYER and row.verdict == "pass" for row in alexnet.rows[:-1])
    assert abs(alexnet.rows[-1].error) <= TOTAL


def test_exposed_time_stays_between_nothing_and_the_link(alexnet):
    for row in alexnet.rows:
        assert 0 < row.details["exposed ms"][0] < row.details["link ms"][0]
    # The sum is near what was measured as well, which nobody asks for.
    ours, measured = alexnet.rows[-1].details["exposed ms"]
    assert abs(ours / measured - 1) < 0.25


def test_processing_is_what_the_array_needs(alexnet):
    ours, measured = alexnet.rows[-1].details["processing ms (not judged)"]
    assert -0.12 < ours / measured - 1 < 0


def test_a_machine_without_the_code_misses(machine):
    comparison = validate(machine, Tables.find(TABLE, CONFIGS / "eyeriss.yaml"), scheme="dense")
    assert not comparison.passed
    assert all(row.verdict == "MISS" for row in comparison.rows)
    # Uncompressed: ifmaps ceil(M/m) times with their halo, filters once a strip and round of images, ofmaps once.
    assert [round(row.model, 2) for row in comparison.rows[:-1]] == [6.08, 5.08, 4.37, 3.4, 2.27]


def test_a_slower_port_exposes_more_than_moving_takes_only_by_latency(machine):
    slow = machine.model_copy(update={"dram": machine.dram.model_copy(update={"latency": 50_000_000})})
    comparison = validate(slow, Tables.find(TABLE, CONFIGS / "eyeriss.yaml"))
    assert any("exposed" in fault for row in comparison.rows for fault in row.faults)


def test_the_published_mapping_becomes_a_tile():
    tilings = {chip.name: chip.tiling for chip in chips()}
    common = {"groups": 1, "order": "KPC"}
    assert tilings["CONV1"] == FixedTiling(filters=96, filters_at_once=32, channels=1, rows=7, columns=55, **common)
    assert tilings["CONV2"] == FixedTiling(filters=64, filters_at_once=16, channels=2, rows=27, columns=27, **common)
    assert tilings["CONV4"] == FixedTiling(filters=64, filters_at_once=32, channels=6, images=4, columns=13, **common)


def test_groups_and_pads_follow_from_a_table_that_does_not_tell_them(shared):
    folder = shared / "golden/silicon"
    tables = Tables.find(folder / "eyeriss_jssc17_tableV_alexnet_n4.csv", CONFIGS / "eyeriss.yaml")
    assert tables.mapping.name == "eyeriss_jssc17_tableIII_mapping.csv"
    assert tables.densities is not None
    assert chips_of(tables, layers_of(tables.table)) == chips()


def test_the_whole_table_passes(shared, machine):
    tables = Tables.find(shared / "golden/silicon/eyeriss_jssc17_tableV_alexnet_n4.csv", CONFIGS / "eyeriss.yaml")
    assert validate(machine, tables).passed


def write(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


SHAPES = "layer,H_padded,R,E,C_per_group,M,U_stride"


def test_another_network_without_a_mapping_is_told_and_not_judged(tmp_path, machine):
    table = write(tmp_path, "vgg.csv", "layer,dram_accesses_MB,zeros_ifmap_pct,macs_G", "CONV5-2,5.7,87.4,1.39", "CONV5-3,5.6,88.5,1.39")
    mapping = write(tmp_path, "shapes.csv", SHAPES, "conv5-2,16,3,14,512,512,1", "conv5-3,16,3,14,512,512,1")
    tables = Tables.find(table, CONFIGS / "eyeriss.yaml")
    assert tables.mapping == mapping
    comparison = validate(machine, tables)
    assert [row.verdict for row in comparison.rows] == ["told", "told"]
    assert all(0.5 < row.model / row.reference < 1.5 for row in comparison.rows)
    assert comparison.lines()[-1] == "2 of 2 rows pass; 2 of them told, not judged"


def test_a_mapping_in_strips_runs(tmp_path, machine):
    table = write(tmp_path, "vgg.csv", "layer,dram_accesses_MB,zeros_ifmap_pct", "CONV3-2,10,58.1")
    mapping = write(tmp_path, "map.csv", f"{SHAPES},m,n,e,p,q,r,t", "CONV3-2,58,3,56,64,256,1,16,1,28,16,4,1,1")
    (chip,) = chips_of(Tables(table, mapping, None), layers_of(table))
    assert chip.code(28, 16) == "rlc:unit=112"
    one = replay(machine, chip, 1)
    dense = replay(machine, chip, 1, "dense")
    ifmap = (256 // 16) * (29 + 29) * 56 * 64 * 2
    filters, ofmap = 2 * 64 * 256 * 9 * 2, 256 * 56 * 56 * 2
    assert dense.moved == ifmap + filters + ofmap
    assert one.moved < dense.moved


def test_a_total_that_is_not_the_sum_is_told_and_not_judged(tmp_path, machine):
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith(("CONV1", "CONV2", "CONV3"))]
    comparison = validate(machine, Tables(write(tmp_path, "part.csv", *lines), MAPPING, MAPPING))
    assert [(row.name, row.verdict) for row in comparison.rows] == [("CONV4", "pass"), ("CONV5", "pass"), ("Total", "told")]
    assert "add up to 3.4 MB" in comparison.rows[-1].faults[0]


@pytest.mark.parametrize(
    ("table", "mapping", "fault"),
    [
        (["CONV9,1,0"], ["CONV1,8,3,6,4,4,1"], r"table.csv:2: .*map.csv has no layer 'CONV9'\n    it has: CONV1"),
        (["CONV1,1,101"], ["CONV1,8,3,6,4,4,1"], r"table.csv:2: CONV1: zeros_ifmap_pct is 101.0; allowed: 0 to 100"),
        (["CONV1,1,"], ["CONV1,8,3,6,4,4,1"], r"table.csv:2: CONV1: zeros_ifmap_pct is None; allowed"),
        (["CONV1,1,0"], ["CONV1,8,3,7,4,4,1"], r"map.csv:2: CONV1: 3 x 3 with stride 1 on 8 padded rows makes 6, not E 7"),
        (["CONV1,1,0"], ["CONV1,8,3,6,4,0,1"], r"map.csv:2: CONV1: H_padded, R, E, C_per_group, M, U_stride must be 1 or more"),
        (["CONV1,1,0"], ["CONV1,100002,3,100000,4,4,1"], r"map.csv:2: CONV1: a map of more than 134,217,728 elements"),
        (["CONV1,1,0", "conv1,1,0"], ["CONV1,8,3,6,4,4,1"], r"table.csv:2: layer 'CONV1' stands more than once"),
        (["Total,1,0"], ["CONV1,8,3,6,4,4,1"], r"table.csv: no row of a layer"),
    ],
)
def test_tables_that_contradict_themselves_are_refused_with_their_place(tmp_path, machine, table, mapping, fault):
    table = write(tmp_path, "table.csv", "layer,dram_accesses_MB,zeros_ifmap_pct", *table)
    mapping = write(tmp_path, "map.csv", SHAPES, *mapping)
    with pytest.raises(ModelError, match=fault):
        validate(machine, Tables.find(table, CONFIGS / "eyeriss.yaml", mapping))


def test_half_a_mapping_and_part_of_several_images_are_refused(tmp_path, machine):
    table = write(tmp_path, "table.csv", "layer,dram_accesses_MB,zeros_ifmap_pct", "CONV1,1,0")
    for cells, fault in (("4,,6,4,4,1,1", "a mapping needs all of m, n, e"), ("4,2,3,4,4,1,1", "several images are taken whole")):
        mapping = write(tmp_path, "map.csv", f"{SHAPES},m,n,e,p,q,r,t", f"CONV1,8,3,6,4,4,1,{cells}")
        with pytest.raises(ModelError, match=fault):
            validate(machine, Tables(table, mapping, None))


def test_a_mapping_that_does_not_fit_the_buffer_is_refused(tmp_path, machine):
    small = machine.model_copy(update={"buffer": machine.buffer.model_copy(update={"size": 64 * 1024})})
    with pytest.raises(ConfigError, match=r"CONV1 \(layer 2\): one tile needs [^\n]*\n .* make the fixed tile"):
        validate(small, Tables(TABLE, MAPPING, MAPPING), scheme="dense")


def test_macs_that_are_no_batch_are_refused(tmp_path, machine):
    table = write(tmp_path, "table.csv", "layer,dram_accesses_MB,zeros_ifmap_pct,macs_G", "CONV1,5,0,0.42", "CONV2,4,38,0.45")
    with pytest.raises(ModelError, match=r"no whole batch of the layers' MACs: CONV1 3.98, CONV2 2.01 images"):
        validate(machine, Tables(table, MAPPING, None))


def test_a_table_far_from_any_mapping_is_refused(tmp_path):
    table = write(tmp_path, "table.csv", "layer,dram_accesses_MB,zeros_ifmap_pct", "CONV77,1,0")
    with pytest.raises(ModelError, match=r"the shapes and the mapping of CONV77 are needed\n    give --mapping FILE.csv"):
        Tables.find(table, CONFIGS / "eyeriss.yaml")


def test_two_mappings_beside_a_table_are_not_guessed_at(tmp_path):
    table = Path(shutil.copy(TABLE, tmp_path))
    for name in ("one.csv", "two.csv"):
        shutil.copy(MAPPING, tmp_path / name)
    with pytest.raises(ModelError, match=r"one\.csv, two\.csv beside it all have"):
        Tables.find(table, CONFIGS / "eyeriss.yaml")


def test_the_command_says_what_it_used_and_what_is_allowed(monkeypatch):
    monkeypatch.chdir(CONFIGS.parents[1])
    done = CliRunner().invoke(app, ["validate", "silicon", "--table", str(TABLE)])
    assert done.exit_code == 0, done.output
    assert "6 of 6 rows pass" in done.output
    assert "allowed: DRAM bytes within 12 % of each layer and 8 % of all" in done.output
    assert "machine: configs/accelerator/eyeriss.yaml; mapping: " in done.output


def test_the_command_exits_with_1_beyond_the_tolerance(tmp_path):
    table = write(tmp_path, "eyeriss.csv", "layer,dram_accesses_MB,zeros_ifmap_pct", "CONV5,1.0,77.6")
    done = CliRunner().invoke(app, ["validate", "silicon", "--table", str(table), "--images", "4"])
    assert done.exit_code == 1
    assert "MISS  CONV5" in done.output


def test_the_shipped_machine_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped_machine().samefile(CONFIGS / "eyeriss.yaml")
