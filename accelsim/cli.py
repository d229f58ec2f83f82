"""The command line: the only part that prints.

Heavy libraries are imported inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.errors import EngineError, UserError

if TYPE_CHECKING:
    from accelsim.report import Comparison

app = typer.Typer(
    help="What zeros in feature maps are worth: replay a real network's feature maps on an accelerator with and without the zero-channel marker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
trace_app = typer.Typer(help="Look at trace files, or make one from published counts.", no_args_is_help=True)
validate_app = typer.Typer(help="Hold our model against an independent reference, row by row.", no_args_is_help=True)
app.add_typer(trace_app, name="trace")
app.add_typer(validate_app, name="validate")

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override any key of the file by its path, e.g. run.accelerator.buffer.size='128 KiB'."
    ),
]
Engine = Annotated[str | None, typer.Option(help="fast (compiled, the default) or reference (SimPy, the meaning).")]
Results = Annotated[Path | None, typer.Option(help="Folder for tables and figures.")]
Figures = Annotated[bool, typer.Option(help="Draw the figures.")]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A run file, e.g. configs/run/quickstart.yaml.")],
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
    layers: Annotated[bool, typer.Option(help="Print the table of every layer, not the totals alone.")] = True,
) -> None:
    """Infer if needed, replay every scheme, compare; write tables and figures."""
    from accelsim import simulate

    with _progress() as progress:
        outcome = simulate.run(file, settings or (), engine=engine, results=results, figures=figures, progress=progress)
    _print_comparisons(outcome.comparisons, layers)
    _say(f"results: {outcome.folder}")


@app.command()
def infer(
    file: Annotated[Path, typer.Argument(help="A run file with network jobs, or a network file (then give --image).")],
    image: Annotated[list[str] | None, typer.Option(help="Photograph, glob or file.npz:key; may be repeated.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="A value counts as zero if its magnitude is at most this.")] = None,
    mode: Annotated[str | None, typer.Option(help="What is overwritten with zeros: channel, part or element.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the traces.")] = Path("results/traces"),
    settings: Settings = None,
) -> None:
    """Run a network on images and record one trace for each."""
    from accelsim import simulate

    with _progress() as progress:
        traces = simulate.infer(file, out, image or (), epsilon=epsilon, mode=mode, overrides=settings or (), progress=progress)
        made = [(path, trace.provenance.get("top5", "")) for path, trace in traces]
    for path, best in made:
        _say(f"{path}" + (f"  top 5: {best}" if best else ""))


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="A trace file (.npz).")],
    accelerator: Annotated[Path, typer.Option(help="An accelerator file, e.g. configs/accelerator/edge.yaml.")],
    scheme: Annotated[list[str] | None, typer.Option(help="Scheme to hold against dense; may be repeated.")] = None,
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
    layers: Annotated[bool, typer.Option(help="Print the table of every layer, not the totals alone.")] = True,
) -> None:
    """Replay one trace on one machine under dense and other schemes."""
    from accelsim import simulate, tracefile

    machine = simulate.load_accelerator(accelerator, settings or ())
    data = tracefile.load(trace)
    with _progress() as progress:
        comparison = simulate.compare(data, machine, scheme or ["channel_marker"], engine or "fast", progress)
        if results is not None:
            simulate.write(results, [comparison], [data], machine, figures=figures, progress=progress)
    _print_comparisons([comparison], layers)
    if results is not None:
        _say(f"results: {results}")


@app.command()
def plot(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
) -> None:
    """Draw every figure of a results folder again, without simulating."""
    from accelsim import simulate

    for path in simulate.plot(results):
        _say(str(path))


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Accelerator, network or run files (.yaml), Darknet networks (.cfg), traces (.npz).")],
    settings: Settings = None,
) -> None:
    """Say whether files are sound, and print what they mean."""
    from accelsim import checks

    faults: list[str] = []
    for file in files:
        try:
            _say(checks.describe(file, settings or ()))
        except UserError as fault:
            faults.append(str(fault))
    if faults:
        raise UserError("\n".join(faults))


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="accelerator, network or run.")],
) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    from accelsim import runfile

    _say(json.dumps(runfile.schema(kind), indent=2))


@trace_app.command("show")
def trace_show(
    file: Annotated[Path, typer.Argument(help="A trace file (.npz).")],
) -> None:
    """Print what a trace knows, layer by layer."""
    from accelsim import checks

    _print(*checks.trace_table(file))


@trace_app.command("statistics")
def trace_statistics(
    counts: Annotated[Path, typer.Argument(help="A table of published counts (.csv).")],
    network: Annotated[str, typer.Option(help="Which network of the table.")],
    out: Annotated[Path, typer.Option(help="The trace file to write.")],
    image: Annotated[str, typer.Option(help="The image that was counted.")] = "dog",
) -> None:
    """Make a statistics trace (counts of zero channels, no masks) from published counts."""
    from accelsim import tracefile
    from accelsim.networks import published

    tracefile.save(published.from_table(counts, network, image=image), out)
    _say(str(out))


@validate_app.command("activations")
def validate_activations(
    network: Annotated[Path, typer.Option(help="A network file.")],
    table: Annotated[Path, typer.Option(help="Reference table, one row per image, epsilon and layer.")],
    images: Annotated[Path, typer.Option(help="Archive (.npz) or folder that holds the images the table names.")],
    tensors: Annotated[Path | None, typer.Option(help="Archive (.npz) of reference maxima and probabilities.")] = None,
) -> None:
    """Compare feature maps with an independent implementation, one line per layer; exit 1 on a miss."""
    from accelsim import simulate

    with _progress() as progress:
        validation = simulate.validate_activations(network, table, images, tensors, progress)
    for line in validation.lines():
        _say(line)
    if not validation.passed:
        raise typer.Exit(1)


def main() -> None:
    """Run the program; faults the user can mend end with exit code 2, broken invariants with 70."""
    try:
        app(prog_name="accelsim")
    except UserError as fault:
        print(fault, file=sys.stderr)
        sys.exit(2)
    except EngineError as fault:
        print(f"a fault in accelsim itself, please report it: {fault}", file=sys.stderr)
        sys.exit(70)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def _say(text: str) -> None:
    print(text)


def _print(*things: object) -> None:
    """Print rich tables at the terminal's width, or wide enough for every column elsewhere."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=120)
    for thing in things:
        console.print(thing)


def _print_comparisons(comparisons: Sequence[Comparison], layers: bool) -> None:
    from accelsim import report

    if layers:
        for comparison in comparisons:
            _print(report.layer_table(comparison))
    _print(report.totals_table(comparisons))
    for note in report.notes(comparisons):
        _say(f"note: {note}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar with the time left on a terminal, a line per piece of work elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        last = ""

        def line(what: str, done: int, total: int) -> None:
            nonlocal last
            if what != last:
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
