"""A DRAM technology: sizes, timings, address map and controller, as YAML gives them, resolved to clocks of the DRAM.

A timing is written as time, `tRCD_ns`, or as clocks, `nRCD`; never both. Time becomes clocks by JEDEC's rule: rounded up, but for the
last 2.6 % of a clock, which the standards leave to rounded data sheets; the refresh interval is rounded down, for it is an upper bound.
"""

# ruff: noqa: N815 -- timings and units keep the case that JEDEC and physics give them

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from accelsim import configfile
from accelsim.errors import RefusalError, choices, refuse
from accelsim.hardware.part import Count, Part
from accelsim.units import Bytes, Picoseconds, format_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Int = NDArray[np.int64]

Clocks = Annotated[int, Field(ge=0, le=2**20)]
Nanoseconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Picojoules = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
MAX_BANKS = 64
"""Banks of a channel that the kernels hold."""
NO_CAP = 2**40
GUARD = 0.974
"""JEDEC's rounding (DDR4: JESD79-4 section 'rounding algorithms'): clocks = floor(time / tCK + 0.974)."""
MANDATORY = ("CL", "CWL", "RCD", "RP", "RAS", "CCD_S", "RRD_S", "FAW", "RTP", "WR", "WTR_S", "REFI", "RFC")
LATER = {"RCDWR": "RCD", "CCD_L": "CCD_S", "RRD_L": "RRD_S", "WTR_L": "WTR_S"}
"""What a timing is where it is not written."""


class Timing(Part):
    """JEDEC timings, each in clocks (`n`) or nanoseconds (`t..._ns`). `_L`: within a bank group, `_S`: across; `_L` is `_S` if absent."""

    nCL: Clocks | None = None
    """Read command to first data, with everything that always lies between (LPDDR: RL + tDQSCK)."""
    tCL_ns: Nanoseconds | None = None
    nCWL: Clocks | None = None
    """Write command to first data."""
    tCWL_ns: Nanoseconds | None = None
    nRCD: Clocks | None = None
    """Activate to read (and to write, where `RCDWR` is absent)."""
    tRCD_ns: Nanoseconds | None = None
    nRCDWR: Clocks | None = None
    """Activate to write."""
    tRCDWR_ns: Nanoseconds | None = None
    nRP: Clocks | None = None
    """Precharge to activate."""
    tRP_ns: Nanoseconds | None = None
    nRAS: Clocks | None = None
    """Activate to precharge."""
    tRAS_ns: Nanoseconds | None = None
    nRC: Clocks | None = None
    """Activate to activate of one bank; RAS + RP if absent."""
    tRC_ns: Nanoseconds | None = None
    nCCD_S: Clocks | None = None
    """Column command to column command."""
    tCCD_S_ns: Nanoseconds | None = None
    nCCD_L: Clocks | None = None
    tCCD_L_ns: Nanoseconds | None = None
    nRRD_S: Clocks | None = None
    """Activate to activate of another bank."""
    tRRD_S_ns: Nanoseconds | None = None
    nRRD_L: Clocks | None = None
    tRRD_L_ns: Nanoseconds | None = None
    nFAW: Clocks | None = None
    """Window in which at most four activates lie."""
    tFAW_ns: Nanoseconds | None = None
    nRTP: Clocks | None = None
    """Read to precharge."""
    tRTP_ns: Nanoseconds | None = None
    nWR: Clocks | None = None
    """End of write data to precharge."""
    tWR_ns: Nanoseconds | None = None
    nWTR_S: Clocks | None = None
    """End of write data to read."""
    tWTR_S_ns: Nanoseconds | None = None
    nWTR_L: Clocks | None = None
    tWTR_L_ns: Nanoseconds | None = None
    nRTRS: Clocks = 1
    """Clocks that the data bus rests between a read and a write."""
    nPPD: Clocks = 0
    """Precharge to precharge (LPDDR, GDDR)."""
    nREFI: Clocks | None = None
    """Mean interval between refreshes of all banks."""
    tREFI_ns: Nanoseconds | None = None
    nRFC: Clocks | None = None
    """Refresh to activate."""
    tRFC_ns: Nanoseconds | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Timing:
        faults = []
        for name in (*MANDATORY, *LATER, "RC"):
            clocks, time = getattr(self, f"n{name}"), getattr(self, f"t{name}_ns")
            if clocks is not None and time is not None:
                faults.append(RefusalError(f"n{name} and t{name}_ns are both given", "keep one", at=[f"t{name}_ns"]))
            if clocks is None and time is None and name in MANDATORY:
                faults.append(RefusalError(f"n{name} is missing", f"write n{name} in clocks or t{name}_ns in nanoseconds"))
        refuse(faults)
        return self

    def clocks(self, period: int) -> dict[str, int]:
        """Every timing in clocks, by its name without `n`. Units: `period` picoseconds."""
        found: dict[str, int] = {"RTRS": self.nRTRS, "PPD": self.nPPD}
        for name in (*MANDATORY, *LATER, "RC"):
            time = getattr(self, f"t{name}_ns")
            if time is None:
                found[name] = getattr(self, f"n{name}")
            else:
                found[name] = math.floor(time * 1000 / period + (GUARD if name != "REFI" else 0))
        for name, instead in LATER.items():
            if found[name] is None:
                found[name] = found[instead]
        if found["RC"] is None:
            found["RC"] = found["RAS"] + found["RP"]
        return found


class Controller(Part):
    """Who orders the commands; keys left out are those of the preset.

    `dramsim3`: reads and writes wait in two queues and move, one a clock, to a short queue per bank, where they mix; writes in batches.
    `ramulator`: all requests are seen at once; only reads or only writes are served, between two watermarks.
    """

    preset: Literal["dramsim3", "ramulator"] = "dramsim3"
    """Whose way of working; both serve row hits first, then the oldest."""
    read_queue: Count = 32
    """Reads that wait."""
    write_queue: Count = 32
    """Posted writes that wait."""
    bank_queue: Count = 8
    """`dramsim3`: requests in the queue of a bank."""
    high: Count | None = None
    """Waiting writes at which writing begins: the whole queue (`dramsim3`), 26 (`ramulator`)."""
    low: Clocks | None = None
    """`dramsim3`: an idle controller writes if more than these wait, 8; `ramulator`: waiting writes at which reading goes on, 6."""
    hit_cap: Count | None = None
    """Column accesses after which a row may be closed although hits wait: 4 (`dramsim3`), none (`ramulator`)."""

    @model_validator(mode="after")
    def _watermarks(self) -> Controller:
        if self.high is not None and self.high > self.write_queue:
            fix = f"allowed: up to write_queue, {self.write_queue}"
            raise RefusalError(f"high {self.high} is more than the write queue holds", fix, at=["high", "write_queue"])
        return self


class Energy(Part):
    """Energy of one command over the whole channel, without the bus, unless the source says otherwise; what is absent counts as none."""

    activate_pJ: Picojoules = 0.0
    """Activate and precharge."""
    read_pJ: Picojoules = 0.0
    """One read burst."""
    write_pJ: Picojoules = 0.0
    """One write burst."""
    refresh_pJ: Picojoules = 0.0
    """One refresh of all banks."""
    background_mW: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Power that is drawn all the time."""
    source: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    """Where these numbers come from; that of the technology if absent."""


class Memory(Part):
    """One DRAM technology, and how it is used."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What reports call it."""
    source: Annotated[str, Field(min_length=1, max_length=400)]
    """Where the numbers come from."""
    tCK: Picoseconds
    """Clock period of commands."""
    burst: Bytes
    """What one column command moves over the whole channel."""
    burst_clocks: Count
    """How long it takes the data bus."""
    channels: Count = 1
    """Independent channels."""
    ranks: Literal[1] = 1
    """Ranks of a channel."""
    bank_groups: Count = 1
    """Bank groups; 1 where the technology has none."""
    banks: Count
    """Banks of a group."""
    row: Bytes
    """What one row of a bank holds, over the whole channel."""
    rows: Count
    """Rows of a bank."""
    mapping: str
    """Fields of the burst's number, lowest bits first, with their bits: `bg2 col7 ba2 row`; also `ch`. A field may stand twice."""
    page_policy: Literal["open", "closed"] = "open"
    """`open`: a row stays open until another is needed; `closed`: until nothing waits for it."""
    dual_command: bool = False
    """One row and one column command in the same clock (HBM)."""
    timing: Timing
    """JEDEC timings."""
    controller: Controller = Controller()
    """Who orders the commands."""
    energy: Energy | None = None
    """Energy of commands."""

    @model_validator(mode="after")
    def _buildable(self) -> Memory:
        faults = []
        sizes = {"channels": self.channels, "bank_groups": self.bank_groups, "banks": self.banks, "burst": self.burst, "row": self.row}
        for name, size in sizes.items():
            if size & (size - 1):
                faults.append(RefusalError(f"{name} {size} is not a power of two", "allowed: 1, 2, 4, 8, ...", at=[name]))
        if not self.tCK:
            faults.append(RefusalError("tCK is zero", "write the clock period, for example 0.833 ns", at=["tCK"]))
        if self.bank_groups * self.banks > MAX_BANKS:
            fault = f"{self.bank_groups} bank groups of {self.banks} banks are {self.bank_groups * self.banks} banks"
            faults.append(RefusalError(fault, f"allowed: up to {MAX_BANKS} a channel", at=["banks", "bank_groups"]))
        if self.row < self.burst:
            fault = f"row {format_bytes(self.row)} is smaller than burst {format_bytes(self.burst)}"
            faults.append(RefusalError(fault, "a row holds one burst or more", at=["row", "burst"]))
        refuse(faults)
        self._check_mapping()
        interval, refresh, needed = self.resolved["REFI"], self.resolved["RFC"], self._round()
        if interval <= refresh + needed:
            fault = f"a refresh of {refresh} clocks every {interval} clocks leaves the banks no time to work"
            fix = f"check REFI and RFC; allowed: REFI more than RFC + {needed}, in which rows are opened, used and closed"
            raise RefusalError(fault, fix, at=["timing"])
        return self

    def _check_mapping(self) -> None:
        needed = {"bg": self.bank_groups, "ba": self.banks, "col": self.row // self.burst, "ch": self.channels}
        bits = dict.fromkeys(needed, 0)
        fields = self.mapping.split()
        if not fields or fields[-1] != "row":
            raise RefusalError(f"mapping {self.mapping!r} does not end with 'row'", "for example 'bg2 col7 ba2 row'", at=["mapping"])
        for field in fields[:-1]:
            kind = field.rstrip("0123456789")
            if kind not in needed or not field[len(kind) :]:
                fix = choices([*needed, "row"], kind) + "; with a number of bits, as in 'col7'"
                raise RefusalError(f"mapping field {field!r} is unknown", fix, at=["mapping"])
            bits[kind] += int(field[len(kind) :])
        wrong = [f"{name}{size.bit_length() - 1}" for name, size in needed.items() if bits[name] != size.bit_length() - 1]
        if wrong:
            raise RefusalError(f"mapping {self.mapping!r} has not the bits of this machine", f"needed: {', '.join(wrong)}", at=["mapping"])

    @property
    def resolved(self) -> dict[str, int]:
        """Timings in clocks, by JEDEC's names without `n`."""
        return self.timing.clocks(self.tCK)

    def _round(self) -> int:
        """Clocks in which a row can be opened and used, and all banks closed, between two refreshes, whatever was done before."""
        clocks = self.resolved
        use = max(clocks["RCD"], clocks["RCDWR"]) + max(clocks["CL"], clocks["CWL"]) + self.burst_clocks
        used = max(clocks["RC"], use + max(clocks["RTP"], clocks["WR"], clocks["WTR_S"], clocks["WTR_L"]) + clocks["RP"])
        return 2 * used + self.bank_groups * self.banks * max(1, clocks["PPD"])

    @property
    def capacity(self) -> int:
        """Bytes of all channels."""
        return self.channels * self.bank_groups * self.banks * self.rows * self.row

    @property
    def peak_rate(self) -> float:
        """Bytes per second of the data buses of all channels."""
        return self.channels * self.burst * 10**12 / (self.burst_clocks * self.tCK)

    @property
    def refresh_ceiling(self) -> float:
        """Part of the time in which no refresh runs: the best utilisation of a long stream."""
        return 1 - self.resolved["RFC"] / self.resolved["REFI"]

    def read_latency(self, row: Literal["hit", "closed", "conflict"]) -> int:
        """Clocks from the first command of an unloaded read to the end of its data."""
        clocks = self.resolved
        before = {"hit": 0, "closed": clocks["RCD"], "conflict": clocks["RP"] + clocks["RCD"]}
        return before[row] + clocks["CL"] + self.burst_clocks

    def parameters(self) -> dict[str, int]:
        """What the kernels take, by their names: counts and clocks from command to command."""
        clocks, burst, control = self.resolved, self.burst_clocks, self.controller
        staged = control.preset == "dramsim3"
        write_end = clocks["CWL"] + burst
        # Ramulator leaves one clock more between a read and a write.
        turnaround = clocks["CL"] + burst - clocks["CWL"] + clocks["RTRS"] + (0 if staged else 1)
        return {
            "banks": self.bank_groups * self.banks,
            "banks_per_group": self.banks,
            "bank_queue": control.bank_queue if staged else 0,
            "read_queue": control.read_queue,
            "write_queue": control.write_queue,
            "high": control.high or (control.write_queue if staged else -(-control.write_queue * 4 // 5)),
            "low": control.low if control.low is not None else min(8, control.write_queue - 1) if staged else control.write_queue // 5,
            "hit_cap": control.hit_cap or (4 if staged else NO_CAP),
            "controller": 0 if staged else 1,
            "arrival_to_command": 2 if staged else 1,
            "dual_command": int(self.dual_command),
            "closed_page": int(self.page_policy == "closed"),
            "burst": burst,
            "read_latency": clocks["CL"],
            "write_latency": clocks["CWL"],
            "activate_to_read": clocks["RCD"],
            "activate_to_write": clocks["RCDWR"],
            "activate_to_precharge": clocks["RAS"],
            "activate_to_activate": clocks["RC"],
            "precharge_to_activate": clocks["RP"],
            "precharge_to_precharge": clocks["PPD"],
            "read_to_precharge": clocks["RTP"],
            "write_to_precharge": write_end + clocks["WR"],
            "column_short": max(clocks["CCD_S"], burst),
            "column_long": max(clocks["CCD_L"], burst),
            "activate_short": clocks["RRD_S"],
            "activate_long": clocks["RRD_L"],
            "four_activates": clocks["FAW"],
            "read_to_write": max(turnaround, 1),
            "write_to_read_short": write_end + clocks["WTR_S"],
            "write_to_read_long": write_end + clocks["WTR_L"],
            "refresh_interval": clocks["REFI"],
            "refresh_time": clocks["RFC"],
            "row_shift": self.pieces()["row"][0][0],
        }

    def pieces(self) -> dict[str, tuple[tuple[int, int, int], ...]]:
        """Where `bank`, `channel` and `row` stand in a burst's number (address // burst): (shift, mask, place in the result)."""
        found: dict[str, list[tuple[int, int, int]]] = {"bank": [], "channel": [], "row": []}
        places = {"ba": 0, "bg": self.banks.bit_length() - 1, "ch": 0, "col": 0}
        shift = 0
        for field in self.mapping.split()[:-1]:
            kind = field.rstrip("0123456789")
            bits = int(field[len(kind) :])
            if bits and kind != "col":
                found["channel" if kind == "ch" else "bank"].append((shift, (1 << bits) - 1, places[kind]))
            places[kind] += bits
            shift += bits
        found["row"].append((shift, -1, 0))
        return {name: tuple(pieces) for name, pieces in found.items()}

    @property
    def alone(self) -> Memory:
        """One of its channels by itself: the address map without the bits of the channel."""
        kept = [field for field in self.mapping.split() if not field.startswith("ch")]
        return self.model_copy(update={"channels": 1, "mapping": " ".join(kept)})


@dataclass(frozen=True, slots=True)
class Counts:
    """What a channel has done. Hits, misses and conflicts are of column accesses: row open, bank closed, another row open."""

    reads: int
    writes: int
    activates: int
    refreshes: int
    hits: int
    misses: int
    conflicts: int

    @property
    def row_hit_rate(self) -> float:
        """Part of the accesses that found their row open; 0 if there was none."""
        return self.hits / max(1, self.reads + self.writes)


def packed(memory: Memory, names: Sequence[str]) -> tuple[Int, Int]:
    """Parameters by the names of a kernel and pieces of the bank number, as arrays: what its `new_state` takes."""
    import numpy as np

    values: Mapping[str, int] = memory.parameters()
    pieces = np.array(memory.pieces()["bank"], np.int64).reshape(-1, 3)
    return np.array([values[name] for name in names], np.int64), pieces


def load_memory(path: str | Path, overrides: Sequence[str] = ()) -> Memory:
    """Read a technology file. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault of the file."""
    return configfile.load(path, Memory, "memory", overrides)
