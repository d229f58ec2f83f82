"""Small machines, graphs and traces for the tests of schedules, schemes and dataflows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st

from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, BusLink, Data, Dma, FlatDram, Layout, MarkerMemory, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.kernels.schedule.jobs import moved_bytes
from accelsim.layers import layer
from accelsim.schedule.tables import NONE, Schedule
from accelsim.trace import SYNTHETIC, Trace, measure

KIB = 1024


def accelerator(
    rows: int = 4,
    cols: int = 4,
    dataflow: str = "spatial",
    size: int = 64 * KIB,
    slots: int = 2,
    split: tuple[int, int, int] | None = None,
    data: Data | None = None,
    filter_layout: str = "ckrs",
    marker_bytes: int = 4096,
    **dma: int,
) -> Accelerator:
    """A machine of any size; `dma` are keys of the DMA engine."""
    buffer = UnifiedBuffer(organisation="unified", size=size, slots=slots)
    if split is not None:
        buffer = SplitBuffer(organisation="split", ifmap=split[0], filter=split[1], ofmap=split[2], slots=slots)
    return Accelerator(
        name="test",
        clock=10**9,
        pe_array=PeArray(rows=rows, cols=cols, dataflow=dataflow),
        data=data or Data(),
        buffer=buffer,
        marker_memory=MarkerMemory(size=marker_bytes),
        dma=Dma(**dma),
        link=BusLink(kind="bus"),
        dram=FlatDram(kind="flat", rate=16 * 10**9, latency=50_000),
        layout=Layout(filter=filter_layout),
    )


def graph(input_shape: Shape, *nodes: dict[str, object]) -> Graph:
    """Nodes by keyword; each reads the one before it unless `inputs` says otherwise, and takes its shape from `layers`."""
    made = [Node(0, "input", "input", (), input_shape)]
    for number, given in enumerate(nodes, 1):
        fields = {"inputs": (number - 1,), **given}
        filters = fields.pop("filters", 1)
        shapes = [made[index].shape for index in fields["inputs"]]
        node = Node(index=number, name=f"{number:03}_{fields['kind']}", shape=(filters, 1, 1), **fields)
        if node.kind == "avgpool":
            node = Node(**{**_fields(node), "kernel": shapes[0][1:]})
        made.append(Node(**{**_fields(node), "shape": layer(node.kind).output_shape(node, shapes)}))
    return Graph("small", tuple(made))


def _fields(node: Node) -> dict[str, object]:
    return {name: getattr(node, name) for name in Node.__dataclass_fields__}


def conv(filters: int, kernel: int = 1, stride: int = 1, pad: int | None = None, **more: object) -> dict[str, object]:
    """A convolution that keeps the size unless strided."""
    edge = kernel // 2 if pad is None else pad
    return {"kind": "conv", "filters": filters, "kernel": (kernel, kernel), "stride": (stride, stride), "pad": (edge,) * 4, **more}


def maxpool(kernel: int = 2, stride: int = 2) -> dict[str, object]:
    """A max-pool without padding."""
    return {"kind": "maxpool", "kernel": (kernel, kernel), "stride": (stride, stride)}


def trace(net: Graph, values: Sequence[np.ndarray] | None = None, seed: int = 0, zeros: float = 0.6, dead: float = 0.3) -> Trace:
    """A trace of made-up data: each element is zero with probability `zeros`, each channel with probability `dead`. Identities hand on."""
    rng = np.random.default_rng(seed)
    data: list[np.ndarray] = []
    for node in net.nodes:
        if values is not None and node.index < len(values) and values[node.index] is not None:
            data.append(np.asarray(values[node.index], dtype=np.float32))
        elif node.kind == "concat":
            along = ("channels", "rows", "columns").index(str(node.attributes.get("axis", "channels")))
            data.append(np.concatenate([data[index] for index in node.inputs], axis=along))
        elif node.kind in ("dropout", "yolo", "cost"):
            data.append(data[node.inputs[0]])
        else:
            live = (rng.random(node.shape) >= zeros) & (rng.random(node.shape[0]) >= dead)[:, None, None]
            # neighbours differ, so that no channel is constant
            data.append(live * (1 + np.arange(live.size) % 3).reshape(node.shape).astype(np.float32))
    return Trace(net, tuple(measure(array, (4, 4)) for array in data), "noise", 0.0, "channel", (4, 4), SYNTHETIC, {})


@contextmanager
def searched() -> Iterator[None]:
    """Every run takes the tilings that the search ranks first, whatever they really move: so schedules can be compared tile by tile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.schedule.moved.Climb.top", property(lambda self: (0, int(self.ladder.moved[0]))))
        patch.setattr("accelsim.schedule.moved.Climb.best", lambda self, moves: (self.ladder.tiling(0), self.top[1]))
        yield


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Small networks of every kind that can be scheduled."""
    channels, height, width = (draw(st.integers(1, most)) for most in (6, 14, 14))
    net = graph((channels, height, width))
    nodes: list[dict[str, object]] = []
    for _ in range(draw(st.integers(1, 4))):
        last = net.nodes[-1]
        kinds = ["conv", "conv", "depthwise", "fc", "avgpool", "softmax", "dropout", "upsample", "concat", "add"]
        if min(last.shape[1:]) >= 2:
            kinds.append("maxpool")
        kind = draw(st.sampled_from(kinds))
        if kind in ("conv", "depthwise"):
            kernel = draw(st.sampled_from([k for k in (1, 2, 3, 5) if k <= min(last.shape[1:]) + 2 * (k // 2)]))
            groups = last.shape[0] if kind == "depthwise" else draw(st.sampled_from([g for g in (1, 2) if last.shape[0] % g == 0]))
            filters = last.shape[0] if kind == "depthwise" else groups * draw(st.integers(1, 5))
            nodes.append(conv(filters, kernel, draw(st.integers(1, 2)), groups=groups))
        elif kind == "fc":
            nodes.append({"kind": "fc", "filters": draw(st.integers(1, 9))})
        elif kind == "upsample":
            nodes.append({"kind": "upsample", "attributes": {"factor": 2}})
        elif kind in ("concat", "add"):
            alike = [n.index for n in net.nodes if n.shape[1:] == last.shape[1:] and (kind == "concat" or n.shape == last.shape)]
            nodes.append({"kind": kind, "inputs": (last.index, draw(st.sampled_from(alike)))})
        elif kind == "maxpool":
            nodes.append(maxpool(draw(st.integers(1, 2)), draw(st.integers(1, 2))))
        else:
            nodes.append({"kind": kind})
        net = graph((channels, height, width), *nodes)
    return graph((channels, height, width), *nodes, conv(draw(st.integers(1, 5))))


@st.composite
def accelerators(draw: st.DrawFn) -> Accelerator:
    """Machines whose buffers hold one to many tiles of small layers."""
    unified = draw(st.booleans())
    sizes = [2 * KIB, 4 * KIB, 16 * KIB, 256 * KIB]
    bits = st.sampled_from([8, 16])
    return accelerator(
        rows=draw(st.integers(1, 4)),
        cols=draw(st.integers(1, 4)),
        dataflow=draw(st.sampled_from(["spatial", "ws"])),
        size=draw(st.sampled_from(sizes)),
        slots=draw(st.integers(1, 3)),
        split=None if unified else tuple(draw(st.sampled_from(sizes)) for _ in range(3)),
        data=Data(ifmap_bits=draw(bits), filter_bits=draw(bits)),
        filter_layout=draw(st.sampled_from(["kcrs", "ckrs"])),
        marker_bytes=draw(st.sampled_from([1, 2, 4096])),
        read_channels=draw(st.integers(1, 4)),
        write_channels=draw(st.integers(1, 2)),
        access=draw(st.sampled_from([1, 16, 64])),
        burst=64,
        min_skip=draw(st.sampled_from([1, 24, 64])),
        dims=draw(st.integers(1, 3)),
    )


def addresses(schedule: Schedule, transfer: int) -> np.ndarray:
    """Every byte that a transfer's descriptors name, in their order."""
    table, found = schedule.descriptors, [np.zeros(0, dtype=np.int64)]
    for job in range(schedule.transfers.descriptor_low[transfer], schedule.transfers.descriptor_high[transfer]):
        found.append(covered(np.array([[getattr(table, name)[job] for name in table.__dataclass_fields__]])))
    return np.concatenate(found)


def covered(jobs: np.ndarray) -> np.ndarray:
    """Every byte that jobs (rows in the order of `Descriptors`) name."""
    found = [np.zeros(0, dtype=np.int64)]
    for address, row_bytes, rows, row_pitch, planes, plane_pitch in jobs:
        grid = np.add.outer(np.arange(planes) * plane_pitch, np.arange(rows) * row_pitch)
        found.append((address + np.add.outer(grid, np.arange(row_bytes))).ravel())
    return np.concatenate(found)


def by_tensor(schedule: Schedule, column: str, tensor: int, direction: int) -> int:
    """Sum of one column over the transfers of one tensor and direction."""
    table = schedule.transfers
    return int(getattr(table, column)[(table.tensor == tensor) & (table.direction == direction)].sum())


def moved(schedule: Schedule, access: int, but: int = NONE) -> np.ndarray:
    """Bytes that each layer moves, counted descriptor by descriptor; those of one tensor left out. Shape: int64 [layers]."""
    table, transfers = schedule.descriptors, schedule.transfers
    columns = np.stack([getattr(table, name) for name in table.__dataclass_fields__], axis=1)
    ends = np.concatenate(([0], moved_bytes(columns, access).cumsum()))
    each = ends[transfers.descriptor_high] - ends[transfers.descriptor_low]
    mine = transfers.tensor != but
    return np.bincount(transfers.layer[mine], each[mine], len(schedule.names)).astype(np.int64)


def structure(schedule: Schedule) -> list[list[int]]:
    """What no scheme may change: tiles and fillings, as lists."""
    tiles, blocks = schedule.tiles, schedule.blocks
    columns = (
        tiles.layer,
        tiles.ifmap_block,
        tiles.filter_block,
        tiles.ofmap_block,
        blocks.tensor,
        blocks.first_tile,
        blocks.last_tile,
        blocks.bytes,
    )
    return [column.tolist() for column in columns]


__all__ = [
    "NONE",
    "accelerator",
    "accelerators",
    "addresses",
    "by_tensor",
    "conv",
    "covered",
    "graph",
    "graphs",
    "maxpool",
    "moved",
    "searched",
    "structure",
    "trace",
]
