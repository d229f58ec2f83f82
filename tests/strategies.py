"""Schedules and machines for tests: a small builder to write them by hand, and hypothesis strategies that draw them at random."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from accelsim.engines.banks import resolve
from accelsim.engines.contention import Ports
from accelsim.engines.machine import Machine
from accelsim.hardware.dram import BankedDram
from accelsim.hardware.memory import Controller, Memory, Timing
from accelsim.schedule.tables import (
    FILTER,
    IFMAP,
    METADATA,
    NONE,
    OFMAP,
    READ,
    WRITE,
    Blocks,
    Codecs,
    Descriptors,
    Layers,
    Schedule,
    Tiles,
    Transfers,
)

PLAIN = Machine(
    period=1000,
    read_channels=2,
    write_channels=1,
    setup_cycles=0,
    next_descriptor_cycles=0,
    outstanding_descriptors=4,
    outstanding_requests=32,
    access=1,
    read_burst=64,
    write_burst=64,
    boundary=4096,
    up_rate=10**12,
    down_rate=10**12,
    payload=64,
    read_overhead=0,
    write_overhead=0,
    request_overhead=0,
    latency_up=0,
    latency_down=0,
    outstanding_reads=0,
    dram_rate=10**12,
    dram_latency=0,
)
"""One byte a picosecond everywhere, no latencies, no set-up: what a test is about, it adds with `machine(...)`."""


def machine(burst: int = PLAIN.read_burst, **changes: int) -> Machine:
    return replace(PLAIN, **{"read_burst": burst, "write_burst": burst} | changes)


def strided(address: int, row_bytes: int, *, rows: int = 1, row_pitch: int = 0, planes: int = 1, plane_pitch: int = 0) -> tuple[int, ...]:
    """A descriptor."""
    return address, row_bytes, rows, row_pitch, planes, plane_pitch


@dataclass
class Sketch:
    """A schedule under construction. Numbers that methods return name blocks and transfers in later calls.

    Layers, tiles and transfers are numbered as they are added. A block is loaded by `load`, stored by `store`, and lives from the first to
    the last tile that names it.
    """

    slots: tuple[int, int, int] = (2, 2, 2)
    drains: list[int] = field(default_factory=list)
    tiles: list[dict[str, int]] = field(default_factory=list)
    blocks: list[dict[str, int]] = field(default_factory=list)
    transfers: list[dict[str, int]] = field(default_factory=list)
    descriptors: list[tuple[int, ...]] = field(default_factory=list)

    def layer(self, drain: int = 0) -> int:
        self.drains.append(drain)
        return len(self.drains) - 1

    def block(self, tensor: int, size: int = 64) -> int:
        self.blocks.append({"tensor": tensor, "bytes": size, "layer": len(self.drains) - 1, "load": NONE, "store": NONE})
        return len(self.blocks) - 1

    def tile(
        self,
        *,
        busy: int = 1,
        fill: int = 0,
        ifmap: int = NONE,
        filters: int = NONE,
        ofmap: int = NONE,
        metadata: int = NONE,
        macs: int = 0,
    ) -> int:
        self.tiles.append(
            {
                "layer": len(self.drains) - 1,
                "busy_cycles": busy,
                "fill_cycles": fill,
                "ifmap_block": ifmap,
                "filter_block": filters,
                "ofmap_block": ofmap,
                "metadata": metadata,
                "macs_done": macs,
                "macs_skipped": macs // 2,
            }
        )
        return len(self.tiles) - 1

    def transfer(
        self, tensor: int, direction: int, jobs: tuple[tuple[int, ...], ...], *, channel: int, block: int, tile: int, **waits: int
    ) -> int:
        low = len(self.descriptors)
        self.descriptors += jobs
        wanted = sum(job[1] * job[2] * job[4] for job in jobs)
        self.transfers.append(
            {
                "tensor": tensor,
                "direction": direction,
                "layer": len(self.drains) - 1,
                "channel": channel,
                "tile": tile,
                "block": block,
                "descriptor_low": low,
                "descriptor_high": len(self.descriptors),
                "wait_transfer": waits.get("wait_transfer", NONE),
                "wait_layer": waits.get("wait_layer", NONE),
                "bytes_wanted": wanted,
                "bytes_dense": wanted,
            }
        )
        return len(self.transfers) - 1

    def load(self, block: int, *jobs: tuple[int, ...], channel: int = 0, **waits: int) -> int:
        """Read into `block`, which is made large enough; the tile that needs it first is the next one added."""
        x = self.transfer(self.blocks[block]["tensor"], READ, jobs, channel=channel, block=block, tile=len(self.tiles), **waits)
        self.blocks[block]["load"] = x
        self.blocks[block]["bytes"] = max(self.blocks[block]["bytes"], self.transfers[x]["bytes_wanted"])
        return x

    def metadata(self, *jobs: tuple[int, ...], channel: int = 0, **waits: int) -> int:
        """Read metadata for the next tile."""
        return self.transfer(METADATA, READ, jobs, channel=channel, block=NONE, tile=len(self.tiles), **waits)

    def store(self, block: int, *jobs: tuple[int, ...], channel: int = 0, **waits: int) -> int:
        """Write `block` after the last tile added."""
        x = self.transfer(OFMAP, WRITE, jobs, channel=channel, block=block, tile=len(self.tiles) - 1, **waits)
        self.blocks[block]["store"] = x
        return x

    def write_metadata(self, *jobs: tuple[int, ...], channel: int = 0) -> int:
        """Write metadata after the last tile added."""
        return self.transfer(METADATA, WRITE, jobs, channel=channel, block=NONE, tile=len(self.tiles) - 1)

    def build(self) -> Schedule:
        names = {IFMAP: "ifmap_block", FILTER: "filter_block", OFMAP: "ofmap_block"}
        rows = sorted(range(len(self.blocks)), key=lambda b: (self.blocks[b]["tensor"], b))
        row_of = {b: row for row, b in enumerate(rows)} | {NONE: NONE}
        counts = {IFMAP: 0, FILTER: 0, OFMAP: 0}
        blocks = []
        for b in rows:
            tensor = self.blocks[b]["tensor"]
            users = [t for t, tile in enumerate(self.tiles) if tile[names[tensor]] == b]
            blocks.append(self.blocks[b] | {"order": counts[tensor], "first_tile": users[0], "last_tile": users[-1]})
            counts[tensor] += 1
        tiles = [tile | {name: row_of[tile[name]] for name in names.values()} for tile in self.tiles]
        transfers = [transfer | {"block": row_of[transfer["block"]]} for transfer in self.transfers]
        layers = []
        for i, drain in enumerate(self.drains):
            mine = [t for t, tile in enumerate(tiles) if tile["layer"] == i]
            low = sum(tile["layer"] < i for tile in tiles)
            macs = sum(tiles[t]["macs_done"] + tiles[t]["macs_skipped"] for t in mine)
            layers.append({"node": i, "tile_low": low, "tile_high": low + len(mine), "drain": drain, "macs": macs})
        job_names = [column.name for column in fields(Descriptors)]
        jobs = [dict(zip(job_names, job, strict=True)) for job in self.descriptors]
        return Schedule(
            scheme="sketch",
            names=tuple(f"layer{i}" for i in range(len(layers))),
            kinds=("conv",) * len(layers),
            layers=table(Layers, layers),
            tiles=table(Tiles, tiles),
            blocks=table(Blocks, blocks),
            transfers=table(Transfers, transfers),
            descriptors=table(Descriptors, jobs),
            slots=self.slots,
            fused={},
        )


def table(kind: Any, rows: list[dict[str, int]]) -> Any:
    return kind(**{column.name: np.array([row[column.name] for row in rows], np.int64) for column in fields(kind)})


def one_tile(*jobs: tuple[int, ...], busy: int = 1, stored: tuple[tuple[int, ...], ...] = ()) -> Schedule:
    """One layer of one tile that loads an ifmap block and may store an ofmap block."""
    sketch = Sketch()
    sketch.layer()
    ifmap = sketch.block(IFMAP)
    sketch.load(ifmap, *jobs)
    ofmap = sketch.block(OFMAP) if stored else NONE
    sketch.tile(busy=busy, ifmap=ifmap, ofmap=ofmap)
    if stored:
        sketch.store(ofmap, *stored)
    return sketch.build()


small = st.integers(0, 3)

buffer_ports = st.builds(
    Ports,
    banks=st.integers(1, 4),
    ports=st.integers(1, 2),
    width=st.sampled_from([1, 16]),
    split=st.booleans(),
    own_banks=st.booleans(),
    reads=st.tuples(*[st.sampled_from([0.0, 0.25, 1.0])] * 3),
    bits=st.just((8, 16, 32)),
)
"""Buffers of few narrow banks, so that the array and the DMA engine meet."""

machines = st.builds(
    Machine,
    period=st.sampled_from([1, 7, 1000, 1250]),
    read_channels=st.integers(1, 3),
    write_channels=st.integers(1, 2),
    setup_cycles=st.sampled_from([0, 1, 2, 38]),
    next_descriptor_cycles=small,
    outstanding_descriptors=st.sampled_from([1, 2, 4]),
    outstanding_requests=st.sampled_from([1, 2, 8, 32]),
    access=st.sampled_from([1, 32]),
    read_burst=st.sampled_from([32, 64, 96, 256]),
    write_burst=st.sampled_from([32, 64, 256]),
    boundary=st.sampled_from([64, 128, 4096]),
    up_rate=st.sampled_from([10**12, 10**9, 16 * 10**9, 7_880_000_001]),
    down_rate=st.sampled_from([10**12, 10**9, 16 * 10**9, 7_880_000_001]),
    payload=st.sampled_from([16, 64, 256]),
    completion=st.sampled_from([0, 16, 64]),
    read_overhead=st.sampled_from([0, 20]),
    write_overhead=st.sampled_from([0, 24]),
    request_overhead=st.sampled_from([0, 24]),
    latency_up=st.sampled_from([0, 1, 999, 40_000]),
    latency_down=st.sampled_from([0, 1000, 1250, 30_001]),
    outstanding_reads=st.integers(0, 4),
    dram_rate=st.sampled_from([10**12, 10**9, 25_600_000_000, 333_333_333]),
    dram_latency=st.sampled_from([0, 1000, 50_000, 200_000]),
    ports=st.none() | buffer_ports,
)
"""Machines of both kinds of link: a bus has no overheads, PCIe has all of them."""


TIMING = {
    "nCL": 5, "nCWL": 4, "nRCD": 5, "nRP": 5, "nRAS": 12, "nCCD_S": 4, "nCCD_L": 6, "nRRD_S": 3, "nRRD_L": 4, "nFAW": 16, "nRTP": 3,
    "nWR": 6, "nWTR_S": 2, "nWTR_L": 4, "nRFC": 40,
}  # fmt: skip


def technology(
    *,
    channels: int = 1,
    groups: int = 2,
    banks: int = 2,
    columns: int = 4,
    layout: int = 0,
    clock: int = 833,
    refresh: int = 500,
    controller: dict[str, Any] | None = None,
    **more: Any,
) -> Memory:
    """A tiny DRAM of 32-byte bursts with short timings; `layout`: which of some address maps."""
    bits = {"ch": channels.bit_length() - 1, "bg": groups.bit_length() - 1, "ba": banks.bit_length() - 1, "col": columns.bit_length() - 1}
    orders = (("bg", "col", "ba", "ch"), ("ch", "col", "bg", "ba"), ("col", "ch", "ba", "bg"))
    return Memory(
        name="tiny",
        source="made up",
        tCK=clock,
        burst=32,
        burst_clocks=4,
        channels=channels,
        bank_groups=groups,
        banks=banks,
        row=32 * columns,
        rows=1024,
        mapping=" ".join([f"{name}{bits[name]}" for name in orders[layout] if bits[name]] + ["row"]),
        timing=Timing(**TIMING, nREFI=refresh),
        controller=Controller(**controller or {}),
        **more,
    )


controllers = st.fixed_dictionaries(
    {
        "preset": st.sampled_from(["dramsim3", "ramulator"]),
        "read_queue": st.sampled_from([1, 4, 32]),
        "write_queue": st.sampled_from([2, 4, 32]),
        "bank_queue": st.sampled_from([1, 8]),
    }
)
technologies = st.builds(
    technology,
    channels=st.sampled_from([1, 2, 4]),
    groups=st.sampled_from([1, 2]),
    banks=st.sampled_from([1, 2, 4]),
    columns=st.sampled_from([2, 4, 32]),
    layout=st.integers(0, 2),
    clock=st.sampled_from([1, 833, 1000, 1250]),
    refresh=st.sampled_from([200, 9360]),
    controller=controllers,
    page_policy=st.sampled_from(["open", "closed"]),
    dual_command=st.booleans(),
)


def banked(kit: Machine, memory: Memory, mode: Literal["full", "fast"] = "full", latency: int = 0) -> Machine:
    """The machine with a DRAM of banks."""
    dram = BankedDram(kind="banked", technology=memory, mode=mode, controller_latency=latency)
    return replace(kit, banks=resolve(dram, kit.requests_in_flight * (max(kit.read_burst, kit.write_burst) // memory.burst)))


banked_machines = st.builds(
    banked, machines.map(lambda kit: replace(kit, access=32)), technologies, st.sampled_from(["full", "fast"]), st.sampled_from([0, 30_000])
)

jobs = st.builds(
    strided,
    address=st.one_of(st.integers(0, 300), st.integers(0, 20).map(lambda n: n * 64)),
    row_bytes=st.one_of(st.integers(1, 200), st.sampled_from([32, 64])),
    rows=st.integers(1, 3),
    row_pitch=st.sampled_from([0, 32, 64, 200, 4096]),
    planes=st.integers(1, 3),
    plane_pitch=st.sampled_from([0, 64, 96, 192, 5000]),
)


@st.composite
def schedules(draw: st.DrawFn, kit: Machine, *, wild: bool = False) -> Schedule:
    """Schedules that can proceed, of up to three layers of up to four tiles; `wild` ones may wait for what never comes."""
    sketch = Sketch(slots=draw(st.tuples(*[st.integers(1, 3)] * 3)))
    read_channel, write_channel = st.integers(0, kit.read_channels - 1), st.integers(0, kit.write_channels - 1)
    job_lists = st.lists(jobs, max_size=4)
    often = st.integers(0, 3).map(bool)
    spilled = NONE

    def waits() -> dict[str, int]:
        chosen = {}
        if wild:
            top = len(sketch.transfers) + 2
            chosen = {"wait_transfer": draw(st.integers(NONE, top)), "wait_layer": draw(st.integers(NONE, len(sketch.drains) - 1))}
        else:
            if sketch.transfers and draw(st.booleans()):
                chosen["wait_transfer"] = draw(st.integers(0, len(sketch.transfers) - 1))
            if len(sketch.drains) > 1 and draw(st.booleans()):
                chosen["wait_layer"] = draw(st.integers(0, len(sketch.drains) - 2))
        return chosen

    for _ in range(draw(st.integers(1, 3))):
        sketch.layer(draw(st.integers(0, 1)))
        held = {IFMAP: NONE, FILTER: NONE, OFMAP: NONE}
        for _ in range(draw(st.integers(0, 4))):
            metadata = sketch.metadata(*draw(job_lists), channel=draw(read_channel), **waits()) if draw(st.booleans()) else NONE
            for tensor in (IFMAP, FILTER, OFMAP):
                if held[tensor] != NONE and draw(st.booleans()):
                    continue
                held[tensor] = NONE
                if not draw(often):
                    continue
                held[tensor] = sketch.block(tensor, draw(st.integers(0, 1000)))
                if tensor == OFMAP:
                    if spilled != NONE and draw(st.booleans()):
                        sketch.load(held[tensor], *draw(job_lists), channel=draw(read_channel), wait_transfer=spilled)
                elif draw(often):
                    sketch.load(held[tensor], *draw(job_lists), channel=draw(read_channel), **waits())
            sketch.tile(
                busy=draw(small),
                fill=draw(small),
                ifmap=held[IFMAP],
                filters=held[FILTER],
                ofmap=held[OFMAP],
                metadata=metadata,
                macs=draw(small),
            )
            if held[OFMAP] != NONE and draw(st.booleans()):
                spilled = sketch.store(held[OFMAP], *draw(job_lists), channel=draw(write_channel))
                held[OFMAP] = NONE
            elif draw(st.booleans()):
                sketch.write_metadata(*draw(job_lists), channel=draw(write_channel))
    count = len(sketch.transfers)
    for transfer in sketch.transfers:
        transfer["wait_transfer"] = min(transfer["wait_transfer"], count - 1)
    return sketch.build()


@st.composite
def runs(draw: st.DrawFn, *, wild: bool = False, of: st.SearchStrategy[Machine] = machines) -> tuple[Schedule, Machine]:
    """A machine and a schedule that fits its channels."""
    kit = draw(of)
    schedule = draw(schedules(kit, wild=wild))
    if draw(st.booleans()):
        count = schedule.transfers.tile.size
        cycles, latency = (draw(st.lists(st.sampled_from(some), min_size=count, max_size=count)) for some in ([0, 3, 100], [0, 5]))
        schedule = replace(schedule, codecs=Codecs(np.array(cycles, np.int64), np.array(latency, np.int64)))
    return schedule, kit
