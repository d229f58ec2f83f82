"""Our machine against a measured chip: DRAM bytes and exposed link time of each convolution of a published table.

The table gives for each layer the DRAM megabytes and, as far as known, the share of zeros in its ifmap and the times (format of
`golden/silicon/eyeriss_jssc17_tableV_alexnet_n4.csv`, Chen et al., JSSC 2017, Table V). A second table gives the shapes of the layers and
the chip's mapping (Table III): it is forced on the machine, everything else the machine does itself. A third may give the density of
the ofmaps. Zeros are put at random, as many as published: run-length codes of real maps are somewhat shorter.

Each layer is replayed by itself, its ifmap stored before it starts, as a batch of different images. A layer's time runs from there to the
end of its stores; what the array does not work of it is exposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from accelsim import batch, engines, schemes
from accelsim.errors import ModelError, choices
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, peaks
from accelsim.schedule import build
from accelsim.tilings import FixedTiling, Tilings
from accelsim.trace import SYNTHETIC, FeatureMap, Trace, pack
from accelsim.validation.result import Compared, Comparison, judged
from accelsim.validation.tables import Column, Line, count, magnitude, number, read_table, text

Progress = Callable[[str, int, int], None]

LAYER, TOTAL = 0.12, 0.08
"""Largest relative error of the DRAM bytes of a layer, and of all together."""
EXPOSED = 1.2
"""Most exposed time, in link times of the layer's own bytes: moving them takes one, latencies and set-up add a little."""
WHOLE = 0.05
"""A batch computed from rounded MACs is this near a whole number."""
MB = 1e6
MACHINE = Path("accelerator/eyeriss.yaml")
"""Below the folder of configurations."""

TABLE: Mapping[str, Column] = {
    "layer": Column(text, required=True),
    "dram_accesses_MB": Column(magnitude, required=True),
    **dict.fromkeys(("total_latency_ms", "processing_latency_ms", "macs_G", "zeros_ifmap_pct"), Column(magnitude, optional_cells=True)),
}
SHAPES = ("H_padded", "R", "E", "C_per_group", "M", "U_stride")
PARAMETERS = ("m", "n", "e", "p", "q", "r", "t")
MAPPING: Mapping[str, Column] = {
    "layer": Column(text, required=True),
    **dict.fromkeys(SHAPES, Column(count, required=True)),
    **dict.fromkeys((*PARAMETERS, "groups", "pad"), Column(count, optional_cells=True)),
    "density_ofmap": Column(magnitude, optional_cells=True),
}
DENSITIES: Mapping[str, Column] = {"layer": Column(text, required=True), "density_ofmap": Column(number, required=True)}


def silent(what: str, done: int, of: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Chip:
    """One layer as the tables have it.

    Units:   elements; `pad` on each side; `groups`; zeros and densities 0 to 1. `tiling`: None where the mapping is left to the search.
    """

    name: str
    ifmap: Shape
    ofmap: Shape
    kernel: int
    stride: int
    pad: int
    groups: int
    zeros_ifmap: float
    zeros_ofmap: float
    tiling: FixedTiling | None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        filters, rows, cols = self.ofmap
        return filters * rows * cols * self.ifmap[0] // self.groups * self.kernel**2


@dataclass(frozen=True)
class Measured:
    """What one layer did on our machine. Units: bytes; milliseconds."""

    moved: int
    processing: float
    exposed: float
    link: float


@dataclass(frozen=True)
class Tables:
    """The files that belong to a table of measurements: shapes and mapping of its layers, and densities of their ofmaps if known."""

    table: Path
    mapping: Path
    densities: Path | None

    @classmethod
    def find(cls, table: Path, config: Path, mapping: Path | None = None, densities: Path | None = None) -> Tables:
        """Those given, else those beside the table, else those beside the machine's file.

        Raises:  `ModelError` where there is no mapping, or more than one
        """
        names = [str(line.cells["layer"]) for line in _layers(table)]
        mapping = mapping or beside(table, table, SHAPES, names) or beside(config, table, SHAPES, names)
        if mapping is None:
            raise ModelError(
                f"{table}: the shapes and the mapping of {', '.join(names)} are needed\n"
                f"    give --mapping FILE.csv with the columns layer, {', '.join(SHAPES)}, and {', '.join(PARAMETERS)} to force a mapping"
            )
        known = any("density_ofmap" in line.cells for line in read_table(mapping, MAPPING))
        return cls(table, mapping, densities or (None if known else beside(table, table, ("density_ofmap",), names)))

    def __str__(self) -> str:
        return f"mapping: {self.mapping}; densities of ofmaps: {self.densities or self.mapping}"


def validate(
    machine: Accelerator, tables: Tables, *, images: int | None = None, scheme: str = "rlc", progress: Progress = silent
) -> Comparison:
    """Replay every layer of a table and compare.

    Units:   `images`: batch; where not given, what the MACs of the table tell, or the machine's
    Raises:  `ModelError` for a table that cannot be read, that contradicts its mapping, or that names a layer which the mapping has not
    """
    table, layers = tables.table, _layers(tables.table)
    chips = _chips(tables, layers)
    many = images or _batch(table, layers, chips) or machine.batch
    rows, measured = [], []
    for done, (line, chip) in enumerate(zip(layers, chips, strict=True)):
        progress(f"replay {chip.name}, {many} images, {scheme}", done, len(layers))
        measured.append(replay(machine, chip, many, scheme))
        rows.append(_row(line, chip.name, measured[-1], machine))
    progress("replay", len(layers), len(layers))
    together = Measured(
        sum(one.moved for one in measured),
        *(sum(getattr(one, name) for one in measured) for name in ("processing", "exposed", "link")),
    )
    totals = [line for line in read_table(table, TABLE) if _is_total(line)]
    rows += [_row(line, str(line.cells["layer"]), together, machine, TOTAL, "total") for line in totals]
    return Comparison(tuple(rows))


def _layers(table: Path) -> list[Line]:
    """Rows of layers. Raises `ModelError` where there are none, or where a layer stands twice."""
    lines = [line for line in read_table(table, TABLE) if not _is_total(line)]
    if not lines:
        raise ModelError(f"{table}: no row of a layer")
    names = [str(line.cells["layer"]).lower() for line in lines]
    for line, name in zip(lines, names, strict=True):
        if names.count(name) > 1:
            raise ModelError(f"{table}:{line.number}: layer {line.cells['layer']!r} stands more than once")
    return lines


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


def replay(machine: Accelerator, chip: Chip, images: int, scheme: str) -> Measured:
    """Run one layer on a batch of images, with its mapping."""
    tilings = Tilings(layers={chip.name: chip.tiling} if chip.tiling is not None else {})
    machine = machine.model_copy(update={"tiling": tilings, "batch": images})
    schemes.load(scheme)
    schedule = build(batch.stack([_trace(chip, seed) for seed in range(images)]), machine, scheme)
    timeline = engines.replay(schedule, machine)
    index = schedule.names.index(chip.name)
    moved = int(timeline.bytes_moved[schedule.transfers.layer == index].sum())
    ours = schedule.tiles.layer == index
    array = int((schedule.tiles.busy_cycles + schedule.tiles.fill_cycles)[ours].sum()) * machine.period
    took = int(timeline.layer_stored[index] - timeline.layer_stored[index - 1])
    peak = peaks(machine)
    return Measured(moved, array / 1e9, (took - array) / 1e9, 1e3 * moved / min(peak.dram, peak.link_read))


def beside(place: Path, table: Path, columns: Sequence[str], layers: Sequence[str]) -> Path | None:
    """The one CSV file in the folder of `place`, the table itself apart, that has these columns and a row for each layer.

    Raises:  `ModelError` where there are several
    """
    found = []
    wanted = {column: Column(lambda cell: cell, required=True) for column in ("layer", *columns)}
    for path in sorted(place.parent.glob("*.csv")):
        try:
            known = {str(line.cells["layer"]).lower() for line in read_table(path, wanted)}
        except ModelError:
            continue
        if path != table and known >= {layer.lower() for layer in layers}:
            found.append(path)
    if len(found) > 1:
        raise ModelError(f"{table}: {', '.join(path.name for path in found)} beside it all have {', '.join(columns)}; name the one to use")
    return found[0] if found else None


def _is_total(line: Line) -> bool:
    return str(line.cells["layer"]).lower() == "total"


def _chips(tables: Tables, lines: Sequence[Line]) -> list[Chip]:
    """Join the tables by layer, upper and lower case being one."""
    table, mapping, densities = tables.table, tables.mapping, tables.densities
    shapes = {str(line.cells["layer"]).lower(): line for line in read_table(mapping, MAPPING)}
    density = {} if densities is None else {str(line.cells["layer"]).lower(): line for line in read_table(densities, DENSITIES)}
    chips: list[Chip] = []
    for line in lines:
        name = str(line.cells["layer"])
        shape = shapes.get(name.lower())
        if shape is None:
            known = choices([str(line.cells["layer"]) for line in shapes.values()], name, what="it has")
            raise ModelError(f"{table}:{line.number}: {mapping} has no layer {name!r}\n    {known}")
        zeros = float(line.cells.get("zeros_ifmap_pct", 0.0)) / 100
        row = density.get(name.lower(), shape)
        given = row.cells.get("density_ofmap", shape.cells.get("density_ofmap"))
        if zeros > 1 or (given is not None and not 0 <= float(given) <= 1):
            raise ModelError(f"{table}:{line.number}: {name}: {100 * zeros:g} % zeros, density {given}; allowed: 0 to 100 %, 0 to 1")
        chips.append(_chip(mapping, shape, name, chips[-1] if chips else None, zeros, None if given is None else 1 - float(given)))
    return [_completed(chip, following) for chip, following in zip(chips, [*chips[1:], None], strict=True)]


def _completed(chip: Chip, following: Chip | None) -> Chip:
    """Where nothing tells the zeros of an ofmap, it has as many as the next layer's ifmap, if that is made of it."""
    if chip.zeros_ofmap >= 0:
        return chip
    made = following is not None and following.ifmap[0] == chip.ofmap[0]
    return Chip(**{**vars(chip), "zeros_ofmap": following.zeros_ifmap if made and following is not None else 0.0})


def _chip(mapping: Path, line: Line, name: str, before: Chip | None, zeros: float, zeros_ofmap: float | None) -> Chip:
    """One layer. Raises `ModelError` for a row that contradicts itself."""
    cells = {key: int(value) for key, value in line.cells.items() if isinstance(value, int)}
    height, kernel, out, inner, filters, stride = (cells[key] for key in SHAPES)
    where = f"{mapping}:{line.number}: {name}"
    if min(height, kernel, out, inner, filters, stride) < 1:
        raise ModelError(f"{where}: {', '.join(SHAPES)} must be 1 or more")
    made = (height - kernel) // stride + 1
    if made != out:
        raise ModelError(f"{where}: {kernel} x {kernel} with stride {stride} on {height} padded rows makes {made}, not E {out}")
    # The table has padded heights only: a kernel that moves by one keeps the size of its map, any other is taken not to be padded.
    pad = cells.get("pad", (kernel - 1) // 2 if stride == 1 else 0)
    # Channels come in two halves where AlexNet was cut into two; the table tells those of one.
    groups = cells.get("groups", before.ofmap[0] // inner if before is not None and before.ofmap[0] % inner == 0 else 1)
    if groups < 1 or filters % groups or height <= 2 * pad:
        raise ModelError(f"{where}: {groups} groups, {filters} filters, {height} rows of which {2 * pad} are padding")
    return Chip(
        name=name,
        ifmap=(inner * groups, height - 2 * pad, height - 2 * pad),
        ofmap=(filters, out, out),
        kernel=kernel,
        stride=stride,
        pad=pad,
        groups=groups,
        zeros_ifmap=zeros,
        zeros_ofmap=-1.0 if zeros_ofmap is None else zeros_ofmap,
        tiling=_tiling(where, cells, out, filters // groups, inner),
    )


def _tiling(where: str, cells: Mapping[str, int], out: int, filters: int, channels: int) -> FixedTiling | None:
    """The mapping as a tile: psums of m filters and e rows of n images stay while channels pass, q * r at a time, p * t filters a load."""
    given = {key: cells[key] for key in PARAMETERS if key in cells}
    if not given:
        return None
    if len(given) < len(PARAMETERS) or min(given.values()) < 1:
        raise ModelError(f"{where}: a mapping needs all of {', '.join(PARAMETERS)}, each 1 or more; or none of them")
    m, n, e, p, q, r, t = (given[key] for key in PARAMETERS)
    if n > 1 and e < out:
        raise ModelError(f"{where}: n {n} images with e {e} of {out} rows; several images are taken whole")
    return FixedTiling(
        groups=1,
        filters=min(m, filters),
        filters_at_once=min(p * t, m, filters),
        channels=min(q * r, channels),
        rows=min(e, out) if n == 1 else None,
        columns=out,
        images=n if n > 1 else None,
        order="KPC",
    )


def _batch(table: Path, lines: Sequence[Line], chips: Sequence[Chip]) -> int | None:
    """Images that make the MACs of the table. Raises `ModelError` where rows tell different batches."""
    found: dict[str, float] = {
        chip.name: float(line.cells["macs_G"]) * 1e9 / chip.macs for line, chip in zip(lines, chips, strict=True) if "macs_G" in line.cells
    }
    whole = {round(images) for images in found.values()}
    if not found:
        return None
    if len(whole) > 1 or 0 in whole or any(abs(images / round(images) - 1) > WHOLE for images in found.values()):
        told = ", ".join(f"{name} {images:.2f}" for name, images in found.items())
        raise ModelError(f"{table}: macs_G are no whole batch of the layers' MACs: {told} images\n    one mapping and one batch are needed")
    return whole.pop()


def _trace(chip: Chip, seed: int) -> Trace:
    """One image: the layer between a node that stores its ifmap and one that reads its ofmap (what the host touches is not coded)."""
    rows, cols = chip.ofmap[1:]
    nodes = (
        Node(0, "image", "input", (), chip.ifmap),
        Node(1, "ifmap", "maxpool", (0,), chip.ifmap),
        Node(
            2,
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
        Node(3, "ofmap", "maxpool", (2,), chip.ofmap),
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


def _row(line: Line, name: str, ours: Measured, machine: Accelerator, allowed: float = LAYER, family: str = "layer") -> Compared:
    cells, moved = line.cells, ours.moved / MB
    published = float(cells["dram_accesses_MB"])
    error = moved / published - 1 if published else moved
    faults = [f"DRAM bytes off by {100 * error:+.1f} %, allowed {100 * allowed:g} %"] if abs(error) > allowed else []
    if not 0 <= ours.exposed <= EXPOSED * ours.link:
        faults.append(f"exposed {ours.exposed:.3g} ms, allowed 0 to {EXPOSED:g} x {ours.link:.3g} ms")
    peak = peaks(machine)
    details = {"link ms": (ours.link, 1e3 * published * MB / min(peak.dram, peak.link_read))}
    if "total_latency_ms" in cells and "processing_latency_ms" in cells:
        total, processing = float(cells["total_latency_ms"]), float(cells["processing_latency_ms"])
        details |= {"exposed ms": (ours.exposed, total - processing), "processing ms (not judged)": (ours.processing, processing)}
    return Compared(name, family, "DRAM MB", moved, published, judged(faults), tuple(faults), details)
