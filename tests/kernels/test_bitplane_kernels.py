"""Bit planes against a slow twin that works on text, and against a block worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels.bitplanes import count_bits, decode_planes, decode_zero_runs, encode_planes, encode_zero_runs

BITS = st.sampled_from([4, 8, 12, 16, 32])
BLOCKS = st.sampled_from([2, 3, 8, 16, 32])


@st.composite
def stretches(draw):
    """Width and words: noise, slopes, constants, and zeros alone and in runs."""
    bits = draw(BITS)
    word = st.integers(0, 2**bits - 1)
    small = st.integers(0, min(5, 2**bits - 1))
    slope = st.builds(lambda first, step, count: [(first + step * n) % 2**bits for n in range(count)], word, small, st.integers(1, 40))
    pieces = st.one_of(st.lists(word, max_size=20), st.lists(small, max_size=20), slope, st.builds(lambda n: [0] * n, st.integers(1, 40)))
    return bits, [word for piece in draw(st.lists(pieces, max_size=5)) for word in piece]


def widths(bits, block):
    return math.ceil(math.log2(bits)), math.ceil(math.log2(block))


def naive_runs(words, run_bits):
    text, zeros = "", 0
    for word in [*words, None]:
        if zeros and (word != 0 or zeros == 2**run_bits):
            text += "0" + format(zeros - 1, f"0{run_bits}b")
            zeros = 0
        if word == 0:
            zeros += 1
        elif word is not None:
            text += "1"
    return text


def naive_planes(words, bits, block):
    """The released encoder's rules, on texts of bits."""
    run_width, place_width = widths(bits, block)
    live = [word for word in words if word]
    live += [0] * (-len(live) % block)
    text = ""
    for start in range(0, len(live), block):
        signed = [word - 2**bits if word >> (bits - 1) else word for word in live[start : start + block]]
        text += format(live[start], f"0{bits}b")
        columns = [format((after - before) % 2 ** (bits + 1), f"0{bits + 1}b") for before, after in itertools.pairwise(signed)]
        planes = ["".join(column[-1 - number] for column in columns) for number in range(bits + 1)]
        symbols, before = [], "0" * (block - 1)
        for plane in planes:
            change = "".join("01"[a != b] for a, b in zip(plane, before, strict=True))
            before, first = plane, change.find("1")
            if first < 0:
                symbols.append("zero")
            elif "0" not in change:
                symbols.append("00000")
            elif "1" not in plane:
                symbols.append("00001")
            elif change.count("1") == 1:
                symbols.append("00011" + format(first, f"0{place_width}b"))
            elif change.count("1") == 2 and change[first + 1] == "1":
                symbols.append("00010" + format(first, f"0{place_width}b"))
            else:
                symbols.append("1" + change)
        while symbols:
            run = next((number for number, symbol in enumerate(symbols) if symbol != "zero"), len(symbols))
            if run:
                text += "01" if run == 1 else "001" + format(run - 2, f"0{run_width}b")
            text += "".join(symbols[run : run + 1])
            symbols = symbols[run + 1 :]
    return text


def text(stream, length):
    return "".join("01"[bit] for bit in stream[:length].astype(int))


def planes(words, bits, block):
    stream = np.zeros((len(words) // block + 1) * (bits + (bits + 1) * max(block, 5 + widths(bits, block)[1])), np.bool_)
    return stream, encode_planes(np.array(words, np.uint32), bits, block, *widths(bits, block), stream)


@given(stretches(), st.sampled_from([1, 4, 5]))
def test_runs_are_those_of_a_walk_and_decode_to_the_zeros(given_words, run_bits):
    _, words = given_words
    stream = np.zeros(len(words) * (1 + run_bits) + 1, np.bool_)
    length = encode_zero_runs(np.array(words, np.uint32), run_bits, stream)
    assert text(stream, length) == naive_runs(words, run_bits)
    nonzero = np.ones(len(words), np.bool_)
    assert decode_zero_runs(stream, run_bits, nonzero) == length
    assert nonzero.tolist() == [word != 0 for word in words]


@given(stretches(), BLOCKS)
def test_planes_are_those_of_a_walk_over_texts_and_decode_to_the_words(given_words, block):
    bits, words = given_words
    stream, length = planes(words, bits, block)
    assert text(stream, length) == naive_planes(words, bits, block)
    live = [word for word in words if word]
    again = np.ones(len(live), np.uint32)
    assert decode_planes(stream, bits, block, *widths(bits, block), again) == length
    assert again.tolist() == live


@given(stretches(), st.data())
def test_counts_are_the_lengths_of_the_streams_of_each_stretch(given_words, data):
    bits, words = given_words
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=3)))
    edges = np.array([0, *cuts, len(words)], np.int64)
    runs, found = np.full(edges.size - 1, -1, np.int64), np.full(edges.size - 1, -1, np.int64)
    scratch = np.zeros((len(words) + 8) * (bits + 14 * (bits + 1)), np.bool_)
    count_bits(np.array(words, np.uint32), edges, 4, bits, 8, *widths(bits, 8), scratch, runs, found)
    each = [words[low:high] for low, high in itertools.pairwise(edges)]
    assert runs.tolist() == [len(naive_runs(stretch, 4)) for stretch in each]
    assert found.tolist() == [len(naive_planes(stretch, bits, 8)) for stretch in each]


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        # one value eight times: the value, and nine planes without a difference
        ([5] * 8, "00000101" + "001" + "111"),
        # 1, 2, ..., 8: each difference is 1, so all of the lowest plane, all of it gone in the next, then seven planes without change
        (list(range(1, 9)), "00000001" + "00000" + "00000" + "001" + "101"),
        # a step of 4 at the third word: bit 1 of plane 2 alone, which is gone in plane 3
        ([3, 3, 7, 7, 7, 7, 7, 7], "00000011" + "001" + "000" + "00011" + "001" + "00001" + "001" + "011"),
    ],
)
def test_a_block_of_eight_bytes_by_hand(words, bits):
    stream, length = planes(words, 8, 8)
    assert text(stream, length) == bits


def test_a_run_of_zeros_by_hand():
    stream = np.zeros(99, np.bool_)
    words = np.array([0] * 18 + [7, 0], np.uint32)
    assert text(stream, encode_zero_runs(words, 4, stream)) == "01111" + "00001" + "1" + "00000"
