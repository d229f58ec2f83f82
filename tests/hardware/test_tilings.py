"""Fixed tilings as YAML gives them: defaults, layering, faults with their places."""

from __future__ import annotations

import pytest
from machine_samples import TINY_MACHINE

from accelsim.errors import ConfigError
from accelsim.hardware import describe, load_accelerator
from accelsim.hardware.tilings import FixedTiling, Slots, Tilings, by_tensor


def load(folder, text, *overrides):
    file = folder / "machine.yaml"
    file.write_text(TINY_MACHINE + text)
    return load_accelerator(file, overrides)


def fault(folder, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return str(caught.value).replace(f"{folder}/", "")


def test_nothing_is_fixed_unless_said(tmp_path):
    assert load(tmp_path, "").tiling == Tilings()


def test_a_machine_with_fixed_tilings_reads_back_as_it_is_printed(tmp_path):
    text = "  tiling: {default: {rows: 8}, layers: {003_convolutional: {filters: 32, order: KCP}}}\n  batch: 4\n"
    machine = load(tmp_path, text)
    (tmp_path / "again.yaml").write_text(describe(machine))
    assert load_accelerator(tmp_path / "again.yaml") == machine
    assert machine.tiling.layers["003_convolutional"] == FixedTiling(filters=32, order="KCP")
    assert hash(machine) == hash(load_accelerator(tmp_path / "again.yaml"))


def test_a_layers_entry_lies_over_the_default():
    assert FixedTiling(rows=2, order="PCK").over(FixedTiling(rows=8, filters=3)) == FixedTiling(rows=2, filters=3, order="PCK")


def test_an_override_reaches_one_layer(tmp_path):
    machine = load(tmp_path, "", "tiling.layers.conv1.rows=3")
    assert machine.tiling.layers == {"conv1": FixedTiling(rows=3)}
    assert machine.place("tiling.layers.conv1.rows") == "--set tiling.layers.conv1.rows"


def test_a_wrong_order_says_what_the_letters_mean(tmp_path):
    assert fault(tmp_path, "  tiling:\n    layers:\n      conv1: {order: KCS}\n").startswith(
        "machine.yaml:10:22: accelerator.tiling.layers.conv1.order: 'KCS' is not an order of loops\n"
    )
    assert "K filters, C channels, P positions" in fault(tmp_path, "  tiling: {default: {order: kcp}}\n")


def test_a_wrong_key_below_a_layer_gets_a_guess(tmp_path):
    text = fault(tmp_path, "  tiling:\n    layers:\n      conv1: {row: 3}\n")
    assert "machine.yaml:10:15: accelerator.tiling.layers.conv1: unknown key 'row'" in text
    assert "Did you mean 'rows'?" in text


def test_several_images_have_all_their_rows(tmp_path):
    text = fault(tmp_path, "  tiling: {default: {images: 2, rows: 3}}\n")
    assert "accelerator.tiling.default.rows: rows 3 beside images 2\n" in text


def test_what_is_loaded_at_once_is_part_of_the_tile(tmp_path):
    text = fault(tmp_path, "  tiling: {default: {filters: 2, filters_at_once: 3}}\n")
    assert "filters_at_once 3 is more than filters 2" in text


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "many"])
def test_sizes_are_whole_numbers_from_one(tmp_path, size):
    assert "accelerator.tiling.default.rows" in fault(tmp_path, f"  tiling: {{default: {{rows: {size}}}}}\n")


def test_slots_are_one_number_or_one_each(tmp_path):
    assert by_tensor(load(tmp_path, "").buffer.slots) == (2, 2, 2)
    (tmp_path / "machine.yaml").write_text(TINY_MACHINE.replace("8 KiB}", "8 KiB, slots: {ifmap: 1, filter: 3}}"))
    machine = load_accelerator(tmp_path / "machine.yaml")
    assert machine.buffer.slots == Slots(ifmap=1, filter=3, ofmap=2)
    assert by_tensor(machine.buffer.slots) == (1, 3, 2)
