"""SCALE-Sim's topology files become graphs whose layers each read a map of their own, with the tool's own geometry."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.errors import ModelError, TraceError
from accelsim.graph import Graph
from accelsim.hardware import PeArray
from accelsim.networks import scalesim, synthetic
from accelsim.networks.network import total_macs
from accelsim.schedule.geometry import geometry

TITLES = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"


def topology(folder: Path, *rows: str, titles: str = TITLES) -> Path:
    file = folder / "net.csv"
    file.write_text("\n".join((titles, *rows)) + "\n", "utf-8")
    return file


def cycles(graph: Graph, index: int, array: PeArray) -> int:
    """Dense cycles of a layer that is one tile."""
    nest = geometry(graph.nodes[index], graph.input_shapes(index))
    live = np.full((nest.groups, 1, 1), nest.channels, np.int64)
    work = TileWork(nest.filters, nest.taps, nest.out_height, nest.out_width, live)
    made = dataflows.load(array.dataflow).tile_cycles(work, array)
    return made.busy + made.fill


def test_a_convolution_reads_a_map_of_its_own(tmp_path: Path) -> None:
    graph = scalesim.load(topology(tmp_path, "Conv1, 227, 227, 11, 11, 3, 96, 4,", "Conv2 ,31 ,31 ,5 ,5 ,96 ,256 ,1 ,")).graph
    assert [(node.name, node.kind, node.inputs, node.shape) for node in graph.nodes[1:]] == [
        ("Conv1/ifmap", "given", (0,), (3, 227, 227)),
        ("Conv1", "conv", (1,), (96, 55, 55)),
        ("Conv2/ifmap", "given", (0,), (96, 31, 31)),
        ("Conv2", "conv", (3,), (256, 27, 27)),
    ]
    assert graph.nodes[2].kernel == (11, 11)
    assert graph.nodes[2].stride == (4, 4)
    assert total_macs(graph) == 96 * 55 * 55 * 3 * 121 + 256 * 27 * 27 * 96 * 25


def test_a_window_that_hangs_over_the_edge_counts_as_in_the_tool(tmp_path: Path) -> None:
    (node,) = scalesim.load(topology(tmp_path, "Conv1, 224, 224, 11, 11, 3, 96, 4,")).graph.nodes[2:]
    assert node.shape == (96, 55, 55)
    assert node.pad == (0, 0, 3, 3)


def test_names_with_dp_are_depthwise(tmp_path: Path) -> None:
    (node,) = scalesim.load(topology(tmp_path, "DP_1, 16, 16, 3, 3, 24, 2, 1,")).graph.nodes[2:]
    assert (node.groups, node.shape) == (24, (48, 14, 14))


def test_matrix_products_are_pixels_of_channels(tmp_path: Path) -> None:
    graph = scalesim.load(topology(tmp_path, "A, 256, 128, 64,", "B, 1, 10, 20,", titles="Layer Name, M, N, K,")).graph
    assert [(node.kind, node.shape) for node in graph.nodes[1:]] == [
        ("given", (64, 256, 1)),
        ("conv", (128, 256, 1)),
        ("given", (20, 1, 1)),
        ("fc", (10, 1, 1)),
    ]
    assert total_macs(graph) == 256 * 128 * 64 + 10 * 20


def test_what_real_files_hold_besides_is_understood(tmp_path: Path) -> None:
    rows = (
        "",
        ",,,,,,,,",
        "FC, 1, 1, 1, 1, 1024, 1000, 1",
        "dw, 112, 112, 3, 3, 1, 1, 2,#dw",
        "\tdw, 8, 6, 3, 1, 1, 1, 2, 1, 2:4,",
        "dw,5,5,3,3,2,6,1,1:1,",
    )
    graph = scalesim.load(topology(tmp_path, *rows)).graph
    assert [node.name for node in graph.nodes if node.kind != "given"] == ["input", "FC", "dw", "dw_2", "dw_3"]
    assert graph.nodes[2].kind == "fc"
    assert graph.nodes[6].stride == (2, 1)
    assert graph.nodes[6].attributes["filter_sparsity"] == "2:4"


@pytest.mark.parametrize(
    ("titles", "row", "fault"),
    [
        (TITLES, "c, 2, 5, 3, 3, 1, 1, 1,", "net.csv:2: c: a filter of 3 x 3 is larger than its ifmap of 2 x 5"),
        (TITLES, "c, 5, 5, 3, 3, 1, 1,", "net.csv:2: c: 6 numbers; needed: IFMAP Height, .*, Strides"),
        (TITLES, "c, 5, 5, 3, x, 1, 1, 1,", "net.csv:2: c: Filter Width is 'x'; allowed: whole numbers from 1"),
        (TITLES, "c, 5, 5, 3, 0, 1, 1, 1,", "Filter Width is '0'"),
        (TITLES, "c, 5, 5, 3, 3, 1, 1, 1, 4:2,", "sparsity '4:2'; allowed: N:M, N of M weights"),
        (TITLES, "c, 5, 5, 3, 3, 1, 1, 1, 1, 9,", "'9' is one cell too many"),
        (TITLES, ", 5, 5, 3, 3, 1, 1, 1,", "'' cannot name a layer"),
        (TITLES, "c, 99999, 99999, 3, 3, 99, 1, 1,", "a map of more than 68,719,476,736 elements"),
        ("c, 5, 5, 3, 3, 1, 1, 1,", "d, 5, 5, 3, 3, 1, 1, 1,", r"net.csv:1: the first line holds numbers.*\n    put a line of titles"),
        ("Layer, M, N, K,", "c, 5, 5,", "net.csv:2: c: 2 numbers; needed: M, N, K"),
        (TITLES, "", "0 layers; allowed: 1 to"),
        ("", "", "no layers; the first line holds titles"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(tmp_path: Path, titles: str, row: str, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        scalesim.load(topology(tmp_path, row, titles=titles))


def test_a_form_with_letters_for_numbers_is_refused_as_scale_sim_refuses_it(tmp_path: Path) -> None:
    file = topology(tmp_path, "a, 8, 8, 3, 3, 1, 1, 1,", "gate, 1, B, 1, 1, H, H, 1,")
    with pytest.raises(ModelError) as told:
        scalesim.load(file)
    assert str(told.value) == (
        f"{file}:3: gate: IFMAP Width is 'B'; allowed: whole numbers from 1 to 16,777,216\n"
        "    the file leaves B, H open, and SCALE-Sim itself stops here (ValueError): write numbers into a copy of it"
    )
    file.write_text(file.read_text().replace("B", "16").replace("H", "512"))
    assert total_macs(scalesim.load(file).graph) == 6 * 6 * 9 + 16 * 512 * 512


def test_columns_of_a_spreadsheet_and_batches_of_one_are_understood(tmp_path: Path) -> None:
    file = topology(
        tmp_path, ",,,,,,,,,,,,", "Conv1,224,224,7,7,3,64,2,,,110,110,12100", "fc,1,1,1,1,2048,1000,1,,,,,", titles=f"{TITLES},,Eh,Ew,e2"
    )
    assert [node.shape for node in scalesim.load(file).graph.nodes if node.kind != "given"][1:] == [(64, 110, 110), (1000, 1, 1)]
    batch = topology(tmp_path, "ff, 512, 512, 1, 1, 4096, 16384, 1, 1,", titles=f"{TITLES} Batch Size,")
    graph = scalesim.load(batch).graph
    assert graph.nodes[2].stride == (1, 1)
    with pytest.raises(TraceError, match=r"net: maps of 5,368,709,121 elements in all; a trace can hold 536,870,912"):
        synthetic.trace(graph)
    with pytest.raises(ModelError, match=r"net\.csv:2: ff: a batch of more than one image\n    write 1, and give the machine a batch"):
        scalesim.load(topology(tmp_path, "ff, 5, 5, 1, 1, 4, 4, 1, 2,", titles=f"{TITLES} Batch Size,"))


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"x\.csv: is not text"):
        scalesim.load(tmp_path / "x.csv")
    with pytest.raises(ModelError, match=r"no\.csv: cannot be read: No such file"):
        scalesim.load(tmp_path / "no.csv")


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_dense_cycles_are_those_of_the_published_formula(tmp_path: Path, dataflow: str) -> None:
    graph = scalesim.load(topology(tmp_path, "Conv1, 224, 224, 11, 11, 3, 96, 4,")).graph
    rows, cols, pixels, window, filters = 128, 64, 55 * 55, 11 * 11 * 3, 96
    high, wide, time, fill = {
        "os": (pixels, filters, window, rows),
        "ws": (window, filters, pixels, 2 * rows),
        "is": (window, pixels, filters, 2 * rows),
    }[dataflow]
    expected = -(-high // rows) * -(-wide // cols) * (fill + cols + time - 2)
    assert cycles(graph, 2, PeArray(rows=rows, cols=cols, dataflow=dataflow)) == expected


small = st.integers(1, 40)


@given(
    st.sampled_from(["os", "ws", "is"]),
    st.tuples(small, small),
    st.tuples(small, small),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.integers(1, 90),
    st.integers(1, 200),
    st.integers(1, 4),
)
def test_dense_cycles_of_any_layer_are_those_of_the_formula(
    tmp_path_factory: pytest.TempPathFactory,
    dataflow: str,
    array: tuple[int, int],
    extra: tuple[int, int],
    window: tuple[int, int],
    channels: int,
    filters: int,
    stride: int,
) -> None:
    """As convolution, and as the matrix product that it amounts to."""
    (rows, cols), (height, width) = array, (extra[0] + window[0] - 1, extra[1] + window[1] - 1)
    pixels = math.prod(-(-(size - part) // stride) + 1 for size, part in zip((height, width), window, strict=True))
    work = window[0] * window[1] * channels
    high, wide, time, fill = {
        "os": (pixels, filters, work, rows),
        "ws": (work, filters, pixels, 2 * rows),
        "is": (work, pixels, filters, 2 * rows),
    }[dataflow]
    expected = -(-high // rows) * -(-wide // cols) * (fill + cols + time - 2)
    made = PeArray(rows=rows, cols=cols, dataflow=dataflow)
    folder = tmp_path_factory.mktemp("topology")
    sizes = (height, width, *window, channels, filters, stride)
    assert cycles(scalesim.load(topology(folder, f"c, {', '.join(map(str, sizes))},")).graph, 2, made) == expected
    assert cycles(scalesim.load(topology(folder, f"c,{pixels},{filters},{work},", titles="Layer,M,N,K,")).graph, 2, made) == expected


@pytest.mark.parametrize(
    ("titles", "row", "shape", "stride"),
    [
        ("Layer name\t IFMAP Height\t IFMAP Width\t Filter Height\t Filter Width\t Channels\t Num Filter\t Strides\t ",
         "up 1\t28\t30\t2\t2\t8\t5\t1\t", (5, 27, 29), (1, 1)),
        ("Layer name,Ifmap height,ifmap width,filter height,filter width,channels,num filters,strides,",
         "Pool/Sum,128,24,1,24,1,16,1,", (16, 128, 1), (1, 1)),
        (TITLES, "lstm,  1, 1024,    1, 1024,      1,      4,     1, ", (4, 1, 1), (1, 1)),
        (TITLES, "first, 96, 96, 3, 3, 3, 8, 2, 2", (8, 48, 48), (2, 2)),
        (f"{TITLES} Sparsity", "sparse,  5, 5,    4, 4,    1,      4,     1, 1,", (4, 2, 2), (1, 1)),
        ("Layer,M,N,K", "QK'T,1024,64,32", (64, 1024, 1), (1, 1)),
        ("Layer,M,N,K,up,", "up,78,44,84,", (44, 78, 1), (1, 1)),
        ("Layer,M,N,K,", "a-b,16,24,64,2:4,", (24, 16, 1), (1, 1)),
    ],
    ids=["tabs", "slash", "as wide as its map", "no last comma", "no ratio", "quote", "named column", "product with sparsity"],
)  # fmt: skip
def test_dialects_of_the_tool_s_own_files_are_understood(
    tmp_path: Path, titles: str, row: str, shape: tuple[int, int, int], stride: tuple[int, int]
) -> None:
    (node,) = scalesim.load(topology(tmp_path, row, titles=titles)).graph.nodes[2:]
    assert (node.shape, node.stride) == (shape, stride)


def test_dense_cycles_are_those_that_scale_sim_prints(tmp_path: Path, shared: Path) -> None:
    with (shared / "golden" / "dataflow" / "systolic_cycles.csv").open(encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    sizes = ("ifm_h", "ifm_w", "flt_h", "flt_w", "ch", "filters", "stride")
    layers = dict.fromkeys(tuple(row[size] for size in sizes) for row in table)
    rows = [f"layer{number}, {', '.join(layer)}," for number, layer in enumerate(layers)]
    graph = scalesim.load(topology(tmp_path, *rows)).graph
    found = {layer: 2 * number + 2 for number, layer in enumerate(layers)}
    assert len(table) > 100
    for row in table:
        array = PeArray(rows=int(row["array_h"]), cols=int(row["array_w"]), dataflow=row["dataflow"])
        index = found[tuple(row[size] for size in sizes)]
        assert cycles(graph, index, array) - 1 == int(row["total_cycles"]), row


def test_a_synthetic_trace_puts_zeros_into_the_maps_that_are_given(tmp_path: Path) -> None:
    graph = scalesim.load(topology(tmp_path, "a, 16, 16, 3, 3, 20, 8, 1,", "b, 8, 8, 1, 1, 10, 8, 1,")).graph
    trace = synthetic.trace(graph, zero_channels=0.5, sparsity=0.5)
    assert [int(fmap.zero_channels.sum()) for fmap in trace.maps] == [0, 10, 0, 5, 0]
