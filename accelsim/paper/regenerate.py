"""The paper's tables and figures in one call: measured, written, and held against what was printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim import report
from accelsim.paper import paperfile, show
from accelsim.paper.headline import headline as of_works
from accelsim.paper.measure import FIGURE_4, FIGURE_6, Bench
from accelsim.paper.numbers import Gap, Measured, read_printed, side_by_side
from accelsim.paper.paperfile import Paper
from accelsim.trace import Trace

EVALUATIONS = "evaluations"
"""Folder of the results folder in which evaluations are kept, so that they are not done again."""

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class Regenerated:
    """What was found.

    `numbers`: a row for each printed number and each way in which it was measured, then numbers beside them that are not printed
    (`paper.numbers.COLUMNS`); `headline`: a row for each number of other works (`paper.headline.COLUMNS`), empty if not asked for.
    """

    numbers: pd.DataFrame
    headline: pd.DataFrame
    folder: Path

    def item(self, name: str) -> pd.DataFrame:
        """The rows of one table or figure, `Table 4`."""
        return self.numbers[self.numbers["item"] == name].reset_index(drop=True)

    def __repr__(self) -> str:
        return f"Regenerated({len(self.numbers)} numbers, results in {self.folder})\n{show.tally(self.numbers).to_string(index=False)}"


def regenerate(
    file: str | Path | Paper,
    *,
    results: str | Path | None = None,
    tables: bool = True,
    headline: bool = True,
    figures: bool = True,
    progress: Progress = silent,
) -> Regenerated:
    """Measure all that a paper file names, and write its results folder: paper.md, paper.csv, a .csv for each item, headline.csv, figures.

    `tables`, `headline`: measure the paper's own numbers, and those of other works. What lacks its files is told with the reason.
    Raises:  `ConfigError`, `ModelError` for the paper file itself and the tables it names
    """
    asked = file if isinstance(file, Paper) else paperfile.load(file)
    folder = Path(results) if results is not None else asked.results
    report.require_writable(folder)
    printed = read_printed(asked.printed)
    benches = [Bench(name, entry, folder / EVALUATIONS, progress) for name, entry in asked.networks.items()] if tables else []
    measured: list[Measured] = []
    gaps: list[Gap] = []
    outputs: dict[str, int] = {}
    for done, bench in enumerate(benches):
        progress(f"measure {bench.name}", done, len(benches))
        bench.run(outputs)
        if bench.name == asked.figure_6:
            bench.measured += bench.layers_of_figure_6()
        outputs |= _outputs(bench)
        measured += bench.measured
        gaps += bench.gaps
    numbers = side_by_side(printed if tables else (), measured, gaps)
    claims = of_works(asked, folder / EVALUATIONS, progress) if headline else pd.DataFrame()
    found = Regenerated(numbers, claims, folder)
    _write(found, asked, benches, figures)
    return found


def _outputs(bench: Bench) -> Mapping[str, int]:
    """Output elements of a network, where its shapes are known."""
    known = [round(1e3 * one.value) for one in bench.measured if one.key.quantity == "outputs"]
    return {bench.name: known[0]} if known else {}


def _write(found: Regenerated, asked: Paper, benches: list[Bench], figures: bool) -> None:
    files: dict[str, bytes] = {}
    drawn: list[str] = []
    if figures:
        files |= _figures(found, asked, benches)
        drawn = [name for name in files if name.endswith(".png")]
    tables = {str(item).lower().replace(" ", "_").replace(".", "_"): rows for item, rows in found.numbers.groupby("item", sort=False)}
    tables |= {"paper": found.numbers, "headline": found.headline}
    files |= {f"{name}.csv": rows.to_csv(index=False, lineterminator="\n").encode() for name, rows in tables.items() if len(rows)}
    files["paper.md"] = show.markdown(found.numbers, found.headline, drawn).encode()
    report.write_files(found.folder, files)


def _figures(found: Regenerated, asked: Paper, benches: list[Bench]) -> dict[str, bytes]:
    from accelsim import plots

    rows = found.item(FIGURE_4) if len(found.numbers) else found.numbers
    made = [("figure_4", plots.paper_figure4(rows))] if len(rows) and rows["measured"].notna().any() else []
    traces: dict[str, Trace] = {bench.name: bench.trace for bench in benches if bench.trace is not None}
    if asked.figure_6 in traces:
        made.append((FIGURE_6.lower().replace(" ", "_"), plots.paper_figure6(traces[asked.figure_6])))
    made += [
        (plots.slug(f"tables_3_and_5_{bench.name}"), plots.epsilon_curve(bench.curves)) for bench in benches if bench.curves is not None
    ]
    return dict(plots.files(made))
