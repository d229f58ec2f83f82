"""Verbs of `accelsim trace`: look at trace files, or make one without running a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.output import Settings, print_tables, say

app = typer.Typer(help="Look at trace files, or make one without running a network.", no_args_is_help=True)


@app.command("show")
def trace_show(
    file: Annotated[Path, typer.Argument(help="A trace file (.npz), or a store of traces.")],
    image: Annotated[str | None, typer.Option(help="Of a store: the trace of this image alone.")] = None,
) -> None:
    """Print what a trace knows, layer by layer; of a store, what all of its traces know, without opening them."""
    from accelsim import checks, tracefile
    from accelsim.tracestore import TraceStore, is_store

    if image is not None:
        print_tables(*checks.trace_table(TraceStore(file)[image]))
    elif is_store(file) or file.is_dir():
        store = TraceStore(file)
        print_tables(checks.store_table(store))
        for key, value in store.recipe.items():
            say(f"{key}: {value}")
        for name, fault in store.failed.items():
            say(f"no trace of {name}: {fault}")
    else:
        print_tables(*checks.trace_table(tracefile.load(file)))


@app.command("extract")
def trace_extract(
    store: Annotated[Path, typer.Argument(help="A store of traces.")],
    image: Annotated[list[str], typer.Argument(help="Names of images in it; * stands for any letters.")],
    out: Annotated[Path, typer.Option(help="Folder for the traces, a file each.")],
) -> None:
    """Copy traces out of a store into files of their own."""
    from accelsim import simulate, tracefile
    from accelsim.tracestore import TraceStore

    traces = TraceStore(store)
    for name in traces.select(image):
        trace = traces[name]
        tracefile.save(trace, out / simulate.trace_name(trace))
        say(str(out / simulate.trace_name(trace)))


@app.command("statistics")
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
    say(str(out))


@app.command("synthetic")
def trace_synthetic(
    out: Annotated[Path, typer.Option(help="The trace file to write.")],
    network: Annotated[str | None, typer.Option(help="zoo:NAME, a network file (.yaml), a .cfg, or a SCALE-Sim topology (.csv).")] = None,
    zero_channels: Annotated[
        list[str] | None, typer.Option(help="Share of zero channels of every activated map (0.1), or of one (conv1=0.2; may be repeated).")
    ] = None,
    sparsity: Annotated[list[str] | None, typer.Option(help="Share of zero elements, those of zero channels included; likewise.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed puts the zeros elsewhere.")] = 0,
    statistics: Annotated[bool, typer.Option("--statistics", help="Leave the masks out: counts alone.")] = False,
    like: Annotated[Path | None, typer.Option(help="Take network and shares from this trace, such as one of published statistics.")] = None,
    settings: Settings = None,
) -> None:
    """Make a trace whose zeros are drawn at random, for networks without weights; it is labelled 'synthetic'."""
    from accelsim import simulate, tracefile

    made = simulate.synthetic_trace(network, zero_channels, sparsity, seed=seed, masks=not statistics, like=like, overrides=settings or ())
    tracefile.save(made, out)
    say(str(out))
