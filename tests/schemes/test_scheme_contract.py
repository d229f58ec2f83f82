"""Every scheme: nothing lost, nothing counted twice, and what it says of itself is what it does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_samples import accelerator
from scheme_samples import EVERY, SHAPES, compresses, of_values, one_map

from accelsim import schemes
from accelsim.errors import ConfigError, TraceError
from accelsim.graph import Graph, Node
from accelsim.hardware import Data
from accelsim.schemes.base import Saves, unit_sizes
from accelsim.trace import PUBLISHED, FeatureMap, Trace, measure, spread

ARRAYS = {"rows": st.integers(1, 6), "cols": st.integers(1, 6)}
BITS = st.sampled_from([8, 16, 32])
SKIPS = [label for label in EVERY if not compresses(label)]
STREAMS = [label for label in EVERY if compresses(label)]


def statistics() -> Trace:
    node = Node(0, "input", "input", (), (3, 4, 4))
    return Trace(Graph("published", (node,)), (FeatureMap((3, 4, 4), spread(1, 3), None),), "dog", 0.0, "channel", (4, 4), PUBLISHED, {})


def bare(data: Trace) -> Trace:
    """As it comes back from a file."""
    return replace(data, maps=tuple(replace(fmap, values=None) for fmap in data.maps))


@pytest.mark.parametrize("label", SKIPS)
class TestEverySchemeThatSkipsUnits:
    @settings(max_examples=30)
    @given(shape=SHAPES, seed=st.integers(0, 99), bits=BITS, **ARRAYS)
    def test_payload_and_skipped_bytes_are_the_dense_bytes(self, label, shape, seed, bits, rows, cols):
        machine = accelerator(rows, cols, data=Data(ifmap_bits=bits))
        found = schemes.load(label).encode(one_map(shape, seed), 0, machine)
        sizes = np.broadcast_to(unit_sizes(shape, found.unit_height, found.unit_width, bits), found.unit_bytes.shape)
        skipped = found.unit_bytes == 0
        assert found.payload_bytes + sizes[skipped].sum() == sizes.sum() == np.prod(shape) * bits // 8
        assert (found.unit_bytes[~skipped] == sizes[~skipped]).all()

    @settings(max_examples=30)
    @given(shape=SHAPES, seed=st.integers(0, 99), constant=st.booleans(), **ARRAYS)
    def test_what_is_skipped_holds_only_zeros_or_the_channels_constant(self, label, shape, seed, constant, rows, cols):
        data = one_map(shape, seed)
        if constant:
            data = of_values(np.where(np.arange(shape[0])[:, None, None] % 2, 7, data.maps[0].values))
        found = schemes.load(label).encode(data, 0, accelerator(rows, cols))
        held = data.maps[0].values
        for channel, y, x in np.argwhere(found.unit_bytes == 0):
            top, left = y * found.unit_height, x * found.unit_width
            unit = held[channel, top : top + found.unit_height, left : left + found.unit_width]
            told = found.constant is not None and found.constant[channel]
            assert (unit == (held[channel, 0, 0] if told else 0)).all()
            assert found.worked[channel, y, x] == told
        assert found.computed is None or not held[:, ~found.computed].any()

    @settings(max_examples=30)
    @given(shape=SHAPES, **ARRAYS)
    def test_data_without_zeros_costs_what_dense_costs_but_for_metadata(self, label, shape, rows, cols):
        machine = accelerator(rows, cols)
        found = schemes.load(label).encode(one_map(shape, zeros=0.0, dead=0.0), 0, machine)
        assert found.payload_bytes == np.prod(shape) * machine.data.ifmap_bits // 8
        assert found.computed is None or found.computed.all()
        if "fallback=true" in label:
            assert (found.offsets, found.metadata_bits) == (None, 1)


@pytest.mark.parametrize("label", STREAMS)
class TestEverySchemeThatCompresses:
    @settings(max_examples=30)
    @given(shape=SHAPES, seed=st.integers(0, 99), zeros=st.sampled_from([0.0, 0.3, 0.9, 1.0]), bits=BITS)
    def test_no_unit_and_no_map_takes_more_than_its_dense_bytes_and_metadata(self, label, shape, seed, zeros, bits):
        machine = accelerator(data=Data(ifmap_bits=bits), access=16)
        found = schemes.load(label).encode(one_map(shape, seed, zeros), 0, machine)
        dense = np.prod(shape) * bits // 8
        assert found.payload_bytes <= dense
        # A code may expand, but a unit that would is stored as it is: only what tells so is added, a pointer or a size a unit and a bit.
        assert found.metadata_bits <= 32 * found.unit_bytes.size + 1
        if "fallback=false" not in label and found.offsets is not None:
            assert found.payload_bytes + found.metadata_bytes < dense
        if found.offsets is None:
            assert (found.payload_bytes, found.metadata_bits) == (dense, 1)

    @settings(max_examples=30)
    @given(shape=SHAPES, seed=st.integers(0, 99))
    def test_noise_without_zeros_lies_as_under_dense(self, label, shape, seed):
        if "fallback=false" in label:
            return
        machine = accelerator(data=Data(ifmap_bits=8))
        noise = np.random.default_rng(seed).permuted(1 + np.arange(np.prod(shape)) % 127).reshape(shape) * (
            1 - 2 * (np.arange(shape[2]) % 2)
        )
        found, dense = (schemes.load(name).encode(of_values(noise), 0, machine) for name in (label, "dense"))
        if schemes.load(label).needs != "values":
            assert (found.unit_bytes.tolist(), found.offsets, found.metadata_bits) == (dense.unit_bytes.tolist(), None, 1)
        assert found.payload_bytes <= dense.payload_bytes

    @settings(max_examples=30)
    @given(shape=SHAPES, seed=st.integers(0, 99))
    def test_units_do_not_overlap_and_slots_begin_with_an_access(self, label, shape, seed):
        machine = accelerator(access=16)
        found = schemes.load(label).encode(one_map(shape, seed, zeros=0.9), 0, machine)
        if found.offsets is None:
            return
        ends = (found.offsets + found.unit_bytes).ravel()
        assert (ends[:-1] <= found.offsets.ravel()[1:]).all()
        assert ends[-1] <= found.extent
        if "layout=packed" in label:
            assert found.extent == found.payload_bytes
        else:
            assert not (found.offsets % 16).any()
        assert (found.rate, found.latency) == ((32, 4) if "rate" in label else (0, 0))


@given(shape=SHAPES, seed=st.integers(0, 99), rows=st.integers(1, 3), cols=st.integers(1, 3), zeros=st.sampled_from([0.1, 0.8, 1.0]))
def test_finer_units_save_at_least_as_much_and_never_more_than_the_zeros(shape, seed, rows, cols, zeros):
    data = one_map(shape, seed, zeros)
    machine = accelerator(rows, cols, data=Data(ifmap_bits=8))

    def saved(label):
        return int(np.prod(shape)) - schemes.load(label).encode(data, 0, machine).payload_bytes

    coarse, fine = saved(f"part_marker:height={2 * rows},width={2 * cols}"), saved("part_marker")
    assert 0 == saved("dense") <= saved("channel_marker") <= coarse <= fine <= data.maps[0].zero_elements
    assert saved("constant_marker") == saved("channel_marker")
    assert fine == saved(f"zero_block:height={rows},width={cols}")
    assert saved(f"sbnet:height={rows},width={cols}") <= saved("gemm_column") <= saved("part_marker:height=1,width=1")
    assert saved("part_marker:height=1,width=1") == saved("part_marker:height=1,parts=linear,width=1") == data.maps[0].zero_elements


@pytest.mark.parametrize("label", [label for label in EVERY if schemes.load(label).needs != "values"])
@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 99), bits=BITS, epsilons=st.tuples(st.floats(0, 40), st.floats(0, 40)))
def test_a_larger_epsilon_never_stores_more(label, shape, seed, bits, epsilons):
    """Channels whose largest magnitude is within epsilon become zero, as inference does. Codes of values promise nothing of the kind."""
    data = np.random.default_rng(seed).normal(size=shape) * np.linspace(0, 40, shape[0])[:, None, None]
    machine = accelerator(2, 3, data=Data(ifmap_bits=bits), access=16)

    def stored(epsilon):
        small = np.abs(data).max(axis=(1, 2), keepdims=True) <= epsilon
        return schemes.load(label).encode(of_values(np.where(small, 0, data)), 0, machine).payload_bytes

    assert stored(max(epsilons)) <= stored(min(epsilons))


@pytest.mark.parametrize("label", EVERY)
def test_what_a_scheme_says_it_saves_it_saves(label):
    """Half of a map is zero, in every way that a scheme may look for."""
    values = np.zeros((4, 16, 16))
    values[:2, 8:] = 1 + np.arange(128).reshape(8, 16)
    data, machine = of_values(values), accelerator(2, 2, access=16)
    scheme, dense = schemes.load(label), schemes.load("dense").encode(data, 0, machine)
    found = scheme.encode(data, 0, machine)
    assert (found.payload_bytes < dense.payload_bytes) == scheme.saves.reads == scheme.saves.writes
    assert scheme.saves.macs == scheme.saves.cycles == (found.saves.macs or found.computed is not None)
    assert scheme.saves.weights == found.saves.weights
    assert scheme.saves.energy == compresses(label)


def test_dense_saves_nothing_and_the_papers_marker_everything_but_what_only_energy_feels():
    assert schemes.load("dense").saves == Saves()
    assert astuple(schemes.load("channel_marker").saves) == (True, True, True, True, True, False, False)


def test_a_map_that_is_all_zeros_is_all_skipped_by_what_skips_zero_units():
    data = of_values(np.zeros((3, 5, 5)))
    for label in SKIPS:
        scheme = schemes.load(label)
        assert (scheme.encode(data, 0, accelerator()).payload_bytes == 0) == scheme.saves.reads, label


@pytest.mark.parametrize("name", schemes.names())
def test_a_statistics_trace_serves_what_counts_suffice_for(name):
    scheme, data = schemes.load(name), statistics()
    if scheme.needs == "counts":
        assert scheme.encode(data, 0, accelerator()).payload_bytes == (64 if scheme.saves.reads else 96)
        return
    with pytest.raises(TraceError) as caught:
        scheme.encode(data, 0, accelerator())
    needed = "the values of feature maps" if scheme.needs == "values" else "to know which elements are zero"
    assert str(caught.value).startswith(f"scheme {name!r} needs {needed}")
    assert "or replay" in str(caught.value)
    assert "dense" in str(caught.value)


def test_a_scheme_that_needs_values_is_refused_by_name():
    assert "ebpc" in schemes.names()
    assert "ebpc" not in schemes.replayable()
    with pytest.raises(TraceError) as caught:
        schemes.load("ebpc").encode(bare(one_map((1, 2, 2))), 0, accelerator())
    assert str(caught.value).startswith(
        "scheme 'ebpc' needs the values of feature maps; a trace holds only which elements are zero\n"
        "    give the network and an image ('accelsim compare NETWORK --image PHOTOGRAPH'), or replay under dense, "
    )
    with pytest.raises(TraceError, match="needs the values of feature maps, which this map does not have"):
        schemes.load("ebpc").encode_map(measure(np.ones((1, 2, 2), np.float32)), accelerator())


def test_an_unknown_scheme_is_named_with_those_allowed():
    with pytest.raises(ConfigError, match=r"unknown scheme 'chanel_marker'\n    allowed: .*dense.*  Did you mean 'channel_marker'\?"):
        schemes.load("chanel_marker")


def test_names_are_found_without_importing_members():
    code = "import sys; from accelsim import schemes; schemes.names(); print(any('marker' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
