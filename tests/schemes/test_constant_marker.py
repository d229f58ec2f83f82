"""Channels of one value: told with their value, neither written nor read, but worked with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from schedule_samples import accelerator, conv, graph
from scheme_samples import of_values

from accelsim import batch, schemes, slim
from accelsim.schedule import build
from accelsim.schedule.tables import IFMAP, METADATA, OFMAP, READ, WRITE
from accelsim.schemes._values import decode, encode_values
from accelsim.trace import PUBLISHED, SYNTHETIC, FeatureMap, Trace, measure, spread


def mapped() -> np.ndarray:
    """Four channels: zero, constant, live, live with zeros."""
    data = np.zeros((4, 6, 6), np.float32)
    data[1] = 2.5
    data[2] = 1 + np.arange(36).reshape(6, 6)
    data[3, 2:] = 1
    return data


def depthwise(**fields: object) -> Trace:
    """A depthwise convolution whose input channels 0 and 1 are zero; it makes 0 of the one, 2.5 of the other."""
    net = graph((4, 6, 6), conv(4, 3, groups=4), conv(3, 1), {"kind": "dropout"})
    before, middle = mapped(), mapped()
    before[1] = 0
    last = np.random.default_rng(0).random((3, 6, 6), np.float32)
    maps = tuple(measure(data, (4, 4)) for data in (before, middle, last, last))
    return replace(Trace(net, maps, "noise", 0.0, "channel", (4, 4), SYNTHETIC, {}), **fields)


def test_zero_and_constant_channels_are_skipped_for_a_bit_each_and_a_word_a_constant():
    found = schemes.load("constant_marker").encode(of_values(mapped()), 0, accelerator())
    assert found.unit_bytes.ravel().tolist() == [0, 0, 72, 72]
    assert found.constant.tolist() == [False, True, False, False]
    assert found.worked.ravel().tolist() == [False, True, True, True]
    # a bit a channel, one of each that is not zero, a word of 16 bits
    assert found.metadata_bits == 4 + 3 + 16


def test_the_value_comes_back():
    for dtype in (np.float16, np.int16):
        data = mapped().astype(dtype)
        code = encode_values(schemes.load("constant_marker"), data, accelerator())
        assert code.constants == data[1, 0, :1].astype(data.dtype.newbyteorder(">")).tobytes()
        assert (decode(code) == data).all()


def test_a_channel_of_one_element_is_never_constant():
    data = np.arange(5, dtype=np.float32).reshape(5, 1, 1)
    found = schemes.load("constant_marker").encode(of_values(data), 0, accelerator())
    assert not measure(data).constant_channels.any()
    assert found.unit_bytes.ravel().tolist() == [0, 2, 2, 2, 2]


def test_with_fallback_a_map_that_gains_nothing_lies_as_it_is():
    data = 1 + np.arange(18, dtype=np.float32).reshape(9, 1, 2)
    found = schemes.load("constant_marker:fallback=true").encode(of_values(data), 0, accelerator())
    assert (found.payload_bytes, found.metadata_bits, found.constant.any()) == (36, 1, False)


def test_a_trace_that_does_not_know_derives_them_from_the_graph():
    known = depthwise()
    unknown = replace(known, maps=tuple(replace(fmap, constant_channels=None) for fmap in known.maps))
    for data in (known, unknown, batch.stack([unknown, unknown])):
        found = schemes.load("constant_marker").encode(data, 1, accelerator())
        assert found.constant.tolist() == [False, True, False, False]
    # but for depthwise layers nothing follows
    assert not schemes.load("constant_marker").encode(unknown, 2, accelerator()).constant.any()


def test_of_published_counts_at_least_the_difference_is_constant():
    net = depthwise().graph
    maps = [FeatureMap(node.shape, spread(count, node.shape[0]), None) for node, count in zip(net.nodes, (3, 1, 0, 0), strict=True)]
    data = Trace(net, tuple(maps), "dog", 0.0, "channel", (4, 4), PUBLISHED, {})
    found = schemes.load("constant_marker").encode(data, 1, accelerator())
    assert int(found.constant.sum()) == 2
    assert not (found.constant & maps[1].zero_channels).any()


@pytest.mark.parametrize("access", [1, 64])
def test_the_schedule_moves_no_constant_channel_and_skips_no_work_of_it(access):
    data, machine = depthwise(), accelerator(access=access, marker_bytes=1)
    constant, marker = build(data, machine, "constant_marker"), build(data, machine, "channel_marker")
    assert constant.tiles.macs_done.tolist() == marker.tiles.macs_done.tolist()
    assert constant.tiles.busy_cycles.tolist() == marker.tiles.busy_cycles.tolist()

    def moved(schedule, tensor, direction, layer):
        of = schedule.transfers
        return int(of.bytes_wanted[(of.tensor == tensor) & (of.direction == direction) & (of.layer == layer)].sum())

    for tensor, direction, layer in ((OFMAP, WRITE, 0), (IFMAP, READ, 1)):
        assert moved(marker, tensor, direction, layer) - moved(constant, tensor, direction, layer) == 72
    # 23 bits leave a marker memory of a byte, where 4 bits stay
    assert [moved(schedule, METADATA, WRITE, 0) for schedule in (constant, marker)] == [3, 0]


def test_a_network_without_some_channels_keeps_what_is_known_of_the_others():
    data = depthwise()
    kept = slim.without(data, [np.array([True, False, False, False])] * 2 + [np.zeros(3, bool)] * 2, 1)
    assert kept.maps[1].constant_channels.tolist() == [True, False, False]
