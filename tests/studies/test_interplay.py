"""Quantisation and marker together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from accelsim import simulate
from accelsim.errors import ConfigError
from accelsim.studies import interplay

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "network" / "digits"
IMAGES = [str(DIGITS / "images" / f"{digit}.png") for digit in (0, 3, 8)]


@pytest.fixture(scope="module")
def found():
    machine = simulate.load_accelerator(ROOT / "configs/accelerator/edge.yaml")
    return interplay.interplay(DIGITS / "network.yaml", IMAGES, machine, calibration=[str(DIGITS / "images" / "*.png")])


def test_there_is_a_row_for_each_format_and_image_and_a_mean(found):
    assert len(found) == 3 * (3 + 1)
    assert list(found["format"].unique()) == ["float32", "int8 symmetric", "int8 zero point"]
    means = found[found["image"] == "all"].set_index("format")
    for form, own in found[found["image"] != "all"].groupby("format"):
        assert means.loc[form, "zero_elements"] == pytest.approx(own["zero_elements"].mean())
        assert means.loc[form, "saved_percent"] == pytest.approx(100 * own["saved_bytes"].sum() / own["dense_bytes"].sum())


def test_rounding_makes_zeros_and_narrow_data_moves_less(found):
    means = found[found["image"] == "all"].set_index("format")
    floats, symmetric, zero_point = (means.loc[form] for form in ("float32", "int8 symmetric", "int8 zero point"))
    assert floats["zero_elements"] < zero_point["zero_elements"] < symmetric["zero_elements"]
    assert floats["zero_channels"] <= zero_point["zero_channels"] <= symmetric["zero_channels"]
    assert floats["dense_bytes"] > 3 * symmetric["dense_bytes"] == 3 * zero_point["dense_bytes"]


def test_a_row_is_what_a_replay_gives(found):
    from accelsim import inference, runfile
    from accelsim.hardware import Data

    file = runfile.load_network_file(DIGITS / "network.yaml")
    trace = next(inference.record(simulate.load_network(file), [inference.photograph(IMAGES[0], file.preprocessing)]))
    machine = simulate.load_accelerator(ROOT / "configs/accelerator/edge.yaml").model_copy(
        update={"data": Data(ifmap_bits=32, filter_bits=32)}
    )
    moved = [simulate.replay(trace, machine, scheme).totals["bytes_moved"] for scheme in ("dense", "channel_marker")]
    row = found[(found["format"] == "float32") & (found["image"] == "0")].iloc[0]
    assert (row["dense_bytes"], row["saved_bytes"]) == (moved[0], moved[0] - moved[1])


def test_calibration_images_must_be_named():
    machine = simulate.load_accelerator(ROOT / "configs/accelerator/edge.yaml")
    with pytest.raises(ConfigError, match="digits: no calibration images\n    give some"):
        interplay.interplay(DIGITS / "network.yaml", IMAGES, machine)


def test_the_command_uses_the_network_files_own_and_writes_a_table(tmp_path, program):
    arguments = ("--image", IMAGES[1], "--accelerator", ROOT / "configs/accelerator/edge.yaml", "--results", tmp_path)
    code, out, _ = program("quantisation", DIGITS / "int8.yaml", *arguments)
    assert code == 0
    assert "int8 zero point" in out
    written = pd.read_csv(tmp_path / "quantisation.csv")
    assert written["image"].tolist() == ["3", "3", "3", "all", "all", "all"]
