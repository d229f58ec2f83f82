"""Nodes that pick, reorder, border and rename: what costs, where channels lie, what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from onnx_strategies import models
from schedule_samples import accelerator, addresses, trace

from accelsim import engines, inference
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node, Shape
from accelsim.layers import kinds, layer
from accelsim.networks import onnx as onnx_networks
from accelsim.schedule import builder, views
from accelsim.schedule.geometry import COSTED_KINDS, MOVING_KINDS
from accelsim.schedule.memory import Segment
from accelsim.schedule.tables import IFMAP, OFMAP, READ, WRITE, Schedule

SHAPE = (4, 6, 8)
PLANE = 6 * 8


def network(*drafts: Node, shape: Shape = SHAPE) -> Graph:
    """An input and nodes in a row, unless their inputs say otherwise; shapes are completed by their kinds."""
    nodes = [Node(0, "input", "input", (), shape)]
    for number, draft in enumerate(drafts, 1):
        node = replace(draft, index=number, inputs=draft.inputs or (number - 1,))
        made = layer(node.kind).output_shape(node, [nodes[index].shape for index in node.inputs])
        nodes.append(replace(node, shape=made))
    return Graph("small", tuple(nodes))


def draft(kind: str, shape: Shape = SHAPE, **fields: object) -> Node:
    return Node(0, str(fields.pop("name", kind)), kind, tuple(fields.pop("inputs", ())), shape, **fields)  # type: ignore[arg-type]


def built(net: Graph, scheme: str = "dense", zeros: tuple[int, ...] = ()) -> Schedule:
    """The schedule of made-up data: in the first layer's map all elements but those of some channels live."""
    values: list[np.ndarray] = [np.ones(node.shape, np.float32) for node in net.nodes]
    values[1][list(zeros)] = 0
    return builder.build(trace(net, values), accelerator(), scheme)


def wanted(schedule: Schedule, name: str, tensor: int, direction: int) -> int:
    """Bytes that one layer wants to move."""
    table = schedule.transfers
    chosen = (schedule.tiles.layer[table.tile] == schedule.names.index(name)) & (table.tensor == tensor) & (table.direction == direction)
    return int(table.bytes_wanted[chosen].sum())


def touched(schedule: Schedule, name: str, tensor: int, direction: int) -> set[int]:
    """Addresses of all bytes that one layer moves."""
    table = schedule.transfers
    chosen = (schedule.tiles.layer[table.tile] == schedule.names.index(name)) & (table.tensor == tensor) & (table.direction == direction)
    return {int(byte) for transfer in np.flatnonzero(chosen) for byte in addresses(schedule, int(transfer))}


BYTES = accelerator().data.ifmap_bits // 8
FIRST = draft("conv", (4, 1, 1), name="first")
LAST = draft("conv", (2, 1, 1), name="last")


def test_every_kind_of_layer_costs_something_or_says_why_not() -> None:
    assert set(kinds()) == {*COSTED_KINDS, *MOVING_KINDS, *builder._FUSED}


def test_picked_channels_are_read_where_their_producer_wrote_them() -> None:
    net = network(FIRST, draft("slice", (2, 6, 8), attributes={"start": "1 0 0", "step": "2 1 1"}), LAST)
    schedule = built(net)
    assert schedule.names == ("first", "last")
    assert schedule.fused["slice"] == "its readers leave channels out"
    assert wanted(schedule, "last", IFMAP, READ) == 2 * PLANE * BYTES
    assert touched(schedule, "last", IFMAP, READ) < touched(schedule, "first", OFMAP, WRITE)
    marked = built(net, "channel_marker", zeros=(1,))
    assert wanted(marked, "last", IFMAP, READ) == PLANE * BYTES


def test_a_channel_shuffle_moves_nothing_and_markers_follow_the_channels() -> None:
    order = {"view": "2 2 6 8", "order": "1 0 2 3"}
    net = network(FIRST, draft("permute", attributes=order), draft("slice", (2, 6, 8), attributes={"start": "1 0 0"}), LAST)
    assert views.joined(net, net.nodes[2], [(), (Segment(0, 4, 1, 0),)]) == (
        Segment(0, 1, 1, 0),
        Segment(1, 2, 1, 2),
        Segment(2, 3, 1, 1),
        Segment(3, 4, 1, 3),
    )
    # of the shuffled map, channels 1 and 2 are read: the producer's 2 and 1
    assert wanted(built(net, "channel_marker", zeros=(0, 3)), "last", IFMAP, READ) == 2 * PLANE * BYTES
    assert wanted(built(net, "channel_marker", zeros=(1, 2, 3)), "last", IFMAP, READ) == 0


def test_rows_and_columns_that_move_cost_a_read_and_a_write() -> None:
    strided = draft("slice", (4, 3, 4), attributes={"start": "0 0 0", "step": "1 2 2"})
    schedule = built(network(FIRST, strided, LAST))
    assert schedule.names == ("first", "slice", "last")
    assert wanted(schedule, "slice", OFMAP, WRITE) == 4 * 3 * 4 * BYTES
    assert 4 * 3 * 4 * BYTES <= wanted(schedule, "slice", IFMAP, READ) <= 4 * PLANE * BYTES
    turned = draft("permute", (6, 8, 4), attributes={"view": "4 6 8", "order": "1 2 0"})
    schedule = built(network(FIRST, turned, LAST))
    assert wanted(schedule, "permute", IFMAP, READ) == wanted(schedule, "permute", OFMAP, WRITE) == 4 * PLANE * BYTES
    assert touched(schedule, "permute", IFMAP, READ) == touched(schedule, "first", OFMAP, WRITE)


@pytest.mark.parametrize("scheme", ["dense", "channel_marker", "part_marker"])
def test_bytes_read_in_another_form_were_written_plainly(scheme: str) -> None:
    net = network(FIRST, draft("reshape", (8, 3, 8)), LAST)
    schedule = built(net, scheme, zeros=(0, 2))
    assert schedule.fused["reshape"].startswith("the same bytes")
    assert wanted(schedule, "first", OFMAP, WRITE) == wanted(schedule, "last", IFMAP, READ) == 4 * PLANE * BYTES
    assert touched(schedule, "first", OFMAP, WRITE) == touched(schedule, "last", IFMAP, READ)
    reader = schedule.names.index("last")
    table = schedule.transfers
    reads = (schedule.tiles.layer[table.tile] == reader) & (table.tensor == IFMAP)
    assert (table.wait_layer[reads] == schedule.names.index("first")).all(), "it waits for who wrote the bytes"


def test_a_border_is_written_and_never_read() -> None:
    border = draft("pad", pad=(1, 0, 1, 2), attributes={"front": 1, "back": 2})
    schedule = built(network(FIRST, border, LAST))
    assert wanted(schedule, "pad", IFMAP, READ) == 4 * PLANE * BYTES
    assert wanted(schedule, "pad", OFMAP, WRITE) == 7 * 8 * 10 * BYTES
    marked = built(network(FIRST, border, LAST), "channel_marker", zeros=(0,))
    assert wanted(marked, "pad", IFMAP, READ) == 3 * PLANE * BYTES


def test_a_constant_lies_in_memory_before_the_replay() -> None:
    constant = draft("constant", (1, 6, 8), inputs=(0,))
    schedule = built(network(FIRST, constant, draft("mul", inputs=(1, 2)), LAST))
    assert schedule.fused["constant"] == "the host stores it before the replay starts"
    assert wanted(schedule, "mul", IFMAP, READ) == (4 + 1) * PLANE * BYTES


def test_maps_joined_along_columns_are_copied_and_joined_channels_are_not() -> None:
    other = draft("conv", (4, 1, 1), name="other", inputs=(0,))
    along = network(FIRST, other, draft("concat", inputs=(1, 2), attributes={"axis": "columns"}), LAST)
    schedule = built(along)
    assert wanted(schedule, "concat", OFMAP, WRITE) == 2 * 4 * PLANE * BYTES
    assert wanted(schedule, "concat", IFMAP, READ) == 2 * 4 * PLANE * BYTES
    assert "concat" in built(network(FIRST, other, draft("concat", inputs=(1, 2)), LAST)).fused


@pytest.mark.parametrize(("mode", "shape"), [("nearest", (4, 9, 3)), ("linear", (4, 3, 16)), ("cubic", (4, 13, 11))])
def test_a_resize_reads_the_map_once(mode: str, shape: Shape) -> None:
    schedule = built(network(FIRST, draft("resize", shape, attributes={"mode": mode}), LAST))
    assert 0.8 * 4 * PLANE * BYTES <= wanted(schedule, "resize", IFMAP, READ) <= 4 * PLANE * BYTES
    assert wanted(schedule, "resize", OFMAP, WRITE) == 4 * shape[1] * shape[2] * BYTES


def test_a_kind_that_cannot_be_scheduled_is_named() -> None:
    strange = replace(draft("conv"), kind="strange", name="odd", index=2, inputs=(1,))
    net = network(FIRST)
    with pytest.raises(ModelError, match="odd: kind 'strange' cannot be scheduled"):
        builder._nests(Graph("small", (*net.nodes, strange)), frozenset({0}), accelerator(), {})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views") / "random.onnx"


@given(models())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_networks_of_all_operators_replay_under_every_identity(place: Path, case: tuple[onnx.ModelProto, np.ndarray]) -> None:
    """The engine checks its identities; here also: skipping never reads more, and MACs done and skipped are the layers'."""
    model, image = case
    place.write_bytes(model.SerializeToString())
    loaded = onnx_networks.load(place)
    source = inference.Input("noise", image.reshape(loaded.graph.nodes[0].shape), {})
    recorded = next(inference.record(loaded, [source]))
    machine = accelerator(rows=2, cols=2, size=16 * 1024)
    if all(node.index == 0 or not views.costs(node, loaded.graph.input_shapes(node.index)) for node in loaded.graph.nodes):
        with pytest.raises(ModelError, match="nothing to schedule"):
            builder.build(recorded, machine, "dense")
        return
    totals = {}
    for scheme in ("dense", "channel_marker"):
        schedule = builder.build(recorded, machine, scheme)
        engines.replay(schedule, machine, "fast")
        read = (schedule.transfers.direction == READ) & (schedule.transfers.tensor == IFMAP)
        totals[scheme] = int(schedule.transfers.bytes_wanted[read].sum())
    assert totals["channel_marker"] <= totals["dense"]
