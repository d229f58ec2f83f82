"""Blocks within a threshold: from values, from part maxima, and as inference would clear them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_samples import accelerator, conv, graph
from scheme_samples import SHAPES, of_values

from accelsim import schemes
from accelsim.errors import ConfigError, TraceError
from accelsim.graph import Node
from accelsim.schemes._thresholds import NONE, Thresholds
from accelsim.trace import SYNTHETIC, Trace, measure


def of_a_conv(data: np.ndarray, values: bool = True, fine_part: tuple[int, int] = (2, 2)) -> Trace:
    """A trace whose node 1 is a convolution that makes this map."""
    data = np.asarray(data, np.float32)
    net = graph((1, *data.shape[1:]), conv(len(data)), {"kind": "dropout"})
    maps = (measure(data[:1] + 1, fine_part, values=values), measure(data, fine_part, values=values))
    return Trace(net, (*maps, maps[1]), "noise", 0.0, "channel", fine_part, SYNTHETIC, {})


def noise(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=30)
@given(
    shape=SHAPES,
    seed=st.integers(0, 99),
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    limits=st.tuples(*[st.floats(0, 2, width=32)] * 2),
)
def test_a_block_is_skipped_if_all_of_it_is_within_the_threshold_and_more_are_for_a_larger_one(shape, seed, rows, cols, limits):
    data, machine, stored = noise(shape, seed), accelerator(), []
    for limit in sorted(float(f"{limit:.9g}") for limit in limits):
        scheme = schemes.load(f"zero_block:height={rows},width={cols},threshold={limit}")
        found = scheme.encode(of_a_conv(data), 1, machine)
        for channel, y, x in np.ndindex(found.unit_bytes.shape):
            block = np.abs(data[channel, y * rows : (y + 1) * rows, x * cols : (x + 1) * cols])
            assert (found.unit_bytes[channel, y, x] == 0) == (block.max() <= np.float32(limit))
        stored.append(found.payload_bytes)
    assert stored[1] <= stored[0]


@settings(max_examples=30)
@given(shape=SHAPES, seed=st.integers(0, 99), limit=st.sampled_from([0.0, 0.3, 1.0]))
def test_part_maxima_say_what_values_say(shape, seed, limit):
    scheme, data = schemes.load(f"zero_block:threshold={limit}"), noise(shape, seed)
    known, open_loop = (scheme.encode(of_a_conv(data, values), 1, accelerator()) for values in (True, False))
    assert (known.unit_bytes == open_loop.unit_bytes).all()


def test_part_maxima_that_blocks_would_cut_are_refused():
    with pytest.raises(TraceError, match=r"001_conv: epsilon by channel at replay needs parts that are multiples .* 3x3, not 4x4"):
        schemes.load("zero_block:threshold=1").encode(of_a_conv(noise((1, 9, 9), 0), False, (3, 3)), 1, accelerator())


def test_consumers_see_zeros_where_blocks_are_within_and_the_rest_as_it_is():
    node, data = Node(1, "conv1", "conv", (0,), (2, 4, 4)), noise((2, 4, 4), 3)
    seen = schemes.load("zero_block:height=2,width=2,threshold=conv1:100/0").seen(node, data)
    assert not seen[0].any()
    assert (seen[1] == data[1]).all()
    assert schemes.load("zero_block").seen(node, data) is data
    scores = Node(1, "conv1", "fc", (0,), (2, 4, 4))
    assert schemes.load("zero_block:threshold=100").seen(scores, data) is data


def test_only_maps_of_layers_that_write_maps_are_touched():
    scheme, data = schemes.load("zero_block:threshold=1e9"), of_values(noise((2, 8, 8), 0))
    for index in (0, 1):
        assert scheme.encode(data, index, accelerator()).payload_bytes == 256


def test_a_threshold_of_a_layer_that_is_not_there_is_refused():
    scheme = schemes.load("zero_block:threshold=*conv:1;002_conv:1")
    with pytest.raises(ConfigError, match=r"threshold of '002_conv': no such layer writes a map in small\n    allowed: 001_conv"):
        scheme.encode(of_a_conv(noise((1, 8, 8), 0)), 1, accelerator())


@pytest.mark.parametrize("written", ["0.1", "a:0.1;b*:0.2", "/x/conv:0.1/0/0.25", "1e-07", "a:1e20"])
def test_thresholds_come_back_from_their_text(written):
    assert str(Thresholds.read(written)) == written
    assert Thresholds.read(str(Thresholds.read(written))) == Thresholds.read(written)


def test_thresholds_are_read_from_yaml_too():
    assert Thresholds.read({"conv1": 0.5, "conv2*": [0.25, 0]}) == Thresholds.read("conv1:0.5;conv2*:0.25/0")
    assert Thresholds.read(0.5) == Thresholds.read("*:0.5")
    assert Thresholds.read({"conv1": 0}) == Thresholds.read(0) == NONE


def test_the_first_pattern_that_fits_counts_and_channels_must_agree():
    limits = Thresholds.read("conv1:0.5;conv*:1/2")
    one, two = (Node(1, name, "conv", (0,), (2, 4, 4)) for name in ("conv1", "conv2"))
    assert [limits.of(node).tolist() for node in (one, two)] == [[0.5, 0.5], [1, 2]]
    assert limits.of(Node(1, "fc", "conv", (0,), (2, 4, 4))) is None
    with pytest.raises(ConfigError, match="conv3: 2 thresholds\n    give one, or one for each of its 3 channels"):
        limits.of(Node(1, "conv3", "conv", (0,), (3, 4, 4)))


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("x", "'x' is no layer with a threshold"),
        ("a:", "'' is no threshold"),
        ("a:-1", "'-1' is no threshold"),
        (":1", "'' cannot name layers here"),
        ("nan", "'nan' is no threshold"),
        (-1, "-1 is no threshold"),
        (True, "True is no threshold"),
        ({"a": "much"}, "'much' is no threshold"),
        ({"a": []}, "no threshold in this list"),
        ({"a,b": 1}, "'a,b' cannot name layers here"),
        ({3: 1}, "'3' cannot name layers here"),
    ],
)
def test_what_is_no_threshold_is_refused(written, fault):
    with pytest.raises(ConfigError) as caught:
        schemes.load(f"zero_block:threshold={written}") if isinstance(written, str) else _raise(written)
    assert fault in str(caught.value)


def _raise(written):
    from accelsim.errors import RefusalError

    try:
        Thresholds.read(written)
    except RefusalError as fault:
        raise ConfigError(fault.fault) from None
