"""Tables for the terminal: each scheme beside the yardstick, units in every header. The command line prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from accelsim.report.comparison import Comparison, ratio
from accelsim.report.result import Result


@dataclass(frozen=True, slots=True)
class Column:
    """One column: lines of its header, its cells, its foot, and its rank: the highest rank is dropped first, rank 0 never."""

    header: tuple[str, ...]
    cells: tuple[str, ...]
    foot: str = ""
    rank: int = 0
    is_text: bool = False
    is_ratio: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table that drops its least important columns until it fits where it is printed.

    `ends`: numbers of rows after which a line is drawn. A rich console prints it; `at` gives the plain table.
    """

    title: str
    columns: tuple[Column, ...]
    caption: str = ""
    foot: bool = False
    ends: frozenset[int] = frozenset()

    def at(self, width: int) -> Table:
        """The table for `width` characters."""
        console = Console(width=10_000)
        fitted = self
        while Measurement.get(console, console.options, fitted._table()).maximum > width:
            worst = max(column.rank for column in fitted.columns)
            if worst == 0:
                break
            fitted = replace(fitted, columns=tuple(column for column in fitted.columns if column.rank != worst))
        return fitted._table()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield self.at(options.max_width)

    def _table(self) -> Table:
        table = Table(
            # Text, never str: names may hold square brackets, which rich would read as markup.
            title=Text(self.title, style="bold"),
            caption=Text(self.caption) if self.caption else None,
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            show_footer=self.foot,
            pad_edge=False,
            padding=(0, 0, 0, 1),
        )
        for column in self.columns:
            longest = max((len(cell) for cell in (*column.header, *column.cells, column.foot)), default=0)
            table.add_column(
                Text("\n".join(column.header)),
                Text(column.foot, style="bold"),
                justify="left" if column.is_text else "right",
                vertical="bottom",
                # Names fold where it is narrow; a number never does, for a part of it would be another number.
                no_wrap=not column.is_text,
                overflow="fold",
                min_width=min(6, longest) if column.is_text else longest,
            )
        for index, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            row = [Text(cell, style=_style(cell) if column.is_ratio else "") for column, cell in zip(self.columns, cells, strict=True)]
            table.add_row(*row, end_section=index in self.ends)
        return table


def layer_table(comparison: Comparison) -> Group:
    """Everything about the layers of a comparison: one table for each scheme beside the yardstick."""
    return Group(*tables(comparison))


def tables(comparison: Comparison) -> list[Fitted]:
    """One per-layer table for each scheme beside the yardstick (of the yardstick alone, where there is no other)."""
    return [_layers(comparison, scheme) for scheme in comparison.schemes[1:] or comparison.schemes]


def totals_table(comparisons: Sequence[Comparison]) -> Fitted:
    """One row per network, image and scheme; the caption names what got slower."""
    pairs = [(comparison, result) for comparison in comparisons for result in comparison.results]
    ratios = [comparison.ratios(result.scheme) for comparison, result in pairs]
    repeated = len({comparison.network for comparison in comparisons}) < len(comparisons)

    def cells(text: Callable[[Result], str]) -> tuple[str, ...]:
        return tuple(text(result) for _, result in pairs)

    columns = (
        Column(("network",), cells(lambda result: result.network), is_text=True),
        # Where a network comes with several images, its rows cannot be told apart without them.
        Column(("image",), cells(lambda result: result.image), rank=0 if repeated else 7, is_text=True),
        Column(("scheme",), cells(lambda result: result.scheme), is_text=True),
        Column(("moved", "MB"), cells(lambda result: f"{result.totals['bytes_moved'] / 1e6:,.3f}"), rank=2),
        Column(("moved", "ratio"), tuple(_ratio(each["bytes_moved"]) for each in ratios), is_ratio=True),
        Column(("cycles",), cells(lambda result: f"{result.totals['total_cycles']:,}"), rank=1),
        Column(("cycles", "ratio"), tuple(_ratio(each["total_cycles"]) for each in ratios), is_ratio=True),
        Column(("energy", "µJ"), cells(lambda result: f"{result.energy_uj['total']:,.1f}"), rank=4),
        Column(("energy", "ratio"), tuple(_ratio(each["energy"]) for each in ratios), rank=3, is_ratio=True),
        Column(("time", "µs"), cells(lambda result: f"{result.time_us:,.1f}"), rank=9),
        Column(("achieved", "GB/s"), cells(lambda result: f"{result.achieved_gb_per_s:,.2f}"), rank=8),
        Column(("stalled", "%"), cells(lambda result: f"{result.stall_percent:.1f}"), rank=5),
        Column(("MACs", "skipped", "%"), cells(lambda result: f"{result.macs_skipped_percent:.2f}"), rank=6),
        # The source outlasts other columns: published counts must never pass for a measurement.
        Column(("source",), cells(lambda result: result.source), is_text=True),
    )
    slower = [
        f"{comparison.network}, {comparison.image}: {len(layers)} of {len(result.layers)} layers take longer with {result.scheme} "
        f"than with {comparison.baseline.scheme}, {sum(slow.cycles for slow in layers):,} cycles in all; most: {layers[0]}"
        for comparison, result in pairs
        if (layers := comparison.slowdowns(result.scheme))
    ]
    ends, rows = set(), 0
    for comparison in comparisons:
        rows += len(comparison.results)
        ends.add(rows - 1)
    return Fitted("Totals (ratio: to the first scheme of the group)", columns, "\n".join(slower), ends=frozenset(ends))


def notes(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Assumptions of all comparisons, each once, in order."""
    return tuple(dict.fromkeys(note for comparison in comparisons for note in comparison.notes))


def _layers(comparison: Comparison, scheme: str) -> Fitted:
    """Layers of one scheme beside the yardstick: bytes moved, cycles, stalls, MACs skipped, zero channels."""
    base, result = comparison.baseline, comparison.result(scheme)
    both = (base,) if scheme == base.scheme else (base, result)
    columns = [
        Column(("layer",), tuple(row.layer for row in base.layers), "all", is_text=True),
        Column(("kind",), tuple(row.kind for row in base.layers), rank=9, is_text=True),
    ]
    largest = max((row.bytes_moved for one in both for row in one.layers), default=0)
    unit, text_of_bytes = ("MB", _mega) if largest >= 10**7 else ("kB", _kilo)
    for name, header, text, rank in (("bytes_moved", ("moved", unit), text_of_bytes, 2), ("total_cycles", ("cycles",), _whole, 1)):
        for one in both:
            cells = tuple(text(getattr(row, name)) for row in one.layers)
            columns.append(Column((*header, *_words(one.scheme)), cells, text(one.totals[name]), rank))
        if len(both) == 2:
            pairs = zip(base.layers, result.layers, strict=True)
            cells = tuple(_ratio(ratio(getattr(other, name), getattr(row, name))) for row, other in pairs)
            foot = _ratio(ratio(result.totals[name], base.totals[name]))
            columns.append(Column((header[0], "ratio"), cells, foot, is_ratio=True))
    for one, rank in zip(both, (5, 4), strict=False):
        cells = tuple(_percent(row.total_cycles - row.busy_cycles, row.total_cycles) for row in one.layers)
        columns.append(Column(("stalled", "%", *_words(one.scheme)), cells, f"{one.stall_percent:.1f}", rank))
    if len(both) == 2:
        cells = tuple(_percent(row.macs_skipped, row.macs_done + row.macs_skipped) for row in result.layers)
        columns.append(Column(("MACs", "skipped", "%"), cells, f"{result.macs_skipped_percent:.1f}", 6))
        cells = tuple(_ratio(ratio(other.energy_nj, row.energy_nj)) for row, other in zip(base.layers, result.layers, strict=True))
        columns.append(Column(("energy", "ratio"), cells, _ratio(comparison.ratios(scheme)["energy"]), 10, is_ratio=True))
    columns.append(Column(("zero", "ch."), tuple(_whole(row.zero_channels) for row in base.layers), rank=7))
    title = f"{comparison.network}, {comparison.image} on {comparison.accelerator.name} (source: {comparison.source})"
    slower = "\n  ".join(map(str, comparison.slowdowns(scheme)))
    caption = f"Slower with {scheme} than with {base.scheme}:\n  {slower}" if slower else ""
    return Fitted(title, tuple(columns), caption, foot=True)


def _words(scheme: str) -> tuple[str, ...]:
    """A scheme's name on several short lines."""
    return tuple(word for word in scheme.split("_") if word) or (scheme,)


def _kilo(value: int) -> str:
    return f"{value / 1e3:,.1f}"


def _mega(value: int) -> str:
    return f"{value / 1e6:,.2f}"


def _whole(value: int) -> str:
    return f"{value:,}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _style(cell: str) -> str:
    """Colour of a ratio: green below 1, red above."""
    if cell in ("-", "1.000"):
        return ""
    return "green" if float(cell) < 1 else "red"
