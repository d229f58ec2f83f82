"""Sweeps over a store of traces: which of its images are taken, and that workers get them wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_sweep_samples import DIGITS
from machine_samples import SMALL_MACHINE
from sweep_samples import swept

from accelsim import imageset, sweeps
from accelsim.designspace.sweeptable import Place
from accelsim.errors import ConfigError, TraceError
from accelsim.runfile import load_network_file
from accelsim.sweeps.points import store_at, trace_at
from accelsim.sweeps.tasks import trace_bytes

SWEEP = """\
sweep:
  name: stored
  accelerator: small.yaml
  schemes: [channel_marker]
  axes:
    accelerator.buffer.size: [2 KiB, 16 KiB]
  jobs:
    - traces: store
  processes: 1
  results: out
"""


@pytest.fixture(autouse=True)
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL_MACHINE)
    Path("sweep.yaml").write_text(SWEEP)
    imageset.infer(load_network_file(DIGITS / "network.yaml"), DIGITS / "images", "store", limit=6, processes=1, block=4)


def images(more: str) -> list[str]:
    Path("sweep.yaml").write_text(SWEEP.replace("store\n", f"store\n{more}"))
    return swept().table.groupby("job")["image"].first().tolist()


def test_images_are_chosen_by_name_number_and_how_many() -> None:
    every = [str(number) for number in range(6)]
    assert images("") == every
    assert images("      limit: 2\n") == every[:2]
    assert images("      images: ['[345]*']\n") == every[3:]
    assert images("      numbers: [4, 0, 4]\n") == [every[4], every[0]]
    assert images("      images: ['[345]*']\n      numbers: [2, 1]\n      limit: 1\n") == [every[5]]
    assert swept().simulated == 0, "each of them was simulated before"


def test_an_image_in_a_store_gives_what_its_own_trace_gives() -> None:
    stored = swept().table
    job = f"network: {DIGITS}/network.yaml\n      images: ['{DIGITS}/images/[0-5].png']"
    Path("sweep.yaml").write_text(SWEEP.replace("traces: store", job))
    inferred = swept(results="inferred").table
    told = ["job", "network", "image"]
    assert stored.drop(columns=told).equals(inferred.drop(columns=told))


def test_a_store_and_weights_beside_it_go_together() -> None:
    more = f"      network: {DIGITS}/network.yaml\n      limit: 1\n      schemes: [channel_marker+eie]\n"
    Path("sweep.yaml").write_text(SWEEP.replace("store\n", f"store\n{more}"))
    outcome = swept()
    assert outcome.failed == 0
    assert outcome.table["scheme"].tolist() == ["dense", "channel_marker+eie"] * 2


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("      numbers: [1, 6]\n", r"sweep.yaml:9: sweep.jobs.0.numbers: 6 of 6 images\n    allowed: 0 to 5"),
        ("      numbers: []\n", "sweep.yaml:9:16: sweep.jobs.0.numbers: too few items"),
        ("      number: [1]\n", "Did you mean 'numbers'"),
    ],
)
def test_numbers_that_are_not_there_are_told(more: str, told: str) -> None:
    Path("sweep.yaml").write_text(SWEEP.replace("store\n", f"store\n{more}"))
    with pytest.raises(ConfigError, match=told):
        swept()
    with pytest.raises(ConfigError, match=told):
        sweeps.forecast("sweep.yaml")


def test_a_name_that_no_image_has_is_told() -> None:
    Path("sweep.yaml").write_text(SWEEP.replace("store\n", "store\n      images: [dog]\n"))
    with pytest.raises(TraceError, match="no image fits 'dog'"):
        swept()


def test_a_store_that_grows_is_read_anew() -> None:
    before = store_at(Path("store"))
    assert store_at(Path("store")) is before
    imageset.infer(load_network_file(DIGITS / "network.yaml"), DIGITS / "images", "store", limit=8, processes=1, block=4)
    assert len(store_at(Path("store"))) == 8
    assert swept().table["job"].max() == 8


def test_what_travels_to_a_worker_is_the_trace() -> None:
    place = Place(Path("store"), "3")
    Path("sent.npz").write_bytes(trace_bytes(place))
    assert trace_bytes(Place(Path("sent.npz"))) == Path("sent.npz").read_bytes()
    assert trace_at(Place(Path("sent.npz"))).image == trace_at(place).image == "3"
