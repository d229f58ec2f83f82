"""A measured chip as published tables have it: what was measured of each layer, its shapes, its mapping, and densities of ofmaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.errors import ModelError, choices
from accelsim.graph import Shape
from accelsim.hardware.tilings import FixedTiling
from accelsim.validation.tables import Column, Line, count, magnitude, read_table, text

WHOLE = 0.05
"""A batch computed from rounded MACs is this near a whole number."""
MOST = 1 << 27
"""Elements of a map that are still replayed."""

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
DENSITIES: Mapping[str, Column] = {
    "layer": Column(text, required=True),
    "density_ofmap": Column(magnitude, required=True, optional_cells=True),
}


@dataclass(frozen=True)
class Chip:
    """One layer as the tables have it.

    Units:   elements; `pad` on each side; `groups`; zeros and densities 0 to 1. `tiling`: the mapping, or what any mapping keeps
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
    tiling: FixedTiling

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        filters, rows, cols = self.ofmap
        return filters * rows * cols * self.ifmap[0] // self.groups * self.kernel**2

    @property
    def forced(self) -> bool:
        """Whether the mapping is the chip's, not searched."""
        return self.tiling.filters is not None

    def code(self, rows: int, bits: int) -> str:
        """The chip's scheme: a run-length stream for what a tile reads of a channel, rows of a strip each by themselves.

        Units:   `rows` of the ofmap in a tile, of one image or of several whole ones; `bits` of an element
        """
        _, height, width = self.ifmap
        lines = 1 if rows < self.ofmap[1] else height * (rows // self.ofmap[1])
        return f"rlc:unit={lines * width * bits // 8}"


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
        names = [str(line.cells["layer"]) for line in layers_of(table)]
        mapping = mapping or beside(table, table, SHAPES, names) or beside(config, table, SHAPES, names)
        if mapping is None:
            raise ModelError(
                f"{table}: the shapes and the mapping of {', '.join(names)} are needed\n"
                f"    give --mapping FILE.csv with the columns layer, {', '.join(SHAPES)}, and {', '.join(PARAMETERS)} to force a mapping"
            )
        known = any("density_ofmap" in line.cells for line in read_table(mapping, MAPPING))
        return cls(table, mapping, densities or (mapping if known else beside(table, table, ("density_ofmap",), names)))

    def __str__(self) -> str:
        return f"mapping: {self.mapping}; densities of ofmaps: {self.densities or 'as of the next ifmap'}"


def layers_of(table: Path) -> list[Line]:
    """Rows of layers. Raises `ModelError` where there are none, or where a layer stands twice."""
    lines = [line for line in read_table(table, TABLE) if not is_total(line)]
    if not lines:
        raise ModelError(f"{table}: no row of a layer")
    names = [str(line.cells["layer"]).lower() for line in lines]
    for line, name in zip(lines, names, strict=True):
        if names.count(name) > 1:
            raise ModelError(f"{table}:{line.number}: layer {line.cells['layer']!r} stands more than once")
    return lines


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


def is_total(line: Line) -> bool:
    """Whether a row sums up the others."""
    return str(line.cells["layer"]).lower() == "total"


def chips_of(tables: Tables, lines: Sequence[Line]) -> list[Chip]:
    """Join the tables by layer, upper and lower case being one.

    Where nothing tells the zeros of an ofmap, it has as many as the next layer's ifmap, if that is made of it, else none.
    Raises:  `ModelError` for a layer that the mapping has not or whose zeros nobody tells, and for rows that contradict themselves
    """
    table, mapping = tables.table, tables.mapping
    shapes = _shapes(mapping)
    density = {} if tables.densities is None else _densities(tables.densities)
    chips: list[Chip] = []
    for line in lines:
        name, zeros = str(line.cells["layer"]), line.cells.get("zeros_ifmap_pct")
        if name.lower() not in shapes:
            known = choices([chip.name for chip in shapes.values()], name, what="it has")
            raise ModelError(f"{table}:{line.number}: {mapping} has no layer {name!r}\n    {known}")
        if zeros is None or float(zeros) > 100:
            raise ModelError(f"{table}:{line.number}: {name}: zeros_ifmap_pct is {zeros}; allowed: 0 to 100, 0 where nothing is coded")
        chips.append(replace(shapes[name.lower()], name=name, zeros_ifmap=float(zeros) / 100))
    for index, (chip, following) in enumerate(zip(chips, [*chips[1:], None], strict=True)):
        if chip.name.lower() in density:
            zeros = 1 - density[chip.name.lower()]
        else:
            zeros = following.zeros_ifmap if following is not None and following.ifmap[0] == chip.ofmap[0] else 0.0
        chips[index] = replace(chip, zeros_ofmap=zeros)
    return chips


def _densities(path: Path) -> dict[str, float]:
    """Density of the ofmaps, by layer in lower case."""
    found = {}
    for line in read_table(path, DENSITIES):
        density = line.cells.get("density_ofmap")
        if density is not None and not 0 <= float(density) <= 1:
            raise ModelError(f"{path}:{line.number}: density_ofmap is {density}; allowed: 0 to 1")
        if density is not None:
            found[str(line.cells["layer"]).lower()] = float(density)
    return found


def _shapes(mapping: Path) -> dict[str, Chip]:
    """Shapes and mapping of every layer of a mapping table, by name in lower case; zeros are not told here."""
    chips: dict[str, Chip] = {}
    before: Chip | None = None
    for line in read_table(mapping, MAPPING):
        before = _chip(mapping, line, before)
        chips[before.name.lower()] = before
    return chips


def _chip(mapping: Path, line: Line, before: Chip | None) -> Chip:
    """One layer. Raises `ModelError` for a row that contradicts itself."""
    cells = {key: int(value) for key, value in line.cells.items() if isinstance(value, int)}
    height, kernel, out, inner, filters, stride = (cells[key] for key in SHAPES)
    name = str(line.cells["layer"])
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
    size = height - 2 * pad
    if max(inner * groups * size**2, filters * out**2) > MOST:
        raise ModelError(f"{where}: a map of more than {MOST:,} elements")
    tiling = _tiling(where, cells, out, filters // groups, inner)
    return Chip(name, (inner * groups, size, size), (filters, out, out), kernel, stride, pad, groups, 0.0, 0.0, tiling)


def _tiling(where: str, cells: Mapping[str, int], out: int, filters: int, channels: int) -> FixedTiling:
    """The mapping as a tile: psums of m filters and e rows of n images stay while channels pass, q * r at a time, p * t filters a load.

    Where no mapping is given, its sizes are searched; whole rows and the order of the loops belong to the chip.
    """
    given = {key: cells[key] for key in PARAMETERS if key in cells}
    if not given:
        return FixedTiling(groups=1, columns=out, order="KPC")
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


def batch_of(table: Path, lines: Sequence[Line], chips: Sequence[Chip]) -> int | None:
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
