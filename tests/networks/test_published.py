"""Statistics traces from published counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accelsim import tracefile
from accelsim.errors import TraceError
from accelsim.graph import Node
from accelsim.networks import darknet, published
from accelsim.report import PaperCount

TRACES = Path(__file__).parents[2] / "traces"
TABLE = TRACES / "drfmp_dog_eps0.csv"
FILES = {"alexnet": "alexnet", "mobilenet": "mobilenet_v2", "squeezenet": "squeezenet_v1.1", "vgg16": "vgg16"}
CFGS = {net: f"cfg/{net}.cfg" for net in ("alexnet", "mobilenet", "resnet50", "vgg16")} | {
    "squeezenet": "squeezenet_v1.1/squeezenet.cfg",
    "tiny": "tiny/tiny.cfg",
}
TITLES = ",".join(published.COLUMNS)


def geometry(node: Node):
    """What a schedule sees of a node."""
    return node.name, node.kind, node.inputs, node.shape, node.kernel, node.stride, node.pad, node.dilation, node.groups


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text("\n".join((TITLES, *rows)) + "\n")
    return path


@pytest.mark.parametrize(
    ("net", "saved", "conv_saved", "of_outputs", "of_conv", "outputs", "conv_outputs"),
    [
        ("alexnet", 30_406, 24_538, 3.890, 3.775, 781_736, 650_080),
        ("mobilenet", 696_584, 696_584, 7.527, 7.805, 9_255_048, 8_924_488),
        ("squeezenet", 9_391, 9_166, 0.285, 0.314, 3_290_128, 2_915_944),
        ("vgg16", 28_371, 26_068, 0.188, 0.192, 15_087_080, 13_547_520),
    ],
)
def test_saved_elements_are_the_published_ones(net, saved, conv_saved, of_outputs, of_conv, outputs, conv_outputs):
    """AlexNet's log says 30,408: it counts one element for each of two fully connected layers, a counter reset inside its loop."""
    count = PaperCount.of(tracefile.load(TRACES / f"{FILES[net]}_dog_statistics.npz"))
    assert (count.saved_elements, count.conv_saved_elements) == (saved, conv_saved)
    assert (count.output_elements, count.conv_elements) == (outputs, conv_outputs)
    assert round(count.percent_of_outputs, 3) == of_outputs
    assert round(count.percent_of_conv, 3) == of_conv


@pytest.mark.parametrize("net", FILES)
def test_the_traces_in_the_repository_are_the_table(net):
    stored = tracefile.load(TRACES / f"{FILES[net]}_dog_statistics.npz")
    assert tracefile.digest(stored) == tracefile.digest(published.from_table(TABLE, net, name=FILES[net]))
    assert (stored.source, stored.image, stored.positions_known, stored.has_masks) == ("published statistics", "dog", False, False)
    assert "arXiv 1812.09922" in stored.provenance["origin"]


def test_our_table_agrees_with_the_reference_table(shared):
    """Ours adds inputs, crops, dropouts and the windows of max-pools; every cell that the reference fills is the same."""
    reference = (shared / "golden/authors/drfmp_dog_eps0.csv").read_text().splitlines()
    ours = {tuple(line.split(",")[:2]): line.split(",") for line in TABLE.read_text().splitlines() if not line.startswith("#")}
    rows = [line.split(",") for line in reference if line.split(",")[0] in FILES]
    assert len(rows) == 143
    for cells in rows:
        assert [(told, own) for told, own in zip(cells, ours[cells[0], cells[1]], strict=True) if told and told != own] == []


@pytest.mark.parametrize("net", FILES)
def test_the_table_alone_and_the_cfg_make_the_same_geometry(shared, net):
    graph = darknet.load(shared / "assets" / CFGS[net]).graph
    alone, joined = published.from_table(TABLE, net), published.statistics_trace(graph, TABLE, net)
    count = len(alone.graph.nodes)
    assert [geometry(node) for node in alone.graph.nodes] == [geometry(node) for node in graph.nodes[:count]]
    assert [node.kind for node in graph.nodes[count:]] == ["softmax", "cost"]
    for one, other in zip(alone.maps, joined.maps, strict=False):
        assert one.zero_channels.tolist() == other.zero_channels.tolist()
        assert one.zero_elements == other.zero_elements


@pytest.mark.parametrize("net", ["resnet50", "tiny", "mobilenet"])
def test_a_bare_table_makes_the_geometry_of_the_cfg(shared, net):
    """The reference table tells neither the input nor the windows of max-pools: shapes settle both."""
    bare = shared / "golden/authors/drfmp_dog_eps0.csv"
    graph = darknet.load(shared / "assets" / CFGS[net]).graph
    alone = published.from_table(bare, net)
    assert [geometry(node) for node in alone.graph.nodes] == [geometry(node) for node in graph.nodes[: len(alone.graph.nodes)]]


def test_a_given_input_shape_settles_what_the_table_leaves_open(shared):
    bare = shared / "golden/authors/drfmp_dog_eps0.csv"
    guessed, told = published.from_table(bare, "alexnet"), published.from_table(bare, "alexnet", input_shape=(3, 227, 227))
    assert (guessed.graph.nodes[0].shape, guessed.graph.nodes[1].pad) == ((3, 220, 220), (5, 5, 5, 5))
    assert (told.graph.nodes[0].shape, told.graph.nodes[1].pad) == ((3, 227, 227), (0, 0, 0, 0))
    assert told.graph.nodes[10].kind == "dropout"


def test_route_and_dropout_inherit_their_producers_zero_channels():
    trace = published.from_table(TABLE, "squeezenet")
    left, right, route = trace.maps[42], trace.maps[44], trace.maps[45]
    assert (left.zero_channels.sum(), right.zero_channels.sum()) == (10, 22)
    assert route.zero_channels.tolist() == [*left.zero_channels, *right.zero_channels]
    assert route.zero_elements == 53_454 + 54_959
    assert trace.maps[46].zero_channels.tolist() == route.zero_channels.tolist()


def test_kinds_without_counts_are_taken_as_free_of_zeros_and_named():
    trace = published.from_table(TABLE, "mobilenet")
    assert trace.maps[11].zero_elements is None
    assert not trace.maps[11].zero_channels.any()
    assert trace.provenance["uncounted"] == "taken as free of zero channels: add, avgpool, input"


CONV = "net,0,conv,3,2,1,relu,8,4,4,128,2,40,216,-1"
POOL = "net,1,maxpool,,,,,8,2,2,32,2,9,,0"


def test_a_table_alone_makes_a_trace(tmp_path):
    trace = published.from_table(table(tmp_path, CONV, "other,0,conv", POOL), "net", image="cat")
    assert [node.shape for node in trace.graph.nodes] == [(3, 8, 8), (8, 4, 4), (8, 2, 2)]
    assert [node.pad for node in trace.graph.nodes] == [(0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 1)]
    assert trace.maps[1].zero_channels.tolist() == [False, False, False, True] * 2
    assert trace.image == "cat"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (CONV.replace("conv", "lstm"), "2: net layer 0 (lstm): unknown kind; known: input, conv, dwconv, maxpool"),
        (CONV + ",7", "2: 16 cells, 15 are needed"),
        (CONV.replace(",128,", ",127,"), "2: net layer 0 (conv): elements is 127, its shape (8, 4, 4) has 128"),
        (CONV.replace(",2,40,", ",9,40,"), "2: net layer 0 (conv): 9 zero channels of 8"),
        (CONV.replace(",2,40,", ",-1,40,"), "2: net layer 0 (conv): zero_channels is '-1'; a whole number from 0 to"),
        (CONV.replace(",2,40,", ",,40,"), "2: net layer 0 (conv): zero_channels is empty; a whole number >= 0 is needed"),
        (CONV.replace(",2,40,", ",2,31,"), "2: net layer 0 (conv): zero_elements 31: the zero channels alone are 32, the map has 128"),
        (CONV.replace("216,-1", "216,0"), "2: net layer 0 (conv): inputs are '0'; earlier layers joined by '+' are needed"),
        (CONV.replace("216,-1", "217,-1"), "2: net layer 0 (conv): 217 weights are no multiple of 8 filters of 3 x 3"),
        (CONV.replace("216,-1", ",-1"), "2: net layer 0 (conv): layer -1 is the input, and a convolution needs kernel, stride and weights"),
        (
            CONV.replace("net,0", "net,99999999"),
            "2: net layer 99999999 (conv): layer is '99999999'; a whole number from -1 to 10000 is needed",
        ),
        (CONV.replace(",8,4,4", ",eight,4,4"), "2: net layer 0 (conv): C is 'eight'; a whole number from 1 to"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, fault):
    path = table(tmp_path, row, POOL)
    with pytest.raises(TraceError) as caught:
        published.from_table(path, "net")
    assert str(caught.value).startswith(f"{path}:{fault}")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (POOL.replace("8,2,2,32", "8,7,7,392"), "no padding makes (7, 7) of (4, 4) with a window of 1 and a stride of 1"),
        (POOL.replace("8,2,2,32", "9,2,2,36"), "shape (9, 2, 2); from (8, 4, 4) it makes (8, 2, 2)"),
        ("net,1,conv,1,1,1,relu,8,4,4,128,0,,72,0", "72 weights are for 9 ifmap channels, not 8"),
        ("net,1,shortcut,,,,,8,4,5,160,,,,0+-1", "shape (8, 4, 5); from (8, 4, 4), (3, 8, 8) it makes (8, 4, 4)"),
        ("net,1,fc,,,,relu,10,1,1,10,,,1281,0", "1281 weights; its input (8, 4, 4) needs 1280"),
        ("net,0,maxpool,,,,,8,2,2,32,2,9,,-1", "comes after layer 0; rows must ascend"),
    ],
)
def test_a_row_that_contradicts_the_one_before_is_named(tmp_path, row, fault):
    path = table(tmp_path, CONV, row)
    with pytest.raises(TraceError, match=re.escape(fault)) as caught:
        published.from_table(path, "net")
    assert str(caught.value).startswith(f"{path}:3: net layer ")


@pytest.mark.parametrize(
    ("told", "wrong", "fault"),
    [
        ("net,0,conv,3,2,1,relu,8,4,4,128", "net,0,conv,3,2,1,relu,4,4,4,64", "shape is (4, 4, 4) in the table, (8, 4, 4) in node"),
        ("relu", "leaky", "activation is leaky in the table, relu in node"),
        (",3,2,1,relu", ",5,2,1,relu", "kernel is (5, 5) in the table, (3, 3) in node"),
        ("net,0", "net,1", "kind is conv in the table, maxpool in node 001_maxpool"),
        ("net,0", "net,7", "the network net has no layer of this number"),
    ],
)
def test_a_graph_that_contradicts_a_row_is_refused(tmp_path, told, wrong, fault):
    graph = published.from_table(table(tmp_path, CONV, POOL), "net").graph
    path = table(tmp_path, CONV.replace(told, wrong))
    with pytest.raises(TraceError, match=re.escape(fault)) as caught:
        published.statistics_trace(graph, path, "net")
    assert str(caught.value).startswith(f"{path}:2: net layer ")


def test_a_layer_without_its_row_is_refused(tmp_path):
    graph = published.from_table(table(tmp_path, CONV, POOL), "net").graph
    with pytest.raises(TraceError, match=r"counts\.csv: no row for 001_maxpool of network net"):
        published.statistics_trace(graph, table(tmp_path, CONV), "net")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "counts.csv"
    with pytest.raises(TraceError, match=r"counts\.csv: cannot be read: No such file or directory"):
        published.from_table(path, "net")
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(TraceError, match=r"counts\.csv: not a text file"):
        published.from_table(path, "net")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TraceError, match=r"counts\.csv: its columns are a,b; needed: net,layer"):
        published.from_table(path, "net")
    with pytest.raises(TraceError, match=r"counts\.csv: no row of network 'net'; it has other"):
        published.from_table(table(tmp_path, "other,0"), "net")
