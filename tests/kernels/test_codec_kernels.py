"""Run lengths against a slow twin, and against the examples of the papers."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels.codecs import count_pairs, decode_pairs, encode_pairs

VALUES = st.lists(st.one_of(st.just(0), st.just(0), st.integers(0, 9)), max_size=120)


def naive(values, longest, trailing):
    """Pairs of (zeros before, value), one by one."""
    pairs, zeros = [], 0
    for value in values:
        if value or zeros == longest:
            pairs.append((zeros, value))
            zeros = 0
        else:
            zeros += 1
    if trailing and zeros:
        pairs.append((zeros - 1, 0))
    while not trailing and pairs and not pairs[-1][1]:
        pairs.pop()
    return pairs


def encoded(values, longest, trailing):
    runs, levels = np.zeros(len(values), np.uint8), np.zeros(len(values), np.uint32)
    count = encode_pairs(np.array(values, np.uint32), longest, trailing, runs, levels)
    return list(zip(runs[:count].tolist(), levels[:count].tolist(), strict=True))


@given(VALUES, st.sampled_from([1, 3, 15, 31]), st.booleans())
def test_pairs_are_those_of_a_walk_and_decode_to_the_values(values, longest, trailing):
    pairs = encoded(values, longest, trailing)
    assert pairs == naive(values, longest, trailing)
    again = np.ones(len(values), np.uint32)
    runs, levels = (np.array([pair[field] for pair in pairs], dtype) for field, dtype in ((0, np.uint8), (1, np.uint32)))
    decode_pairs(runs, levels, again)
    assert again.tolist() == values


@given(VALUES, st.sampled_from([1, 15, 31]), st.booleans(), st.data())
def test_counts_need_the_mask_alone(values, longest, trailing, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    edges = [0, *cuts, len(values)]
    counts = np.full(len(edges) - 1, -1, np.int64)
    count_pairs(np.array(values, np.int64) != 0, np.array(edges, np.int64), longest, trailing, counts)
    assert counts.tolist() == [len(naive(values[low:high], longest, trailing)) for low, high in itertools.pairwise(edges)]


@pytest.mark.parametrize(("zeros", "pairs"), [(1, [(0, 0)]), (31, [(30, 0)]), (32, [(31, 0)]), (33, [(31, 0), (0, 0)])])
def test_zeros_at_the_end_end_with_a_pair(zeros, pairs):
    assert encoded([0] * zeros, 31, True) == pairs


def test_the_published_examples_come_out(shared):
    published = json.loads((shared / "golden/schemes/published.json").read_text())
    eyeriss, eie = published["eyeriss_rlc"], published["eie_column"]
    assert encoded(eyeriss["input"], 31, True) == [tuple(pair) for pair in eyeriss["pairs"]]
    assert encoded(eie["input"], 15, False) == list(zip(eie["z"], eie["v"], strict=True))
