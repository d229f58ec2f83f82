"""Trace files: what is written is read again, and everything else is refused in one line."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_strategies import traces

from accelsim import tracefile
from accelsim.errors import TraceError
from accelsim.graph import Graph, Node
from accelsim.trace import FeatureMap, Trace, measure, spread

AGAIN = "make it again: accelsim infer <run.yaml>"


@pytest.fixture(scope="module")
def trace():
    """Three maps: an input, a convolution with a zero channel, a dropout."""
    values = np.random.default_rng(1).standard_normal((4, 9, 10)).astype(np.float32)
    values[2] = 0
    values[values < 0] = 0
    nodes = (
        Node(0, "input", "input", (), (1, 9, 10)),
        Node(1, "000_convolutional", "conv", (0,), (4, 9, 10), (3, 3), pad=(1, 1, 1, 1), activation="relu", attributes={"α": 0.5}),
        Node(2, "001_dropout", "dropout", (1,), (4, 9, 10)),
    )
    maps = (measure(np.ones((1, 9, 10), dtype=np.float32), (4, 4)), measure(values, (4, 4)), measure(values, (4, 4)))
    return Trace(Graph("net", nodes), maps, "dog", 0.0, "channel", (4, 4), "inference", {"engine": "test"})


@pytest.fixture(scope="module")
def sound(trace, tmp_path_factory):
    """Bytes of the trace's file."""
    path = tmp_path_factory.mktemp("sound") / "trace.npz"
    tracefile.save(trace, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def spot(tmp_path_factory):
    """Name of a file that tests overwrite."""
    return tmp_path_factory.mktemp("spot") / "trace.npz"


def read(spot: Path, content: bytes) -> Trace:
    spot.write_bytes(content)
    return tracefile.load(spot)


def refusal(spot: Path, content: bytes) -> str:
    """Text of the one-line refusal, without the file's folder."""
    with pytest.raises(TraceError) as caught:
        read(spot, content)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(spot), spot.name)


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def forged(sound: bytes, edit) -> bytes:
    """The file with another header."""
    parts = members(sound)
    header = json.loads(np.load(io.BytesIO(parts["header.npy"])).tobytes())
    header = edit(header) or header
    return zipped(parts | {"header.npy": npy(np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))})


def assert_same(left: Trace, right: Trace) -> None:
    for field in ("graph", "image", "epsilon", "mode", "fine_part", "source", "provenance"):
        assert getattr(left, field) == getattr(right, field)
    for a, b in zip(left.maps, right.maps, strict=True):
        assert (a.shape, a.zero_elements) == (b.shape, b.zero_elements)
        for field in ("zero_channels", "mask", "part_max"):
            one, other = getattr(a, field), getattr(b, field)
            assert (one is None) == (other is None)
            assert one is None or (one.dtype == other.dtype and np.array_equal(one, other))


def assert_same_or_refused(trace: Trace, again) -> None:
    try:
        found: Trace | str = again()
    except TraceError as error:
        found = str(error)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert tracefile.digest(found) == tracefile.digest(trace)


@settings(max_examples=60)
@given(traces())
def test_a_saved_trace_is_read_again_as_it_was(spot, trace):
    tracefile.save(trace, spot)
    assert_same(tracefile.load(spot), trace)


@settings(max_examples=25)
@given(traces())
def test_the_same_trace_gives_the_same_file(spot, trace):
    tracefile.save(trace, spot)
    first = spot.read_bytes()
    tracefile.save(tracefile.load(spot), spot)
    assert spot.read_bytes() == first


def test_numpy_opens_the_file_without_pickle(spot, sound):
    spot.write_bytes(sound)
    with np.load(spot, allow_pickle=False) as archive:
        assert json.loads(archive["header"].tobytes())["format"] == 2
        assert archive["masks"].dtype == np.uint8


def test_a_file_that_numpy_packed_again_is_still_the_trace(spot, sound, trace):
    spot.write_bytes(sound)
    with np.load(spot) as archive:
        arrays = dict(archive)
    np.savez(spot, **arrays)
    assert_same(tracefile.load(spot), trace)


def test_the_digest_tells_traces_apart(trace):
    counts = tuple(FeatureMap(fmap.shape, fmap.zero_channels, fmap.zero_elements, fmap.mask) for fmap in trace.maps)
    others = [replace(trace, image="cat"), replace(trace, maps=counts), replace(trace, epsilon=0.1), replace(trace, mode="part")]
    assert len({tracefile.digest(other) for other in [trace, *others]}) == 5


def test_real_size_traces_stay_small(tmp_path):
    """A half-empty map of the largest layer of SqueezeNet: masks cost at most a bit an element, part maxima 4 bytes a part."""
    values = np.maximum(np.random.default_rng(0).standard_normal((64, 113, 113)).astype(np.float32), 0)
    graph = Graph("net", (Node(0, "input", "input", (), values.shape),))
    trace = Trace(graph, (measure(values, (8, 8)),), "noise", 0.0, "channel", (8, 8), "synthetic", {})
    tracefile.save(trace, tmp_path / "trace.npz")
    assert (tmp_path / "trace.npz").stat().st_size < values.size / 8 + 4 * 64 * 15 * 15 + 2000


def test_saving_makes_the_folder_and_leaves_nothing_else(trace, tmp_path):
    tracefile.save(trace, tmp_path / "new" / "trace.npz")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["trace.npz"]


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(trace, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError) as caught:
        tracefile.save(trace, tmp_path / "file" / "trace.npz")
    assert str(caught.value) == f"{tmp_path}/file/trace.npz: cannot be written: File exists; choose another folder"
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(TraceError, match="cannot be written: Is a directory; choose another folder"):
        tracefile.save(trace, tmp_path / "folder.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_a_failed_save_keeps_the_older_file(trace, tmp_path, monkeypatch):
    path = tmp_path / "trace.npz"
    path.write_text("older")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(TraceError, match="cannot be written: No space left on device"):
        tracefile.save(trace, path)
    assert path.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.npz"]


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(TraceError) as caught:
        tracefile.load(tmp_path / "no.npz")
    assert str(caught.value) == f"{tmp_path}/no.npz: there is no such file; {AGAIN}"
    with pytest.raises(TraceError, match="cannot be read"):
        tracefile.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"not a trace at all" * 9, b"PK\5\6" + b"\0" * 18], ids=["empty", "short", "text", "empty zip"]
)
def test_what_is_no_trace_is_refused(spot, content):
    assert refusal(spot, content) == f"trace.npz: not a trace file, or cut off: the end of a .npz is missing; {AGAIN}"


def test_a_header_alone_or_foreign_members_are_refused(spot, sound):
    parts = members(sound)
    assert (
        refusal(spot, zipped({"x.npy": npy(np.zeros(2000))})) == f"trace.npz: not a trace: no member 'header.npy' among ['x.npy']; {AGAIN}"
    )
    names = "a trace has header.npy, masks.npy, part_max.npy, zero_channels.npy"
    missing = {name: part for name, part in parts.items() if name != "masks.npy"}
    assert refusal(spot, zipped(missing)) == (
        f"trace.npz: its members are ['header.npy', 'part_max.npy', 'zero_channels.npy'], {names}; {AGAIN}"
    )
    assert names in refusal(spot, zipped(parts | {"../../evil.npy": npy(np.zeros(2))}))
    assert names in refusal(spot, zipped(missing | {"../masks.npy": parts["masks.npy"]}))
    assert names in refusal(spot, zipped(missing | {"/masks.npy": parts["masks.npy"]}))


def test_a_repeated_member_is_refused(spot, sound):
    content = zipped({**members(sound), "zero_channels.npz": b""}).replace(b"zero_channels.npz", b"zero_channels.npy")
    assert "its members are" in refusal(spot, content)


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_a_pickle_is_refused_unopened(spot, sound):
    hostile = npy(np.array([Bomb()], dtype=object))
    with pytest.raises(pytest.fail.Exception):
        pickle.loads(hostile[128:])
    for name in tracefile.MEMBERS:
        text = refusal(spot, zipped(members(sound) | {name: hostile}))
        assert text == (
            f"trace.npz: {name} is an array \"{{'descr': '|O', 'fortran_order': False, 'shape': (1,), }}\" (pickled objects): "
            f"bytes '|u1' [n] are needed; {AGAIN}"
        )


def test_wrong_types_and_shapes_are_refused(spot, sound):
    parts = members(sound)
    masks = np.load(io.BytesIO(parts["masks.npy"]))
    for wrong in (masks.astype(np.float32), masks.reshape(1, -1), np.array(7, dtype=np.uint8), masks.view(np.int8)):
        assert "bytes '|u1' [n] are needed" in refusal(spot, zipped(parts | {"masks.npy": npy(wrong)}))
    assert refusal(spot, zipped(parts | {"masks.npy": npy(masks[1:])})) == (
        f"trace.npz: masks.npy claims {masks.size - 1} bytes, its graph needs {masks.size}; {AGAIN}"
    )
    assert "masks.npy is not an array in .npy format 1.0" in refusal(spot, zipped(parts | {"masks.npy": b"zeros"}))


def test_a_claim_that_the_member_does_not_hold_is_refused(spot, sound):
    parts = members(sound)
    size = len(parts["masks.npy"]) - 128
    for content in (parts["masks.npy"][:-9], parts["masks.npy"] + b"more"):
        assert f"masks.npy claims {size} bytes and holds" in refusal(spot, zipped(parts | {"masks.npy": content}))


def test_a_huge_claim_is_refused_before_anything_is_allocated(spot, sound):
    parts = members(sound)
    huge = parts["header.npy"].replace(b"'shape': (", b"'shape': (9999999999")
    huge = huge.replace(b" " * 10, b"", 1)
    tracemalloc.start()
    text = refusal(spot, zipped(parts | {"header.npy": huge}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "header.npy claims 99,999,999,99" in text
    assert peak < 5_000_000


def test_a_zip_bomb_is_refused_before_it_is_inflated(spot, sound):
    """The directory claims 4 GiB a member; and a member may unpack to more than its directory entry claims."""
    claim = bytearray(sound)
    at = claim.rindex(b"masks.npy") - 46
    claim[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    tracemalloc.start()
    assert "bytes, 536,870,912 is the most" in refusal(spot, bytes(claim))
    bomb = zipped(members(sound) | {"masks.npy": bytes(50_000_000)})
    at = bomb.rindex(b"masks.npy") - 46
    bomb = bomb[: at + 24] + struct.pack("<I", 200) + bomb[at + 28 :]
    tracemalloc.reset_peak()
    refusal(spot, bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_list_of_a_million_members_is_refused_unread(spot, sound):
    content = sound[:-10] + struct.pack("<I", 60_000_000) + sound[-6:]
    assert "its list of members takes 60,000,000 bytes, four members are allowed" in refusal(spot, content)


def test_another_format_is_named(spot, sound):
    assert (
        refusal(spot, forged(sound, lambda header: header.update(format=0))) == f"trace.npz: format 0, this version reads 1 to 2; {AGAIN}"
    )
    newer = forged(sound, lambda header: {"format": 3, "everything": "else"})
    assert refusal(spot, newer) == f"trace.npz: format 3, this version reads 1 to 2; update accelsim, or {AGAIN}"


def test_constant_channels_come_back_and_a_trace_without_any_is_of_format_1(trace, spot, tmp_path):
    tracefile.save(trace, spot)
    assert tracefile.load(spot).maps[0].constant_channels.tolist() == [True]
    assert not tracefile.load(spot).maps[1].constant_channels.any()
    unknown = replace(trace, maps=tuple(replace(fmap, constant_channels=None) for fmap in trace.maps))
    varied = replace(trace, maps=(measure(np.arange(90, dtype=np.float32).reshape(1, 9, 10), (4, 4)), *trace.maps[1:]))
    for plain in (unknown, varied):
        tracefile.save(plain, tmp_path / "plain.npz")
        with np.load(tmp_path / "plain.npz") as archive:
            header = json.loads(archive["header"].tobytes())
        assert (header["format"], "constant" in header["maps"][0]) == (1, False)
        assert tracefile.load(tmp_path / "plain.npz").maps[0].constant_channels is None
    assert tracefile.digest(replace(unknown, maps=trace.maps)) == tracefile.digest(trace) != tracefile.digest(unknown)


@pytest.mark.parametrize(
    ("constant", "fault"),
    [
        ([4], "the map of 000_convolutional: constant [4]: a list of its channels, or null, is needed"),
        (["0"], "constant ['0']: a list of its channels"),
        (True, "constant True: a list of its channels"),
        ([2], "constant_channels: channel 2 has zeros, or is one element"),
        ([0], "constant_channels: channel 0 has zeros, or is one element"),
    ],
)
def test_constant_channels_that_cannot_be_are_refused(spot, sound, constant, fault):
    assert fault in refusal(spot, forged(sound, lambda header: header["maps"][1].update(constant=constant)))


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda header: [1], "the header names no format: not a trace"),
        (lambda header: {"format": True}, "the header names no format: not a trace"),
        (lambda header: header.update(more=1), "the header has the keys"),
        (lambda header: header.update(hash="0" * 64), "its content does not match its hash: it was damaged or edited"),
        (lambda header: header.update(image="cat"), "its content does not match its hash: it was damaged or edited"),
        (lambda header: header.update(image=3), "provenance: 3 is not printable text of one line"),
        (lambda header: header.update(epsilon="0"), "epsilon '0': a float >= 0 is needed"),
        (lambda header: header.update(epsilon=float("nan")), "epsilon nan: a float >= 0 is needed"),
        (lambda header: header.update(mode=None), "mode None: channel, part, element are known"),
        (lambda header: header.update(fine_part=[0, 4]), "fine_part (0, 4): two positive integers are needed"),
        (lambda header: header.update(fine_part=4), "fine_part 4: two positive integers are needed"),
        (lambda header: header.update(provenance=[]), "the header's provenance is no object"),
        (lambda header: header.update(provenance={"a": {}}), "provenance: {} is not printable text of one line"),
        (lambda header: header.update(maps=7), "the header's maps are no list of objects"),
        (lambda header: header["maps"].pop(), "the header tells of 2 maps for 3 nodes"),
        (
            lambda header: header["maps"][1].update(mask=1),
            "the map of 000_convolutional: constant, mask, part_max, zero_elements are needed",
        ),
        (lambda header: header["maps"][1].update(zero_elements=1), "zero_elements 1: the mask has"),
        (lambda header: header["maps"][1].update(zero_elements=[]), "zero_elements []: the mask has"),
        (lambda header: header.update(graph=[]), "the header's graph needs a name and nodes"),
        (lambda header: header["graph"].update(nodes={}), "the header's nodes are no list"),
        (lambda header: header["graph"].update(nodes=[]), "the graph must begin with an 'input' node"),
        (lambda header: header["graph"].update(name=[]), "graph name [] is not printable text of one line"),
        (lambda header: header["graph"]["nodes"][1].pop("groups"), "node 1 of the header: the keys index, name, kind"),
        (lambda header: header["graph"]["nodes"][1].update(extra=1), "node 1 of the header: the keys index, name, kind"),
        (lambda header: header["graph"]["nodes"][1].update(attributes=3), "node 1 of the header: the keys index, name, kind"),
        (lambda header: header["graph"]["nodes"][1].update(inputs=[2]), "inputs (2,): each must be an integer from 0 to 0"),
        (lambda header: header["graph"]["nodes"][1].update(inputs=[0.0]), "inputs (0.0,): each must be an integer from 0 to 0"),
        (lambda header: header["graph"]["nodes"][1].update(inputs="0"), "inputs '0': each must be an integer from 0 to 0"),
        (lambda header: header["graph"]["nodes"][2].update(shape=[4, -9, 10]), "shape (4, -9, 10): 3 integers >= 1 are needed"),
        (lambda header: header["graph"]["nodes"][2].update(shape=[2**31] * 3), "3 integers >= 1 are needed"),
        (lambda header: header["graph"]["nodes"][2].update(shape=[2**30] * 3), "masks.npy claims"),
        (lambda header: header["graph"]["nodes"][2].update(shape=[4, [9], 10]), "shape (4, [9], 10): 3 integers >= 1 are needed"),
        (lambda header: header["graph"]["nodes"][2].update(kind=None), "node 2: kind None is not printable text of one line"),
    ],
)
def test_a_hostile_header_is_refused(spot, sound, edit, fault):
    def edited(header):
        made = edit(header)
        return made if isinstance(made, list) or (isinstance(made, dict) and "format" in made) else header

    text = refusal(spot, forged(sound, edited))
    assert text.startswith("trace.npz: ")
    assert fault in text
    assert text.endswith(f"; {AGAIN}")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}"])
def test_a_header_that_is_not_json_is_refused(spot, sound, text):
    content = zipped(members(sound) | {"header.npy": npy(np.frombuffer(text, dtype=np.uint8))})
    assert "the header is not JSON" in refusal(spot, content)


def test_a_header_of_a_billion_nodes_is_refused_by_its_size(spot, sound):
    content = zipped(members(sound) | {"header.npy": npy(np.full(5 << 20, ord(" "), dtype=np.uint8))})
    assert "header.npy claims 5,242,880 bytes, 4,194,304 is the most" in refusal(spot, content)


def test_edited_arrays_are_noticed(spot, sound):
    parts = members(sound)
    maxima = bytearray(parts["part_max.npy"])
    maxima[-1] ^= 1
    assert "does not match its hash" in refusal(spot, zipped(parts | {"part_max.npy": bytes(maxima)}))
    masks = bytearray(parts["masks.npy"])
    masks[140] ^= 255
    assert "the mask has" in refusal(spot, zipped(parts | {"masks.npy": bytes(masks)}))


def test_a_trace_too_large_for_a_file_is_refused_and_nothing_is_left(trace, tmp_path, monkeypatch):
    monkeypatch.setattr(tracefile, "MAX_BYTES", 1000)
    with pytest.raises(TraceError, match=r"the trace is too large for a file \(1,000 bytes at most\)"):
        tracefile.save(trace, tmp_path / "trace.npz")
    assert not list(tmp_path.iterdir())


@settings(max_examples=400)
@given(st.data())
def test_flipped_and_lost_bytes_never_give_another_trace(spot, sound, trace, data):
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from((0, 0, 0, 1)))
    if cut:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    assert_same_or_refused(trace, lambda: read(spot, bytes(content)))


@settings(max_examples=100)
@given(st.data())
def test_damage_behind_valid_checksums_never_gives_another_trace(spot, sound, trace, data):
    """As above, but the zip is made anew around the damaged member, so that only our own checks stand in the way."""
    parts = members(sound)
    name = data.draw(st.sampled_from(tracefile.MEMBERS))
    content = bytearray(parts[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert_same_or_refused(trace, lambda: read(spot, zipped(parts | {name: bytes(content)})))


def test_counts_without_masks_keep_their_zero_channels(tmp_path):
    graph = Graph("net", (Node(0, "input", "input", (), (13, 2, 2)),))
    trace = Trace(graph, (FeatureMap((13, 2, 2), spread(5, 13), None),), "dog", 0.0, "channel", (1, 1), "published statistics", {})
    tracefile.save(trace, tmp_path / "trace.npz")
    again = tracefile.load(tmp_path / "trace.npz")
    assert again.maps[0].zero_channels.tolist() == spread(5, 13).tolist()
    assert not again.has_masks
    assert not again.positions_known
