"""The page of a sweep: every point in one table, its curves and maps, from `sweep.csv`, `config.yaml` and the figures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from io import BytesIO
from typing import Any

import pandas as pd

from accelsim import report
from accelsim.designspace import sweeptable
from accelsim.errors import ConfigError
from accelsim.page.pieces import asked, pictures
from accelsim.page.render import Page, Section
from accelsim.page.tables import Table

SHOWN = ("bytes_moved_ratio", "total_cycles_ratio", "energy_ratio", "speed_up", "bytes_moved", "total_cycles", "stall_percent", "energy_uj")
"""Columns of the table that follow the axes; the file has all."""


def sweep_page(contents: Mapping[str, bytes]) -> Page:
    """The page of a sweep's results folder.

    Raises:  `ConfigError` where a file of it is missing or damaged
    """
    try:
        table = pd.read_csv(BytesIO(contents["sweep.csv"]), dtype={"network": str, "image": str, "error": str})
        config = contents["config.yaml"].decode()
        axes = sweeptable.axes(table)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"its tables cannot be read: {error!r}\n    make them again: accelsim sweep") from error
    failed = table[table["error"].notna()]
    columns = ["network", "image", "label", *axes, *SHOWN, "source"]
    sections = [
        Section("What was found", list(_headlines(table, axes)), [Table.of(table[columns], "every point; ratios: to the baseline scheme")]),
        Section("Figures", pictures=list(pictures(contents))),
        Section("Points that failed", tables=[Table.of(failed[["network", "image", "label", *axes, "error"]], "failed points")]),
        *asked(config, report.version()),
    ]
    if failed.empty:
        del sections[2]
    networks = ", ".join(dict.fromkeys(table["network"]))
    return Page(
        f"accelsim sweep: {networks} over {', '.join(axes) or 'schemes'}",
        f"{len(table):,} points, {len(failed):,} of them failed; schemes: {', '.join(dict.fromkeys(table['label']))}",
        sections,
    )


def _headlines(table: pd.DataFrame, axes: tuple[str, ...]) -> Iterator[str]:
    """For each trace and scheme: between which points its saving lies."""
    for (_, network, image, scheme), rows in table.groupby(["job", "network", "image", "scheme"], sort=False):
        saved = rows[rows["bytes_saved_percent"].notna()].sort_values("bytes_saved_percent", kind="stable").to_dict("records")
        if saved and any(row["bytes_saved_percent"] for row in saved):
            low, high = (f"{row['bytes_saved_percent']:.2f} % ({_where(row, axes)})" for row in (saved[0], saved[-1]))
            yield f"{network}, {image}: {scheme} saves between {low} and {high} of the DRAM bytes."


def _where(row: Mapping[Hashable, Any], axes: tuple[str, ...]) -> str:
    return ", ".join(f"{axis} {row[axis]}" for axis in axes) or "the one machine"
