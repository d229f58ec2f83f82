"""The verb infer: traces of a few images, a file each, or of a large set in a store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.output import Settings, progress_shown, say
from accelsim.errors import ConfigError

app = typer.Typer(no_args_is_help=True)


@app.command()
def infer(
    file: Annotated[Path, typer.Argument(help="A run file with network jobs, or a network file (then give --images).")],
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "--images", help="Photograph, glob or file.npz:key; with --store a folder too; may be repeated."),
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="A value counts as zero if its magnitude is at most this.")] = None,
    mode: Annotated[str | None, typer.Option(help="What is overwritten with zeros: channel, part or element.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the traces, a file each.")] = Path("results/traces"),
    store: Annotated[Path | None, typer.Option(help="Folder of a store instead, for many images; it goes on where it was.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that fill a store; as many as there are cores if not given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Put this many images into the store, the first ones.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads that share each large layer; 1 if not given. Not for --store.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Run a network on images and record one trace for each."""
    if store is not None:
        if threads is not None:
            raise ConfigError(f"--threads {threads} with --store\n    a store is filled by processes of one thread each: give --processes")
        _fill(file, store, image or [], epsilon, mode, processes, limit, settings or [])
        return
    from accelsim import simulate

    with progress_shown() as progress:
        traces = simulate.infer(
            file, out, image or (), epsilon=epsilon, mode=mode, threads=threads, overrides=settings or (), progress=progress
        )
        made = [(path, trace.provenance.get("top5", "")) for path, trace in traces]
    for path, best in made:
        say(f"{path}" + (f"  top 5: {best}" if best else ""))


def _fill(
    file: Path,
    store: Path,
    images: list[str],
    epsilon: float | None,
    mode: str | None,
    processes: int | None,
    limit: int | None,
    settings: list[str],
) -> None:
    from accelsim import workers

    if (processes or os.cpu_count()) != 1:
        workers.import_ahead("accelsim.cli", "accelsim.imageset")  # on another core, while this process does
    from accelsim import imageset

    try:
        with progress_shown(1.0) as progress:
            made = imageset.infer_file(
                file,
                store,
                images,
                epsilon=epsilon,
                mode=mode,
                processes=processes,
                limit=limit,
                overrides=settings,
                progress=progress,
            )
    except KeyboardInterrupt:
        print("interrupted\n    give the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    for name, fault in list(made.failed.items())[:10]:
        say(f"no trace of {name}: {fault}")
    say(repr(made))
