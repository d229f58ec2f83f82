"""The page of a sweep: every point in one table, its curves and maps, from `sweep.csv`, `config.yaml` and the figures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from io import BytesIO
from typing import Any

import pandas as pd

from accelsim import report
from accelsim.designspace import sweeptable
from accelsim.designspace.fronts import ACCURACY
from accelsim.errors import ConfigError
from accelsim.page.pieces import asked, pictures
from accelsim.page.render import Page, Section
from accelsim.page.tables import Table

RATIOS = ("bytes_moved_ratio", "total_cycles_ratio", "energy_ratio", "speed_up")
SHOWN = (ACCURACY, *RATIOS, "bytes_moved", "total_cycles", "stall_percent", "energy_uj")
"""Columns of the table that follow the axes, where they are there; the file has all."""


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
    names = list(dict.fromkeys(["network", "image", "label", *axes]))
    columns = [*names, *(name for name in SHOWN if name in table.columns), "source"]
    sections = [
        Section("What was found", list(_headlines(table, axes)), [Table.of(table[columns], "every point; ratios: to the baseline scheme")]),
        Section("Figures", pictures=list(pictures(contents))),
        Section("Points that failed", tables=[Table.of(failed[[*names, "error"]], "failed points")]),
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
    """For each trace and scheme: between which points its saving lies, and its accuracy; what is saved where that is at its best."""
    for (_, network, image, scheme), rows in table.groupby(["job", "network", "image", "scheme"], sort=False):
        saved, judged = _ends(rows, "bytes_saved_percent", axes), _ends(rows, ACCURACY, axes) if ACCURACY in rows.columns else ()
        if saved and rows["bytes_saved_percent"].any():
            whose = f"{network}, {image}"
            yield f"{whose}: {scheme} saves between {' and '.join(saved)} of the DRAM bytes."
            if judged and rows[ACCURACY].nunique() > 1:
                best = rows[rows[ACCURACY] == rows[ACCURACY].max()]
                most = (_ends(best, "bytes_saved_percent", axes) or ("nothing",))[-1]
                yield f"{whose}: top-1 accuracy lies between {' and '.join(judged)}; where it is best, {scheme} saves up to {most}."


def _ends(rows: pd.DataFrame, column: str, axes: tuple[str, ...]) -> tuple[str, ...]:
    """The least and the largest of a column of percentages, and where they are; nothing where it is empty."""
    known = rows[rows[column].notna()].sort_values(column, kind="stable").to_dict("records")
    return tuple(f"{row[column]:.2f} % ({_where(row, axes)})" for row in (known[0], known[-1])) if known else ()


def _where(row: Mapping[Hashable, Any], axes: tuple[str, ...]) -> str:
    return ", ".join(f"{axis} {row[axis]}" for axis in axes) or "the one machine"
