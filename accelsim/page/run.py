"""The page of a run: its comparisons trace by trace, from `summary.json`, `layers.csv`, `config.yaml` and the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import pandas as pd

from accelsim.errors import ConfigError
from accelsim.page.pieces import asked, change, pictures
from accelsim.page.render import Page, Section
from accelsim.page.tables import Table
from accelsim.plots.style import slug

RATIOS = {"bytes_moved": "bytes_moved", "total_cycles": "total_cycles", "energy": "energy_uj"}
"""Ratio -> the total it belongs to; in the table of totals each stands beside it."""
COUNTS = ("stall_cycles", "bytes_wanted", "macs_done", "macs_skipped", "descriptors")
"""Further counts of the table of totals."""
MOST_SLOWDOWNS = 3
"""Layers named among those that a scheme makes slower."""
MOST_HEADLINES = 24
"""Sentences of the headline; the table below it has every trace."""


def run_page(contents: Mapping[str, bytes]) -> Page:
    """The page of a run's results folder.

    Raises:  `ConfigError` where a file of it is missing or damaged
    """
    try:
        summary = json.loads(contents["summary.json"])
        layers = pd.read_csv(BytesIO(contents["layers.csv"]), dtype={"image": str, "network": str, "layer": str, "tiling": str})
        comparisons = summary["comparisons"]
        sections = [
            Section("What was found", _headlines(comparisons), [Table.of(_totals(comparisons), "totals; ratios: to the baseline scheme")]),
            *(_trace(each, layers, contents, place > 0) for place, each in enumerate(comparisons)),
            *asked(contents["config.yaml"].decode(), summary["accelsim"]),
            Section("What the numbers mean", tables=[_meanings(summary["accounting"])], folded=True),
        ]
        machines = list(dict.fromkeys(each["accelerator"]["name"] for each in comparisons))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"its tables cannot be read: {error!r}\n    make them again: accelsim run") from error
    networks = ", ".join(dict.fromkeys(each["network"] for each in comparisons))
    schemes = ", ".join(dict.fromkeys(scheme for each in comparisons for scheme in each["schemes"]))
    return Page(f"accelsim: {networks} on {', '.join(machines)}", f"schemes: {schemes}", sections)


def _headlines(comparisons: list[dict[str, Any]]) -> list[str]:
    """A sentence for each trace and scheme: what it does to traffic, cycles and energy."""
    sentences = [
        f"{each['network']}, {each['image']} ({each['source']}): {scheme} against {each['baseline']}: DRAM bytes "
        f"{change(ratios['bytes_moved'])}, cycles {change(ratios['total_cycles'])}, energy {change(ratios['energy'])}."
        for each in comparisons
        for scheme, found in each["schemes"].items()
        if scheme != each["baseline"]
        for ratios in [found["ratios"]]
    ]
    left = len(sentences) - MOST_HEADLINES
    return sentences[:MOST_HEADLINES] + ([f"{left} more are in the table."] if left > 0 else [])


def _totals(comparisons: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each trace and scheme."""
    rows = []
    for each in comparisons:
        for scheme, found in each["schemes"].items():
            totals = found["totals"] | {"energy_uj": found["energy_uj"]["total"]}
            row = {"network": each["network"], "image": each["image"], "scheme": scheme}
            for ratio, total in RATIOS.items():
                row |= {total: totals[total], f"{ratio}_ratio": found["ratios"][ratio]}
            rows.append(
                row
                | {name: found[name] for name in ("time_us", "stall_percent", "achieved_gb_per_s")}
                | {"row_hit_percent": found["dram"].get("row_hit_percent"), "slower_layers": len(found["slower_layers"])}
                | {name: totals[name] for name in COUNTS}
                | {"source": each["source"]}
            )
    frame = pd.DataFrame(rows)
    measured = [name for name in frame.columns if name.endswith(("_ratio", "_percent"))]
    # A flat DRAM has no rows to hit.
    return frame.astype(dict.fromkeys(measured, "float64")).dropna(axis=1, how="all")


def _trace(each: dict[str, Any], layers: pd.DataFrame, contents: Mapping[str, bytes], folded: bool) -> Section:
    """Everything of one trace: figures, layers, where the data comes from."""
    network, image = each["network"], each["image"]
    rows = layers[(layers["network"] == network) & (layers["image"] == image)].drop(columns=["network", "image", "source"])
    paper = each["paper"]
    inner = [
        Section("Figures", pictures=list(pictures(contents, slug(f"{network}_{image}")))),
        Section("Layers", tables=[Table.of(rows, f"every layer under every scheme of {network}, {image}")], folded=True),
        Section("Where the data comes from", tables=[_provenance(each)], folded=True),
    ]
    counted = (
        f"By the paper's own count, without a machine, zero channels hold {paper['saved_elements']:,} of {paper['output_elements']:,} "
        f"output elements ({paper['percent_of_outputs']:.3f} %)."
    )
    return Section(
        f"{network}, {image}", [counted, *_remarks(each)], folded=folded, inner=[part for part in inner if part.tables or part.pictures]
    )


def _remarks(each: dict[str, Any]) -> Iterator[str]:
    """What got slower, and what was assumed."""
    for scheme, found in each["schemes"].items():
        if slower := found["slowdowns"]:
            lost = sum(one["cycles"] for one in slower)
            yield f"{len(slower)} layers take longer with {scheme} than with {each['baseline']}, {lost:,} cycles in all; most of it:"
            yield from (f"{one['layer']}: +{one['cycles']:,} cycles ({one['why']})." for one in slower[:MOST_SLOWDOWNS])
    yield from dict.fromkeys(f"Assumed: {note}." for found in each["schemes"].values() for note in found["notes"])


def _provenance(each: dict[str, Any]) -> Table:
    trace = each["trace"]
    facts = {"source": each["source"], "epsilon": f"{trace['epsilon']:g}", "mode": trace["mode"], **trace["provenance"]}
    return Table.of(pd.DataFrame({"what": list(facts), "value": [str(value) for value in facts.values()]}), "provenance of the trace")


def _meanings(accounting: Mapping[str, str]) -> Table:
    return Table.of(pd.DataFrame({"number": list(accounting), "meaning": list(accounting.values())}), "how each number is counted")
