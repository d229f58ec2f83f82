"""Small replays built by hand, for the tests of reports and figures."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from accelsim.graph import Graph, Node
from accelsim.hardware import Accelerator, BusLink, FlatDram, PeArray, UnifiedBuffer
from accelsim.report import COLUMNS, Comparison, Result
from accelsim.report.result import NUMBER_TYPES
from accelsim.schedule.tables import (
    FILTER,
    IFMAP,
    METADATA,
    NONE,
    OFMAP,
    READ,
    WRITE,
    Blocks,
    Descriptors,
    Layers,
    Schedule,
    Tiles,
    Transfers,
)
from accelsim.timeline import Timeline
from accelsim.trace import FeatureMap, Trace, spread

PERIOD = 1000

# tensor, direction, layer, descriptors, wait_transfer, bytes wanted, bytes dense, bytes moved, overhead, bursts
DENSE_TRANSFERS = (
    (IFMAP, READ, 0, 1, NONE, 96, 96, 128, 4, 1),
    (FILTER, READ, 0, 1, NONE, 216, 216, 256, 4, 1),
    (OFMAP, WRITE, 0, 2, NONE, 64, 64, 64, 4, 1),
    (OFMAP, READ, 0, 2, 2, 64, 64, 64, 4, 1),
    (OFMAP, WRITE, 0, 1, NONE, 128, 128, 128, 4, 1),
    (IFMAP, READ, 1, 1, NONE, 256, 256, 256, 4, 1),
    (FILTER, READ, 1, 1, NONE, 144, 144, 192, 4, 1),
    (OFMAP, WRITE, 1, 1, NONE, 16, 16, 64, 4, 1),
)
MARKER_TRANSFERS = (
    (IFMAP, READ, 0, 1, NONE, 96, 96, 128, 4, 1),
    (FILTER, READ, 0, 1, NONE, 216, 216, 256, 4, 1),
    (OFMAP, WRITE, 0, 2, NONE, 64, 64, 64, 4, 1),
    (OFMAP, READ, 0, 2, 2, 64, 64, 64, 4, 1),
    (OFMAP, WRITE, 0, 1, NONE, 96, 128, 128, 4, 1),
    (METADATA, WRITE, 0, 1, NONE, 1, 0, 64, 4, 1),
    (IFMAP, READ, 1, 2, NONE, 192, 256, 192, 8, 2),
    (FILTER, READ, 1, 1, NONE, 108, 144, 128, 4, 1),
    (METADATA, READ, 1, 1, NONE, 1, 0, 64, 4, 1),
    (OFMAP, WRITE, 1, 1, NONE, 16, 16, 64, 4, 1),
)


def accelerator(name: str = "bench") -> Accelerator:
    """A 2 x 2 array at 1 GHz."""
    return Accelerator(
        name=name,
        clock=10**9,
        pe_array=PeArray(rows=2, cols=2),
        buffer=UnifiedBuffer(organisation="unified", size=65536),
        link=BusLink(kind="bus"),
        dram=FlatDram(kind="flat", rate=10**10),
    )


def trace(source: str = "synthetic", image: str = "checks", name: str = "two_layers") -> Trace:
    """Two convolutions; one of the four channels between them is zero."""
    nodes = (
        Node(0, "input", "input", (), (3, 4, 4)),
        Node(1, "conv1", "conv", (0,), (4, 4, 4), (3, 3), (1, 1), (1, 1, 1, 1)),
        Node(2, "conv2", "conv", (1,), (2, 2, 2), (3, 3), (2, 2), (1, 1, 1, 1)),
    )
    zeros = ([False] * 3, [False, True, False, False], [False] * 2)
    maps = tuple(FeatureMap(node.shape, np.array(zero), None) for node, zero in zip(nodes, zeros, strict=True))
    return Trace(Graph(name, nodes), maps, image, 0.0, "channel", (1, 1), source, {"note": "made by hand"})


def schedule(scheme: str = "dense", rows: tuple[tuple[int, ...], ...] = DENSE_TRANSFERS, skipped: int = 0) -> Schedule:
    """Two layers of two and one tiles; the first spills and refills partial sums. Engines never see it: blocks are left out."""
    tensor, direction, layer, jobs, wait, wanted, dense, *_ = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    ends = np.cumsum(jobs)
    none = np.full(len(rows), NONE)
    empty = np.zeros(0, np.int64)
    return Schedule(
        scheme=scheme,
        names=("conv1", "conv2"),
        kinds=("conv", "conv"),
        layers=Layers(np.array([1, 2]), np.array([0, 2]), np.array([2, 3]), np.array([0, 1]), np.array([1728, 288])),
        tiles=Tiles(
            layer=np.array([0, 0, 1]),
            busy_cycles=np.array([10, 20, 30]),
            fill_cycles=np.array([2, 2, 3]),
            ifmap_block=np.full(3, NONE),
            filter_block=np.full(3, NONE),
            ofmap_block=np.full(3, NONE),
            metadata=np.full(3, NONE),
            macs_done=np.array([864, 864, 288 - skipped]),
            macs_skipped=np.array([0, 0, skipped]),
        ),
        blocks=Blocks(*(empty for _ in range(8))),
        transfers=Transfers(tensor, direction, layer, none, none, none, ends - jobs, ends, wait, none, wanted, dense),
        descriptors=Descriptors(*(empty for _ in range(6))),
        slots=(2, 2, 2),
        fused={"dropout": "does nothing at inference"},
        notes=("made by hand",) if scheme == "dense" else ("made by hand", "marker bits in raster order"),
    )


def timeline(rows: tuple[tuple[int, ...], ...] = DENSE_TRANSFERS, later: int = 0) -> Timeline:
    """Tiles at cycles 8 to 20, 24 to 46, 56 to 89 (plus `later`, a longer wait for the third's ifmap), then 6 cycles of storing."""
    *_, moved, overhead, bursts = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows), np.int64)
    return Timeline(
        tile_start=np.array([8, 24, 56 + later]) * PERIOD,
        tile_end=np.array([20, 46, 89 + later]) * PERIOD,
        stall_cycles=np.array([[0, 3, 0, 0, 2, 5, 0], [4, 0, 0, 0, 2, 0, 0], [later, 0, 1, 2, 3, 7, 0]]),
        transfer_start=zeros,
        transfer_end=zeros,
        bytes_moved=moved,
        overhead_bytes=overhead,
        bursts=bursts,
        layer_stored=np.array([50, 95 + later]) * PERIOD,
        peak_bytes=np.array([300, 216, 128]),
        end=(95 + later) * PERIOD,
        drain_cycles=6,
        port_busy=19 * PERIOD,
        link_down_busy=38 * PERIOD,
        link_up_busy=0,
        dram_busy=57 * PERIOD,
    )


def dense(source: str = "synthetic", image: str = "checks", name: str = "two_layers") -> Result:
    """The dense replay."""
    return Result.of(trace(source, image, name), accelerator(), schedule(), timeline())


def marker(
    source: str = "synthetic", image: str = "checks", name: str = "two_layers", later: int = 0, scheme: str = "channel_marker"
) -> Result:
    """The replay under the marker; `later` makes its second layer slower than the dense one."""
    table = schedule(scheme, MARKER_TRANSFERS, skipped=72)
    return Result.of(trace(source, image, name), accelerator(), table, timeline(MARKER_TRANSFERS, later))


def comparison(source: str = "synthetic", image: str = "checks", name: str = "two_layers", later: int = 0) -> Comparison:
    """Dense and marker."""
    return Comparison.of([dense(source, image, name), marker(source, image, name, later)])


def wide_result(layers: int, scheme: str, factor: float = 1.0) -> Result:
    """A replay with many layers of large numbers and long names; `factor` scales the traffic."""
    base = dense("published statistics", "a_photograph", "mobilenet_v2")
    rows = tuple(
        replace(
            base.layers[0],
            layer=f"{index:03d}_convolutional",
            kind="maxpool",
            total_cycles=1_345_678 + index,
            busy_cycles=1_345_638 + index,
            bytes_moved=int(factor * (12_760_448 + index)),
            macs_done=1728,
            zero_channels=1234,
            channels=2048,
        )
        for index in range(layers)
    )
    return replace(base, scheme=scheme, layers=rows)


def layers_frame(
    count: int, schemes: tuple[str, ...] = ("dense", "channel_marker"), network: str = "net", image: str = "dog"
) -> pd.DataFrame:
    """A layers table with every tensor and every cause in it, as `layers.csv` gives it."""
    random = np.random.default_rng(count)
    sizes, causes = random.integers(10_000, 2_000_000, (count, 3)), random.integers(1, 50_000, (count, 7))
    rows = []
    for number, scheme in enumerate(schemes):
        for index in range(count):
            row: dict[str, object] = dict.fromkeys(COLUMNS, 0)
            row |= {
                "network": network,
                "image": image,
                "scheme": scheme,
                "layer": f"{index:03d}_convolutional",
                "kind": "conv",
                "tiling": "",
            }
            names = ("read_ifmap_bytes", "read_filter_bytes", "write_ofmap_bytes")
            row |= {name: int(size) * (10 - number) // 10 for name, size in zip(names, sizes[index], strict=True)}
            row |= {
                "read_psum_bytes": 5000,
                "write_psum_bytes": 5000,
                "read_metadata_bytes": 300 * number,
                "write_metadata_bytes": 300 * number,
            }
            wanted = sum(int(row[name]) for name in COLUMNS if name.startswith(("read_", "write_")))  # type: ignore[call-overload]
            row |= {"bytes_wanted": wanted, "bytes_moved": wanted + 6400, "busy_cycles": int(sizes[index, 0]) // 8}
            stalls = [name for name in COLUMNS if name.startswith("stall_")]
            row |= {name: int(cycles) * (10 + number) // 10 for name, cycles in zip(stalls, causes[index], strict=True)}
            row |= {"total_cycles": sum(int(row[name]) for name in ("busy_cycles", *stalls)), "source": "synthetic"}  # type: ignore[call-overload]
            energies = {"mac": 30, "buffer": 9, "link": 2, "dram": 60, "static": 5}
            row |= {f"energy_{part}_nj": price * wanted / 1000 for part, price in energies.items()}
            row |= {"energy_nj": sum(energies.values()) * wanted / 1000}
            rows.append(row)
    return pd.DataFrame(rows)[list(COLUMNS)].astype(NUMBER_TYPES)


KINDS = {"dwconv": "conv", "shortcut": "add", "route": "concat"}


def golden_trace(shared: Path, network: str) -> Trace:
    """The published counts of one network as a statistics trace: shapes and zero channels only.

    Every node hangs on one large input, through a window that makes its shape: counting looks at outputs alone.
    """
    nodes, zeros = [Node(0, "input", "input", (), (3, 512, 512))], [0]
    with (shared / "golden" / "authors" / "drfmp_dog_eps0.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["net"] == network:
                channels, height, width = int(row["C"]), int(row["H"]), int(row["W"])
                kind, window = KINDS.get(row["kind"], row["kind"]), (513 - height, 513 - width)
                nodes.append(Node(len(nodes), f"{int(row['layer']):03d}_{row['kind']}", kind, (0,), (channels, height, width), window))
                zeros.append(int(row["zero_channels"] or 0))
    maps = tuple(FeatureMap(node.shape, spread(count, node.shape[0]), None) for node, count in zip(nodes, zeros, strict=True))
    return Trace(Graph(network, tuple(nodes)), maps, "dog", 0.0, "channel", (1, 1), "published statistics", {})
