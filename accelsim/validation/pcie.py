"""Our PCI Express closed forms against tables of pcie-bench's model: every rate within 0.1 %.

Two tables are read: rates by generation, lanes and payload (transfers of 4096 bytes), and rates by transfer size. Columns whose names
begin with `raw`, `tlp`, `wr`, `rd` or `duplex` are compared; the rest of a name says which accounting and which completions.
Source:  golden/pcie/README.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from accelsim.errors import ModelError
from accelsim.hardware import link
from accelsim.hardware.link import LinkTiming
from accelsim.validation.result import Compared, Comparison, difference, judged
from accelsim.validation.tables import Column, Line, count, magnitude, read_table, text

CLOSE = 1e-3
"""Relative difference of a rate."""
PRINTED = 0.5e-4
"""Half of the last printed digit, GB/s: a reference of a few MB/s says no more."""
SIZE, READ_REQUEST, BOUNDARY = 4096, 512, 64
"""What a table means that names no transfer size or read request; the read completion boundary."""

_PUB, _SYM = ("pub", "sym")
RATES = (
    "raw_GBps", "tlp_pub_GBps", "tlp_sym_GBps", "wr_pub_GBps", "wr_sym_GBps", "rd_pub_GBps", "rd_sym_GBps", "rd_pub_cplmps_GBps",
    "rd_sym_cplmps_GBps", "rd_pub_rcb64_GBps", "rd_sym_rcb64_GBps", "duplex_each_pub_GBps", "duplex_each_sym_GBps",
)  # fmt: skip
COLUMNS: Mapping[str, Column] = {
    "gen": Column(text, required=True),
    "lanes": Column(text, required=True),
    "mps": Column(count, required=True),
    "mrrs": Column(count),
    "size_B": Column(count),
    **dict.fromkeys(RATES, Column(magnitude, optional_cells=True)),
}


def validate(table: Path) -> Comparison:
    """Compare every rate of every row. Raises `ModelError` for a table that cannot be read or a link that cannot be."""
    lines = read_table(table, COLUMNS)
    if not any(name in line.cells for line in lines for name in RATES):
        raise ModelError(f"{table}:1: nothing to compare; allowed: {', '.join(RATES)}")
    return Comparison(tuple(row for line in lines for row in _rows(table, line)))


def _number(table: Path, line: Line, column: str, pattern: str, allowed: str) -> int:
    cell = str(line.cells[column])
    match = re.fullmatch(pattern, cell)
    if match is None:
        raise ModelError(f"{table}:{line.number}: column {line.places[column]} ({column}): {cell!r}; allowed: {allowed}")
    return int(match[1])


def _rows(table: Path, line: Line) -> list[Compared]:
    cells = line.cells
    generation = _number(table, line, "gen", r"(?:gen)?([1-5])", "gen1 to gen5")
    lanes = _number(table, line, "lanes", r"x?(1|2|4|8|16)", ", ".join(f"x{n}" for n in link.LANES))
    payload = int(cells["mps"])
    if payload not in link.PAYLOADS:
        allowed = ", ".join(map(str, link.PAYLOADS))
        raise ModelError(f"{table}:{line.number}: column {line.places['mps']} (mps): {payload}; allowed: {allowed}")
    size, request = int(cells.get("size_B", SIZE)), int(cells.get("mrrs", READ_REQUEST))
    if not size or not request:
        raise ModelError(f"{table}:{line.number}: a transfer of {size} bytes in read requests of {request}; 1 or more are needed")
    rows = []
    for column in RATES:
        if column in cells:
            rate = _rate(column, generation, lanes, payload, request, size) / 1e9
            reference = float(cells[column])
            far = abs(difference(rate, reference)) > CLOSE and abs(rate - reference) > PRINTED
            faults = [f"allowed {100 * CLOSE:g} %"] if far else []
            name = f"gen{generation} x{lanes}  payload {payload} B  {size} B"
            rows.append(Compared(name, column.removesuffix("_GBps"), column, rate, reference, judged(faults), tuple(faults)))
    return rows


def _rate(column: str, generation: int, lanes: int, payload: int, request: int, size: int) -> float:
    """Bytes per second of one column."""
    kind, _, rest = column.partition("_")
    if kind == "raw":
        return float(link.raw_rate(generation, lanes))
    packets = link.packet_rate(generation, lanes, payload, _SYM if _SYM in rest else _PUB)
    if kind == "tlp":
        return float(packets)
    timing = _timing(packets, payload, request, BOUNDARY if "rcb64" in rest else payload)
    if kind == "wr":
        return link.write_rate(timing, size)
    if kind == "rd":
        return link.read_rate(timing, size)
    return link.duplex_rate(timing, size)


def _timing(packets: Fraction, payload: int, request: int, completion: int) -> LinkTiming:
    rate = round(packets)
    return LinkTiming(
        rate, rate, payload, link.COMPLETION_OVERHEAD, link.WRITE_OVERHEAD, link.REQUEST_OVERHEAD, 0, 0, link.NO_LIMIT, request, completion
    )
