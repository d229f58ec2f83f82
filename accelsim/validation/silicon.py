"""Our machine against a measured chip: DRAM bytes and exposed link time of each convolution of a published table.

The table gives for each layer the DRAM megabytes and, as far as known, the share of zeros in its ifmap and the times (format of
`golden/silicon/eyeriss_jssc17_tableV_alexnet_n4.csv`, Chen et al., JSSC 2017, Table V). A second table gives the shapes of the layers and
the chip's mapping (Table III): it is forced on the machine, everything else the machine does itself. A third may give the density of
the ofmaps. Zeros are put at random, as many as published: run-length codes of real maps are somewhat shorter.

Each layer is replayed by itself, its ifmap stored before it starts, as a batch of different images. A layer's time runs from there to the
end of its stores; what the array does not work of it is exposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from accelsim import batch, engines
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, peaks
from accelsim.hardware.tilings import Tilings
from accelsim.schedule import build
from accelsim.schedule.geometry import geometry
from accelsim.schedule.tiling import search
from accelsim.trace import SYNTHETIC, FeatureMap, Trace, pack
from accelsim.validation.chip import TABLE, Chip, Tables, batch_of, chips_of, is_total, layers_of
from accelsim.validation.result import Compared, Comparison, Verdict, judged
from accelsim.validation.tables import Line, read_table

Progress = Callable[[str, int, int], None]

LAYER, TOTAL = 0.12, 0.08
"""Largest relative error of the DRAM bytes of a layer, and of all together."""
EXPOSED = 1.2
"""Most exposed time, in link times of the layer's own bytes: moving them takes one, latencies and set-up add a little."""
MB = 1e6
ROUNDED = 0.051
"""Megabytes that each row of a table with one decimal may be off."""
CONV = 2
"""Node of the layer in its graph."""
SEARCHED = "bytes not judged: no mapping is given, ours is searched"
MACHINE = Path("accelerator/eyeriss.yaml")
"""Below the folder of configurations."""


def silent(what: str, done: int, of: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Measured:
    """What one layer did on our machine. Units: bytes; milliseconds."""

    moved: int
    processing: float
    exposed: float
    link: float


def validate(
    machine: Accelerator, tables: Tables, *, images: int | None = None, scheme: str | None = None, progress: Progress = silent
) -> Comparison:
    """Replay every layer of a table and compare.

    Units:   `images`: batch; where not given, what the MACs of the table tell, or the machine's. `scheme`: another than the chip's
    Raises:  `ModelError` for a table that cannot be read, that contradicts its mapping, or that names a layer which the mapping has not
    """
    table, layers = tables.table, layers_of(tables.table)
    chips = chips_of(tables, layers)
    many = images or batch_of(table, layers, chips) or machine.batch
    rows, measured = [], []
    for done, (line, chip) in enumerate(zip(layers, chips, strict=True)):
        progress(f"replay {chip.name}, {many} images", done, len(layers))
        measured.append(replay(machine, chip, many, scheme))
        rows.append(_row(line, chip.name, measured[-1], machine, "" if chip.forced else SEARCHED))
    progress("replay", len(layers), len(layers))
    together = Measured(
        sum(one.moved for one in measured),
        *(sum(getattr(one, name) for one in measured) for name in ("processing", "exposed", "link")),
    )
    for line in read_table(table, TABLE):
        if is_total(line):
            added = sum(float(layer.cells["dram_accesses_MB"]) for layer in layers)
            unsettled = "" if all(chip.forced for chip in chips) else SEARCHED
            if abs(added - float(line.cells["dram_accesses_MB"])) > ROUNDED * len(layers):
                unsettled = f"bytes not judged: the rows of the table add up to {added:g} MB"
            rows.append(_row(line, str(line.cells["layer"]), together, machine, unsettled, TOTAL, "total"))
    return Comparison(tuple(rows))


def shipped_machine() -> Path:
    """The machine's file that comes with the program, from the current folder or beside the package.

    Raises:  `ModelError` where it is in neither
    """
    places = [Path("configs") / MACHINE, Path(__file__).parents[2] / "configs" / MACHINE]
    for place in places:
        if place.is_file():
            return place
    raise ModelError(f"{places[0]}: no such file\n    give the machine: --config FILE.yaml")


def tolerance() -> str:
    """What is allowed, in words."""
    return (
        f"allowed: DRAM bytes within {100 * LAYER:g} % of each layer and {100 * TOTAL:g} % of all; "
        f"exposed time from 0 to {EXPOSED:g} times what the layer's own bytes take on the link"
    )


def replay(machine: Accelerator, chip: Chip, images: int, scheme: str | None = None) -> Measured:
    """Run one layer on a batch of images, with its mapping, under the chip's scheme or another."""
    fixed = chip.tiling
    if fixed.images is not None:
        fixed = fixed.model_copy(update={"images": min(fixed.images, images)})
    machine = machine.model_copy(update={"tiling": Tilings(layers={chip.name: fixed}), "batch": images})
    trace = batch.stack([_trace(chip, seed) for seed in range(images)])
    if scheme is None:
        nest = geometry(trace.graph.nodes[CONV], trace.graph.input_shapes(CONV))
        scheme = chip.code(search(nest, machine, chip.name, fixed).height, machine.data.ifmap_bits)
    schedule = build(trace, machine, scheme)
    timeline = engines.replay(schedule, machine)
    index = schedule.layers.node.tolist().index(CONV)
    moved = int(timeline.bytes_moved[schedule.transfers.layer == index].sum())
    ours = schedule.tiles.layer == index
    array = int((schedule.tiles.busy_cycles + schedule.tiles.fill_cycles)[ours].sum()) * machine.period
    took = int(timeline.layer_stored[index] - timeline.layer_stored[index - 1])
    peak = peaks(machine)
    return Measured(moved, array / 1e9, (took - array) / 1e9, 1e3 * moved / min(peak.dram, peak.link_read))


def _trace(chip: Chip, seed: int) -> Trace:
    """One image: the layer between a node that stores its ifmap and one that reads its ofmap (what the host touches is not coded)."""
    rows, cols = chip.ofmap[1:]
    nodes = (
        Node(0, "(image)", "input", (), chip.ifmap),
        Node(1, "(before)", "maxpool", (0,), chip.ifmap),
        Node(
            CONV,
            chip.name,
            "conv",
            (1,),
            (chip.ofmap[0], rows, cols),
            (chip.kernel, chip.kernel),
            (chip.stride, chip.stride),
            (chip.pad,) * 4,
            groups=chip.groups,
            activation="relu",
        ),
        Node(3, "(behind)", "maxpool", (2,), chip.ofmap),
    )
    ifmap = _map(chip.ifmap, chip.zeros_ifmap, seed, f"{chip.name} ifmap")
    ofmap = _map(chip.ofmap, chip.zeros_ofmap, seed, f"{chip.name} ofmap")
    provenance = {"zeros": f"{100 * chip.zeros_ifmap:g} % of the ifmap and {100 * chip.zeros_ofmap:g} % of the ofmap, at random"}
    maps = (ifmap, ifmap, ofmap, ofmap)
    return Trace(Graph(chip.name, nodes), maps, f"random {seed}", 0.0, "channel", (8, 8), SYNTHETIC, provenance)


def _map(shape: Shape, zeros: float, seed: int, name: str) -> FeatureMap:
    """A map with exactly this share of zeros, wherever they fall."""
    size = int(np.prod(shape))
    many = round(zeros * size)
    nonzero = np.ones(size, dtype=np.bool_)
    nonzero[np.random.default_rng([seed, crc32(name.encode())]).permutation(size)[:many]] = False
    dead = np.logical_not(nonzero.reshape(shape[0], -1).any(axis=1))
    return FeatureMap(shape, dead, many, pack(nonzero.reshape(shape)))


def _row(
    line: Line, name: str, ours: Measured, machine: Accelerator, unsettled: str, allowed: float = LAYER, family: str = "layer"
) -> Compared:
    """One line. `unsettled`: why the bytes are told but not judged; empty where they are."""
    cells, moved, peak = line.cells, ours.moved / MB, peaks(machine)
    published = float(cells["dram_accesses_MB"])
    error = moved / published - 1 if published else moved
    faults = [f"DRAM bytes off by {100 * error:+.1f} %, allowed {100 * allowed:g} %"] if abs(error) > allowed and not unsettled else []
    if not 0 <= ours.exposed <= EXPOSED * ours.link:
        faults.append(f"exposed {ours.exposed:.3g} ms, allowed 0 to {EXPOSED:g} x {ours.link:.3g} ms")
    details = {"link ms": (ours.link, 1e3 * published * MB / min(peak.dram, peak.link_read))}
    if "total_latency_ms" in cells and "processing_latency_ms" in cells:
        total, processing = float(cells["total_latency_ms"]), float(cells["processing_latency_ms"])
        details |= {"exposed ms": (ours.exposed, total - processing), "processing ms (not judged)": (ours.processing, processing)}
    verdict: Verdict = "told" if unsettled and not faults else judged(faults)
    return Compared(name, family, "DRAM MB", moved, published, verdict, tuple([*faults, unsettled] if unsettled else faults), details)
