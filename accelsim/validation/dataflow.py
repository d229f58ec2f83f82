"""Our systolic dataflows against cycles that SCALE-Sim gives for whole layers: every row must be exact.

Source:  golden/dataflow/README.md. The tool prints the index of its last cycle, one less than their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from accelsim import dataflows
from accelsim.dataflows.base import TileWork
from accelsim.errors import ModelError
from accelsim.hardware import PeArray
from accelsim.validation.result import Compared, Comparison, judged
from accelsim.validation.tables import Column, Line, count, read_table, text

SYSTOLIC = ("os", "ws", "is")
_SIZES = ("ifm_h", "ifm_w", "flt_h", "flt_w", "ch", "filters", "stride", "array_h", "array_w")
COLUMNS: Mapping[str, Column] = {
    "net": Column(text),
    "layer": Column(text),
    **dict.fromkeys(_SIZES, Column(count, required=True)),
    "dataflow": Column(text, required=True),
    "total_cycles": Column(count, required=True),
}


def validate(table: Path) -> Comparison:
    """Compare every row of a table. Raises `ModelError` for a table that cannot be read or a layer that cannot be."""
    return Comparison(tuple(_row(table, line) for line in read_table(table, COLUMNS)))


def _row(table: Path, line: Line) -> Compared:
    cells = line.cells
    high, wide, taps_down, taps_across, channels, filters, stride, rows, cols = (int(cells[name]) for name in _SIZES)
    name = str(cells["dataflow"])
    zero = [size for size in _SIZES if not cells[size]]
    if zero:
        raise ModelError(f"{table}:{line.number}: column {line.places[zero[0]]} ({zero[0]}): 0; sizes are 1 or more")
    if taps_down > high or taps_across > wide:
        raise ModelError(f"{table}:{line.number}: a filter of {taps_down} x {taps_across} is larger than its ifmap, {high} x {wide}")
    if name not in SYSTOLIC:
        raise ModelError(f"{table}:{line.number}: column {line.places['dataflow']} (dataflow): {name!r}; allowed: {', '.join(SYSTOLIC)}")
    height, width = -(-(high - taps_down + stride) // stride), -(-(wide - taps_across + stride) // stride)
    work = TileWork(filters, taps_down * taps_across, height, width, np.full((1, 1, 1), channels, np.int64))
    cycles = dataflows.load(name).tile_cycles(work, PeArray(rows=rows, cols=cols))
    ours, theirs = cycles.busy + cycles.fill - 1, int(cells["total_cycles"])
    faults = [f"differs by {ours - theirs:+,} cycles"] if ours != theirs else []
    title = "  ".join(filter(None, [str(cells.get("net", "")), str(cells.get("layer", "")), f"{rows} x {cols}", name]))
    return Compared(title, name, "cycles", ours, theirs, judged(faults), tuple(faults))
