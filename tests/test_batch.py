"""Batches of traces."""

from __future__ import annotations

import numpy as np
import pytest
from schedule_samples import accelerator, conv, graph, maxpool, trace

from accelsim import batch, simulate, tracefile
from accelsim.errors import TraceError

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


def test_a_batch_does_not_hold_what_moves_rows_about():
    data = trace(NET)
    odd = graph((3, 8, 8), conv(4, 3))
    mixing = odd.nodes[1].__class__(**{**{name: getattr(odd.nodes[1], name) for name in odd.nodes[1].__slots__}, "kind": "reshape"})
    nodes = (odd.nodes[0], mixing)
    with pytest.raises(TraceError, match=r"001_conv: a batch cannot hold a node of kind 'reshape'\n    allowed: activation, add"):
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
