"""Feature maps, traces, and Algorithm 1's parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_strategies import data, traces

from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.trace import (
    FeatureMap,
    Trace,
    joined,
    linear_flags,
    measure,
    open_loop_flags,
    pack,
    part_flags,
    part_maxima,
    spread,
    summary,
)

sides = st.integers(1, 11)


def small_trace(values=None, fine_part=(2, 2)):
    """One input and one 1x1 convolution that makes `values`."""
    values = np.zeros((2, 3, 5), dtype=np.float32) if values is None else values
    graph = Graph("net", (Node(0, "input", "input", (), (1, *values.shape[1:])), Node(1, "000_convolutional", "conv", (0,), values.shape)))
    maps = (measure(np.ones((1, *values.shape[1:]), dtype=np.float32), fine_part), measure(values, fine_part))
    return Trace(graph, maps, "dog", 0.0, "channel", fine_part, "inference", {"engine": "test"})


def naive_parts(values, h, w, verdict):
    """Walk over every part and every element of it that lies inside the map."""
    channels, height, width = values.shape
    result = np.empty((channels, math.ceil(height / h), math.ceil(width / w)), dtype=object)
    for c, i, j in np.ndindex(result.shape):
        result[c, i, j] = verdict(
            [values[c, y, x] for y in range(i * h, min(height, i * h + h)) for x in range(j * w, min(width, j * w + w))]
        )
    return result


@given(data())
def test_a_mask_unpacks_to_the_nonzero_elements(values):
    fmap = measure(values, (3, 3))
    assert np.array_equal(fmap.nonzero(), values != 0)
    assert np.array_equal(fmap.mask, pack(values != 0))
    assert fmap.zero_elements == np.count_nonzero(values == 0)
    assert fmap.zero_channels.tolist() == [bool((channel == 0).all()) for channel in values]


def test_bits_of_a_mask_are_big_endian_in_channel_row_column_order():
    nonzero = np.zeros((2, 1, 5), dtype=np.bool_)
    nonzero[0, 0, 0] = nonzero[1, 0, 4] = True
    assert pack(nonzero).tolist() == [0b10000000, 0b01000000]


def test_negative_zero_is_zero_and_nan_is_not():
    fmap = measure(np.array([[[-0.0, 0.0]], [[np.nan, 0.0]]], dtype=np.float32), (1, 2))
    assert fmap.zero_channels.tolist() == [True, False]
    assert fmap.part_max.ravel().tolist() == [0.0, np.inf]


@given(data(), sides, sides)
def test_part_flags_equal_a_naive_walk(values, h, w):
    flags = part_flags(measure(values, (1, 1)), h, w)
    assert np.array_equal(flags, naive_parts(values, h, w, lambda part: all(x == 0 for x in part)))


@given(data(), sides, sides)
def test_linear_flags_equal_a_naive_walk(values, h, w):
    flags = linear_flags(measure(values, (1, 1)), h, w)
    flat, run = values.reshape(values.shape[0], -1), h * w
    naive = [[bool((row[start : start + run] == 0).all()) for start in range(0, flat.shape[1], run)] for row in flat]
    assert flags.tolist() == naive


def test_a_6x6_map_has_4_parts_of_4x4_and_3_runs():
    fmap = measure(np.zeros((1, 6, 6), dtype=np.float32), (4, 4))
    assert part_flags(fmap, 4, 4).shape == (1, 2, 2)
    assert linear_flags(fmap, 4, 4).shape == (1, 3)


@given(data(), sides, sides)
def test_part_maxima_equal_a_naive_walk(values, h, w):
    naive = naive_parts(values, h, w, lambda part: max(np.inf if np.isnan(x) else abs(x) for x in part))
    assert np.array_equal(part_maxima(values, h, w), naive.astype(np.float32))


small = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(data(), small, small, st.sampled_from((0.0, 0.1, 0.7, 3.0)))
def test_open_loop_flags_equal_a_naive_walk(values, fine_part, times, epsilon):
    h, w = fine_part[0] * times[0], fine_part[1] * times[1]
    flags = open_loop_flags(small_trace(values, fine_part), 1, h, w, epsilon)
    assert np.array_equal(flags, naive_parts(values, h, w, lambda part: all(abs(x) <= np.float32(epsilon) for x in part)))


def test_a_part_over_the_whole_map_needs_no_multiple():
    values = np.full((1, 5, 7), 0.25, dtype=np.float32)
    assert open_loop_flags(small_trace(values, (2, 2)), 1, 5, 7, 0.25).tolist() == [[[True]]]


def test_epsilon_at_replay_refuses_parts_that_cut_fine_parts():
    trace = small_trace(np.ones((1, 9, 9), dtype=np.float32), (2, 2))
    with pytest.raises(TraceError) as caught:
        open_loop_flags(trace, 1, 4, 3, 0.1)
    assert str(caught.value) == (
        "000_convolutional: epsilon 0.1 at replay needs parts that are multiples of the trace's fine part 2x2, not 4x3; "
        "make the trace again with a fine part that divides them"
    )


def test_a_map_without_part_maxima_refuses_epsilon_at_replay():
    trace = small_trace()
    bare = replace(trace, maps=tuple(replace(fmap, part_max=None) for fmap in trace.maps))
    with pytest.raises(TraceError, match=r"000_convolutional: epsilon 0\.5 at replay needs part maxima, the trace of net has none"):
        open_loop_flags(bare, 1, 2, 2, 0.5)


def test_a_map_of_counts_refuses_to_show_its_elements():
    with pytest.raises(TraceError, match="this map has no mask: the trace holds statistics only"):
        FeatureMap((2, 2, 2), spread(1, 2), None).nonzero()


@given(st.integers(0, 300), st.integers(1, 300))
def test_spread_places_the_count_evenly(count, channels):
    count = min(count, channels)
    flags = spread(count, channels)
    assert flags.sum() == count
    for low in range(0, channels, 7):
        for high in range(low, channels, 13):
            assert abs(flags[low:high].sum() - count * (high - low) / channels) < 1


def test_arrays_of_a_trace_are_read_only_and_the_callers_stay_writable():
    flags = spread(1, 2)
    fmap = FeatureMap((2, 2, 2), flags, None)
    with pytest.raises(ValueError, match="read-only"):
        fmap.zero_channels[0] = True
    flags[0] = True


@given(data(), st.booleans())
def test_constant_channels_are_those_of_one_value_that_is_not_zero(values, one):
    values = values.copy()
    if one:
        values[0] = 2.5
    naive = [len(set(channel.ravel().tolist())) == 1 and channel.flat[0] != 0 and channel.size > 1 for channel in values]
    fmap = measure(values, values=True)
    assert fmap.constant_channels.tolist() == naive
    assert fmap.part_max is None
    assert np.array_equal(fmap.values, values, equal_nan=True)


MASK = np.array([0b11000000], dtype=np.uint8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (2, 0, 2)}, "shape (2, 0, 2): three positive integers (channels, height, width) are needed"),
        ({"shape": (np.int64(2), 1, 2)}, "shape (np.int64(2), 1, 2): three positive integers (channels, height, width) are needed"),
        ({"zero_channels": np.zeros(2)}, "zero_channels is float64 [2]: bool [2] is needed"),
        ({"zero_channels": np.zeros(3, dtype=bool)}, "zero_channels is bool [3]: bool [2] is needed"),
        ({"zero_channels": [False, True]}, "zero_channels is list: bool [2] is needed"),
        ({"mask": np.zeros(2, dtype=np.uint8)}, "mask is uint8 [2]: uint8 [1] is needed"),
        ({"mask": "0"}, "mask is a str: a numpy array is needed"),
        ({"mask": MASK | 1}, "mask: bits beyond the last element are set"),
        ({"zero_elements": 3}, "zero_elements 3: the mask has 2 zeros"),
        ({"zero_elements": None}, "zero_elements None: the mask has 2 zeros"),
        ({"zero_channels": np.array([True, True])}, "zero_channels: 1 of them contradict the mask, the first is channel 0"),
        ({"mask": None, "zero_elements": 1}, "zero_elements 1: the zero channels alone are 2, the map has 4"),
        ({"mask": None, "zero_elements": 5}, "zero_elements 5: the zero channels alone are 2, the map has 4"),
        ({"part_max": np.full((2, 1, 1), np.nan, dtype=np.float32)}, "part_max: magnitudes >= 0 [C, parts, parts] are needed"),
        ({"part_max": np.zeros((2, 1, 1))}, "part_max is float64 [2, 1, 1]: float32 is needed"),
        ({"constant_channels": np.array([False])}, "constant_channels is bool [1]: bool [2] is needed"),
        ({"constant_channels": np.array([False, True])}, "constant_channels: channel 1 has zeros, or is one element"),
        ({"values": np.ones((2, 1, 2))}, "values [2, 1, 2]: not the shape [2, 1, 2], or other zeros than the mask's"),
        ({"values": np.ones((1, 2, 2))}, "values [1, 2, 2]: not the shape [2, 1, 2], or other zeros than the mask's"),
    ],
)
def test_a_map_that_contradicts_itself_is_refused(fields, message):
    sound = {"shape": (2, 1, 2), "zero_channels": np.array([False, True]), "zero_elements": 2, "mask": MASK}
    FeatureMap(**sound)
    with pytest.raises(TraceError) as caught:
        FeatureMap(**(sound | fields))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": 2}, "node 1 (000_convolutional): index 2 at position 1"),
        ({"inputs": (1,)}, "node 1 (000_convolutional): inputs (1,): each must be an integer from 0 to 0"),
        ({"inputs": (-1,)}, "node 1 (000_convolutional): inputs (-1,): each must be an integer from 0 to 0"),
        ({"inputs": ()}, "node 1 (000_convolutional): inputs (): only node 0 has none"),
        ({"shape": (2, -3, 5)}, "node 1 (000_convolutional): shape (2, -3, 5): 3 integers >= 1 are needed"),
        ({"shape": (2**31, 3, 5)}, "node 1 (000_convolutional): shape (2147483648, 3, 5): 3 integers >= 1 are needed"),
        ({"stride": (0, 1)}, "node 1 (000_convolutional): stride (0, 1): 2 integers >= 1 are needed"),
        ({"kernel": (True, 1)}, "node 1 (000_convolutional): kernel (True, 1): 2 integers >= 1 are needed"),
        ({"pad": (0, 0, 0)}, "node 1 (000_convolutional): pad (0, 0, 0): 4 integers >= 0 are needed"),
        ({"groups": 0}, "node 1 (000_convolutional): groups 0: an integer >= 1 is needed"),
        ({"groups": 2}, "node 1 (000_convolutional): 2 groups do not divide 1 and 2 channels"),
        ({"zero_point": 0.5}, "node 1 (000_convolutional): zero_point 0.5: an integer is needed"),
        ({"slope": math.nan}, "node 1 (000_convolutional): slope nan: a finite number is needed"),
        ({"name": "\x1b[2J"}, "node 1: name '\\x1b[2J' is not printable text of one line"),
        ({"kind": ""}, "node 1: kind '' is not printable text of one line"),
        ({"attributes": {"a": [1]}}, "node 1 (000_convolutional): attribute 'a' = [1]: text, number or truth value is needed"),
        ({"kernel": (3, 3)}, "node 1 (000_convolutional): a window of (3, 3) on (1, 3, 5) makes (1, 3), not (3, 5)"),
    ],
)
def test_a_graph_that_is_none_is_refused(change, message):
    trace = small_trace()
    graph = Graph("net", (trace.graph.nodes[0], replace(trace.graph.nodes[1], **change)))
    with pytest.raises(TraceError) as caught:
        replace(trace, graph=graph)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fine_part": (0, 2)}, "fine_part (0, 2): two positive integers (height, width) are needed"),
        ({"fine_part": (3, 2)}, "input: part_max has shape (1, 2, 3), fine parts make (1, 1, 3)"),
        ({"mode": "row"}, "mode 'row': channel, part, element are known"),
        ({"source": "guess"}, "source 'guess': inference, published statistics, synthetic are known"),
        ({"epsilon": -0.5}, "epsilon -0.5: a float >= 0 is needed"),
        ({"epsilon": math.inf}, "epsilon inf: a float >= 0 is needed"),
        ({"image": "a\nb"}, "provenance: 'a\\nb' is not printable text of one line"),
        ({"provenance": {"hash": 3}}, "provenance: 3 is not printable text of one line"),
        ({"maps": ()}, "0 maps for 2 nodes"),
    ],
)
def test_a_trace_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(TraceError) as caught:
        replace(small_trace(), **change)
    assert str(caught.value) == message


def test_a_map_of_another_shape_is_refused():
    trace = small_trace()
    with pytest.raises(TraceError, match=r"000_convolutional: its map has shape \(1, 3, 5\), the node makes \(2, 3, 5\)"):
        replace(trace, maps=(trace.maps[0], trace.maps[0]))


def test_part_maxima_that_contradict_the_mask_are_refused():
    trace = small_trace()
    wrong = replace(trace.maps[1], part_max=np.ones((2, 2, 3), dtype=np.float32))
    with pytest.raises(TraceError, match="000_convolutional: part_max is 0 in other parts than the mask"):
        replace(trace, maps=(trace.maps[0], wrong))


def test_inference_without_masks_is_refused():
    trace = small_trace()
    with pytest.raises(TraceError, match="000_convolutional: a map without a mask in a trace of source 'inference'"):
        replace(trace, maps=(trace.maps[0], FeatureMap((2, 3, 5), spread(0, 2), None)))


@given(traces())
def test_masks_tell_positions_and_published_counts_do_not(trace):
    assert trace.has_masks == all(fmap.mask is not None for fmap in trace.maps)
    assert trace.positions_known == (trace.source != "published statistics")


def test_summary_tells_zeros_and_live_bytes():
    values = np.ones((2, 3, 5), dtype=np.float32)
    values[0] = 0
    values[1, :2, :2] = 0
    assert summary(small_trace(values), 2, 2)[1] == {
        "layer": "000_convolutional",
        "kind": "conv",
        "channels": 2,
        "height": 3,
        "width": 5,
        "zero_channels": 1,
        "zero_percent": pytest.approx(100 * 19 / 30),
        "live_bytes": 30,
        "parts": 12,
        "zero_parts": 7,
    }


def test_summary_leaves_open_what_counts_do_not_tell():
    trace = small_trace()
    counts = tuple(FeatureMap(node.shape, spread(1, node.shape[0]), None) for node in trace.graph.nodes)
    row = summary(replace(trace, maps=counts, source="synthetic"))[1]
    assert (row["zero_channels"], row["zero_percent"], row["zero_parts"], row["live_bytes"]) == (1, None, None, 30)


def test_a_measured_map_is_not_checked_again_and_would_pass():
    rng = np.random.default_rng(3)
    data = (rng.normal(size=(5, 7, 9)) * (rng.random((5, 7, 9)) < 0.4)).astype(np.float32)
    data[1], data[2] = 0, 0.5
    fmap = measure(data, (2, 4), values=True)
    assert fmap.measured
    again = replace(fmap)
    assert not again.measured, "whatever else it is built of is checked"
    for name in ("zero_channels", "mask", "part_max", "constant_channels", "values"):
        assert np.array_equal(getattr(again, name), getattr(fmap, name))
        with pytest.raises(ValueError, match="read-only"):
            getattr(fmap, name)[...] = 1
    assert (again.shape, again.zero_elements) == (fmap.shape, fmap.zero_elements)
    with pytest.raises(TraceError, match="the mask has"):
        replace(fmap, zero_elements=0)


def test_data_of_another_type_is_checked_since_its_least_values_vanish_in_part_maxima():
    assert not measure(np.ones((1, 2, 2)), (1, 1)).measured
    tiny = np.full((1, 2, 2), 1e-60)
    with pytest.raises(TraceError, match="zero_channels: 1 of them contradict the mask"):
        measure(tiny, (1, 1))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_joined_maps_are_what_measuring_their_joined_data_gives(channels, height, width, seed):
    rng = np.random.default_rng(seed)
    data = [rng.integers(-1, 2, (count, height, width)).astype(np.float32) for count in channels]
    whole = joined([measure(values, (2, 3)) for values in data])
    expected = measure(np.concatenate(data), (2, 3))
    for name in ("zero_channels", "mask", "part_max", "constant_channels"):
        found = getattr(whole, name)
        np.testing.assert_array_equal(found, getattr(expected, name))
        assert not found.flags.writeable
    assert (whole.shape, whole.zero_elements, whole.measured) == (expected.shape, expected.zero_elements, True)
