"""How the command line prints: text, tables, validations, progress; and the options that many verbs share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from accelsim.report import Comparison

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override any key of the file by its path, e.g. run.accelerator.buffer.size='128 KiB'."
    ),
]


def known_engine(name: str | None) -> str | None:
    """The engine that was asked for. Raises: ConfigError before anything is begun, if there is none of that name."""
    from accelsim import engines

    return name and engines.known(name)


Engine = Annotated[str | None, typer.Option(callback=known_engine, help="fast (compiled, the default) or reference (SimPy, the meaning).")]
Results = Annotated[Path | None, typer.Option(help="Folder for tables and figures.")]
Timelines = Annotated[bool, typer.Option("--timeline", help="Also write a timeline of each replay, to open in Perfetto.")]
Figures = Annotated[bool, typer.Option(help="Draw the figures.")]

WIDE = 200
"""Characters of a table that goes into a file or another program."""


def say(text: str) -> None:
    """Print a line to standard output."""
    print(text)


def judge(lines: Sequence[str], passed: bool) -> None:
    """Print a validation; exit 1 on a miss."""
    for line in lines:
        say(line)
    if not passed:
        raise typer.Exit(1)


def print_tables(*things: object) -> None:
    """Print rich tables at the terminal's width, or wide enough for every column elsewhere."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    for thing in things:
        console.print(thing)


def print_comparisons(comparisons: Sequence[Comparison], layers: bool) -> None:
    """Print the table of every layer if asked for, the totals, and each assumption once."""
    from accelsim import report

    if layers:
        for comparison in comparisons:
            print_tables(report.layer_table(comparison))
    print_tables(report.totals_table(comparisons))
    for note in report.notes(comparisons):
        say(f"note: {note}")


@contextmanager
def progress_shown(seconds: float = 0.0) -> Iterator[Callable[[str, int, int], None]]:
    """A bar with the time left on a terminal, a line per piece of work elsewhere; both on standard error.

    Units:   `seconds` that pass between two lines at least, but for the last of all steps
    """
    if not sys.stderr.isatty():
        last, told = "", float("-inf")

        def line(what: str, done: int, total: int) -> None:
            nonlocal last, told
            if what != last and (time.monotonic() - told >= seconds or done == total):
                told = time.monotonic()
                print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)
                last = what

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
