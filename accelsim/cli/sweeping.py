"""Verbs over many points: sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.output import Figures, Results, Settings, progress_shown, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file, e.g. configs/sweep/buffer.yaml.")],
    settings: Settings = None,
    results: Results = None,
    figures: Figures = True,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; as many as there are cores if not given.")] = None,
    executor: Annotated[str, typer.Option(help="processes of this computer, or dask (extra: cluster).")] = "processes",
    address: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:8786; a cluster on this computer if not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many points there are and how long they take, no more.")] = False,
) -> None:
    """Simulate every point that the axes span, or those a search chooses; interrupted, it goes on where it was, nothing is done twice."""
    from accelsim import sweeps

    try:
        with progress_shown(seconds=5) as progress:
            where = sweeps.Where(results=results, processes=processes, executor=executor, address=address, progress=progress)
            if dry_run:
                say(sweeps.forecast(file, settings or (), **where))
                return
            outcome = sweeps.run(file, settings or (), figures=figures, announce=say, **where)
    except KeyboardInterrupt as stop:
        print(f"{stop or 'interrupted'}\n    give the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    failed = f", {outcome.failed:,} of them failed (column error)" if outcome.failed else ""
    say(f"{len(outcome.table):,} points, {outcome.simulated:,} simulated now{failed}")
    say(f"results: {outcome.folder}")
