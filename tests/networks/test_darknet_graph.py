"""From the text of a cfg to a graph: sections, shapes, sources, and answers to faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.errors import ModelError
from accelsim.graph import Graph, Node
from accelsim.networks import darknet

NET = "[net]\nheight=16\nwidth=20\nchannels=3\n"


def graph(folder: Path, text: str) -> Graph:
    (folder / "small.cfg").write_text(text)
    return darknet.load(folder / "small.cfg").graph


def last(folder: Path, text: str) -> Node:
    return graph(folder, NET + text).nodes[-1]


def test_comments_blanks_and_short_names_are_understood(tmp_path: Path) -> None:
    convolution = "[conv] # first\n filters = 4\nsize =3\nstride= 2 ; halves\r\npad=1\nactivation=relu\n"
    text = f"# a net\n; of two\n{NET}max_batches=9\n\n{convolution}[max]\nsize=2\n"
    nodes = graph(tmp_path, text).nodes
    assert [node.name for node in nodes] == ["input", "000_convolutional", "001_maxpool"]
    assert nodes[1] == Node(1, "000_convolutional", "conv", (0,), (4, 8, 10), (3, 3), (2, 2), (1, 1, 1, 1), activation="relu")
    assert nodes[2].shape == (4, 8, 10)
    assert nodes[2].pad == (0, 0, 1, 1)


def test_the_name_is_that_of_the_file_unless_given(tmp_path: Path) -> None:
    assert graph(tmp_path, NET + "[avgpool]\n").name == "small"
    assert darknet.load(tmp_path / "small.cfg", name="other").graph.name == "other"


@pytest.mark.parametrize(
    ("options", "pad", "shape"),
    [
        ("size=3\npad=1", 1, (5, 16, 20)),
        ("size=1\npad=1", 0, (5, 16, 20)),
        ("size=3\npad=0\npadding=2", 2, (5, 18, 22)),
        ("size=3\npad=1\npadding=2", 1, (5, 16, 20)),
        ("size=3\npad=1\ndilation=2", 2, (5, 16, 20)),
        ("size=4\npad=1", 2, (5, 17, 21)),
        ("size=3\npad=1\nstride_x=2", 1, (5, 16, 10)),
    ],
)
def test_padding_of_a_convolution(tmp_path: Path, options: str, pad: int, shape: tuple[int, int, int]) -> None:
    node = last(tmp_path, f"[convolutional]\nfilters=5\n{options}\nactivation=linear\n")
    assert node.pad == (pad,) * 4
    assert node.shape == shape


@pytest.mark.parametrize(
    ("options", "pad", "shape"),
    [
        ("size=2\nstride=2", (0, 0, 1, 1), (3, 8, 10)),
        ("size=3\nstride=2", (1, 1, 1, 1), (3, 8, 10)),
        ("size=3\nstride=2\npadding=0", (0, 0, 0, 0), (3, 7, 9)),
        ("size=9\nstride=1", (4, 4, 4, 4), (3, 16, 20)),
        ("size=4\nstride=1", (1, 1, 2, 2), (3, 16, 20)),
        ("stride=2", (0, 0, 1, 1), (3, 8, 10)),
    ],
)
def test_padding_of_a_maxpool_is_counted_in_total(tmp_path: Path, options: str, pad: tuple[int, ...], shape: tuple[int, ...]) -> None:
    node = last(tmp_path, f"[maxpool]\n{options}\n")
    assert node.pad == pad
    assert node.shape == shape


def test_sources_count_back_or_from_the_first_section(tmp_path: Path) -> None:
    conv = "[convolutional]\nfilters=4\nactivation=leaky\n"
    nodes = graph(tmp_path, f"{NET}{conv}{conv}[route]\nlayers=-2\n[route]\nlayers=-1, 1,0\n[shortcut]\nfrom=-4\nactivation=relu\n").nodes
    assert (nodes[3].kind, nodes[3].inputs, nodes[3].shape) == ("concat", (1,), (4, 16, 20))
    assert (nodes[4].inputs, nodes[4].shape) == ((3, 2, 1), (12, 16, 20))
    assert (nodes[5].kind, nodes[5].inputs, nodes[5].shape, nodes[5].activation) == ("add", (4, 1), (12, 16, 20), "relu")
    assert (nodes[1].activation, nodes[1].slope) == ("leaky", 0.1)


def test_darknets_defaults_stand_where_options_are_absent(tmp_path: Path) -> None:
    assert last(tmp_path, "[convolutional]\n").activation == "logistic"
    assert last(tmp_path, "[connected]\noutput=7\n").shape == (7, 1, 1)
    assert last(tmp_path, "[upsample]\n").shape == (3, 32, 40)
    assert last(tmp_path, "[avgpool]\n").kernel == (16, 20)
    assert last(tmp_path, "[softmax]\n").attributes == {"temperature": 1.0}
    assert last(tmp_path, "[dropout]\n[cost]\n[yolo]\nmask=0\n").shape == (3, 16, 20)


def test_crop_scales_unless_told_not_to(tmp_path: Path) -> None:
    node = last(tmp_path, "[crop]\ncrop_height=10\ncrop_width=12\n")
    assert node.shape == (3, 10, 12)
    assert node.attributes == {"scale": 2.0, "offset": -1.0}
    assert last(tmp_path, "[crop]\ncrop_height=10\ncrop_width=12\nnoadjust=1\n").attributes == {"scale": 1.0, "offset": 0.0}


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("[convolutonal]\n", 5, "[convolutonal]: unknown section\n    allowed: net, convolutional, *Did you mean 'convolutional'?"),
        ("[lstm]\n", 5, "[lstm]: unknown section\n    allowed: net, "),
        ("[convolutional]\nfiltrs=3\n", 6, "unknown option 'filtrs'\n    allowed: filters, *Did you mean 'filters'?"),
        ("[convolutional]\nsize=1e9\n", 6, "size='1e9'; allowed: whole numbers from 1 to 1,024"),
        ("[convolutional]\nsize=1000000000\n", 6, "size='1000000000'; allowed"),
        ("[convolutional]\nfilters=-1\n", 6, "filters='-1'; allowed"),
        ("[convolutional]\nsize=3\nsize=5\n", 6, "size is given as '3' (line 6) and '5' (line 7); keep one"),
        ("[convolutional]\nactivation=rleu\n", 6, "unknown activation 'rleu'\n    allowed: linear, relu, *Did you mean 'relu'?"),
        ("[convolutional]\ngroups=2\nfilters=4\n", 5, "2 groups must divide 3 input channels and 4 filters"),
        ("[convolutional]\nsize=30\n", 5, "kernel of 30 x 30 does not fit into its padded input of 16 x 20"),
        ("[convolutional]\nxnor=1\n", 6, "xnor=1 is not supported; allowed: 0, or no xnor at all"),
        (
            "[convolutional]\nfilters=1000000\n",
            5,
            "a feature map of 1,000,000 x 16 x 20 = 320,000,000 elements; allowed: up to 268,435,456",
        ),
        ("[upsample]\nstride=1024\n[upsample]\nstride=1024\n", 5, "elements; allowed: up to"),
        ("[route]\nlayers=-1\n", 6, "layers=-1 means section -1; allowed: sections before this one"),
        ("[avgpool]\n[route]\nlayers=0,1\n", 7, "layers=1 means section 1; allowed: sections before this one, 0 to 0"),
        ("[avgpool]\n[route]\n", 6, "layers is missing"),
        ("[avgpool]\n[route]\nlayers=-1\ngroups=2\n", 8, "a route of channel groups is not supported"),
        ("[avgpool]\n[upsample]\n[shortcut]\nfrom=0,1\n", 8, "from names 2 sections; allowed: one"),
        (
            "[maxpool]\nsize=3\nstride=3\n[upsample]\n[shortcut]\nfrom=0\n[maxpool]\nsize=3\nstride=3\n[shortcut]\nfrom=1\n",
            14,
            "one whole ratio",
        ),
        ("[upsample]\nscale=2\n", 6, "scale=2 is not supported; allowed: 1"),
        ("[softmax]\ntemperature=x\n", 6, "temperature='x' is not a number"),
        ("[softmax]\ntemperature=0\n", 6, "temperature=0; allowed: more than 0"),
        ("[crop]\ncrop_height=17\ncrop_width=3\n", 5, "crop of 17 x 3 from a map of 16 x 20"),
        ("[net]\n", 5, "[net]: unknown section"),
        ("what is this\n", 5, "'whatisthis': neither [section] nor key=value"),
        ("[avgpool\n", 5, "'[avgpool': a section is written [name]"),
    ],
)
def test_a_fault_is_answered_with_its_line(tmp_path: Path, text: str, line: int, fault: str) -> None:
    with pytest.raises(ModelError) as caught:
        graph(tmp_path, NET + text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'small.cfg'}:{line}: ")
    for part in fault.split("*"):
        assert part in message


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "an empty file; a cfg begins with [net]"),
        (b"[convolutional]\n", "[convolutional]; a cfg begins with [net]"),
        (b"size=3\n", "an option before the first section"),
        (b"[net]\nheight=3\nwidth=3\n[avgpool]\n", ":1: [net]: channels is missing"),
        (b"[net]\nheight=99999999\nwidth=3\nchannels=3\n[avgpool]\n", ":2: [net]: height='99999999'"),
        (b"[net]\nheight=60000\nwidth=60000\nchannels=3\n[avgpool]\n", "a feature map of 3 x 60,000 x 60,000"),
        (NET.encode(), "0 layers; allowed: 1 to 9,999"),
        (b"\x89PNG\r\n\x1a\n", "byte 0 is not text; this is no Darknet cfg"),
        (b"[net]\n\x00\x00", "byte 6 is not text"),
        (b"#" * 1_000_001, "larger than 1,000,000 bytes"),
        (b"[net]\n" + b"a=1\n" * 1001, ":1002: [net] has more than 1,000 options"),
    ],
)
def test_what_is_no_cfg_is_refused(tmp_path: Path, data: bytes, fault: str) -> None:
    (tmp_path / "bad.cfg").write_bytes(data)
    with pytest.raises(ModelError) as caught:
        darknet.load(tmp_path / "bad.cfg")
    assert str(caught.value).startswith(str(tmp_path / "bad.cfg"))
    assert fault in str(caught.value)


def test_a_missing_cfg_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.cfg", tmp_path):
        with pytest.raises(ModelError, match="network file cannot be read"):
            darknet.load(path)
