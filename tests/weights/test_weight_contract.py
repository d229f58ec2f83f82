"""Every weight scheme: what it writes it reads again, and what it says of sizes is what it writes."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import weights_samples as samples
from hypothesis import given
from hypothesis import strategies as st
from weights_samples import LABELS, SHAPES, cuts

from accelsim import weights
from accelsim.errors import ConfigError, ModelError
from accelsim.kernels.codecs import count_pairs
from accelsim.weights import WeightScheme
from accelsim.weights._code import decode, encode_values
from accelsim.weights.base import Cut, matrix

TYPES = ("int8", "float16", "float32")
ZEROS = st.sampled_from([0.0, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("label", ["dense", *LABELS])
class TestEveryWeightScheme:
    @given(data=st.data(), shape=SHAPES, dtype=st.sampled_from(TYPES), zeros=ZEROS, seed=st.integers(0, 99), connected=st.booleans())
    def test_what_is_written_is_read_again(self, label, data, shape, dtype, zeros, seed, connected):
        values = samples.values(shape, dtype, seed, zeros)
        code = encode_values(weights.load(label), values, cut=data.draw(cuts(shape)), connected=connected)
        assert decode(code).dtype == values.dtype
        assert (decode(code) == values).all()


@pytest.mark.parametrize("label", LABELS)
class TestEveryWeightSchemeThatLeavesZerosOut:
    @given(data=st.data(), shape=SHAPES, dtype=st.sampled_from(TYPES), zeros=ZEROS, seed=st.integers(0, 99), connected=st.booleans())
    def test_sizes_are_those_of_what_is_written(self, label, data, shape, dtype, zeros, seed, connected):
        values, cut, scheme = samples.values(shape, dtype, seed, zeros), data.draw(cuts(shape)), weights.load(label)
        bits = values.dtype.itemsize * 8
        found = scheme.encode(values, bits, cut=cut, connected=connected)
        code = encode_values(scheme, values, cut=cut, connected=connected)
        written = [len(unit) for units in code.units for unit in units]
        heads = [len(head or b"") for head in code.heads]
        if found is None:
            assert sum(written) + sum(heads) >= values.nbytes
            return
        assert found.units.tolist() == written
        assert found.heads.tolist() == heads
        assert np.diff(found.edges).tolist() == [len(units) for units in code.units]
        assert found.stored_bytes == sum(written) + sum(heads)
        assert "fallback=false" in label or found.stored_bytes < values.nbytes
        for block, low, high, head in zip(cut.blocks(values, connected), found.edges, found.edges[1:], heads, strict=False):
            # a piece fits into the room of its weights, whatever its code takes
            assert head + found.units[low:high].sum() <= block.values.nbytes

    @given(shape=SHAPES, seed=st.integers(0, 99))
    def test_weights_without_zeros_lie_dense(self, label, shape, seed):
        values = np.random.default_rng(seed).integers(1, 100, shape).astype(np.int8)
        found = weights.load(label).encode(values, 8)
        assert (found is None) == ("fallback=false" not in label)

    @given(shape=SHAPES, seed=st.integers(0, 99), zeros=ZEROS)
    def test_only_zeros_are_left_out(self, label, shape, seed, zeros):
        values = samples.values(shape, "float32", seed, zeros)
        found = weights.load(label).encode(values, 32, connected=shape[0] == 1)
        if found is None:
            return
        assert np.count_nonzero(values) <= found.entries - found.fillers <= values.size
        if found.alive is not None:
            assert not values[~found.alive].any()
        if found.nonzero is not None:
            assert (found.nonzero == (values[0].reshape(shape[1], -1) != 0)).all()

    @given(shape=SHAPES, seed=st.integers(0, 99))
    def test_a_codebook_stands_for_the_weights(self, label, shape, seed):
        scheme = weights.load(f"{label}{',' if ':' in label else ':'}codebook_bits=3")
        values = np.array([0, 0, 0.5, -1.25, 3, 7, 9, -2], np.float32)[np.random.default_rng(seed).integers(0, 8, shape)]
        code = encode_values(scheme, values)
        assert (decode(code) == values).all()
        assert len(code.table) == 8 * 4
        found = scheme.encode(values, 32)
        if found is not None:
            assert (found.shared, found.metadata_bytes) == (32, 32 + sum(len(head or b"") for head in code.heads))


def test_what_each_scheme_says_it_saves():
    saved = {name: [field for field, flag in asdict(weights.load(name).saves).items() if flag] for name in weights.names()}
    assert saved == {
        "dense": [],
        "eie": ["weights", "macs", "cycles", "energy", "connected"],
        "filter_pruned": ["weights", "macs", "cycles"],
        "pruned_csr": ["weights", "energy"],
    }


def test_fillers_stand_for_sixteen_zeros_each_and_none_follows_the_last_weight():
    values = np.zeros((1, 1, 1, 70), np.float32)
    values[0, 0, 0, [15, 32, 49]] = 1  # 15 zeros before the first, 16 before the two others
    found = weights.load("eie").encode(values, 16)
    assert found is not None
    assert (found.entries, found.fillers) == (5, 2)
    assert found.units.tolist() == [-(-5 * 20 // 8)]


@given(shape=SHAPES, seed=st.integers(0, 99), zeros=ZEROS, bits=st.integers(1, 8))
def test_entries_of_eie_are_the_pairs_of_the_kernel(shape, seed, zeros, bits):
    values = samples.values(shape, "int8", seed, zeros)
    (block,) = Cut.whole(shape).blocks(values, False)
    found = weights.load(f"eie:index_bits={bits}").sizes(block, 8)
    pairs = np.empty(1, np.int64)
    count_pairs((values != 0).ravel(), np.array([0, values.size]), 2**bits - 1, False, pairs)
    assert (found.entries, found.fillers) == (pairs[0], pairs[0] - np.count_nonzero(values))


def test_a_filter_that_lives_outside_its_piece_is_stored_in_it():
    values = np.zeros((1, 3, 4, 9), np.float32)
    values[0, 1, 0] = 1
    found = weights.load("filter_pruned").encode(values, 16, cut=Cut(np.array([0, 1]), np.array([0, 3]), np.array([0, 2, 4])))
    assert found is not None
    assert found.units.tolist() == [18, 18, 18, 18]
    assert found.heads.tolist() == [1, 1]
    assert found.alive is not None
    assert found.alive.tolist() == [[False, True, False]]


def test_a_row_of_csr_takes_an_index_and_a_value_for_each_weight_and_a_pointer():
    values = np.zeros((1, 4, 3, 4), np.int8)
    values[0, :, 1, 0] = 5
    found = weights.load("pruned_csr").encode(values, 8)
    assert found is not None
    # 16 columns, so indices of 4 bits; pointers reach to 48 * 12 / 8 = 72 bytes: 7 bits, four of them
    assert (found.units.tolist(), found.heads.tolist()) == ([0, 6, 0], [4])


def test_too_many_weights_for_a_codebook_are_refused():
    with pytest.raises(ModelError) as caught:
        weights.load("eie:codebook_bits=2").encode(np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6), 16)
    assert str(caught.value) == (
        "6 different weights in a layer, and a codebook of 2 bits holds 4\n    quantise the weights, or widen codebook_bits to 3"
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("eei", "'eei' is not a known weight scheme\n    allowed: dense, eie, filter_pruned, pruned_csr.  Did you mean 'eie'?"),
        (
            "eie:colums=all",
            "eie: unknown key 'colums'\n    allowed: codebook_bits, fallback, index_bits, columns.  Did you mean 'columns'?",
        ),
        ("eie:index_bits=9", "eie.index_bits: 9 is too large\n    allowed: 8 or less"),
    ],
)
def test_a_weight_scheme_that_cannot_be_read_says_what_can(written, said):
    with pytest.raises(ConfigError) as caught:
        weights.load(written)
    assert str(caught.value) == said


@pytest.mark.parametrize("label", ["dense", *LABELS])
def test_a_label_is_read_as_the_same_scheme(label):
    assert isinstance(weights.load(label), WeightScheme)
    assert weights.load(weights.load(label).label) == weights.load(label)


@pytest.fixture(scope="module")
def filters(shared):
    with np.load(shared / "assets/squeezenet_v1.0_dc/weights.npz") as arrays:
        names = [name for name in arrays if name.endswith("weight")]
        return [(matrix(arrays[name], 1, arrays[name].shape[1]), arrays[name.replace("weight", "bias")]) for name in names]


class TestTheReleasedDeepCompressionSqueezeNet:
    def test_it_has_exactly_its_entries_and_fillers(self, filters):
        found = [weights.load("eie").sizes(block, 16) for values, _ in filters for block in Cut.whole(values.shape).blocks(values, False)]
        assert sum(layer.entries for layer in found) == 422_083
        assert sum(layer.fillers for layer in found) == 6_162

    def test_it_takes_exactly_the_bytes_of_its_file(self, filters):
        found = [weights.load("eie:codebook_bits=8,fallback=false").encode(values, 32) for values, _ in filters]
        assert 104 + sum(bias.size * 4 for _, bias in filters) + sum(layer.stored_bytes for layer in found if layer) == 675_763

    @pytest.mark.parametrize("label", LABELS)
    def test_its_weights_are_read_as_they_were_written(self, filters, label):
        for values, _ in filters[:8]:
            assert (decode(encode_values(weights.load(label), values)) == values).all()
