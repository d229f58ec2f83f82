"""The area proxy: parts add up, and grow as its source says."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.designspace.area import area_mm2
from accelsim.hardware import Accelerator, load_accelerator

EDGE = Path(__file__).parents[2] / "configs/accelerator/edge.yaml"


def edge(*overrides: str) -> Accelerator:
    return load_accelerator(EDGE, overrides)


def test_the_published_processing_element_is_met() -> None:
    # EIE, table II: one PE has an SRAM of 128 KiB, 469,412 um2, and one arithmetic unit, 3,110 um2
    one = edge("pe_array.rows=1", "pe_array.cols=1", "buffer.size=128 KiB", "marker_memory.size=1 B")
    assert area_mm2(one) == pytest.approx((469_412 + 3_110) / 1e6, rel=1e-4)


def test_elements_and_bytes_add_up() -> None:
    base = area_mm2(edge())
    wider = area_mm2(edge("pe_array.cols=32"))
    larger = area_mm2(edge("buffer.size=512 KiB"))
    assert area_mm2(edge("pe_array.cols=32", "buffer.size=512 KiB")) == pytest.approx(wider + larger - base)
    assert wider - base == pytest.approx(256 * 3_110e-6)


def test_a_multiplier_grows_with_the_product_of_its_operands() -> None:
    memories = area_mm2(edge("pe_array.rows=1", "pe_array.cols=1")) - 3_110e-6
    assert area_mm2(edge("data.ifmap_bits=8", "data.filter_bits=8")) - memories == pytest.approx(256 * 3_110e-6 / 4)


def test_a_split_buffer_is_the_sum_of_its_memories() -> None:
    split = edge("buffer={organisation: split, ifmap: 64 KiB, filter: 128 KiB, ofmap: 64 KiB}")
    assert area_mm2(split) == pytest.approx(area_mm2(edge()))


def test_link_dram_and_clock_take_no_part() -> None:
    assert area_mm2(edge("clock=1 GHz", "link.bytes_per_cycle=64", "dram.rate=1 GB/s")) == area_mm2(edge())
