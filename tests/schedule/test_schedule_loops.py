"""Closed forms of the loop nest against a walk that does every tile one after the other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.hardware import Data
from accelsim.hardware.tilings import ORDERS
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Tiling, extents, repeats, trips, walk
from accelsim.schedule.plan import plan
from accelsim.schedule.tiling import dense_bits

TENSORS = {"ifmap": (0, 2, 3, 4), "filter": (0, 1, 2), "ofmap": (0, 1, 3, 4)}
"""Loops (groups, filters, channels, rows, columns) that each tensor depends on."""


@st.composite
def layers(draw):
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride, dilation = (draw(st.integers(1, 3)), draw(st.integers(1, 3))), (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    pad = draw(st.integers(0, min(kernel) - 1))
    sizes = []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        size = draw(st.integers(max(1, reach - 2 * pad), reach + 8))
        sizes.append((size, (size + 2 * pad - reach) // stride[axis] + 1))
    return Geometry(
        groups=draw(st.integers(1, 3)),
        filters=draw(st.integers(1, 5)),
        channels=draw(st.integers(1, 5)),
        height=sizes[0][0],
        width=sizes[1][0],
        out_height=sizes[0][1],
        out_width=sizes[1][1],
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        pad=(pad, pad),
    )


@st.composite
def tiled_layers(draw):
    layer = draw(layers())
    groups = draw(st.integers(1, layer.groups))
    within = (layer.filters, layer.channels) if groups > 1 else (draw(st.integers(1, layer.filters)), draw(st.integers(1, layer.channels)))
    sizes = (groups, *within, draw(st.integers(1, layer.out_height)), draw(st.integers(1, layer.out_width)))
    return layer, Tiling(*sizes, order=draw(st.sampled_from(ORDERS)))


def naive_tiles(layer, tiling):
    """Coordinates of every tile, by loops written out."""
    found = []
    groups, filters, channels, rows, cols = (range(count) for count in trips(layer, tiling))
    ranges = {"K": filters, "C": channels, "P": [(y, x) for y in rows for x in cols]}
    for group in groups:
        for outer in ranges[tiling.order[0]]:
            for middle in ranges[tiling.order[1]]:
                for inner in ranges[tiling.order[2]]:
                    at = dict(zip(tiling.order, (outer, middle, inner), strict=True))
                    found.append((group, at["K"], at["C"], *at["P"]))
    return found


def lines_read(layer, axis, low, high):
    """Ifmap rows or columns inside the bounding window of some outputs, found element by element."""
    taps = [
        out * layer.stride[axis] - layer.pad[axis] + tap * layer.dilation[axis]
        for out in range(low, high)
        for tap in range(layer.kernel[axis])
    ]
    inside = [line for line in range(min(taps), max(taps) + 1) if 0 <= line < (layer.height, layer.width)[axis]]
    return len(inside)


@given(tiled_layers())
def test_tiles_run_in_the_order_of_the_loops(case):
    layer, tiling = case
    assert [tuple(tile) for tile in walk(layer, tiling).T.tolist()] == naive_tiles(layer, tiling)


@given(tiled_layers())
def test_fills_equal_a_walk_that_keeps_a_block_while_its_coordinates_stay(case):
    layer, tiling = case
    tiles = naive_tiles(layer, tiling)
    _, filters, channels, rows, cols = trips(layer, tiling)
    times = dict(zip(TENSORS, repeats(tiling.order, filters, channels, rows * cols), strict=True))
    laid = plan(layer, tiling, Data())
    for tensor, loops in TENSORS.items():
        keys = [tuple(tile[loop] for loop in loops) for tile in tiles]
        fills = 1 + sum(before != after for before, after in pairwise(keys))
        assert fills == int(times[tensor]) * len(set(keys)), tensor
        assert fills == getattr(laid, tensor).first.size, tensor


@given(tiled_layers(), st.sampled_from([8, 16]), st.sampled_from([8, 16, 32]))
def test_dense_bits_equal_a_walk_that_loads_and_stores_every_filling(case, ifmap_bits, filter_bits):
    layer, tiling = case
    data = Data(ifmap_bits=ifmap_bits, filter_bits=filter_bits, psum_bits=32)
    naive = {"ifmap": 0, "filter": 0, "ofmap": 0}
    sizes = tiling.sizes()
    last: dict[str, tuple[int, ...]] = {}
    seen: dict[tuple[int, ...], int] = {}
    stores: dict[tuple[int, ...], int] = {}
    for tile in naive_tiles(layer, tiling):
        low = [at * size for at, size in zip(tile, sizes, strict=True)]
        high = [min(start + size, whole) for start, size, whole in zip(low, sizes, extents(layer), strict=True)]
        groups, filters, channels, height, width = (end - start for start, end in zip(low, high, strict=True))
        for tensor, loops in TENSORS.items():
            key = tuple(tile[loop] for loop in loops)
            if last.get(tensor) == key:
                continue
            last[tensor] = key
            if tensor == "ifmap":
                window = lines_read(layer, 0, low[3], high[3]) * lines_read(layer, 1, low[4], high[4])
                naive[tensor] += groups * channels * window * ifmap_bits
            elif tensor == "filter":
                naive[tensor] += groups * filters * channels * layer.taps * filter_bits
            else:
                seen[key] = seen.get(key, 0) + 1
                stores[key] = groups * filters * height * width
    for key, visits in seen.items():
        naive["ofmap"] += stores[key] * (ifmap_bits + (visits - 1) * 2 * 32)
    assert dense_bits(layer, data, tiling) == (naive["ifmap"], naive["filter"], naive["ofmap"])


@given(tiled_layers())
def test_tiles_cover_every_mac_once(case):
    layer, tiling = case
    laid = plan(layer, tiling, Data())
    macs = np.prod([laid.length(axis)[laid.at[axis]] for axis in range(5)], axis=0).sum() * layer.taps
    assert macs == layer.macs


@pytest.mark.parametrize(
    ("order", "expected"),
    [("KCP", (4, 1, 3)), ("KPC", (4, 5, 1)), ("CKP", (4, 1, 3)), ("CPK", (1, 5, 3)), ("PKC", (4, 5, 1)), ("PCK", (1, 5, 3))],
)
def test_repeats_of_four_filter_three_channel_and_five_position_tiles(order, expected):
    assert tuple(int(count) for count in repeats(order, 4, 3, 5)) == expected


def test_a_loop_of_one_trip_inside_repeats_nothing():
    assert tuple(int(count) for count in repeats("KCP", 4, 1, 1)) == (1, 1, 1)


def test_a_tiling_reads_as_text():
    layer = Geometry(1, 64, 32, 8, 8, 8, 8)
    text = Tiling(1, 16, 32, 4, 8, "PCK").text(layer)
    assert text == "groups 1/1, filters 16/64, channels 32/32, rows 4/8, columns 8/8; loops positions > channels > filters"
