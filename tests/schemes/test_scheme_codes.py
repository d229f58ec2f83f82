"""Schemes as encoders: what comes out is what went in, and takes what `encode` says."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_samples import accelerator, graph, trace
from scheme_samples import EVERY, LABELS, SHAPES, TYPES, compresses, values

from accelsim import schemes
from accelsim.bits import Reader, to_bits
from accelsim.hardware import Data
from accelsim.schemes._streams import Units, machine_words
from accelsim.schemes._values import decode, encode_values


def check(label, data, machine):
    """Decoding gives the map again, NaN included; every unit is as long as `encode` says."""
    code = encode_values(schemes.load(label), data, machine)
    again = decode(code)
    assert again.dtype == data.dtype
    assert np.array_equal(again, data, equal_nan=data.dtype.kind == "f")
    stored = code.encoded.unit_bytes.ravel().tolist()
    assert [len(unit) for unit in code.units] == (stored if len(code.units) == len(stored) > 1 else [code.encoded.payload_bytes])
    assert len(code.constants) * 8 <= code.encoded.metadata_bits
    return code


@pytest.mark.parametrize("label", EVERY)
@pytest.mark.parametrize("bits", [8, 16, 32])
@given(shape=SHAPES, seed=st.integers(0, 99), zeros=st.sampled_from([0.0, 0.5, 0.9, 1.0]), choice=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_decode_gives_what_encode_took(label, bits, shape, seed, zeros, choice):
    machine = accelerator(3, 4, data=Data(ifmap_bits=bits), access=16)
    check(label, values(shape, TYPES[bits][choice % len(TYPES[bits])], seed, zeros), machine)


@pytest.mark.parametrize("label", LABELS)
@given(shape=SHAPES, seed=st.integers(0, 99), zeros=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
@settings(max_examples=15, deadline=None)
def test_a_trace_without_values_gives_the_sizes_of_the_real_code(label, shape, seed, zeros):
    machine = accelerator(3, 4, data=Data(ifmap_bits=32), access=16)
    data = values(shape, "float32", seed, zeros)
    known = trace(graph(shape, {"kind": "dropout"}), [data])
    assert known.maps[0].values is None
    found, code = schemes.load(label).encode(known, 0, machine), check(label, data, machine)
    assert (found.unit_bytes == code.encoded.unit_bytes).all()
    assert found.metadata_bits == code.encoded.metadata_bits


@pytest.fixture(scope="module")
def real_maps(shared):
    """Every eighth map of SqueezeNet on the dog."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("a real network takes hours without compiled kernels: unset NUMBA_DISABLE_JIT")
    from accelsim.images import PRESETS
    from accelsim.inference import photograph, prepare, run
    from accelsim.networks import darknet

    folder = shared / "assets/squeezenet_v1.1"
    network = darknet.load(folder / "squeezenet.cfg", folder / "squeezenet.weights")
    picture = photograph(str(shared / "assets/images/dog.jpg"), PRESETS["squeezenet_v1.1"])
    return [np.array(step.output) for step in run(prepare(network), picture.tensor) if step.node.index % 8 == 3]


@pytest.mark.parametrize("label", [*schemes.names(), "zvc:layout=packed", "ebpc:block=16"])
def test_maps_of_a_real_network_come_back(real_maps, label):
    """As float32 and quantised to 8 bits."""
    smaller = 0
    for data in real_maps:
        eighth = np.round(data * (127 / max(np.abs(data).max(), 1))).astype(np.int8)
        for each in (data, eighth):
            code = check(label, each, accelerator(16, 16, data=Data(ifmap_bits=each.dtype.itemsize * 8)))
            smaller += code.encoded.payload_bytes < each.nbytes
    assert smaller or not compresses(label)


def test_words_of_another_width_keep_order_and_zeros():
    data = np.array([[[-2.0, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1.0, 2.0]]], np.float32)
    assert machine_words(data, 8).ravel().tolist() == [256 - 127, 255, 0, 0, 1, 32, 64, 127]
    assert machine_words(data, 16).view(np.int32).ravel().tolist()[-1] == 32767
    assert machine_words(data, 32).ravel().tolist() == [value.view(np.uint32) if value else 0 for value in data.ravel()]
    assert machine_words(np.array([[[-3, 0, 5]]], np.int8), 16).ravel().tolist() == [65533, 0, 5]
    assert not machine_words(np.zeros((1, 2, 2), np.float32), 16).any()


def test_units_are_whole_rows_or_whole_channels():
    mask = np.ones((5, 8, 10), dtype=bool)
    units, channels, rows = Units.cut(mask, 16, 64)
    assert (channels, rows, units.edges[:4].tolist()) == (1, 3, [0, 30, 60, 80])
    units, channels, rows = Units.cut(mask, 16, 320)
    assert (channels, rows, units.edges.tolist()) == (2, 8, [0, 160, 320, 400])
    units, channels, rows = Units.cut(mask, 16, 1)
    assert (channels, rows, units.edges.size) == (1, 1, 41)


@given(st.lists(st.integers(0, 2**7 - 1)), st.lists(st.integers(0, 1)), st.lists(st.integers(0, 2**32 - 1)))
def test_fields_are_read_as_they_were_written(narrow, flags, wide):
    fields = (np.array(narrow, np.uint32), 7), (np.array(flags, np.uint32), 1), (np.array(wide, np.uint32), 32)
    stream = Reader(np.concatenate([to_bits(*field) for field in fields]))
    for field, width in fields:
        assert stream.words(field.size, width).tolist() == field.tolist()
    assert stream.rest().size == 0


def test_a_field_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="32 does not fit into 5 bits"):
        to_bits(np.array([31, 32]), 5)


def test_a_map_of_another_width_than_the_machines_is_refused():
    with pytest.raises(ValueError, match="float32 under zvc on a machine of 16-bit maps"):
        encode_values(schemes.load("zvc"), np.zeros((1, 2, 2), np.float32), accelerator())
