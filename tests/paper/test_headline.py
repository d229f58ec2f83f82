"""Headline numbers of other works: how they are measured, and that they stand beside the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import hardware, schemes
from accelsim.networks import zoo
from accelsim.paper import headline, paperfile, works
from accelsim.paper.headline import COLUMNS
from accelsim.paper.show import headline_table
from accelsim.trace import measure

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs/paper/paper.yaml"
EDGE = ROOT / "configs/accelerator/edge.yaml"


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from((8, 16)))
def test_zvc_takes_what_the_scheme_takes(seed: int, zeros: float, bits: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((3, 8, 8)) < zeros, 0, 1).astype(np.float32)
    machine = hardware.load_accelerator(EDGE, [f"data.ifmap_bits={bits}"])
    encoded = schemes.load("zvc:unit=1048576,layout=packed,fallback=false").encode_map(measure(values), machine)
    streams = -(-works.zvc_bits(values.size, int(values.sum()), bits) // 8)
    assert encoded.payload_bytes == min(streams, values.size * bits // 8), "a stream that would be longer is stored as it is"


@given(st.floats(0.05, 0.9), st.integers(0, 9))
def test_a_position_mask_is_zero_in_every_channel_or_in_none(share: float, seed: int) -> None:
    graph = zoo.load("mobilenet_v2@32").graph
    trace = works.position_masks(graph, share, seed)
    masked = 0
    for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
        live = fmap.nonzero().reshape(node.shape[0], -1)
        if node.kind == "conv" and node.groups == 1:
            assert (live.any(axis=0) == live.all(axis=0)).all()
            assert int((~live.any(axis=0)).sum()) == round(share * live.shape[1])
            masked += 1
        else:
            assert live.all()
    assert masked > 30


def test_quantised_maps_keep_zeros_and_use_the_whole_range() -> None:
    values = np.array([[[0.0, -0.5, 2.0, 0.001]]], np.float32)
    assert works.quantised(values).tolist() == [[[0, -32, 127, 0]]]
    assert not works.quantised(np.zeros((1, 2, 2), np.float32)).any()


def test_eyeriss_layers_save_what_the_chip_was_said_to_save() -> None:
    """Source: Eyeriss, JSSC 2017: DRAM traffic of AlexNet 1.2 times (CONV1) to 1.9 times (CONV5) less by its code."""
    asked = paperfile.load(PAPER).headline.eyeriss
    found = {one.at: one.value for one in works.run_length(asked)}
    assert list(found) == [f"CONV{number}" for number in range(1, 6)]
    assert list(found.values()) == sorted(found.values())
    assert found["CONV1"] == pytest.approx(1.2, abs=0.1)
    assert found["CONV5"] == pytest.approx(1.9, abs=0.1)


def test_positions_left_out_shorten_a_run_by_at_most_their_share() -> None:
    asked = paperfile.load(PAPER).headline.columns
    small = asked.model_copy(update={"networks": ("resnet18@64",), "shares": (0.1, 0.3)})
    first, second = works.columns(small)
    assert 1 < first.value <= 1 / 0.9 + 1e-9
    assert first.value < second.value <= 1 / 0.7 + 1e-9


def test_claims_without_assets_are_measured_or_say_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ACCELSIM_ASSETS", raising=False)
    asked = paperfile.load(PAPER)
    fewer = asked.headline.columns.model_copy(update={"networks": ("resnet18@64",), "shares": (0.1,)})
    asked = asked.model_copy(update={"headline": asked.headline.model_copy(update={"columns": fewer})})
    table = headline(asked, tmp_path, silent)
    assert tuple(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["work"])) == ["Zebra", "cDMA", "Semi-structured sparsity", "Eyeriss RLC", "EBPC"]
    missing = table[table["measured"].isna()]
    assert (missing["why"] != "").all()
    whys = missing.groupby("work")["why"].first()
    assert "training and its offloading of maps are not simulated" in whys["cDMA"]
    assert "ACCELSIM_ASSETS" in whys["EBPC"]
    known = table[table["measured"].notna()]
    assert (known["ours"] != "").all()
    assert (known["comparable"] != "").all()
    zebra = known[known["work"] == "Zebra"]
    assert set(zebra["published"]) == {70.0}
    assert zebra["measured"].max() < 70
    ratios = known[(known["work"] == "cDMA") & (known["at"] == "AlexNet")]["measured"].to_list()
    # Source of the zeros: the authors' log, 57.39 % of conv and max-pool outputs; a 32-bit word gives 1 / (1 - 0.5739 + 1 / 32)
    np.testing.assert_allclose(ratios, [1 / (1 - 0.5739 + 1 / 32), 1 / (1 - 0.5739 + 1 / 16)], rtol=1e-3)
    assert headline_table(table).row_count == len(table)


def test_bit_planes_shrink_real_maps(shared: Path) -> None:
    archive = next(entry.archive for entry in paperfile.load(PAPER).networks.values() if entry.archive is not None)
    (found,) = works.bit_planes_of_others(archive, hardware.load_accelerator(EDGE, ["data.ifmap_bits=8"]))
    assert found.at == "AlexNet"
    assert 2.5 < found.value < 5.1, "shorter than zeros alone make it, longer than the mean that was published"
