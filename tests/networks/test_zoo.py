"""The zoo's networks have the shapes, parameters and multiply-accumulates that are published of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.errors import ModelError
from accelsim.graph import Graph
from accelsim.layers import layer
from accelsim.networks import darknet, published, zoo
from accelsim.networks.network import COUNTED, total_elements, total_macs, total_weights
from accelsim.networks.zoo.mobilenet import round_to_eight

TABLE = Path(__file__).parents[2] / "traces" / "drfmp_dog_eps0.csv"

TORCHVISION = {
    "alexnet": (61_100_840, 0.714),
    "densenet121": (7_978_856, 2.834),
    "efficientnet_b0": (5_288_548, 0.386),
    "googlenet": (6_624_904, 1.498),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "resnet18": (11_689_512, 1.814),
    "resnet50": (25_557_032, 4.089),
    "squeezenet_1.0": (1_248_424, 0.819),
    "squeezenet_1.1": (1_235_496, 0.349),
    "vgg16": (138_357_544, 15.47),
}
"""Parameters and 10^9 multiply-accumulates that torchvision's documentation states ("num_params", "GFLOPS" of the weights' tables)."""

PAPERS = {
    "mobilenet_v1": (4_231_976, 4.2, 569),
    "mobilenet_v2": (3_504_872, 3.4, 300),
    "mobilenet_v3_large": (5_483_032, 5.4, 219),
    "mobilenet_v3_small": (2_542_856, 2.5, 56),
    "efficientnet_b0": (5_288_548, 5.3, 390),
}
"""Parameters (MobileNet: trainable ones of the Keras model), and millions of parameters and of multiply-accumulates as printed:
Howard 2017 table 4; Sandler 2018 table 4; Howard 2019 tables 3 and 4; Tan 2019 table 2."""

SIX = {
    "alexnet_darknet": ("alexnet", 781_736, 62_367_776),
    "mobilenet_v2_darknet": ("mobilenet", 9_255_048, 3_470_784),
    "resnet50_darknet": (None, 20_086_248, None),
    "squeezenet_1.1_darknet": ("squeezenet", 3_290_128, 1_231_552),
    "tinynet": (None, 3_458_440, None),
    "vgg16": ("vgg16", 15_087_080, 138_344_128),
}
"""Name in our table of the authors' counts; elements of all outputs (Liang et al., arXiv 1812.09922, table 4); weights without biases."""

CFG = {"alexnet_darknet": "cfg/alexnet", "mobilenet_v2_darknet": "cfg/mobilenet", "resnet50_darknet": "cfg/resnet50", "vgg16": "cfg/vgg16"}
CFG |= {"squeezenet_1.1_darknet": "squeezenet_v1.1/squeezenet", "tinynet": "tiny/tiny"}


def counted_macs(graph: Graph) -> int:
    """Multiply-accumulates without those of normalisations that stand alone, which nobody counts."""
    alone = sum(layer(node.kind).macs(node, graph.input_shapes(node.index)) for node in graph.nodes if node.kind == "scale")
    return total_macs(graph) - alone


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_macs_are_those_of_torchvision(name: str) -> None:
    parameters, giga = TORCHVISION[name]
    assert zoo.parameters(name) == parameters
    assert round(counted_macs(zoo.load(name).graph) / 1e9, 3) == giga


@pytest.mark.parametrize("name", PAPERS)
def test_parameters_and_macs_are_those_of_the_papers(name: str) -> None:
    exact, millions, macs = PAPERS[name]
    assert zoo.parameters(name) == exact
    assert zoo.parameters(name) / 1e6 == pytest.approx(millions, abs=0.11)
    assert counted_macs(zoo.load(name).graph) / 1e6 == pytest.approx(macs, rel=0.015)


@pytest.mark.parametrize("name", SIX)
def test_the_six_networks_of_the_paper_have_its_maps(name: str) -> None:
    table_name, elements, weights = SIX[name]
    graph = zoo.load(name).graph
    assert total_elements(graph) == elements
    if weights is not None:
        biases = sum(node.shape[0] for node in graph.nodes if node.kind in ("conv", "fc"))
        assert total_weights(graph) - biases == weights
    if table_name is None:
        return
    theirs = published.from_table(TABLE, table_name, input_shape=graph.nodes[0].shape).graph
    maps = [[(node.kind, node.shape, node.groups) for node in found.nodes if node.kind in COUNTED] for found in (graph, theirs)]
    assert maps[0] == maps[1]


@pytest.mark.parametrize("name", CFG)
def test_the_six_networks_of_the_paper_are_their_cfg_files(name: str, shared: Path) -> None:
    graphs = zoo.load(name).graph, darknet.load(shared / "assets" / f"{CFG[name]}.cfg").graph
    ours, theirs = (
        [
            (node.kind, node.shape, node.kernel, node.stride, node.groups, node.activation, node.slope)
            for node in graph.nodes
            if node.kind in COUNTED
        ]
        for graph in graphs
    )
    assert ours == theirs
    assert total_macs(graphs[0]) == total_macs(graphs[1])
    assert total_weights(graphs[0]) == total_weights(graphs[1])


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_is_named_cited_and_has_no_weights(name: str) -> None:
    network = zoo.load(name)
    names = [node.name for node in network.graph.nodes]
    assert len(set(names)) == len(names)
    assert network.weights is None
    assert network.provenance["network_file"] == f"zoo:{name}"
    assert network.provenance["architecture"]
    assert network.graph.name == name
    assert network.graph.nodes[-1].kind == "softmax"
    assert network.graph.nodes[-1].elements == 1000
    read = {producer for node in network.graph.nodes for producer in node.inputs}
    assert read == set(range(len(names) - 1)), "every map but the last is read"


def test_a_residual_block_adds_what_it_was_given() -> None:
    graph = zoo.load("resnet50").graph
    named = {node.name: node for node in graph.nodes}
    first, second = named["conv3_1/add"], named["conv3_2/add"]
    assert first.inputs == (named["conv3_1c"].index, named["conv3_1/projection"].index)
    assert second.inputs == (named["conv3_2c"].index, first.index)
    assert named["conv3_1b"].stride == named["conv3_1/projection"].stride == (2, 2)


def test_squeeze_and_excite_weighs_the_channels_of_its_source() -> None:
    graph = zoo.load("mobilenet_v3_large").graph
    named = {node.name: node for node in graph.nodes}
    gate = named["bneck4/se/expand"]
    assert named["bneck4/se/scale"].inputs == (named["bneck4/dw"].index, gate.index)
    assert gate.shape == (72, 1, 1)
    assert gate.activation == "hardsigmoid"
    assert named["bneck4/se/reduce"].shape[0] == 24


@pytest.mark.parametrize(("channels", "rounded"), [(4, 8), (18, 24), (20, 24), (30, 32), (60, 64), (120, 120), (168, 168)])
def test_widths_are_rounded_to_eight_without_losing_a_tenth(channels: int, rounded: int) -> None:
    assert round_to_eight(channels) == rounded


def test_ceil_mode_lets_the_last_window_hang_over_the_edge() -> None:
    named = {node.name: node for node in zoo.load("googlenet").graph.nodes}
    assert named["pool1"].pad == (0, 0, 1, 1)
    assert named["pool1"].shape == (64, 56, 56)
    assert named["pool4"].shape == (832, 7, 7)
    assert {node.name: node.shape[1] for node in zoo.load("squeezenet_1.0").graph.nodes}["pool4"] == 27


def test_another_input_size_changes_maps_but_not_parameters() -> None:
    large = zoo.load("resnet50@256")
    assert large.graph.name == "resnet50@256"
    assert large.graph.nodes[0].shape == (3, 256, 256)
    assert zoo.parameters("resnet50@256") == zoo.parameters("resnet50@224") == 25_557_032
    assert total_macs(large.graph) > 1.3 * total_macs(zoo.load("resnet50").graph)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("resnet5", r"zoo:resnet5: 'resnet5' is not in the zoo\n    allowed: alexnet, .*, vgg16\.  Did you mean 'resnet50'\?"),
        ("", "'' is not in the zoo"),
        ("vgg16@", "input size ''; allowed: 1 to 4096, usual: 224"),
        ("vgg16@99999", "input size '99999'"),
        ("vgg16@-1", "input size '-1'"),
        ("alexnet@16", r"alexnet@16: pool2: kernel of 3 x 3 .*\n    choose another input size"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_with_advice(name: str, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        zoo.load(name)
