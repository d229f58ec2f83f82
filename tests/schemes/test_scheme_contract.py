"""Every scheme: nothing lost, nothing counted twice; and the hand-checked sizes of the reference tensor."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_samples import accelerator, graph, trace

from accelsim import schemes
from accelsim.errors import ConfigError, TraceError
from accelsim.graph import Graph, Node
from accelsim.hardware import Data
from accelsim.schemes.base import unit_sizes
from accelsim.trace import PUBLISHED, FeatureMap, Trace, spread

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 13), st.integers(1, 13))
ARRAYS = {"rows": st.integers(1, 6), "cols": st.integers(1, 6)}


def one_map(shape, seed=0, zeros=0.8, dead=0.3):
    return trace(graph(shape, {"kind": "dropout"}), seed=seed, zeros=zeros, dead=dead)


def statistics() -> Trace:
    node = Node(0, "input", "input", (), (3, 4, 4))
    return Trace(Graph("published", (node,)), (FeatureMap((3, 4, 4), spread(1, 3), None),), "dog", 0.0, "channel", (4, 4), PUBLISHED, {})


@pytest.mark.parametrize("name", schemes.names())
class TestEveryScheme:
    @given(shape=SHAPES, seed=st.integers(0, 99), bits=st.sampled_from([8, 16, 32]), **ARRAYS)
    def test_payload_and_skipped_bytes_are_the_dense_bytes(self, name, shape, seed, bits, rows, cols):
        machine = accelerator(rows, cols, data=Data(ifmap_bits=bits))
        found = schemes.load(name).encode(one_map(shape, seed), 0, machine)
        sizes = np.broadcast_to(unit_sizes(shape, found.unit_height, found.unit_width, bits), found.unit_bytes.shape)
        skipped = found.unit_bytes == 0
        assert found.payload_bytes + sizes[skipped].sum() == sizes.sum()
        assert (found.unit_bytes[~skipped] == sizes[~skipped]).all()

    @given(shape=SHAPES, seed=st.integers(0, 99), **ARRAYS)
    def test_what_is_skipped_holds_only_zeros(self, name, shape, seed, rows, cols):
        data = one_map(shape, seed)
        found = schemes.load(name).encode(data, 0, accelerator(rows, cols))
        nonzero = data.maps[0].nonzero()
        for channel, y, x in np.argwhere(found.unit_bytes == 0):
            top, left = y * found.unit_height, x * found.unit_width
            assert not nonzero[channel, top : top + found.unit_height, left : left + found.unit_width].any()

    @given(shape=SHAPES, **ARRAYS)
    def test_data_without_zeros_costs_what_dense_costs_but_for_metadata(self, name, shape, rows, cols):
        machine = accelerator(rows, cols)
        found = schemes.load(name).encode(one_map(shape, zeros=0.0, dead=0.0), 0, machine)
        assert found.payload_bytes == np.prod(shape) * machine.data.ifmap_bits // 8

    def test_live_channels_are_those_of_which_anything_is_stored(self, name):
        data = one_map((6, 5, 5), dead=0.5, zeros=0.0)
        found = schemes.load(name).encode(data, 0, accelerator())
        expected = np.ones(6, dtype=bool) if name == "dense" else ~data.maps[0].zero_channels
        assert (found.live_channels() == expected).all()


@given(shape=SHAPES, seed=st.integers(0, 99), rows=st.integers(1, 3), cols=st.integers(1, 3))
def test_finer_units_save_at_least_as_much_and_never_more_than_the_zeros(shape, seed, rows, cols):
    data = one_map(shape, seed)
    byte = Data(ifmap_bits=8)

    def saved(name, *array):
        return int(np.prod(shape)) - schemes.load(name).encode(data, 0, accelerator(*array, data=byte)).payload_bytes

    channel = saved("channel_marker", rows, cols)
    coarse, fine = saved("part_marker", 2 * rows, 2 * cols), saved("part_marker", rows, cols)
    assert 0 == saved("dense", rows, cols) <= channel <= coarse <= fine <= data.maps[0].zero_elements


def test_sizes_of_the_reference_tensor_come_out_exactly(shared):
    tensor = json.loads((shared / "golden/schemes/tensor_a.json").read_text())
    data = trace(graph((4, 6, 6), {"kind": "dropout"}), [np.array(tensor["values"])])
    names = {"dense": "dense", "marker/channel": "channel_marker", "marker/part": "part_marker"}
    compared = 0
    with (shared / "golden/schemes/expected_a.csv").open() as table:
        for row in csv.DictReader(table):
            if row["scheme"] not in names or "linear" in row["params"]:
                continue
            size = 6 if row["scheme"] == "dense" else int(row["params"][0])
            machine = accelerator(size, size, data=Data(ifmap_bits=int(row["word_bits"])))
            found = schemes.load(names[row["scheme"]]).encode(data, 0, machine)
            assert found.payload_bytes * 8 == int(row["payload_bits"])
            # The table counts the printed C * (P + 1) bits for the channel marker too; ours keeps one bit a channel.
            metadata = 4 if row["scheme"] == "marker/channel" else int(row["metadata_bits"])
            assert found.metadata_bytes == -(-metadata // 8)
            compared += 1
    assert compared >= 14


def test_a_statistics_trace_serves_dense_and_channel_marker_alone():
    data = statistics()
    assert schemes.load("dense").encode(data, 0, accelerator()).payload_bytes == 96
    assert schemes.load("channel_marker").encode(data, 0, accelerator()).payload_bytes == 64
    with pytest.raises(TraceError) as caught:
        schemes.load("part_marker").encode(data, 0, accelerator())
    assert str(caught.value) == (
        "scheme 'part_marker' needs to know which elements are zero; the trace of published on dog (published statistics) holds only "
        "counts of zero channels\n    make a trace with 'accelsim infer', or replay this one under dense or channel_marker"
    )


def test_an_unknown_scheme_is_named_with_those_allowed():
    with pytest.raises(ConfigError, match=r"unknown scheme 'chanel_marker'\n    allowed: .*dense.*  Did you mean 'channel_marker'\?"):
        schemes.load("chanel_marker")


def test_names_are_found_without_importing_members():
    code = "import sys; from accelsim import schemes; schemes.names(); print(any('marker' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
