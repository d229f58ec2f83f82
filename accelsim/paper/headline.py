"""The headline numbers of other works beside what is measured here: same kind of number, our networks, data and machines.

What a work gains by training can only be bounded from below; each row says what stands behind the published number and behind ours, and
whether the two can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from accelsim import hardware
from accelsim.errors import UserError
from accelsim.paper import works
from accelsim.paper.numbers import number_text
from accelsim.paper.paperfile import Paper
from accelsim.paper.works import CDMA, COLUMN, EBPC, EYERISS, WIDTH, ZEBRA, Found, Progress
from accelsim.validation.tables import Column, read_table, text

COLUMNS = ("work", "quantity", "at", "unit", "published", "measured", "theirs", "ours", "comparable", "why", "source")
"""Columns of `headline.csv`. `theirs`, `ours`: what stands behind either number; `why`: why there is no measured one."""
PUBLISHED: Mapping[str, Column] = MappingProxyType(
    {
        **dict.fromkeys(("work", "quantity", "unit", "theirs", "source"), Column(text, required=True)),
        **dict.fromkeys(("at", "absent"), Column(text, required=True, optional_cells=True)),
        "published": Column(number_text, required=True),
    }
)
KEY = ("work", "quantity", "at", "unit")


def headline(asked: Paper, folder: Path, progress: Progress) -> pd.DataFrame:
    """Measure what the paper file names, and put it beside the published numbers. Columns: `COLUMNS`, works in the order of their table.

    `folder`: where evaluations are kept.
    Raises:  `ModelError` for a table of published numbers that cannot be read; what cannot be measured is told
    """
    wanted = asked.headline
    published = [{name: str(line.cells.get(name, "")) for name in PUBLISHED} for line in read_table(wanted.published, PUBLISHED)]
    found: list[Found] = []
    missing: dict[str, list[str]] = {}
    parts = list(_parts(asked, folder, progress))
    for done, (work, what, measure) in enumerate(parts):
        progress(f"measure {work}: {what}", done, len(parts))
        try:
            found += measure()
        except UserError as fault:
            missing.setdefault(work, []).append(f"{what}: {str(fault).splitlines()[0]}")
    rows = list(_rows(published, found, {work: "; ".join(whys) for work, whys in missing.items()}))
    order = list(dict.fromkeys(row["work"] for row in rows))
    rows.sort(key=lambda row: order.index(row["work"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _parts(asked: Paper, folder: Path, progress: Progress) -> Iterator[tuple[str, str, Callable[[], Iterable[Found]]]]:
    """Work, what of it, and the call that measures it."""
    wanted = asked.headline
    machines = {bits: hardware.load_accelerator(wanted.columns.accelerator, [f"data.ifmap_bits={bits}"]) for bits in (8, WIDTH)}
    yield ZEBRA, "blocks of zeros", partial(works.zero_blocks, wanted.zebra, machines[WIDTH])
    for file in wanted.zebra.evaluate:
        yield ZEBRA, file.stem, partial(works.thresholds, wanted.zebra, file, folder, progress)
    yield CDMA, "traces", partial(works.zero_value, {name: one.trace for name, one in asked.networks.items() if one.trace is not None})
    yield COLUMN, "positions", partial(works.columns, wanted.columns)
    yield EYERISS, "the chip", partial(works.run_length, wanted.eyeriss)
    for name, entry in asked.networks.items():
        if entry.archive is not None:
            yield EBPC, name, partial(works.bit_planes_of_others, entry.archive, machines[8])
    for file, images in zip(wanted.maps, wanted.images, strict=True):
        yield EBPC, file.stem, partial(works.bit_planes, file, images, machines[8])


def _rows(published: Sequence[Mapping[str, str]], found: Sequence[Found], missing: Mapping[str, str]) -> Iterator[dict[str, str | float]]:
    keys = [tuple(row[name] for name in KEY) for row in published]
    of_key: dict[tuple[str, ...], list[Found]] = {}
    for one in found:
        of_key.setdefault((one.work, one.quantity, one.at, one.unit), []).append(one)
    for key, row in zip(keys, published, strict=True):
        head: dict[str, str | float] = {name: cell for name, cell in row.items() if name != "absent"}
        head["published"] = float(row["published"])
        yield from (head | _ours(one) for one in of_key.get(key, ()))
        if key not in of_key:
            why = row["absent"] or missing.get(row["work"]) or "nothing here measures it"
            yield head | {"measured": math.nan, "ours": "", "comparable": "", "why": why}
    for key, mine in of_key.items():
        if key not in keys:
            head = {**dict(zip(KEY, key, strict=True)), "published": math.nan, "theirs": "", "source": ""}
            yield from (head | _ours(one) for one in mine)


def _ours(one: Found) -> dict[str, str | float]:
    return {"measured": one.value, "ours": one.ours, "comparable": one.comparable, "why": ""}
