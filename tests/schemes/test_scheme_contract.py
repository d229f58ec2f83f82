"""Every scheme: nothing lost, nothing counted twice, and what it says of itself is what it does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_samples import accelerator, graph, trace
from scheme_samples import LABELS, SHAPES

from accelsim import schemes
from accelsim.errors import ConfigError, TraceError
from accelsim.graph import Graph, Node
from accelsim.hardware import Data
from accelsim.schemes.base import Saves, unit_sizes
from accelsim.trace import PUBLISHED, FeatureMap, Trace, spread

ARRAYS = {"rows": st.integers(1, 6), "cols": st.integers(1, 6)}
STREAMS = ("bitmap", "csr", "rlc", "zvc")


def is_stream(label):
    return label.partition(":")[0] in STREAMS


def one_map(shape, seed=0, zeros=0.8, dead=0.3):
    return trace(graph(shape, {"kind": "dropout"}), seed=seed, zeros=zeros, dead=dead)


def statistics() -> Trace:
    node = Node(0, "input", "input", (), (3, 4, 4))
    return Trace(Graph("published", (node,)), (FeatureMap((3, 4, 4), spread(1, 3), None),), "dog", 0.0, "channel", (4, 4), PUBLISHED, {})


@pytest.mark.parametrize("label", [label for label in LABELS if not is_stream(label)])
class TestEverySchemeThatSkipsUnits:
    @given(shape=SHAPES, seed=st.integers(0, 99), bits=st.sampled_from([8, 16, 32]), **ARRAYS)
    def test_payload_and_skipped_bytes_are_the_dense_bytes(self, label, shape, seed, bits, rows, cols):
        machine = accelerator(rows, cols, data=Data(ifmap_bits=bits))
        found = schemes.load(label).encode(one_map(shape, seed), 0, machine)
        sizes = np.broadcast_to(unit_sizes(shape, found.unit_height, found.unit_width, bits), found.unit_bytes.shape)
        skipped = found.unit_bytes == 0
        assert found.payload_bytes + sizes[skipped].sum() == sizes.sum() == np.prod(shape) * bits // 8
        assert (found.unit_bytes[~skipped] == sizes[~skipped]).all()

    @given(shape=SHAPES, seed=st.integers(0, 99), **ARRAYS)
    def test_what_is_skipped_holds_only_zeros(self, label, shape, seed, rows, cols):
        data = one_map(shape, seed)
        found = schemes.load(label).encode(data, 0, accelerator(rows, cols))
        nonzero = data.maps[0].nonzero()
        for channel, y, x in np.argwhere(found.unit_bytes == 0):
            top, left = y * found.unit_height, x * found.unit_width
            assert not nonzero[channel, top : top + found.unit_height, left : left + found.unit_width].any()
        assert found.computed is None or not nonzero[:, ~found.computed].any()

    @given(shape=SHAPES, **ARRAYS)
    def test_data_without_zeros_costs_what_dense_costs_but_for_metadata(self, label, shape, rows, cols):
        machine = accelerator(rows, cols)
        found = schemes.load(label).encode(one_map(shape, zeros=0.0, dead=0.0), 0, machine)
        assert found.payload_bytes == np.prod(shape) * machine.data.ifmap_bits // 8
        assert found.computed is None or found.computed.all()


@pytest.mark.parametrize("label", [label for label in LABELS if is_stream(label)])
class TestEverySchemeThatCompresses:
    @given(shape=SHAPES, seed=st.integers(0, 99), zeros=st.sampled_from([0.0, 0.3, 0.9, 1.0]), bits=st.sampled_from([8, 16, 32]))
    def test_no_unit_and_no_map_takes_more_than_its_dense_bytes_and_metadata(self, label, shape, seed, zeros, bits):
        machine = accelerator(data=Data(ifmap_bits=bits), access=16)
        found = schemes.load(label).encode(one_map(shape, seed, zeros), 0, machine)
        dense = np.prod(shape) * bits // 8
        assert found.payload_bytes <= dense
        if "fallback=false" not in label and found.offsets is not None:
            assert found.payload_bytes + found.metadata_bytes < dense
        if found.offsets is None:
            assert (found.payload_bytes, found.metadata_bits) == (dense, 1)

    @given(shape=SHAPES)
    def test_data_without_zeros_lies_as_under_dense(self, label, shape):
        if "fallback=false" in label:
            return
        machine = accelerator()
        found, dense = (schemes.load(name).encode(one_map(shape, zeros=0.0, dead=0.0), 0, machine) for name in (label, "dense"))
        assert found.unit_bytes.tolist() == dense.unit_bytes.tolist()
        assert (found.offsets, found.metadata_bits) == (None, 1)

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


@given(shape=SHAPES, seed=st.integers(0, 99), rows=st.integers(1, 3), cols=st.integers(1, 3), zeros=st.sampled_from([0.1, 0.8, 1.0]))
def test_finer_units_save_at_least_as_much_and_never_more_than_the_zeros(shape, seed, rows, cols, zeros):
    data = one_map(shape, seed, zeros)
    machine = accelerator(rows, cols, data=Data(ifmap_bits=8))

    def saved(label):
        return int(np.prod(shape)) - schemes.load(label).encode(data, 0, machine).payload_bytes

    coarse, fine = saved(f"part_marker:height={2 * rows},width={2 * cols}"), saved("part_marker")
    assert 0 == saved("dense") <= saved("channel_marker") <= coarse <= fine <= data.maps[0].zero_elements
    assert fine == saved(f"zero_block:height={rows},width={cols}")
    assert saved(f"sbnet:height={rows},width={cols}") <= saved("gemm_column") <= saved("part_marker:height=1,width=1")
    assert saved("part_marker:height=1,width=1") == saved("part_marker:height=1,parts=linear,width=1") == data.maps[0].zero_elements


@pytest.mark.parametrize("label", LABELS)
def test_what_a_scheme_says_it_saves_it_saves(label):
    """Half of a map is zero, in every way that a scheme may look for."""
    values = np.zeros((4, 16, 16))
    values[:2, 8:] = 1
    data = trace(graph((4, 16, 16), {"kind": "dropout"}), [values])
    machine = accelerator(2, 2, access=16)
    scheme, dense = schemes.load(label), schemes.load("dense").encode(data, 0, machine)
    found = scheme.encode(data, 0, machine)
    assert (found.payload_bytes < dense.payload_bytes) == scheme.saves.reads == scheme.saves.writes
    assert scheme.saves.macs == scheme.saves.cycles == (found.saves.macs or found.computed is not None)
    assert scheme.saves.weights == found.saves.weights
    assert scheme.saves.energy == is_stream(label)


def test_dense_saves_nothing_and_a_marker_everything_but_what_only_energy_feels():
    assert schemes.load("dense").saves == Saves()
    assert astuple(schemes.load("channel_marker").saves) == (True, True, True, True, True, False, False)
    assert [name for name in schemes.replayable() if schemes.load(name).saves.weights] == ["channel_marker", "part_marker"]
    assert [name for name in schemes.replayable() if schemes.load(name).saves.macs] == [
        "channel_marker",
        "gemm_column",
        "part_marker",
        "sbnet",
    ]


def test_a_map_that_is_all_zeros_is_all_skipped_by_markers():
    data = trace(graph((3, 5, 5), {"kind": "dropout"}), [np.zeros((3, 5, 5))])
    for name in ("channel_marker", "part_marker", "zero_block", "sbnet", "gemm_column"):
        assert schemes.load(name).encode(data, 0, accelerator()).payload_bytes == 0, name


def test_a_statistics_trace_serves_dense_and_channel_marker_alone():
    data = statistics()
    assert schemes.load("dense").encode(data, 0, accelerator()).payload_bytes == 96
    assert schemes.load("channel_marker").encode(data, 0, accelerator()).payload_bytes == 64
    for name in set(schemes.replayable()) - {"dense", "channel_marker"}:
        with pytest.raises(TraceError) as caught:
            schemes.load(name).encode(data, 0, accelerator())
        assert str(caught.value) == (
            f"scheme {name!r} needs to know which elements are zero; the trace of published on dog (published statistics) holds only "
            "counts of zero channels\n    make a trace with 'accelsim infer', or replay this one under dense or channel_marker"
        )


def test_a_scheme_that_needs_values_is_refused_by_name():
    assert "ebpc" in schemes.names()
    assert "ebpc" not in schemes.replayable()
    with pytest.raises(TraceError) as caught:
        schemes.load("ebpc").encode(one_map((1, 2, 2)), 0, accelerator())
    assert str(caught.value) == (
        "scheme 'ebpc' needs the values of feature maps; a trace holds only which elements are zero\n"
        "    replay it under dense, bitmap, channel_marker, csr, gemm_column, part_marker, rlc, sbnet, zero_block or zvc"
    )


def test_an_unknown_scheme_is_named_with_those_allowed():
    with pytest.raises(ConfigError, match=r"unknown scheme 'chanel_marker'\n    allowed: .*dense.*  Did you mean 'channel_marker'\?"):
        schemes.load("chanel_marker")


def test_names_are_found_without_importing_members():
    code = "import sys; from accelsim import schemes; schemes.names(); print(any('marker' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
