"""Fixed tile sizes and loop orders: kept as they are, the rest searched, faults told with the place where they were written."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_samples import TINY_MACHINE
from schedule_samples import KIB, accelerator, accelerators, conv, graph, maxpool, trace
from test_schedule_loops import layers

from accelsim import engines
from accelsim.errors import ConfigError
from accelsim.hardware import Data, load_accelerator
from accelsim.hardware.tilings import ORDERS, FixedTiling, Slots, Tilings
from accelsim.schedule import build
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Tiling, extents, filter_pieces, walk
from accelsim.schedule.plan import plan
from accelsim.schedule.tables import FILTER, READ
from accelsim.schedule.tiling import dense_bits, search

LAYER = Geometry(1, 32, 24, 28, 28, 28, 28, (3, 3), (1, 1), (1, 1), (1, 1))
NET = graph((3, 16, 16), conv(8, 3), maxpool(), conv(6, 3), {"kind": "dropout"})


def fixing(default=None, **layers):
    """The test machine with these tilings."""
    made = {name: FixedTiling(**sizes) for name, sizes in layers.items()}
    return accelerator(size=256 * KIB).model_copy(update={"tiling": Tilings(default=FixedTiling(**(default or {})), layers=made)})


def tilings(machine, net=NET):
    return build(trace(net), machine, "dense").tilings


@pytest.mark.parametrize(
    "fixed",
    [
        {"filters": 7},
        {"channels": 5},
        {"rows": 3},
        {"columns": 9},
        {"order": "CKP"},
        {"filters": 8, "channels": 6, "rows": 4, "order": "PCK"},
    ],
)
def test_what_is_fixed_is_kept_and_the_rest_is_searched(fixed):
    machine = accelerator(size=64 * KIB)
    found = search(LAYER, machine, "conv", FixedTiling(**fixed))
    names = {"filters": found.filters, "channels": found.channels, "rows": found.height, "columns": found.width, "order": found.order}
    assert {name: names[name] for name in fixed} == fixed


@given(layers(), st.data())
@settings(max_examples=60)
def test_any_sizes_can_be_fixed_together(layer, data):
    groups, filters, channels, rows, cols = (data.draw(st.integers(1, extent)) for extent in extents(layer))
    if groups > 1:
        filters, channels = layer.filters, layer.channels
    order, at_once = data.draw(st.sampled_from(ORDERS)), data.draw(st.integers(1, filters))
    fixed = FixedTiling(groups=groups, filters=filters, filters_at_once=at_once, channels=channels, rows=rows, columns=cols, order=order)
    found = search(layer, accelerator(size=1024 * KIB), "conv", fixed)
    assert found == Tiling(groups, filters, channels, rows, cols, order, at_once if at_once < filters else 0)


@given(layers(), st.data())
def test_filters_taken_piece_by_piece_cover_every_mac_and_leave_the_sums_in_place(layer, data):
    filters, channels = data.draw(st.integers(1, layer.filters)), data.draw(st.integers(1, layer.channels))
    at_once = data.draw(st.integers(1, filters))
    tiling = Tiling(1, filters, channels, layer.out_height, 1, data.draw(st.sampled_from(ORDERS)), at_once)
    laid = plan(layer, tiling, Data())
    macs = np.prod([laid.length(axis)[laid.at[axis]] for axis in range(5)], axis=0).sum() * layer.taps
    assert macs == layer.macs
    low, high = filter_pieces(layer, tiling)
    assert (high - low).max() <= at_once
    # Ofmap fillings are those of the same tiling without pieces.
    whole = plan(layer, Tiling(1, filters, channels, layer.out_height, 1, tiling.order), Data())
    assert laid.ofmap.size.tolist() == whole.ofmap.size.tolist()
    assert laid.ifmap.first.size == whole.ifmap.first.size
    bits = dense_bits(layer, Data(), tiling)
    lengths = laid.length(0)[laid.at[0]] * laid.length(1)[laid.at[1]] * laid.length(2)[laid.at[2]]
    assert bits[1] == int(lengths[laid.filter.first].sum()) * layer.taps * 16
    assert (bits[0], bits[2]) == (dense_bits(layer, Data(), whole.tiling)[0], dense_bits(layer, Data(), whole.tiling)[2])


def test_pieces_of_filters_run_innermost():
    layer = Geometry(1, 10, 2, 4, 4, 4, 4)
    filters = walk(layer, Tiling(1, 6, 1, 4, 4, "KPC", 4))[1]
    assert filters.tolist() == [0, 1, 0, 1, 2, 2]


@given(accelerators(), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_a_schedule_with_pieces_runs_to_the_end_and_stores_everything_once(machine, seed):
    net = graph((5, 9, 9), conv(12, 3), conv(6, 3, groups=2))
    rng = np.random.default_rng(seed)
    sizes = {
        "filters": int(rng.integers(4, 13)),
        "filters_at_once": int(rng.integers(1, 5)),
        "channels": int(rng.integers(1, 6)),
        "order": "KPC",
    }
    machine = machine.model_copy(update={"tiling": Tilings(default=FixedTiling(**sizes))})
    try:
        schedule = build(trace(net, seed=seed), machine, "channel_marker")
    except ConfigError:
        return
    timeline = engines.replay(schedule, machine, "reference")
    assert not engines.replay(schedule, machine, "fast").differences(timeline)


def test_filters_at_once_fit_where_the_whole_tile_does_not():
    layer = Geometry(1, 64, 64, 8, 8, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1))
    fixed = FixedTiling(filters=64, channels=64, rows=8, columns=8)
    with pytest.raises(ConfigError):
        search(layer, accelerator(size=64 * KIB), "conv", fixed)
    assert search(layer, accelerator(size=64 * KIB), "conv", fixed.model_copy(update={"filters_at_once": 4})).pieces == 16


def test_a_default_holds_for_every_layer_and_is_cut_down_to_it():
    first, pool, second = tilings(fixing({"rows": 5, "filters": 7}))
    assert "filters 7/8" in first
    assert "rows 5/16" in first
    assert "rows 5/8" in pool
    assert "filters 6/6" in second


def test_a_layer_of_its_own_goes_before_the_default():
    first, _, second = tilings(fixing({"rows": 5, "order": "CPK"}, **{"003_conv": {"rows": 2}}))
    assert "rows 5/16" in first
    assert "rows 2/8" in second
    assert second.endswith("loops channels > positions > filters")


def test_slots_are_counted_for_each_tensor():
    machine = accelerator(size=3 * KIB)
    layer = Geometry(1, 16, 16, 8, 8, 8, 8)
    fixed = FixedTiling(filters=16, channels=16, rows=8, columns=4)  # 1024 + 512 + 1024 bytes
    one = machine.model_copy(update={"buffer": machine.buffer.model_copy(update={"slots": Slots(ifmap=1, filter=2, ofmap=1)})})
    assert search(layer, one, "conv", fixed).width == 4
    with pytest.raises(ConfigError, match=r"one tile needs 2,560 bytes .*, in 2 slots 5,120; buffer.size is 3,072"):
        search(layer, machine, "conv", fixed)
    with pytest.raises(ConfigError, match=r"in 1, 2 and 1 slots 5,120"):
        search(layer, one, "conv", fixed.model_copy(update={"columns": 8}))


YAML = TINY_MACHINE + "  tiling:\n    layers:\n"


def written(folder, *entries):
    file = folder / "fixed.yaml"
    file.write_text(YAML + textwrap.indent("\n".join(entries), "      ") + "\n")
    return load_accelerator(file)


def test_an_unknown_layer_is_named_with_a_guess(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build(trace(NET), written(tmp_path, "01_conv:", "  rows: 2"), "dense")
    assert str(caught.value) == (
        f"{tmp_path}/fixed.yaml:11: small has no layer '01_conv'\n    allowed: 001_conv, 002_maxpool, 003_conv.  Did you mean '001_conv'?"
    )


def test_a_layer_without_tiles_is_named_with_the_reason(tmp_path):
    with pytest.raises(ConfigError, match=r"fixed.yaml:11: layer '004_dropout' of small has no tiles: identity at inference"):
        build(trace(NET), written(tmp_path, "004_dropout:", "  rows: 2"), "dense")


def test_a_size_that_the_layer_does_not_have_is_refused_where_it_was_written(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build(trace(NET), written(tmp_path, "001_conv:", "  filters: 9", "  rows: 17"), "dense")
    assert str(caught.value) == (
        f"001_conv (layer 1): filters fixed at 9 ({tmp_path}/fixed.yaml:11), the layer has 8\n    allowed: 1 to 8\n"
        f"001_conv (layer 1): rows fixed at 17 ({tmp_path}/fixed.yaml:12), the layer has 16\n    allowed: 1 to 16"
    )


def test_a_fixed_tile_that_does_not_fit_is_refused_where_it_was_written(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build(trace(NET), written(tmp_path, "001_conv: {filters: 8, rows: 16, columns: 16, channels: 3}"), "dense")
    assert str(caught.value) == (
        "001_conv (layer 1): one tile needs 6,064 bytes (ifmap 1,536, filter 432, ofmap 4,096), in 2 slots 12,128; "
        f"buffer.size is 8,192 ({tmp_path}/fixed.yaml:5)\n"
        f"    enlarge buffer.size to 12 KiB, or make the fixed tile ({tmp_path}/fixed.yaml:8) or buffer.slots smaller"
    )


def test_groups_of_a_tile_are_whole():
    net = graph((8, 8, 8), conv(8, 3, groups=4))
    with pytest.raises(ConfigError, match=r"2 groups in a tile, but filters fixed below the 2 of a group"):
        build(trace(net), fixing(**{"001_conv": {"groups": 2, "filters": 1}}), "dense")
    assert "groups 2/4" in tilings(fixing(**{"001_conv": {"groups": 2}}), net)[0]


def test_filters_are_read_again_for_each_fill_that_a_fixed_order_makes():
    net = graph((4, 16, 16), conv(8, 3))
    read = {}
    for order in ("KCP", "PKC"):
        machine = fixing(**{"001_conv": {"channels": 2, "rows": 4, "order": order}})
        table = build(trace(net), machine, "dense").transfers
        read[order] = int(table.bytes_wanted[(table.tensor == FILTER) & (table.direction == READ)].sum())
    assert read["PKC"] == 4 * read["KCP"] == 4 * 8 * 4 * 9 * 2
