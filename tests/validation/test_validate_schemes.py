"""Vectors for schemes: those that were checked by hand come out, others in the same form are taken, and faults are named."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ModelError
from accelsim.validation.schemes import validate


@pytest.fixture
def folder(tmp_path):
    """A set of vectors: two channels, one of them zero."""
    values = np.zeros((2, 4, 4), dtype=int)
    values[0, :2] = 1
    (tmp_path / "tensor_b.json").write_text(json.dumps({"C": 2, "values": values.tolist()}))
    (tmp_path / "expected_b.csv").write_text(
        "scheme,params,word_bits,payload_bits,metadata_bits\n"
        "marker/channel,4x4 grid,8,128,4\n"
        "marker/part,2x4 grid,16,128,6\n"
        "marker/part,1x3 linear,8,72,14\n"
        "zebra,2x2 grid,8,64,8\n"
        "zvc32,whole tensor stream,8,64,32\n"
        "rlc/raw,restart per channel,8,80,50\n"
        # zeros: 8 bits of ones, runs of 16 and 8 of 5 bits each; planes: a word, and one code for nine planes that do not change
        "ebpc,whole tensor stream,8,16,24\n"
        "marker/constant,-,8,128,3\n"
    )
    (tmp_path / "codes_b.json").write_text(
        json.dumps({"eie": {"entries_per_channel": [8, 0]}, "zebra 4x4 grid": {"zero_flags": [[0], [1]]}})
    )
    (tmp_path / "skip_b.json").write_text(
        json.dumps(
            {
                "conv1x1 K2": {
                    "kernel": 1,
                    "pad": 0,
                    "stride": 1,
                    "K": 2,
                    "array": [2, 4],
                    "cycles_channel_mode": 4,
                    "cycles_part_mode": 2,
                },
                "fc K3": {"weights_skipped_channel_mode": 48, "weights_skipped_element_mode": 72},
                "fetched bytes": {"raster CHW, 8-bit, burst 16 B, part": 16},
            }
        )
    )
    return tmp_path


def test_every_vector_of_the_reference_comes_out(shared):
    comparison = validate(shared / "golden/schemes")
    assert comparison.passed
    families = {family.family: family.rows for family in comparison.summary}
    assert families == {"codes": 13, "epsilon": 34, "sizes": 63, "published": 26, "skips": 10, "fetched bytes": 12}
    assert all(row.model == row.reference for row in comparison.rows if row.verdict != "told")
    # The logs count an element each for two fully connected layers of AlexNet, which no count can tell.
    assert [row.name for row in comparison.rows if row.verdict == "told"] == ["drfmp_dog_eps0, all, AlexNet"]
    assert comparison.lines()[-1] == "158 of 158 rows pass; 1 of them told, not judged"


@pytest.mark.parametrize("name", ["expected_a.csv", "codes_a.json", "skip_a.json", "epsilon_b.json", "published.json"])
def test_one_file_may_be_given(shared, name):
    assert validate(shared / "golden/schemes" / name).passed


def test_other_tensors_in_the_same_form_are_taken(folder):
    comparison = validate(folder)
    assert comparison.passed, comparison.lines()
    assert len(comparison.rows) == 8 + 2 + 3


def slow_sizes(values: np.ndarray, bits: int, rows: int, cols: int) -> list[tuple[str, str, int, int]]:
    """Scheme, params, bits of payload and of metadata, each counted element by element."""
    channels, height, width = values.shape
    parts = [
        [values[c, y : y + rows, x : x + cols] for y in range(0, height, rows) for x in range(0, width, cols)] for c in range(channels)
    ]
    live = sum(part.size for channel in parts for part in channel if part.any())
    flat, found = values.ravel().tolist(), []
    found.append(("dense", "-", len(flat) * bits, 0))
    zero = sum(not channel.any() for channel in values)
    found.append(("marker/part", f"{rows}x{cols} grid", live * bits, channels * (len(parts[0]) + 1)))
    found.append(("zebra", f"{rows}x{cols} grid", live * bits, channels * len(parts[0])))
    constant = sum(len(set(channel.ravel().tolist())) == 1 and channel.any() and channel.size > 1 for channel in values)
    left = channels - zero - constant
    found.append(("marker/constant", "-", left * height * width * bits, 2 * channels - zero + constant * bits))
    nonzero = sum(map(bool, flat))
    found.append(("zvc32", "whole tensor stream", nonzero * bits, 32 * -(-len(flat) // 32)))
    found.append(("bitmap", "whole tensor", nonzero * bits, len(flat)))
    pairs, run = 0, 0
    for value in flat:
        pairs, run = (pairs + 1, 0) if value or run == 31 else (pairs, run + 1)
    pairs += run > 0
    found.append(("rlc/raw", "whole tensor", pairs * bits, pairs * 5))
    row_pointers = (height + 1) * (height * width).bit_length()
    found.append(("csr", "per channel", nonzero * bits, nonzero * (width - 1).bit_length() + channels * row_pointers))
    return found


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99), st.sampled_from([8, 16, 32]), st.integers(1, 4), st.integers(1, 4))
def test_any_tensor_in_the_same_form_is_taken_and_agrees_with_slow_counts(tmp_path_factory, shape, seed, bits, rows, cols):
    rng = np.random.default_rng(seed)
    values = rng.integers(-99, 99, shape) * (rng.random(shape) < rng.random((shape[0], 1, 1)))
    values[rng.random(shape[0]) < 0.2] = 7
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "tensor_x.json").write_text(json.dumps({"values": values.tolist()}))
    lines = [f"{scheme},{params},{bits},{payload},{metadata}" for scheme, params, payload, metadata in slow_sizes(values, bits, rows, cols)]
    (folder / "expected_x.csv").write_text("\n".join(["scheme,params,word_bits,payload_bits,metadata_bits", *lines]) + "\n")
    comparison = validate(folder)
    assert comparison.passed, comparison.lines()
    assert len(comparison.rows) == len(lines)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "line"),
    [
        ("expected_b.csv", "8,64,8", "8,64,9", "MISS  zebra  2x2 grid  8 bit  quantities 1/2 -50.00 %  .*metadata_bits: 8 is not 9"),
        ("codes_b.json", "[8, 0]", "[8, 1]", r"MISS  eie  quantities 0/1 -100.00 %  entries_per_channel: \[8, 0\] is not \[8, 1\]"),
        (
            "skip_b.json",
            '"cycles_part_mode": 2',
            '"cycles_part_mode": 3',
            "MISS  conv1x1 K2  quantities 1/2 .*cycles_part_mode: 2 is not 3",
        ),
        ("skip_b.json", 'burst 16 B, part": 16', 'burst 16 B, part": 32', "MISS  raster CHW, 8-bit, burst 16 B, part .*: 16 is not 32"),
    ],
)
def test_a_number_that_is_off_is_a_miss(folder, file, right, wrong, line):
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    comparison = validate(folder)
    assert not comparison.passed
    assert sum(row.verdict == "MISS" for row in comparison.rows) == 1
    assert any(re.match(line, text) for text in comparison.lines())


def test_an_epsilon_that_is_off_is_a_miss(tmp_path):
    case = {"eps": 0.25, "channel": "a", "zero_le": 0}
    (tmp_path / "epsilon_c.json").write_text(json.dumps({"channels": {"a": [0.25, -0.25]}, "cases": [case]}))
    assert not validate(tmp_path).passed
    (tmp_path / "epsilon_c.json").write_text(json.dumps({"channels": {"a": [0.25, "nan"]}, "cases": [case]}))
    assert validate(tmp_path).passed


def test_totals_without_the_authors_counts_are_told_not_judged(tmp_path):
    (tmp_path / "published.json").write_text(json.dumps({"drfmp_table4_denominators": {"TinyNet": 1}}))
    (row,) = validate(tmp_path).rows
    assert row.verdict == "told"
    assert "the authors' counts are not at" in row.faults[0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "expected_b.csv",
            "scheme,params,word_bits\nzebr,2x2 grid,8\n",
            r"expected_b.csv:2: column 1 \(scheme\): 'zebr'; allowed: dense, .*zebra",
        ),
        (
            "expected_b.csv",
            "scheme,params,word_bits\nzebra,2 by 2,8\n",
            "expected_b.csv:2: '2 by 2' is no part; write for example 3x3 grid",
        ),
        ("expected_b.csv", "scheme,params,word_bits\nzvc32,-,12\n", r"expected_b.csv:2: column 3 \(word_bits\): 12; allowed: 8, 16, 32"),
        ("codes_b.json", '{"huffman": {}}', "codes_b.json: 'huffman' is no known code; allowed: marker"),
        ("codes_b.json", '{"rlc": {}}', "codes_b.json: rlc: nothing to compare; known: run_bits, "),
        ("codes_b.json", '{"rlc": 3}', "codes_b.json: rlc: 3 is no mapping"),
        ("codes_b.json", "[1]", "codes_b.json: a mapping of cases is needed, this is a list"),
        ("codes_b.json", "{", "codes_b.json: not JSON: "),
        ("skip_b.json", '{"conv": {"kernel": 1}}', "skip_b.json: conv: no key 'K'"),
        ("skip_b.json", '{"conv": {"kernel": "x"}}', "skip_b.json: conv: kernel: 'x' is no number"),
        ("skip_b.json", '{"pool": {}}', "skip_b.json: 'pool' is no known case; allowed: conv"),
        ("skip_b.json", '{"fc": {}}', "skip_b.json: fc: its name is not of the form"),
        ("skip_b.json", '{"fetched bytes": {"column major": 3}}', "skip_b.json: fetched bytes: 'column major' is no known layout"),
        ("tensor_b.json", '{"values": [[1, 2]]}', r"tensor_b.json: values: shape \[1, 2\]; whole numbers \[C\]\[H\]\[W\]"),
        ("tensor_b.json", '{"values": [[[1], [1, 2]]]}', "tensor_b.json: values: whole numbers"),
        ("tensor_b.json", '{"C": 3, "values": [[[1]]]}', "tensor_b.json: C is 3, values have 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(folder, file, content, message):
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match=message):
        validate(folder)


def test_a_place_without_vectors_is_explained(tmp_path):
    for path, message in ((tmp_path, "no vectors here"), (tmp_path / "codes_x.json", "no such file"), (tmp_path / "x.txt", "no such file")):
        with pytest.raises(ModelError, match=f"{message}\n    allowed: expected_x.csv"):
            validate(path)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=True), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
KEYS = {
    "codes_b.json": ("marker 2x2 grid", "rlc", "csr"),
    "skip_b.json": ("conv1x1", "fc K2", "gemm column", "scnn I4 F4 1x1 K8", "fetched bytes", "depthwise3x3 pad1"),
    "epsilon_b.json": ("channels", "cases", "leaky"),
    "published.json": ("eie_column", "eyeriss_rlc", "deep_compression_diff", "squeezenet_deep_compression_file"),
}


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_nonsense_is_refused_or_compared_but_never_crashes(tmp_path_factory, file, data):
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "tensor_b.json").write_text('{"values": [[[1, 0], [0, 2]]]}')
    content = data.draw(st.dictionaries(st.sampled_from(KEYS[file]), JSON, max_size=3))
    (folder / file).write_text(json.dumps(content))
    try:
        message = str(validate(folder / file).rows[0])
    except ModelError as fault:
        message = str(fault).removeprefix(str(folder))
    assert message.startswith((f"/{file}: ", "pass", "MISS", "told"))
