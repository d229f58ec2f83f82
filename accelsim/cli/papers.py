"""Verbs about published work: paper (its tables again), observe (what traffic tells, as HuffDuff uses it)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.output import Engine, Figures, Results, Settings, print_tables, progress_shown, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accelsim.hardware import Accelerator
    from accelsim.simulate import Progress
    from accelsim.trace import Trace

app = typer.Typer(no_args_is_help=True)


@app.command()
def paper(
    file: Annotated[Path, typer.Argument(help="A paper file.")] = Path("configs/paper/paper.yaml"),
    results: Results = None,
    tables: Annotated[bool, typer.Option(help="Measure the paper's own tables and figures.")] = True,
    headline: Annotated[bool, typer.Option(help="Measure the headline numbers of other works.")] = True,
    figures: Figures = True,
    settings: Settings = None,
) -> None:
    """Regenerate the paper's tables and figures, each number beside the printed one, and tell what cannot be measured and why."""
    from accelsim.paper import paperfile, regenerate, show

    asked = paperfile.load(file, settings or ())
    with progress_shown() as progress:
        found = regenerate(asked, results=results, tables=tables, headline=headline, figures=figures, progress=progress)
    print_tables(*show.terminal_tables(found.numbers))
    if headline:
        print_tables(show.headline_table(found.headline))
    if tables:
        print_tables(show.tally_table(found.numbers))
    say(f"results: {found.folder}")


@app.command()
def observe(
    files: Annotated[list[Path], typer.Argument(help="A run file (.yaml), or traces (.npz) and folders of them with --accelerator.")],
    accelerator: Annotated[Path | None, typer.Option(help="An accelerator file, for traces.")] = None,
    scheme: Annotated[list[str] | None, typer.Option(help="Scheme that the bus shows; may be repeated.")] = None,
    padding: Annotated[
        list[str] | None, typer.Option(help="none, dense, powers_of_two or bins:K; may be repeated; all if not given.")
    ] = None,
    settings: Settings = None,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
) -> None:
    """Tell what an eavesdropper on the DRAM bus sees of each layer, how many bits that tells of the image, and what padding costs."""
    from accelsim.studies import observer

    with progress_shown() as progress:
        traces, machine, schemes = _observed(files, accelerator, scheme, settings or (), progress)
        views = observer.observe(traces, machine, schemes, padding or observer.PADDINGS, engine or "fast", progress)
        if results is not None:
            observer.write(views, results, figures=figures)
    print_tables(*map(observer.terminal_table, views))
    if results is not None:
        say(f"results: {results}")


def _observed(
    files: Sequence[Path], accelerator: Path | None, schemes: Sequence[str] | None, settings: Sequence[str], progress: Progress
) -> tuple[Iterable[Trace], Accelerator, Sequence[str]]:
    """Traces, machine and schemes: those of a run file, or those that are given one by one."""
    from accelsim import runfile, simulate, tracefile
    from accelsim.errors import ConfigError
    from accelsim.studies import dynamic

    if len(files) == 1 and files[0].suffix in (".yaml", ".yml"):
        if accelerator is not None:
            raise ConfigError(f"{files[0]}: a run file names its accelerator\n    remove --accelerator, or override keys of it: --set")
        asked = runfile.load_run(files[0], settings)
        return simulate.traces_of(asked, progress), asked.accelerator, schemes or [name for name in asked.schemes if name != "dense"]
    if accelerator is None:
        raise ConfigError("traces are replayed on a machine\n    name one: --accelerator configs/accelerator/edge.yaml")
    traces: list[Trace] = []
    for file in files:
        traces += dynamic.load(file) if file.is_dir() else [tracefile.load(file)]
    return traces, simulate.load_accelerator(accelerator, settings), schemes or ["channel_marker"]
