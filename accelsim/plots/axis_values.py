"""Values of a sweep's axis as places along a figure's axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from numpy.typing import NDArray

from accelsim.designspace.axis import number
from accelsim.designspace.sweeptable import axes as axes_of
from accelsim.errors import ConfigError
from accelsim.plots.style import CHARACTER, PREFIXES, plain, scaled

WIDE = 8
"""Numbers whose largest is this many times the smallest are drawn on a scale of powers of two."""


def axis_label(path: str) -> str:
    """What an axis is called: `accelerator.buffer.size` is 'buffer size'."""
    return plain(" ".join(path.split(".")[-2:]).replace("_", " ").removeprefix("accelerator ").removeprefix("network "))


def whose(table: pd.DataFrame) -> str:
    """The network and the image of a table's rows, for a title; of several, how many."""
    names = [(what, list(dict.fromkeys(table[what].astype(str)))) for what in ("network", "image")]
    return ", ".join(found[0] if len(found) == 1 else f"{len(found)} {what}s" for what, found in names)


def held(table: pd.DataFrame, drawn: Sequence[str]) -> str:
    """The values of the axes that are not drawn, for a title."""
    named = {*drawn, "network", "image"}  # these stand before it
    texts = [f"{axis_label(axis)} {table[axis].iloc[0]}" for axis in axes_of(table) if axis not in named]
    return f" ({', '.join(texts)})" if texts else ""


def ordered(column: pd.Series) -> list[Any]:
    """The values of a column, each once: by size where they are numbers or quantities, else in the order of the table."""
    found = list(dict.fromkeys(column))
    sizes = _sizes(found)
    return found if sizes is None else [found[index] for index in np.argsort(sizes, kind="stable")]


def places(values: Sequence[Any]) -> NDArray[np.float64]:
    """Where values stand: by size, by its logarithm where they span much, else one after the other."""
    sizes = _sizes(values)
    if sizes is None or len(values) < 2:
        return np.arange(len(values), dtype=np.float64)
    array = np.array(sizes, dtype=np.float64)
    return np.log2(array) if array.min() > 0 and array.max() >= WIDE * array.min() else array


def name_values(axis: Axis, at: Sequence[float], values: Sequence[Any], room: float) -> None:
    """Name values along an axis as they are written, all of them or every 2nd, 3rd ... Units: `room` in inches."""
    texts = [plain(f"{value:g}" if isinstance(value, float) else str(value)) for value in values]
    longest = CHARACTER * max(map(len, texts), default=0) + 0.08
    step = max(1, int(np.ceil(len(texts) * longest / room)))
    axis.set_ticks(list(at[::step]), texts[::step])
    axis.set_ticks(list(at), minor=True)


NAMES: Mapping[str, tuple[str, str, tuple[str, ...]]] = MappingProxyType(
    {
        "bytes_moved": ("bytes moved", "B", PREFIXES),
        "bytes_wanted": ("bytes wanted", "B", PREFIXES),
        "total_cycles": ("run time", "cycles", ("", "thousand ", "million ", "10⁹ ", "10¹² ")),
        "stall_cycles": ("stalled", "cycles", ("", "thousand ", "million ", "10⁹ ", "10¹² ")),
        "stall_percent": ("stalled", "% of cycles", ()),
        "bytes_saved_percent": ("bytes saved", "%", ()),
        "macs_skipped_percent": ("MACs skipped", "%", ()),
        "energy_uj": ("energy", "µJ", ()),
        "area_mm2": ("area proxy", "mm², 45 nm", ()),
        "time_us": ("run time", "µs", ()),
        "achieved_gb_per_s": ("achieved bandwidth", "GB/s", ()),
        "speed_up": ("speed-up", "", ()),
        "accuracy": ("top-1 accuracy", "%", ()),
    }
)
"""What columns are called, their units, and the prefixes that those take."""


def quantity_label(column: str) -> str:
    """What a column of numbers is called, without its unit."""
    return NAMES[column][0] if column in NAMES else plain(column.replace("_", " "))


def shown_scale(column: str, numbers: pd.Series) -> tuple[float, str]:
    """The divisor of a column's numbers for an axis, and the axis' label with the unit."""
    name, unit, prefixes = NAMES.get(column, (quantity_label(column), "", ()))
    divisor, scale = scaled(float(numbers.max()), unit, prefixes) if prefixes and numbers.notna().any() else (1.0, unit)
    return divisor, f"{name} ({scale})" if scale else name


def spans_much(numbers: pd.Series) -> bool:
    """Whether numbers need a logarithmic scale: all above zero, the largest many times the smallest; percentages never do."""
    if NAMES.get(str(numbers.name), ("", "", ()))[1].startswith("%"):
        return False
    known = numbers.dropna().astype("float64")
    return bool(len(known) and known.min() > 0 and known.max() >= WIDE * known.min())


def one_trace(table: pd.DataFrame) -> None:
    """Raise `ConfigError` for a table of several traces, or without rows."""
    axes_of(table)
    if table.empty:
        raise ConfigError("the table of the sweep has no rows, so there is nothing to draw")
    if table["job"].nunique() > 1:
        raise ConfigError(f"a figure shows one trace, the table has {table['job'].nunique()}\n    choose the rows of one job")


def _sizes(values: Sequence[Any]) -> list[int | float] | None:
    """Numbers that the values are, in base units; None where they are not all of one kind."""
    found = [number(value.item() if isinstance(value, np.generic) else value) for value in values]
    kinds = {id(one[1]) if one is not None else None for one in found}
    sizes = [one[0] for one in found if one is not None]
    return sizes if len(kinds) == 1 and len(sizes) == len(found) else None
