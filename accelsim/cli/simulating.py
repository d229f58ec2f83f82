"""Verbs that simulate: run, replay, evaluate, sparsity, dynamic, plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.output import Engine, Figures, Results, Settings, Timelines, print_comparisons, print_tables, progress_shown, say

if TYPE_CHECKING:
    from accelsim.schedule.tables import Schedule
    from accelsim.timeline import Timeline
    from accelsim.trace import Trace

app = typer.Typer(no_args_is_help=True)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A run file, e.g. configs/run/quickstart.yaml.")],
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
    timeline: Timelines = False,
    layers: Annotated[bool, typer.Option(help="Print the table of every layer, not the totals alone.")] = True,
) -> None:
    """Infer if needed, replay every scheme, compare; write tables and figures."""
    from accelsim import simulate

    with progress_shown() as progress:
        outcome = simulate.run(file, settings or (), engine=engine, results=results, figures=figures, timelines=timeline, progress=progress)
    print_comparisons(outcome.comparisons, layers)
    say(f"results: {outcome.folder}")


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="A trace file (.npz).")],
    accelerator: Annotated[Path, typer.Option(help="An accelerator file, e.g. configs/accelerator/edge.yaml.")],
    scheme: Annotated[
        list[str] | None, typer.Option(help="Scheme to hold against dense: zvc, zero_block:height=8, zvc+eie, ...; may be repeated.")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="Its network with weights, for weight schemes such as channel_marker+eie.")] = None,
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
    timeline: Annotated[Path | None, typer.Option(help="File for the timelines of all schemes, to open in Perfetto (.json).")] = None,
    layers: Annotated[bool, typer.Option(help="Print the table of every layer, not the totals alone.")] = True,
) -> None:
    """Replay one trace on one machine under dense and other schemes."""
    from accelsim import report, simulate, tracefile
    from accelsim.networks.beside import beside

    machine = simulate.load_accelerator(accelerator, settings or ())
    data = tracefile.load(trace)
    if network is not None:
        data = beside(data, simulate.open_network(network))
    if timeline is not None:
        report.require_writable(timeline.parent)
    kept: list[tuple[Schedule, Timeline]] = []

    def keep(_: Trace, schedule: Schedule, times: Timeline) -> None:
        kept.append((schedule, times))

    with progress_shown() as progress:
        comparison = simulate.compare(data, machine, scheme or ["channel_marker"], engine or "fast", progress, keep)
        if timeline is not None:
            simulate.write_timeline(timeline, data, kept, machine)
        if results is not None:
            simulate.write(results, [comparison], [data], machine, figures=figures, progress=progress)
    print_comparisons([comparison], layers)
    if results is not None:
        say(f"results: {results}")
    if timeline is not None:
        say(f"timeline: {timeline} (open it in https://ui.perfetto.dev)")


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="An evaluate file, e.g. configs/evaluate/digits.yaml.")],
    settings: Settings = None,
    results: Results = None,
    figures: Figures = True,
) -> None:
    """Measure accuracy and reduction against epsilon over many images; interrupted, it goes on where it was."""
    from accelsim.evaluation import evaluate, tally

    with progress_shown() as progress:
        outcome = evaluate.evaluate(file, settings or (), results=results, figures=figures, progress=progress)
    print_tables(tally.terminal_table(outcome.table))
    for mode, layers in outcome.chosen.items():
        say(f"chosen ({mode}): " + (", ".join(f"{name} {epsilon:g}" for name, epsilon in layers.items()) or "0 for every layer"))
    say(f"results: {outcome.folder}")


@app.command()
def sparsity(
    network: Annotated[Path, typer.Argument(help="A network file, e.g. configs/network/squeezenet_v1.1.yaml.")],
    images: Annotated[list[str] | None, typer.Option(help="Photograph, glob or file.npz:key for feature maps; may be repeated.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Magnitudes up to which values count, e.g. 0,0.01; else the paper's.")] = None,
    settings: Settings = None,
    results: Results = None,
    figures: Figures = True,
) -> None:
    """Count values near zero: of a network's parameters, and of its feature maps on images."""
    from accelsim.studies import sparsity

    limits = sparsity.THRESHOLDS if thresholds is None else sparsity.parse_thresholds(thresholds)
    with progress_shown() as progress:
        found = sparsity.sparsity(network, images or (), limits, overrides=settings or (), progress=progress)
    print_tables(sparsity.terminal_table(found))
    if results is not None:
        sparsity.write(found, results, figures=figures)
        say(f"results: {results}")


@app.command()
def dynamic(
    folder: Annotated[Path, typer.Argument(help="A folder of traces (.npz) of several images, or a store of traces.")],
    accelerator: Annotated[Path | None, typer.Option(help="An accelerator file: replay with and without the static channels.")] = None,
    scheme: Annotated[list[str] | None, typer.Option(help="Scheme to hold against dense; may be repeated.")] = None,
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
) -> None:
    """Tell zero channels that could be pruned offline from truly dynamic ones, and what the marker gains beyond those."""
    from accelsim import simulate
    from accelsim.studies import dynamic

    machine = None if accelerator is None else simulate.load_accelerator(accelerator, settings or ())
    with progress_shown() as progress:
        splits = dynamic.analyse(folder, machine, scheme or ["channel_marker"], engine or "fast", progress)
    for split in splits:
        print_tables(*dynamic.terminal_tables(split))
    if results is not None:
        dynamic.write(splits, results, figures=figures)
        say(f"results: {results}")


@app.command()
def plot(
    results: Annotated[Path, typer.Argument(help="A results folder of a run or a sweep.")],
    style: Annotated[str, typer.Option(help="Where figures are shown: paper (both columns), column, or screen (a slide).")] = "paper",
) -> None:
    """Draw every figure of a results folder again, without simulating."""
    from accelsim import simulate, sweeps

    for path in sweeps.plot(results, style) if (results / "sweep.parquet").is_file() else simulate.plot(results, style):
        say(str(path))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results folder of a run or a sweep.")],
) -> None:
    """Write report.html once more from what stands in a results folder: one page that needs nothing else."""
    from accelsim import page

    say(str(page.add(results)))
