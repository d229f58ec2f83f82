"""The search: what it finds fits, costs least, and says what is missing where nothing fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, conv, graph, trace
from test_schedule_loops import layers

from accelsim.errors import ConfigError
from accelsim.schedule import build
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.plan import plan
from accelsim.schedule.tiling import dense_bits, find, search

VGG = Geometry(1, 64, 64, 224, 224, 224, 224, (3, 3), (1, 1), (1, 1), (1, 1))
FC = Geometry(1, 4096, 512, 7, 7, 1, 1, (7, 7))


def room(layer, machine, tiling):
    """Bytes of the largest filling of each class."""
    laid = plan(layer, tiling, machine.data)
    return [int(fillings.size.max()) for fillings in (laid.ifmap, laid.filter, laid.ofmap)]


@given(layers(), st.sampled_from(["spatial", "ws"]), st.integers(1, 3), st.sampled_from([1, 2, 8]), st.booleans())
def test_what_is_found_fits_into_its_slots(layer, dataflow, slots, kib, split):
    sizes = (kib * KIB,) * 3 if split else None
    machine = accelerator(dataflow=dataflow, slots=slots, size=2 * kib * KIB, split=sizes)
    needed = np.array(room(layer, machine, search(layer, machine, "conv"))) * slots
    assert (needed <= kib * KIB).all() if split else needed.sum() <= 2 * kib * KIB


@pytest.mark.parametrize("layer", [VGG, FC])
@pytest.mark.parametrize("dataflow", ["spatial", "ws"])
def test_a_larger_buffer_never_moves_more(layer, dataflow):
    moved = []
    for kib in (32, 64, 128, 256, 512, 1024, 4096, 65536):
        rungs = find(layer, accelerator(16, 16, dataflow, size=kib * KIB))
        assert rungs.moved[0] == rungs.moved.min()
        moved.append(int(rungs.moved[0]))
    assert moved == sorted(moved, reverse=True)


def test_everything_is_read_and_written_once_where_it_fits():
    machine = accelerator(16, 16, size=64 * 1024 * KIB)
    for layer in (VGG, FC):
        bits = dense_bits(layer, machine.data, search(layer, machine, "layer"))
        outputs = layer.filters * layer.out_height * layer.out_width
        assert bits == (layer.channels * layer.height * layer.width * 16, layer.weight_elements * 16, outputs * 16)


def test_spatial_tiles_are_whole_parts_of_the_array():
    tiling = search(VGG, accelerator(16, 16, size=64 * KIB), "conv")
    assert (tiling.height % 16, tiling.width % 16) == (0, 0)


def test_a_narrow_slice_of_channel_major_filters_is_not_mistaken_for_cheap():
    """One filter of a 1x1 layer is 2 bytes in every slice: each costs an access. Cutting channels costs nothing."""
    layer = Geometry(1, 4096, 4096, 1, 1, 1, 1)
    by_channel = search(layer, accelerator(16, 16, size=64 * KIB, filter_layout="ckrs"), "fc")
    by_filter = search(layer, accelerator(16, 16, size=64 * KIB, filter_layout="kcrs"), "fc")
    assert (by_channel.filters, by_filter.channels) == (4096, 4096)


def test_partial_sums_stay_while_they_can():
    layer = Geometry(1, 32, 256, 16, 16, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1))
    machine = accelerator(16, 16, size=64 * KIB)
    tiling = search(layer, machine, "conv")
    assert tiling.channels < 256
    assert dense_bits(layer, machine.data, tiling)[2] == 32 * 16 * 16 * 16


def test_a_group_is_cut_only_when_tiles_hold_one_group():
    for size in (2, 16, 256):
        tiling = search(Geometry(8, 16, 16, 8, 8, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1)), accelerator(size=size * KIB), "conv")
        assert tiling.groups == 1 or (tiling.filters, tiling.channels) == (16, 16)


def test_equal_layers_on_equal_machines_are_searched_once():
    layer = Geometry(1, 512, 512, 28, 28, 28, 28, (3, 3), (1, 1), (1, 1), (1, 1))
    again = Geometry(1, 512, 512, 28, 28, 28, 28, (3, 3), (1, 1), (1, 1), (1, 1))
    assert find(again, accelerator(8, 8, size=96 * KIB)) is find(layer, accelerator(8, 8, size=96 * KIB))


def test_a_buffer_smaller_than_one_tile_is_refused_with_its_remedy():
    data = trace(graph((3, 32, 32), conv(8, 3)))
    with pytest.raises(ConfigError) as caught:
        build(data, accelerator(16, 16, size=1 * KIB), "dense")
    assert str(caught.value) == (
        "001_conv (layer 1): one tile needs 1,620 bytes (ifmap 578, filter 18, ofmap 1,024)"
        ", in 2 slots 3,240; buffer.size is 1,024 (accelerator.buffer.size)\n"
        "    enlarge buffer.size to 4 KiB, or make pe_array or buffer.slots smaller"
    )
    assert build(data, accelerator(16, 16, size=4 * KIB), "dense").tiles.layer.size > 0


def test_each_memory_of_a_split_buffer_is_named():
    data = trace(graph((3, 32, 32), conv(8, 3)))
    with pytest.raises(ConfigError) as caught:
        build(data, accelerator(16, 16, split=(1 * KIB, 1 * KIB, 1 * KIB)), "dense")
    assert len(caught.value.faults) == 2
    assert [fault.split(":")[1].split(" needs")[0] for fault in caught.value.faults] == [" one ifmap tile", " one ofmap tile"]
