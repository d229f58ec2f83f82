"""The command line: the only part that prints.

Heavy libraries are imported inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from accelsim.cli import comparing, files, inferring, papers, simulating, sweeping, traces, validating, weighing
from accelsim.errors import EngineError, UserError

app = typer.Typer(
    help="What zeros in feature maps are worth: replay a real network's maps on an accelerator with and without the zero-channel marker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(simulating.app)
app.add_typer(comparing.app)
app.add_typer(inferring.app)
app.add_typer(sweeping.app)
app.add_typer(papers.app)
app.add_typer(weighing.app)
app.add_typer(files.app)
app.add_typer(traces.app, name="trace")
app.add_typer(validating.app, name="validate")


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
