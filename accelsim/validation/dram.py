"""Our DRAM channel against tables of other simulators: each row's stream is made again, driven through the model, and judged.

Source:  golden/dram/README.md: format, driver, and how to judge. A row is only told, not judged, where a small change of the window moves
         the reference itself by more than 5 %, or where the two references differ by more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from accelsim.errors import ModelError
from accelsim.hardware.energy import DramEnergy, stated
from accelsim.hardware.memory import Counts, Memory, packed
from accelsim.kernels.dram import driver, inorder, state
from accelsim.validation import streams
from accelsim.validation.result import Compared, Comparison, difference, judged
from accelsim.validation.tables import Cell, Column, Line, count, magnitude, read_table, text

CLOSE = 0.05
"""Relative difference of utilisation and cycles."""
CLOSE_MEAN = 0.02
"""Mean of a family."""
LATENCY = 0.10
"""Relative difference of the mean read latency, up to `LATENCY_READS` reads in flight; beyond, reads wait outside what is measured."""
LATENCY_READS = 32
BAND = 0.10
"""Around both references, for patterns that depend on when writes are drained."""
ALONE = 0.15
"""The same where there is one reference."""
MIXED, TILES = ("rw", "mix3"), "tile"
MEAN_LIMITS = MappingProxyType(dict.fromkeys(("seq", "holes", "holes_ser", "rand", "rate"), CLOSE_MEAN))
FAMILIES = MappingProxyType({"seq_r": "seq", "seq_w": "seq", "rate_seq": "rate", "rate_rand": "rate"})

ENERGY = ("pJ_per_B_act", "pJ_per_B_rdwr", "pJ_per_B_ref", "pJ_per_B_bg")
"""Activates, reads and writes, refreshes, and what is drawn all the time; of each byte that was asked for."""
COLUMNS: Mapping[str, Column] = {
    "idx": Column(text),
    "pattern": Column(text, required=True),
    "params": Column(text, optional_cells=True),
    "ot": Column(count, required=True),
    "gap": Column(count),
    "n": Column(count),
    "crc32": Column(text, optional_cells=True),
    "cycles": Column(count, optional_cells=True),
    "served": Column(count, optional_cells=True),
    "bus_util": Column(magnitude, required=True),
    **dict.fromkeys(("util_lo", "util_hi", "lat_mean", "acts", "refs", *ENERGY), Column(magnitude, optional_cells=True)),
}
PERCENT = 2
"""A utilisation from here on is no wrong part of the clocks, but one in percent."""
MODES = ("full", "fast")
"""The controller that reorders, and the in-order recurrence."""
WORDS = 32768
"""Words of a stream, where the table has no column `n`."""

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Run:
    """What a channel did with a stream. Units: DRAM clocks; `utilisation`: part of the clocks in which data was on the bus."""

    cycles: int
    utilisation: float
    mean_latency: float
    counts: Counts


def drive(memory: Memory, words: streams.Words, outstanding: int, gap: int = 1, setup: int = 0, mode: str = "full") -> Run:
    """Drive one channel with a stream, by the rules of the reference driver.

    `outstanding`: reads in flight. Units: `gap` clocks between requests at least; `setup` clocks after the last read before a barrier.
    `mode`: `full`, or `fast` for the in-order recurrence.
    """
    layout, stream = (inorder, inorder.stream) if mode == "fast" else (state, driver.stream)
    channel = layout.new_state(*packed(memory, layout.PARAMETERS))
    address = (words & ~(streams.WRITE | streams.BARRIER)).astype(np.int64)
    writes, barriers = (words & streams.WRITE) != 0, (words & streams.BARRIER) != 0
    latency = np.zeros(words.size, np.int64)
    kinds = writes * layout.WRITE + barriers * layout.BARRIER
    cycles = stream(channel, address // memory.burst, kinds.astype(np.int64), outstanding, gap, setup, latency)
    names = ("READS", "WRITES", "ACTIVATES", "REFRESHES", "HITS", "MISSES", "CONFLICTS")
    counts = Counts(*(int(channel[getattr(layout, name)]) for name in names))
    busy = (counts.reads + counts.writes) * memory.burst_clocks / cycles
    return Run(cycles, busy, float(latency[~writes].mean()) if not writes.all() else 0.0, counts)


def validate(memory: Memory, table: Path, *, second: Path | None = None, mode: str = "full", progress: Progress = silent) -> Comparison:
    """Run every row of a table on one channel of this technology.

    `second`: the same rows by another simulator, for the band of the mixed patterns.
    Raises:  `ModelError` for a table that cannot be read, or whose streams cannot be made
    """
    lines = read_table(table, COLUMNS)
    others = _second(second) if second else {}
    memory = memory.alone
    rows = []
    for done, line in enumerate(lines):
        progress(f"{memory.name}: {line.cells['pattern']}", done, len(lines))
        rows.append(_row(memory, table, line, others.get(_key(line)), mode))
    progress(memory.name, len(lines), len(lines))
    if others and all(_key(line) not in others for line in lines):
        raise ModelError(f"{second}: has no row of {table}; the same pattern, params, ot and gap are needed")
    return Comparison(tuple(rows), MEAN_LIMITS)


def _key(line: Line) -> tuple[object, ...]:
    return tuple(line.cells.get(name) for name in ("pattern", "params", "ot", "gap"))


def _second(path: Path) -> dict[tuple[object, ...], float]:
    return {_key(line): float(line.cells["bus_util"]) for line in read_table(path, COLUMNS)}


def _row(memory: Memory, table: Path, line: Line, other: float | None, mode: str) -> Compared:
    cells = line.cells
    pattern, written = str(cells["pattern"]), str(cells.get("params", ""))
    outstanding = int(cells["ot"])
    try:
        params = streams.parse(written)
        words = streams.make(pattern, params, int(cells.get("n", WORDS)))
        if outstanding < 1:
            raise ValueError("ot is 0; one read or more must be in flight")
        for name, clocks in (("gap", cells.get("gap", 1)), ("setup", params.get("setup", 0))):
            if not 0 <= float(clocks) <= streams.MAX_CLOCKS or float(clocks) % 1:
                raise ValueError(f"{name} is {clocks:g}; allowed: whole numbers from 0 to {streams.MAX_CLOCKS:,} clocks")
        if not 0 < float(cells["bus_util"]) < PERCENT:
            raise ValueError(f"bus_util is {cells['bus_util']:g}; it is a part of all clocks, above 0, as 0.95, not in percent")
        if cells.get("cycles") == 0:
            raise ValueError("cycles is 0; leave the cell empty where it is not known")
        if "crc32" in cells and streams.checksum(words) != str(cells["crc32"]).lower():
            raise ValueError(
                f"crc32 {cells['crc32']} belongs to another stream; {pattern!r} with these parameters has {streams.checksum(words)}"
            )
    except ValueError as fault:
        raise ModelError(f"{table}:{line.number}: {fault}") from None
    run = drive(memory, words, outstanding, int(cells.get("gap", 1)), int(params.get("setup", 0)), mode)
    reference = float(cells["bus_util"])
    details = _details(cells, run, memory)
    low, high = (float(cells.get(name, reference)) for name in ("util_lo", "util_hi"))
    name = "  ".join(filter(None, [str(cells.get("idx", "")), pattern, written.partition(";useful")[0], f"ot {outstanding}"]))
    family = FAMILIES.get(pattern, pattern)
    if pattern == TILES:
        unsettled = high > (1 + CLOSE) * low or (other is not None and abs(difference(other, reference)) > CLOSE)
        if unsettled:
            return Compared(name, family, "bus_util", run.utilisation, reference, "told", ("knife-edge",), details)
    faults = _faults(pattern, run, cells, (low, high), other)
    return Compared(name, family, "bus_util", run.utilisation, reference, judged(faults), tuple(faults), details)


def _details(cells: Mapping[str, Cell], run: Run, memory: Memory) -> Mapping[str, tuple[float, float]]:
    ours = {
        "cycles": ("cycles", run.cycles),
        "latency": ("lat_mean", run.mean_latency),
        "activates": ("acts", run.counts.activates),
        "refreshes": ("refs", run.counts.refreshes),
    }
    details = {name: (model, float(cells[column])) for name, (column, model) in ours.items() if column in cells}
    price = stated(memory)
    if price is not None and all(column in cells for column in ENERGY):
        details["pJ a byte"] = _energy(run, memory, price), sum(float(cells[column]) for column in ENERGY)
    return details


def _energy(run: Run, memory: Memory, price: DramEnergy) -> float:
    """What a run takes at the prices that reports take. Units: pJ a byte that was read or written."""
    read, written = run.counts.reads * memory.burst, run.counts.writes * memory.burst
    standing = price.background * run.cycles * memory.tCK  # microwatts and picoseconds: aJ, as all prices
    return (read * price.read + written * price.write + run.counts.activates * price.activate + standing) / (read + written) / 10**6


def _faults(pattern: str, run: Run, cells: Mapping[str, Cell], window: tuple[float, float], other: float | None) -> list[str]:
    reference, faults = float(cells["bus_util"]), []
    near = other if other is not None else reference
    if pattern in MIXED:
        width = BAND if other is not None else ALONE
        low, high = (1 - width) * min(reference, near), (1 + width) * max(reference, near)
    else:
        low, high = (1 - CLOSE) * reference, (1 + CLOSE) * reference
        if pattern == "holes":
            # where the scheduling window decides, any utilisation within its band will do
            low, high = min(low, (1 - CLOSE) * window[0]), max(high, (1 + CLOSE) * window[1])
    if not low <= run.utilisation <= high:
        faults.append(f"bus_util: allowed {low:.4f} to {high:.4f}")
    if pattern not in (*MIXED, TILES):
        cycles, latency = int(cells.get("cycles", 0)), float(cells.get("lat_mean", 0))
        allowed = max(CLOSE, high / reference - 1, 1 - low / reference)
        if cycles and abs(difference(run.cycles, cycles)) > allowed:
            faults.append(f"cycles: differ by more than {100 * allowed:.3g} %")
        if latency and int(cells["ot"]) <= LATENCY_READS and abs(difference(run.mean_latency, latency)) > LATENCY:
            faults.append(f"mean latency: differs by more than {100 * LATENCY:g} %")
    return faults
