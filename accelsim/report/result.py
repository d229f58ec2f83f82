"""One replay as a user reads it: per layer cycles, stalls by cause, bytes by tensor. Floats begin here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.occupancy import Occupancy
from accelsim.errors import EngineError
from accelsim.hardware import Accelerator
from accelsim.hardware.operands import operand_reads
from accelsim.report.bandwidth import Bandwidth, over_time
from accelsim.report.counting import PaperCount, saved_elements
from accelsim.report.energy import PARTS, Events, energy
from accelsim.report.sums import Sums
from accelsim.schedule.tables import FILTER, IFMAP, METADATA, NONE, OFMAP, READ, WRITE, Schedule
from accelsim.timeline import CAUSES, DRAM_COUNTS, Timeline
from accelsim.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of one replay; the fields are the columns of `layers.csv` in their order.

    Units:   cycles of the accelerator clock; bytes; multiply-accumulates; elements; counts; nanojoules.
    Cycles:  the layer's window runs from the end of the previous layer's last tile to the end of its own last tile (the last layer
             also has the wait for its stores, an output stall); total = busy + the seven stalls, exactly.
    Bytes:   `read_*` and `write_*` are bytes wanted by tensor; with the two `psum` columns (partial sums spilled and read back) they add
             up to `bytes_wanted`. `bytes_moved` is what whole bursts carried, `link_overhead_bytes` what the link added around them,
             `bytes_dense` what the dense scheme would have wanted. `kept_bytes` stayed in the buffer (`keep_on_chip`): read there, once, or
             of the layer's own map and never written; they are in no other column.
    `ifmap_loads`: times the dense scheme fetches the ifmap (1: once; 0: it was still in the buffer). `utilisation`: MACs done over
    rows * cols * busy cycles; NaN for a layer without MACs or without busy cycles. `zero_channels` and what follows describe the
    layer's own output map; `saved_elements` counts it as the paper does.
    Energy:  `energy_nj` is the sum of its five parts, exactly to the femtojoule; what they count is said in `report.energy`.
    """

    layer: str
    kind: str
    total_cycles: int
    busy_cycles: int
    stall_ifmap_cycles: int
    stall_filter_cycles: int
    stall_metadata_cycles: int
    stall_output_cycles: int
    stall_fill_drain_cycles: int
    stall_start_cycles: int
    macs_done: int
    macs_skipped: int
    read_ifmap_bytes: int
    read_filter_bytes: int
    read_metadata_bytes: int
    write_ofmap_bytes: int
    write_metadata_bytes: int
    bytes_wanted: int
    bytes_moved: int
    link_overhead_bytes: int
    read_psum_bytes: int
    write_psum_bytes: int
    bytes_dense: int
    kept_bytes: int
    descriptors: int
    bursts: int
    tiles: int
    stall_conflict_cycles: int
    ifmap_loads: float
    utilisation: float
    tiling: str
    zero_channels: int
    channels: int
    output_elements: int
    saved_elements: int
    energy_mac_nj: float
    energy_buffer_nj: float
    energy_link_nj: float
    energy_dram_nj: float
    energy_static_nj: float
    energy_nj: float


TEXT_COLUMNS = ("network", "image", "scheme", "layer", "kind", "tiling", "source")
ENERGY_COLUMNS = (*(f"energy_{part}_nj" for part in PARTS), "energy_nj")
FLOAT_COLUMNS = ("ifmap_loads", "utilisation", *ENERGY_COLUMNS)
COLUMNS = ("network", "image", "scheme", *(field.name for field in fields(LayerRow)), "source")
"""Columns of `layers.csv`, in order."""
COUNT_COLUMNS = tuple(name for name in COLUMNS if name not in TEXT_COLUMNS + FLOAT_COLUMNS)
"""Columns of integers; every one of them adds up over layers."""
NUMBER_TYPES = dict.fromkeys(COUNT_COLUMNS, "int64") | dict.fromkeys(FLOAT_COLUMNS, "float64")
ACTIVATES = DRAM_COUNTS.index("activates")
STALL_COLUMNS = tuple(f"stall_{cause}_cycles" for cause in CAUSES)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """One trace replayed on one machine under one scheme.

    Units:   `peak_bytes`: most bytes held at once by ifmap, filter and ofmap blocks. `busy_ps`: time each moving part worked.
             `bandwidth`: bytes a second in windows of the run. `occupancy`: bytes held over time. `dram`: `DRAM_COUNTS` over all
             channels; empty for a flat DRAM.
    `source`: 'inference', 'published statistics' or 'synthetic'. `fused`: layer -> why it has no row of its own.
    """

    network: str
    image: str
    scheme: str
    engine: str
    source: str
    epsilon: float
    mode: str
    provenance: Mapping[str, str]
    accelerator: Accelerator
    layers: tuple[LayerRow, ...]
    paper: PaperCount
    peak_bytes: Mapping[str, int]
    busy_ps: Mapping[str, int]
    bandwidth: Bandwidth
    occupancy: Occupancy
    dram: Mapping[str, int]
    fused: Mapping[str, str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace, accelerator: Accelerator, schedule: Schedule, timeline: Timeline, *, engine: str = "reference") -> Result:
        """Account for one replay.

        Raises:  `EngineError` where cycles, MACs or bytes do not add up.
        """
        return cls(
            network=trace.graph.name,
            image=trace.image,
            scheme=schedule.scheme,
            engine=engine,
            source=trace.source,
            epsilon=float(trace.epsilon),
            mode=trace.mode,
            provenance=dict(trace.provenance),
            accelerator=accelerator,
            layers=_rows(trace, accelerator, schedule, timeline),
            paper=PaperCount.of(trace),
            peak_bytes=dict(zip(("ifmap", "filter", "ofmap"), timeline.peak_bytes.tolist(), strict=True)),
            busy_ps={
                "dma_port": int(timeline.port_busy),
                "link_down": int(timeline.link_down_busy),
                "link_up": int(timeline.link_up_busy),
                "dram": int(timeline.dram_busy),
            },
            bandwidth=Bandwidth.of(schedule, timeline),
            occupancy=Occupancy.of(schedule, timeline),
            dram=dict(zip(DRAM_COUNTS[:-1], timeline.dram_counts.sum(axis=0).tolist(), strict=False)) if timeline.dram_counts.size else {},
            fused=dict(schedule.fused),
            notes=tuple(schedule.notes),
        )

    @cached_property
    def totals(self) -> Mapping[str, int]:
        """Sums over the layers of every column of counts."""
        return {name: sum(getattr(row, name) for row in self.layers) for name in COUNT_COLUMNS}

    @cached_property
    def energy_uj(self) -> Mapping[str, float]:
        """Energy by part and in all (`total`), microjoules."""
        columns = dict(zip((*PARTS, "total"), ENERGY_COLUMNS, strict=True))
        # Whole femtojoules add up exactly, in any order.
        return {part: sum(round(getattr(row, name) * 10**6) for row in self.layers) / 10**9 for part, name in columns.items()}

    @property
    def stall_cycles(self) -> int:
        """Cycles in which the array did not work."""
        return self.totals["total_cycles"] - self.totals["busy_cycles"]

    @property
    def time_us(self) -> float:
        """Run time, microseconds."""
        return self.totals["total_cycles"] * self.accelerator.period / 1e6

    @property
    def achieved_gb_per_s(self) -> float:
        """Bytes moved over run time, 10^9 bytes a second, reads and writes together."""
        return self.totals["bytes_moved"] / self.time_us / 1e3 if self.totals["total_cycles"] else 0.0

    @property
    def stall_percent(self) -> float:
        """Stalled cycles, per cent of all."""
        return 100 * self.stall_cycles / self.totals["total_cycles"] if self.totals["total_cycles"] else 0.0

    @property
    def macs_skipped_percent(self) -> float:
        """MACs that the scheme made needless, per cent of all."""
        macs = self.totals["macs_done"] + self.totals["macs_skipped"]
        return 100 * self.totals["macs_skipped"] / macs if macs else 0.0

    def as_frame(self) -> pd.DataFrame:
        """One row per layer, the columns of `layers.csv`."""
        import pandas as pd

        names = [field.name for field in fields(LayerRow)]
        frame = pd.DataFrame([[getattr(row, name) for name in names] for row in self.layers], columns=names)
        for position, name in enumerate(("network", "image", "scheme")):
            frame.insert(position, name, getattr(self, name))
        frame["source"] = self.source
        return frame.astype(NUMBER_TYPES)[list(COLUMNS)]

    def bandwidth_frame(self) -> pd.DataFrame:
        """One row per window of the run, the columns of `bandwidth.csv`."""
        frame = over_time(self.bandwidth, self.occupancy)
        for position, name in enumerate(("network", "image", "scheme")):
            frame.insert(position, name, getattr(self, name))
        frame["source"] = self.source
        return frame

    @property
    def row_hit_percent(self) -> float:
        """DRAM accesses that found their row open, per cent of all; NaN for a DRAM without rows."""
        accesses = self.dram["reads"] + self.dram["writes"] if self.dram else 0
        return 100 * self.dram["hits"] / accesses if accesses else float("nan")

    def __repr__(self) -> str:
        rows = f", {self.row_hit_percent:.1f} % DRAM row hits" if self.dram else ""
        return (
            f"Result({self.network}, {self.image}, {self.scheme}; source: {self.source}): {len(self.layers)} layers, "
            f"{self.totals['total_cycles']:,} cycles ({self.stall_percent:.1f} % stalled), {self.time_us:,.1f} us, "
            f"{self.totals['bytes_moved']:,} bytes moved ({self.achieved_gb_per_s:.2f} GB/s{rows}), "
            f"{self.macs_skipped_percent:.2f} % of MACs skipped, {self.energy_uj['total']:,.1f} uJ"
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>" + self.as_frame().to_html(index=False)


def _rows(trace: Trace, accelerator: Accelerator, schedule: Schedule, timeline: Timeline) -> tuple[LayerRow, ...]:
    """Rows of all layers, identities checked."""
    layers, tiles, transfers = schedule.layers, schedule.tiles, schedule.transfers
    count = len(layers.node)
    if len(timeline.tile_end) != len(tiles.layer) or len(timeline.bytes_moved) != len(transfers.layer):
        raise EngineError("the timeline belongs to another schedule: numbers of tiles or transfers differ")

    by_tile, of_transfers = Sums.by(tiles.layer, count), Sums.by(transfers.layer, count)

    def by_transfer(values: Int, chosen: NDArray[np.bool_] | None = None) -> Int:
        return of_transfers(values if chosen is None else np.where(chosen, values, 0))

    def wanted(tensor: int, direction: int) -> Int:
        return by_transfer(transfers.bytes_wanted, (transfers.tensor == tensor) & (transfers.direction == direction))

    table: dict[str, Int] = {"total_cycles": _windows(schedule, timeline, accelerator.period), "busy_cycles": by_tile(tiles.busy_cycles)}
    for column, name in enumerate(STALL_COLUMNS):
        table[name] = by_tile(timeline.stall_cycles[:, column])
    if count:
        table["total_cycles"][-1] += timeline.drain_cycles
        table["stall_output_cycles"][-1] += timeline.drain_cycles
    table |= {"macs_done": by_tile(tiles.macs_done), "macs_skipped": by_tile(tiles.macs_skipped)}

    spilled = by_transfer(transfers.bytes_wanted, _spills(schedule))
    table |= {
        "read_ifmap_bytes": wanted(IFMAP, READ),
        "read_filter_bytes": wanted(FILTER, READ),
        "read_metadata_bytes": wanted(METADATA, READ),
        "write_ofmap_bytes": wanted(OFMAP, WRITE) - spilled,
        "write_metadata_bytes": wanted(METADATA, WRITE),
        "read_psum_bytes": wanted(OFMAP, READ),
        "write_psum_bytes": spilled,
        "bytes_wanted": by_transfer(transfers.bytes_wanted),
        "bytes_moved": by_transfer(timeline.bytes_moved),
        "link_overhead_bytes": by_transfer(timeline.overhead_bytes),
        "bytes_dense": by_transfer(transfers.bytes_dense),
        "kept_bytes": (kept := _kept(schedule)).sum(axis=0),
        "descriptors": by_transfer(transfers.descriptor_high - transfers.descriptor_low),
        "bursts": by_transfer(timeline.bursts),
        "tiles": by_tile(np.ones_like(tiles.layer)),
    }
    _check(schedule, table)

    read_moved = by_transfer(timeline.bytes_moved, transfers.direction == READ)
    # Rows are opened for all layers' accesses alike: an estimate, which adds up exactly.
    shares = np.cumsum(table["bytes_moved"]) * int(timeline.dram_counts[:, ACTIVATES].sum()) // max(1, int(table["bytes_moved"].sum()))
    activates = np.diff(shares, prepend=0)
    price, reads = accelerator.prices, operand_reads(accelerator.pe_array, accelerator.energy.buffer)
    saved = saved_elements(trace)
    array = accelerator.pe_array.rows * accelerator.pe_array.cols
    ifmap_dense = by_transfer(transfers.bytes_dense, (transfers.tensor == IFMAP) & (transfers.direction == READ))
    tilings = schedule.tilings or ("",) * count
    rows = []
    for index, node_index in enumerate(layers.node.tolist()):
        node, fmap = trace.graph.nodes[node_index], trace.maps[node_index]
        numbers = {name: int(values[index]) for name, values in table.items()}
        map_bytes = sum(c * h * w for c, h, w in trace.graph.input_shapes(node_index)) * accelerator.data.ifmap_bits / 8
        events = Events(
            macs_done=numbers["macs_done"],
            read_ifmap=numbers["read_ifmap_bytes"],
            read_filter=numbers["read_filter_bytes"],
            read_psum=numbers["read_psum_bytes"],
            write_ofmap=numbers["write_ofmap_bytes"],
            write_psum=numbers["write_psum_bytes"],
            metadata=numbers["read_metadata_bytes"] + numbers["write_metadata_bytes"],
            read_moved=int(read_moved[index]),
            write_moved=numbers["bytes_moved"] - int(read_moved[index]),
            link=numbers["bytes_moved"] + numbers["link_overhead_bytes"],
            duration=numbers["total_cycles"] * accelerator.period,
            activates=int(activates[index]),
            kept_read=int(kept[0, index]),
            kept_written=int(kept[1, index]),
        )
        spent = energy(events, price, reads, accelerator.data)
        works = numbers["busy_cycles"] > 0 and int(layers.macs[index]) > 0
        rows.append(
            LayerRow(
                layer=schedule.names[index],
                kind=schedule.kinds[index],
                # Six digits: more would only show how a float is printed.
                ifmap_loads=round(int(ifmap_dense[index]) / map_bytes, 6) if map_bytes else 0.0,
                utilisation=round(numbers["macs_done"] / (array * numbers["busy_cycles"]), 6) if works else float("nan"),
                tiling=tilings[index],
                zero_channels=int(fmap.zero_channels.sum()),
                channels=node.shape[0],
                output_elements=node.elements,
                saved_elements=saved[node_index],
                **numbers,
                energy_mac_nj=spent.mac / 10**6,
                energy_buffer_nj=spent.buffer / 10**6,
                energy_link_nj=spent.link / 10**6,
                energy_dram_nj=spent.dram / 10**6,
                energy_static_nj=spent.static / 10**6,
                energy_nj=spent.total / 10**6,
            )
        )
    return tuple(rows)


def _windows(schedule: Schedule, timeline: Timeline, period: int) -> Int:
    """Cycles of each layer's window; a layer without tiles has none."""
    ends = np.zeros(len(schedule.layers.node), np.int64)
    np.maximum.at(ends, schedule.tiles.layer, timeline.tile_end)
    windows = np.diff(np.maximum.accumulate(ends), prepend=0)
    if (windows % period).any():
        layer = schedule.names[int(np.flatnonzero(windows % period)[0])]
        raise EngineError(f"{layer}: its last tile does not end on an edge of the {period} ps clock")
    return windows // period


def _kept(schedule: Schedule) -> Int:
    """Bytes that each layer reads from the buffer rather than from DRAM, and those that it does not write. Shape: int64 [2, layers]."""
    kept = np.zeros((2, len(schedule.layers.node)), np.int64)
    for one in schedule.kept:
        kept[0, one.reader] += one.read
        kept[1, one.layer] += one.unwritten
    return kept


def _spills(schedule: Schedule) -> NDArray[np.bool_]:
    """Which transfers store partial sums: exactly those that a later load of an ofmap block waits for."""
    transfers = schedule.transfers
    refills = (transfers.tensor == OFMAP) & (transfers.direction == READ) & (transfers.wait_transfer != NONE)
    spills = np.zeros(len(transfers.tensor), np.bool_)
    spills[transfers.wait_transfer[refills]] = True
    spills &= (transfers.tensor == OFMAP) & (transfers.direction == WRITE)
    return spills


def _check(schedule: Schedule, table: Mapping[str, Int]) -> None:
    """Raise `EngineError` for the first identity that does not hold."""
    stalls = sum((table[name] for name in STALL_COLUMNS), np.zeros_like(table["busy_cycles"]))
    named = sum((values for name, values in table.items() if name.startswith(("read_", "write_"))), np.zeros_like(stalls))
    identities = (
        ("busy + stalls = total cycles", table["busy_cycles"] + stalls, "==", table["total_cycles"]),
        ("MACs done + skipped = layer MACs", table["macs_done"] + table["macs_skipped"], "==", schedule.layers.macs),
        ("bytes by tensor = bytes wanted", named, "==", table["bytes_wanted"]),
        ("psum bytes read = psum bytes spilled", table["read_psum_bytes"], "==", table["write_psum_bytes"]),
        ("bytes wanted <= bytes moved", table["bytes_wanted"], "<=", table["bytes_moved"]),
    )
    for text, left, relation, right in identities:
        wrong = np.flatnonzero(left != right if relation == "==" else left > right)
        if wrong.size:
            at = int(wrong[0])
            raise EngineError(
                f"{schedule.names[at]} ({schedule.scheme}): {text} does not hold: {int(left[at]):,} {relation} {int(right[at]):,}"
            )
