"""Verbs about files: check, convert, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.output import Settings, say
from accelsim.errors import UserError

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of any kind (.yaml), zoo:NAME, .onnx, Darknet (.cfg), SCALE-Sim (.csv, .cfg), traces (.npz)."),
    ],
    settings: Settings = None,
) -> None:
    """Say whether files are sound, and print what they mean."""
    from accelsim import checks

    faults: list[str] = []
    for file in files:
        try:
            say(checks.describe(file, settings or ()))
        except UserError as fault:
            faults.append(str(fault))
    if faults:
        raise UserError("\n".join(faults))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A network (zoo:NAME, .yaml, .cfg, SCALE-Sim .csv) or a machine (.yaml, SCALE-Sim .cfg).")],
    out: Annotated[Path, typer.Argument(help="The file to write; a folder for timeloop, which has a file for each layer.")],
    to: Annotated[str, typer.Option(help="scalesim, timeloop or zigzag; accelsim for a SCALE-Sim configuration.")],
    settings: Settings = None,
) -> None:
    """Write a network or a machine for another tool, or a machine of SCALE-Sim for this one."""
    from accelsim import convert

    paths, notes = convert.convert(source, out, to, settings or ())
    for path in paths:
        say(str(path))
    for note in notes:
        say(f"note: {note}")


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="accelerator, energy, evaluate, memory, network, paper, run or sweep.")],
) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    from accelsim import kinds

    say(json.dumps(kinds.schema(kind), indent=2))
