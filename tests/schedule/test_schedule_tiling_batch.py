"""Batches: images one below the other, cut image by image, filters shared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_samples import KIB, accelerator, accelerators, by_tensor, conv, graph, graphs, maxpool, trace
from test_schedule_loops import layers

from accelsim import batch, dataflows, engines
from accelsim.errors import ConfigError
from accelsim.hardware import Data
from accelsim.hardware.tilings import FixedTiling, Tilings
from accelsim.schedule import build
from accelsim.schedule.candidates import Machine as Known
from accelsim.schedule.candidates import candidates
from accelsim.schedule.geometry import Geometry, geometry
from accelsim.schedule.loops import Tiling, cut
from accelsim.schedule.plan import plan
from accelsim.schedule.tables import FILTER, IFMAP, OFMAP, READ, WRITE
from accelsim.schedule.tiling import _cycles, dense_bits, search

SCHEMES = st.sampled_from(["dense", "channel_marker"])


@st.composite
def batched(draw):
    """A layer of one image, and of a batch."""
    one, images = draw(layers()), draw(st.integers(2, 4))
    sizes = {name: getattr(one, name) * images for name in ("height", "out_height")}
    many = Geometry(**{**{name: getattr(one, name) for name in one.__slots__}, **sizes, "images": images})
    return one, many


@given(batched(), st.data())
def test_windows_of_one_image_stay_inside_it(case, data):
    one, many = case
    image, low = data.draw(st.integers(0, many.images - 1)), data.draw(st.integers(0, one.out_height - 1))
    high = data.draw(st.integers(low + 1, one.out_height))
    first, end = one.window(0, np.array([low]), np.array([high]))
    shift = image * one.out_height
    in_batch = many.window(0, np.array([shift + low]), np.array([shift + high]))
    assert (in_batch[0] - image * one.height).tolist() == first.tolist()
    assert (in_batch[1] - image * one.height).tolist() == end.tolist()


@given(batched(), st.data())
def test_a_tile_holds_rows_of_one_image_or_whole_images(case, data):
    one, many = case
    size = data.draw(st.integers(1, many.out_height))
    low, high = cut(many, 3, size)
    assert low[0] == 0
    assert high[-1] == many.out_height
    assert (low[1:] == high[:-1]).all()
    assert (high - low).max() <= size
    for start, end in zip(low.tolist(), high.tolist(), strict=True):
        inside = start // one.out_height == (end - 1) // one.out_height
        assert inside or start % one.out_height == end % one.out_height == 0


@given(batched(), st.data())
def test_traffic_and_work_of_a_batch_are_those_of_its_fillings(case, data):
    one, many = case
    rows, order = data.draw(st.integers(1, many.out_height)), data.draw(st.sampled_from(["KPC", "PKC"]))
    tiling = Tiling(1, 2, 1, rows, one.out_width, order)
    laid = plan(many, tiling, Data())
    of_ifmap, of_filter, of_ofmap = dense_bits(many, Data(), tiling)
    assert of_ifmap == 8 * laid.ifmap.size.sum()
    assert of_filter == 8 * laid.filter.size.sum()
    assert of_ofmap == 16 * many.groups * many.filters * many.out_height * many.out_width
    macs = np.prod([laid.length(axis)[laid.at[axis]] for axis in range(5)], axis=0).sum() * many.taps
    assert macs == many.macs == many.images * one.macs


@pytest.mark.parametrize(("images", "reads"), [(1, 4), (2, 2), (3, 2), (4, 1)])
def test_filters_are_read_once_for_each_round_of_images(images, reads):
    """Filters pass the buffer channel by channel while `images` images stay in it: ceil(N / n) times in all."""
    net = batch.repeat(trace(graph((8, 6, 6), conv(4, 3))), 4)
    machine = accelerator(size=64 * KIB)
    machine = machine.model_copy(update={"tiling": Tilings(default=FixedTiling(images=images, channels=2, order="KPC"))})
    schedule = build(net, machine, "dense")
    assert by_tensor(schedule, "bytes_wanted", FILTER, READ) == reads * 4 * 8 * 9 * 2
    assert by_tensor(schedule, "bytes_wanted", IFMAP, READ) == 4 * 8 * 36 * 2
    assert by_tensor(schedule, "bytes_wanted", OFMAP, WRITE) == 4 * 4 * 36 * 2


@given(graphs(), accelerators(), SCHEMES, st.integers(2, 3), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_batch_of_any_network_runs_to_the_end_with_the_work_of_all_images(net, machine, scheme, images, seed):
    data = trace(net, seed=seed)
    try:
        single, many = (build(made, machine, scheme) for made in (data, batch.repeat(data, images)))
    except ConfigError:
        return
    assert many.layers.macs.tolist() == (images * single.layers.macs).tolist()
    assert many.tiles.macs_done.sum() == images * single.tiles.macs_done.sum()
    assert "batch of" in many.notes[-1]
    timeline = engines.replay(many, machine, "fast")
    assert (timeline.tile_end >= 0).all()


@given(batched(), st.sampled_from(["spatial", "ws", "row_stationary"]))
@settings(max_examples=60)
def test_cycles_of_the_search_are_those_of_every_tile(case, dataflow):
    """Ragged rows come once an image, ragged columns once a row of tiles."""
    _, many = case
    machine = accelerator(2, 3, dataflow, size=64 * KIB)
    tried = candidates(many, Known.of(machine))
    pick = tried.take(np.arange(tried.tile.shape[1]) % 7 == 0)
    flow = dataflows.load(dataflow, many.kernel)
    for number, cycles in enumerate(_cycles(many, machine.pe_array, pick).tolist()):
        laid = plan(many, Tiling(*pick.tile[:, number].tolist(), order="KPC"), machine.data)
        sizes = [laid.length(axis)[laid.at[axis]] for axis in range(5)]
        each = flow.dense_cycles(sizes[0], sizes[1], sizes[2], many.taps, sizes[3], sizes[4], machine.pe_array)
        assert int(each.sum()) == cycles


def test_a_fully_connected_layer_reads_its_weights_once_for_the_batch():
    net = graph((4, 5, 5), maxpool(5, 5), {"kind": "fc", "filters": 16})
    machine = accelerator(size=64 * KIB)
    read = [by_tensor(build(batch.repeat(trace(net), many), machine, "dense"), "bytes_wanted", FILTER, READ) for many in (1, 8)]
    assert read == [4 * 16 * 2] * 2


def test_several_images_are_taken_whole():
    layer = geometry(batch.repeat(trace(graph((2, 6, 6), conv(2, 3))), 4).graph.nodes[1], [(2, 24, 6)])
    assert search(layer, accelerator(), "conv", FixedTiling(images=3)).height == 18
    assert search(layer, accelerator(), "conv", FixedTiling(rows=5)).height == 5
