"""Conversions keep the geometry of every layer, and say what they could not keep."""

from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import convert, hardware
from accelsim.convert import scalesim, timeloop, zigzag
from accelsim.errors import ConfigError, ModelError
from accelsim.graph import Graph, Node
from accelsim.layers import layer
from accelsim.networks import scalesim as topology_in
from accelsim.networks import zoo
from accelsim.schedule.geometry import Geometry, geometry

CONFIGS = Path(__file__).parents[2] / "configs"
EDGE = CONFIGS / "accelerator" / "edge.yaml"
TINY_BUFFER = CONFIGS / "accelerator" / "tiny_buffer.yaml"
CFG = """[general]
run_name = google

[architecture_presets]
ArrayHeight:    256
ArrayWidth:     128
IfmapSramSzkB:    6144
FilterSramSzkB:   4096
OfmapSramSzkB:    2048
IfmapOffset:    0
Dataflow : ws
Bandwidth : 10
MemoryBanks: 1

[run_presets]
InterfaceBandwidth: USER
"""


def one(kind: str, ifmap: tuple[int, int, int], **geometry: Any) -> Graph:
    """A graph of one layer."""
    draft = Node(1, "c", kind, (0,), geometry.pop("shape"), **geometry)
    shape = layer(kind).output_shape(draft, [ifmap])
    return Graph("one", (Node(0, "input", "input", (), ifmap), dataclasses.replace(draft, shape=shape)))


def nests(graph: Graph) -> list[Geometry]:
    return [geometry(node, graph.input_shapes(node.index)) for node in graph.nodes if node.kind in ("conv", "fc")]


def products(graph: Graph) -> list[tuple[int, int, int, int]]:
    """Pixels, window and filters of each layer, and how many groups of them: what fixes systolic cycles."""
    return [(nest.out_height * nest.out_width, nest.taps * nest.channels, nest.filters, nest.groups) for nest in nests(graph)]


def again(graph: Graph, folder: Path) -> Graph:
    """The graph that SCALE-Sim's file of `graph` gives."""
    file = folder / "again.csv"
    convert.base.write(file, scalesim.topology(graph).files[0][1])
    return topology_in.load(file).graph


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet50", "mobilenet_v2", "densenet121", "efficientnet_b0"])
def test_a_network_comes_back_from_scale_sim_with_the_same_layers(name: str, tmp_path: Path) -> None:
    graph = zoo.load(name).graph
    back = again(graph, tmp_path)
    assert products(back) == products(graph)
    for ours, theirs in zip(nests(graph), nests(back), strict=True):
        if ours.out_height > 1:
            assert (theirs.kernel, theirs.stride, theirs.out_height, theirs.out_width) == (
                ours.kernel,
                ours.stride,
                ours.out_height,
                ours.out_width,
            )


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(st.integers(5, 20), st.integers(5, 20)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(*(st.integers(0, 2),) * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 6]),
    filters=st.integers(1, 3),
)
def test_any_convolution_keeps_its_matrix_product(
    tmp_path_factory: pytest.TempPathFactory, sides: Any, groups: int, filters: int, **shape: Any
) -> None:
    extents = [(size - 1) * step + 1 for size, step in zip(shape["kernel"], shape["dilation"], strict=True)]
    if any(extent > side for extent, side in zip(extents, sides, strict=True)):
        return
    graph = one("conv", (6, *sides), shape=(groups * filters, 1, 1), groups=groups, **shape)
    found = products(again(graph, tmp_path_factory.mktemp("t")))
    pixels, window, each, many = products(graph)[0]
    if len(found) == 1:
        assert found == [(pixels, window, each, many)]
    else:
        assert found == [(pixels, window, each, 1)] * many


def test_a_topology_names_what_it_cannot_say() -> None:
    made = scalesim.topology(zoo.load("resnet18").graph)
    assert made.notes == ("left out, SCALE-Sim has no such layers: add (8), avgpool (1), maxpool (1), softmax (1)",)
    text = made.files[0][1].splitlines()
    assert text[0] == "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,"
    assert text[1] == "conv1,229,229,7,7,3,64,2,"
    assert text[-1] == "fc,1,1,1,1,512,1000,1,"


def test_dilation_becomes_a_matrix_product_and_a_note_says_so() -> None:
    made = scalesim.topology(one("conv", (4, 9, 9), shape=(5, 1, 1), kernel=(3, 3), dilation=(2, 2)))
    assert made.files[0][1].splitlines()[1] == "c,25,36,1,36,1,5,1,"
    assert made.notes == ("written as matrix products (dilation, or strides that differ): c",)


def test_depthwise_rows_and_groups_are_written_as_the_tool_reads_them() -> None:
    depthwise = scalesim.topology(one("conv", (6, 9, 9), shape=(12, 1, 1), kernel=(3, 3), groups=6))
    assert depthwise.files[0][1].splitlines()[1] == "DP_c,9,9,3,3,6,2,1,"
    grouped = scalesim.topology(one("conv", (6, 9, 9), shape=(4, 1, 1), kernel=(3, 3), groups=2)).files[0][1].splitlines()
    assert grouped[1:] == ["c_group0,9,9,3,3,3,2,1,", "c_group1,9,9,3,3,3,2,1,"]
    graph = one("conv", (6, 9, 9), shape=(4, 1, 1))
    renamed = Graph("n", (graph.nodes[0], dataclasses.replace(graph.nodes[1], name="DPN, first#")))
    assert scalesim.topology(renamed).files[0][1].splitlines()[1].startswith("DpN__first_,")


def test_sparsity_of_filters_goes_through(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("Layer, a, b, c, d, e, f, g, Sparsity,\nx,5,5,3,3,2,6,1,2:4,\ny,5,5,3,3,2,6,1,1:1,\n", "utf-8")
    text = scalesim.topology(topology_in.load(file).graph).files[0][1]
    assert text.splitlines()[1:] == ["x,5,5,3,3,2,6,1,2:4,", "y,5,5,3,3,2,6,1,1:1,"]
    assert text.splitlines()[0].endswith("Strides,Sparsity,")


def test_a_machine_of_scale_sim_is_array_buffers_and_bandwidth(tmp_path: Path) -> None:
    file = tmp_path / "google.cfg"
    file.write_text(CFG, "utf-8")
    machine, notes = scalesim.machine(file)
    assert (machine.name, machine.pe_array.rows, machine.pe_array.cols, machine.pe_array.dataflow) == ("google", 256, 128, "ws")
    assert isinstance(machine.buffer, hardware.SplitBuffer)
    assert (machine.buffer.ifmap, machine.buffer.filter, machine.buffer.ofmap) == (6144 * 1024, 4096 * 1024, 2048 * 1024)
    assert machine.dram.rate == 30 * machine.clock
    assert "here reads and writes share 30 bytes a cycle" in notes[1]
    (tmp_path / "google.yaml").write_text(hardware.describe(machine), "utf-8")
    assert hardware.load_accelerator(tmp_path / "google.yaml") == machine
    file.write_text(scalesim.config(machine).files[0][1], "utf-8")
    assert scalesim.machine(file)[0] == machine


def test_calculated_bandwidth_limits_nothing(tmp_path: Path) -> None:
    file = tmp_path / "calc.cfg"
    file.write_text(CFG.replace("USER", "CALC").replace("Bandwidth : 10\n", ""), "utf-8")
    machine, notes = scalesim.machine(file)
    assert machine.dram.rate == 3 * scalesim.UNLIMITED * machine.clock
    assert notes[1].startswith("InterfaceBandwidth is CALC, as much as never stalls")
    file.write_text(CFG.replace("InterfaceBandwidth: USER", "InterfaceBandwidth: CALC \nTimeLinearModel: TPUv4"), "utf-8")
    assert scalesim.machine(file)[1][2] == "not of SCALE-Sim 3.0.0, and passed over: timelinearmodel"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Bandwidth: USER", "Bandwidth: USR", r"InterfaceBandwidth is 'USR'\n    allowed: USER, CALC\.  Did you mean 'USER'\?"),
        ("Bandwidth : 10\n", "", r"InterfaceBandwidth is USER, but \[architecture_presets\] lacks Bandwidth"),
        ("Bandwidth : 10", "Bandwidth : 10, 10, 20", r"Bandwidth is '10, 10, 20': one for each buffer\n    write one number"),
        (
            "USER",
            "USER\nUseRamulatorTrace: True",
            r"UseRamulatorTrace is 'True': its DRAM is replayed from a trace of Ramulator; write False",
        ),
        ("USER", "USER\nSparsitySupport : true", r"SparsitySupport is 'true': its filters are compressed by their N:M sparsity"),
        ("USER", "USER\nIfmapCustomLayout: True", r"IfmapCustomLayout is 'True': its ifmap buffer has banks that conflict"),
    ],
)
def test_what_a_machine_of_ours_cannot_say_is_refused_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    file = tmp_path / "odd.cfg"
    text = CFG.replace(old, new)
    assert text != CFG
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=rf"odd\.cfg:\d+: {fault}"):
        scalesim.machine(file)
    file.write_text(CFG.replace("Bandwidth : 10", "Bandwidth : 10, 10, 10"), "utf-8")
    assert scalesim.machine(file)[0].dram.rate == 30 * scalesim.CLOCK


def test_every_fault_of_a_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.cfg"
    file.write_text(
        "[architecture_presets]\nArrayHeight: x\nArrayWidth: 0\nIfmapSramSzkB: 64\nFilterSramSzkB: 64\nDataflow: wss\n", "utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        scalesim.machine(file)
    assert str(caught.value) == (
        f"{file}: [architecture_presets] lacks OfmapSramSzkB\n"
        f"{file}:2: ArrayHeight is 'x'; allowed: whole numbers from 1 to 1,048,576\n"
        f"{file}:3: ArrayWidth is '0'; allowed: whole numbers from 1 to 1,048,576\n"
        f"{file}:6: Dataflow is 'wss'\n    allowed: os, ws, is.  Did you mean 'ws'?"
    )
    file.write_text("[architecture_presets]\nArrayHeight 3\nDataflow: ws\nDataflow: os\n", "utf-8")
    with pytest.raises(
        ConfigError, match=r"bad\.cfg:2: 'ArrayHeight 3' is no 'Key : value'\n.*bad\.cfg:4: Dataflow stands already on line 3"
    ):
        scalesim.machine(file)


def test_a_machine_of_ours_is_written_for_scale_sim(tmp_path: Path) -> None:
    paths, notes = convert.convert(TINY_BUFFER, tmp_path / "t.cfg", "scalesim")
    text = paths[0].read_text("utf-8").splitlines()
    assert {"ArrayHeight = 32", "ArrayWidth = 32", "IfmapSramSzkB = 5", "Dataflow = ws", "Bandwidth = 2"} <= set(text)
    assert "the unified buffer is cut into three equal ones" in notes
    assert "sizes and bandwidth are in words of 16 bits" in notes
    with pytest.raises(
        ConfigError, match=r"edge\.yaml:\d+: SCALE-Sim has no dataflow 'spatial'\n    allowed: os, ws, is; for example --set"
    ):
        convert.convert(EDGE, tmp_path / "e.cfg", "scalesim")
    assert not (tmp_path / "e.cfg").exists()


def test_version_3_of_scale_sim_finds_every_key_that_it_asks_for(tmp_path: Path) -> None:
    (path,), notes = convert.convert(EDGE, tmp_path / "e.cfg", "scalesim", ["accelerator.pe_array.dataflow=os"])
    read = configparser.ConfigParser()
    read.read(path, "utf-8")
    bandwidth = read.getint("architecture_presets", "Bandwidth")
    assert read.get("run_presets", "InterfaceBandwidth") == "USER"
    assert read.get("run_presets", "UseRamulatorTrace") == "False"
    for key in ("ReadRequestBuffer", "WriteRequestBuffer"):
        assert read.getint("architecture_presets", key) > 0
    for tensor in ("Ifmap", "Filter"):
        assert not read.getboolean("layout", f"{tensor}CustomLayout")
        assert read.getint("layout", f"{tensor}SRAMBankBandwidth") == bandwidth > 1
        assert read.getint("layout", f"{tensor}SRAMBankNum") == 1
        assert read.getint("layout", f"{tensor}SRAMBankPort") > 0
    assert any("layout file" in note for note in notes)


def test_timeloop_has_one_problem_for_each_layer(tmp_path: Path) -> None:
    paths, notes = convert.convert("zoo:mobilenet_v2", tmp_path / "problems", "timeloop")
    assert [path.name for path in paths[:2]] == ["000_conv1.yaml", "001_block1_dw.yaml"]
    assert len(list((tmp_path / "problems").iterdir())) == len(paths) == 53
    first, depthwise, last = (yaml.safe_load(paths[index].read_text("utf-8"))["problem"] for index in (0, 1, -1))
    assert first["version"] == 0.4
    assert first["instance"] == {
        **{"C": 3, "M": 32, "R": 3, "S": 3, "N": 1, "P": 112, "Q": 112},
        **{"Wstride": 2, "Hstride": 2, "Wdilation": 1, "Hdilation": 1},
    }
    assert first["shape"]["dimensions"] == ["C", "M", "R", "S", "N", "P", "Q"]
    assert first["shape"]["data_spaces"][1]["projection"] == [
        [["N"]],
        [["C"]],
        [["R", "Wdilation"], ["P", "Wstride"]],
        [["S", "Hdilation"], ["Q", "Hstride"]],
    ]
    assert (depthwise["instance"]["G"], depthwise["instance"]["C"], depthwise["instance"]["M"]) == (32, 1, 1)
    assert depthwise["shape"]["data_spaces"][0]["projection"][0] == [["G"]]
    assert (last["instance"]["C"], last["instance"]["M"], last["instance"]["R"]) == (1280, 1000, 1)
    assert "add (10)" in notes[0]


def test_timeloop_counts_the_same_macs() -> None:
    graph = zoo.load("alexnet").graph
    loops = [yaml.safe_load(text)["problem"]["instance"] for _, text in timeloop.problems(graph).files]
    for found, nest in zip(loops, nests(graph), strict=True):
        assert found["C"] * found["M"] * found["R"] * found["S"] * found["P"] * found["Q"] == nest.macs


def test_timeloop_pairs_width_with_r_and_p() -> None:
    graph = one("conv", (4, 9, 20), shape=(5, 1, 1), kernel=(3, 5), stride=(1, 2), dilation=(2, 1))
    found = yaml.safe_load(timeloop.problems(graph).files[0][1])["problem"]["instance"]
    assert (found["R"], found["S"], found["P"], found["Q"]) == (5, 3, 8, 5)
    assert (found["Wstride"], found["Hstride"], found["Wdilation"], found["Hdilation"]) == (2, 1, 1, 2)


def test_zigzag_keeps_who_reads_what(tmp_path: Path) -> None:
    convert.convert("zoo:resnet18", tmp_path / "resnet.yaml", "zigzag")
    layers = yaml.safe_load((tmp_path / "resnet.yaml").read_text("utf-8"))
    assert [found["id"] for found in layers] == list(range(len(layers)))
    named = {found["name"]: found for found in layers}
    first, pool, add = named["conv1"], named["pool1"], named["conv3_1_add"]
    assert first["loop_dims"] == ["B", "K", "C", "OY", "OX", "FY", "FX"]
    assert first["loop_sizes"] == [1, 64, 3, 112, 112, 7, 7]
    assert first["dimension_relations"] == ["ix=2*ox+1*fx", "iy=2*oy+1*fy"]
    assert first["padding"] == [[3, 3], [3, 3]]
    assert first["operand_source"] == {"I": 0, "W": 0}
    assert pool["operator_type"] == "Pooling"
    assert pool["operand_precision"]["W"] == 0
    assert add["operand_source"] == {"I": named["conv3_1b"]["id"], "W": named["conv3_1_projection"]["id"]}
    assert named["fc"]["loop_sizes"] == [1, 1000, 512, 1, 1, 1, 1]


def test_zigzag_says_where_it_loses_an_edge() -> None:
    made = zigzag.workload(zoo.load("squeezenet_1.1").graph)
    assert made.notes[-1].startswith("of maps that are joined or multiplied (8), readers name the last one")
    named = {found["name"]: found for found in yaml.safe_load(made.files[0][1])}
    assert named["fire3_squeeze1x1"]["operand_source"]["I"] == named["fire2_expand3x3"]["id"]


def test_zigzag_groups_have_a_loop_of_their_own() -> None:
    graph = one("conv", (6, 9, 9), shape=(12, 1, 1), kernel=(3, 3), groups=3)
    (found,) = yaml.safe_load(zigzag.workload(graph).files[0][1])
    assert found["equation"] == zigzag.GROUPED
    assert dict(zip(found["loop_dims"], found["loop_sizes"], strict=True)) == {
        "B": 1,
        "G": 3,
        "K": 4,
        "C": 2,
        "OY": 7,
        "OX": 7,
        "FY": 3,
        "FX": 3,
    }


@pytest.mark.parametrize(
    ("source", "to", "fault"),
    [
        ("zoo:vgg16", "zigzog", r"--to: 'zigzog' is not a format\n    allowed: .*Did you mean 'zigzag'"),
        ("zoo:vgg16", "accelsim", r"zoo:vgg16: is no machine of SCALE-Sim .*\n    networks need no conversion"),
        (str(TINY_BUFFER), "timeloop", "a machine can be written for SCALE-Sim alone, timeloop takes networks"),
        ("net.prototxt", "scalesim", r"net\.prototxt: is not known to hold a network\n    allowed: zoo:NAME, \.cfg, "),
    ],
)
def test_conversions_that_make_no_sense_are_refused(tmp_path: Path, source: str, to: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        convert.convert(source, tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_a_machine_of_scale_sim_is_no_network(tmp_path: Path) -> None:
    file = tmp_path / "google.cfg"
    file.write_text(CFG, "utf-8")
    with pytest.raises(ConfigError, match="a machine of SCALE-Sim becomes one of ours alone\n    write --to accelsim"):
        convert.convert(file, tmp_path / "out", "zigzag")
    (path,), notes = convert.convert(file, tmp_path / "google.yaml", "accelsim")
    assert hardware.load_accelerator(path) == scalesim.machine(file)[0]
    assert len(notes) == 2


def test_an_output_that_cannot_be_written_is_a_fault_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ConfigError, match=r"out\.csv: cannot be written: .*; choose another place"):
        convert.convert("zoo:alexnet", tmp_path / "file" / "out.csv", "scalesim")


def test_an_unknown_network_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not in the zoo"):
        convert.convert("zoo:nothing", tmp_path / "out", "timeloop")
    assert not (tmp_path / "out").exists()
