"""Batches of traces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from kind_samples import LAYERS, WHOLE_CHANNELS, draft, network
from schedule_samples import accelerator, conv, graph, maxpool, trace

from accelsim import batch, simulate, tracefile
from accelsim.errors import TraceError
from accelsim.layers.slice import picks

NET = graph((3, 8, 8), conv(4, 3), maxpool(), {"kind": "avgpool"}, {"kind": "fc", "filters": 5})


def test_images_lie_one_below_the_other():
    first, second = trace(NET, seed=1), trace(NET, seed=2)
    both = batch.stack([first, second])
    assert [node.shape[1] for node in both.graph.nodes] == [2 * node.shape[1] for node in NET.nodes]
    for joined, one, other in zip(both.maps, first.maps, second.maps, strict=True):
        assert np.array_equal(joined.nonzero(), np.concatenate([one.nonzero(), other.nonzero()], axis=1))
        assert joined.zero_elements == one.zero_elements + other.zero_elements


def test_a_channel_is_zero_only_where_it_is_zero_in_every_image():
    first, second = trace(NET, seed=1), trace(NET, seed=2)
    for joined, one, other in zip(batch.stack([first, second]).maps, first.maps, second.maps, strict=True):
        assert joined.zero_channels.tolist() == (one.zero_channels & other.zero_channels).tolist()


def test_a_batch_goes_through_a_file(tmp_path):
    both = batch.repeat(trace(NET), 3)
    tracefile.save(both, tmp_path / "batch.npz")
    again = tracefile.load(tmp_path / "batch.npz")
    assert again.graph.nodes[1].images == 3
    assert np.array_equal(again.maps[1].nonzero(), both.maps[1].nonzero())


def test_one_image_is_its_own_batch_and_a_batch_is_not_repeated():
    data = trace(NET)
    assert batch.repeat(data, 1) is data
    both = batch.repeat(data, 2)
    assert batch.repeat(both, 2) is both
    with pytest.raises(TraceError, match="is a batch already"):
        batch.repeat(both, 4)


def test_traces_of_different_networks_are_no_batch():
    other = graph((3, 8, 8), conv(4, 3))
    with pytest.raises(TraceError, match="a batch needs one network"):
        batch.stack([trace(NET), trace(other)])


def test_a_batch_does_not_hold_what_nobody_knows():
    data = trace(NET)
    odd = graph((3, 8, 8), conv(4, 3))
    mixing = odd.nodes[1].__class__(**{**{name: getattr(odd.nodes[1], name) for name in odd.nodes[1].__slots__}, "kind": "attention"})
    nodes = (odd.nodes[0], mixing)
    with pytest.raises(TraceError, match=r"001_conv: a batch cannot hold a node of kind 'attention'\n    allowed: activation, add"):
        batch.repeat(type(data)(type(data.graph)("odd", nodes), data.maps[:2], "x", 0.0, "channel", (4, 4), "synthetic", {}), 2)


def test_rows_that_are_no_whole_number_of_images_are_refused():
    data = trace(NET)
    nodes = list(batch.repeat(data, 2).graph.nodes)
    bad = nodes[0].__class__(**{**{name: getattr(nodes[0], name) for name in nodes[0].__slots__}, "attributes": {"images": 3}})
    with pytest.raises(TraceError, match="3 images in 16 rows"):
        type(data)(type(data.graph)("bad", (bad,)), batch.repeat(data, 2).maps[:1], "x", 0.0, "channel", (4, 4), "synthetic", {})


def test_a_machine_with_a_batch_replays_the_image_so_often():
    one = simulate.replay(trace(NET), accelerator(), "dense")
    four = simulate.replay(trace(NET), accelerator().model_copy(update={"batch": 4}), "dense")
    assert four.totals["macs_done"] == 4 * one.totals["macs_done"]
    assert four.totals["write_ofmap_bytes"] == 4 * one.totals["write_ofmap_bytes"]
    assert four.totals["read_filter_bytes"] < 4 * one.totals["read_filter_bytes"]
    assert four.image == "4 x noise"
    assert four.notes == ("batch of 4: cycles, MACs and bytes are those of all its images",)


@pytest.mark.parametrize("scheme", ["dense", "channel_marker"])
@pytest.mark.parametrize("kind", [*LAYERS, *(f"{kind} of whole channels" for kind in WHOLE_CHANNELS)])
def test_a_batch_of_any_kind_moves_and_computes_so_many_times_as_much(kind: str, scheme: str):
    name, _, whole = kind.partition(" ")
    net = network(name, (WHOLE_CHANNELS if whole else LAYERS)[name])
    one, three = (
        simulate.replay(trace(net), accelerator(size=1 << 20).model_copy(update={"batch": count}), scheme).as_frame() for count in (1, 3)
    )
    assert one["layer"].tolist() == three["layer"].tolist()
    # the codes of schemes are rounded up for each map; filters serve all images of a batch
    columns = ["read_ifmap_bytes", "write_ofmap_bytes", "macs_done", "macs_skipped"]
    pd.testing.assert_frame_equal(3 * one[columns], three[columns])
    assert (three["read_filter_bytes"] == one["read_filter_bytes"]).all()


def test_rows_that_are_picked_backwards_are_those_of_each_image():
    turned = network("slice", (draft("slice", attributes={"start": "0 5 0", "step": "1 -1 1"}),))
    both = batch.repeat(trace(turned), 2)
    assert list(picks(both.graph.nodes[2], 1)) == [5, 4, 3, 2, 1, 0]
    assert batch.repeat(trace(turned), 2).graph.nodes[2].shape == (4, 12, 8)
