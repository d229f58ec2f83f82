"""Verbs about how numbers are held: weights, quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.output import Results, Settings, print_tables, progress_shown, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def weights(
    network: Annotated[Path, typer.Argument(help="A network with weights: a network file (.yaml) or .onnx.")],
    scheme: Annotated[list[str] | None, typer.Option(help="Weight scheme, e.g. eie or eie:columns=all; may be repeated.")] = None,
    bits: Annotated[int, typer.Option(help="Bits of a weight, 4 to 32.")] = 16,
    settings: Settings = None,
    results: Results = None,
    layers: Annotated[bool, typer.Option(help="Print the table of every layer, not the totals alone.")] = True,
) -> None:
    """Say what the weights of a network take in memory under weight schemes: entries, fillers, metadata, bytes."""
    from accelsim import simulate
    from accelsim import weights as family
    from accelsim.studies import weighing

    loaded = simulate.open_network(network, settings or ())
    found = weighing.weigh(loaded, scheme or family.names(), bits)
    print_tables(*weighing.terminal_tables(found, layers))
    if results is not None:
        weighing.write(found, results)
        say(f"results: {results}")


@app.command()
def quantisation(
    network: Annotated[Path, typer.Argument(help="A network file, e.g. configs/network/digits/int8.yaml.")],
    image: Annotated[list[str], typer.Option(help="Photograph, glob or file.npz:key; may be repeated.")],
    accelerator: Annotated[Path, typer.Option(help="An accelerator file, e.g. configs/accelerator/edge.yaml.")],
    calibrate: Annotated[list[str] | None, typer.Option(help="Images that the grids come from; else the network file's.")] = None,
    scheme: Annotated[str, typer.Option(help="Scheme to hold against dense.")] = "channel_marker",
    settings: Settings = None,
    results: Results = None,
) -> None:
    """Say what quantisation does to zeros, and to what a marker saves: float32, integers symmetric, integers with a zero point."""
    from accelsim import simulate
    from accelsim.studies import interplay

    machine = simulate.load_accelerator(accelerator)
    with progress_shown() as progress:
        found = interplay.interplay(
            network, image, machine, scheme, calibration=calibrate or (), overrides=settings or (), progress=progress
        )
    print_tables(*interplay.terminal_tables(found))
    if results is not None:
        interplay.write(found, results)
        say(f"results: {results}")
