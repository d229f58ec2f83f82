"""Verbs about schemes: compare them on one network, list them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.output import Engine, Figures, Results, print_tables, progress_shown, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def compare(
    source: Annotated[Path, typer.Argument(help="A trace file (.npz), or a network file (.yaml; then give --image).")],
    accelerator: Annotated[Path, typer.Option(help="An accelerator file, e.g. configs/accelerator/edge.yaml.")],
    scheme: Annotated[
        list[str] | None,
        typer.Option("--scheme", help="'all' (the default), or a scheme, e.g. zero_block:threshold=0.1 or zvc+eie; may be repeated."),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Photograph or file.npz:key, for a network file: it runs, so that values are known.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the accelerator.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Encode and decode every map between layers, and compare the network's outputs bit by bit.")
    ] = False,
    engine: Engine = None,
    results: Results = None,
    figures: Figures = True,
) -> None:
    """Replay one network on one image under many schemes, and print one table."""
    from accelsim import hardware, report
    from accelsim.studies import sidebyside

    machine = hardware.load_accelerator(accelerator, settings or ())
    if results is not None:
        report.require_writable(results)
    with progress_shown() as progress:
        found = sidebyside.compare_schemes(
            source, machine, scheme or sidebyside.ALL, image=image, verify=verify, engine=engine or "fast", progress=progress
        )
        if results is not None:
            sidebyside.write(found, results, figures=figures)
    print_tables(sidebyside.terminal_table(found))
    for note in found.notes:
        say(f"note: {note}")
    if results is not None:
        say(f"results: {results}")


@app.command()
def schemes(
    name: Annotated[str | None, typer.Argument(help="A scheme: print its options.")] = None,
) -> None:
    """List the schemes: what each saves, whether it is lossless, how its units are found; or the options of one."""
    from accelsim.studies import catalogue

    if name is None:
        print_tables(catalogue.terminal_table())
    else:
        print_tables(catalogue.options_table(name))
        say(catalogue.text(name))
