"""Verbs of `accelsim validate`: our model against an independent reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.output import Settings, judge, progress_shown, say

if TYPE_CHECKING:
    pass

app = typer.Typer(help="Hold our model against an independent reference, row by row.", no_args_is_help=True)


@app.command("activations")
def validate_activations(
    network: Annotated[Path, typer.Option(help="A network file.")],
    table: Annotated[Path, typer.Option(help="Reference table, one row per image, epsilon and layer.")],
    images: Annotated[Path, typer.Option(help="Archive (.npz) or folder that holds the images the table names.")],
    tensors: Annotated[Path | None, typer.Option(help="Archive (.npz) of reference maxima and probabilities.")] = None,
) -> None:
    """Compare feature maps with an independent implementation, one line per layer; exit 1 on a miss."""
    from accelsim import simulate

    with progress_shown() as progress:
        validation = simulate.validate_activations(network, table, images, tensors, progress)
    judge(validation.lines(), validation.passed)


@app.command("schemes")
def validate_schemes(
    table: Annotated[Path, typer.Option(help="A folder of vectors, or one file: expected_x.csv, codes_x.json, skip_x.json, ...")],
) -> None:
    """Compare sizes, codes and skips of every scheme with vectors, exactly; exit 1 on a miss."""
    from accelsim.validation import schemes

    comparison = schemes.validate(table)
    for line in comparison.lines():
        say(line)
    if not comparison.passed:
        raise typer.Exit(1)


@app.command("silicon")
def validate_silicon(
    table: Annotated[Path, typer.Option(help="Measured layers (.csv): layer, dram_accesses_MB, zeros_ifmap_pct, ...; see the README.")],
    config: Annotated[Path | None, typer.Option(help="The machine; without it configs/accelerator/eyeriss.yaml.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Shapes and mapping of the layers (.csv), else one beside the table.")] = None,
    densities: Annotated[Path | None, typer.Option(help="Densities of ofmaps (.csv: layer, density_ofmap); likewise.")] = None,
    images: Annotated[int | None, typer.Option(min=1, max=1024, help="Batch; without it what the table's MACs tell.")] = None,
    settings: Settings = None,
) -> None:
    """Hold DRAM bytes and exposed link time against a measured chip, one line per layer; exit 1 on a miss."""
    from accelsim import simulate
    from accelsim.validation import chip, silicon

    file = config or silicon.shipped_machine()
    tables = chip.Tables.find(table, file, mapping, densities)
    with progress_shown() as progress:
        comparison = silicon.validate(simulate.load_accelerator(file, settings or ()), tables, images=images, progress=progress)
    judge([f"machine: {file}; {tables}", *comparison.lines(), silicon.tolerance()], comparison.passed)


@app.command("dram")
def validate_dram(
    table: Annotated[Path, typer.Option(help="Reference (.csv): pattern, params, ot, bus_util, ...; one stream a row.")],
    config: Annotated[Path, typer.Option(help="The technology, e.g. configs/memory/ddr4_2400.yaml.")],
    second_oracle: Annotated[Path | None, typer.Option(help="The same rows by another simulator: mixed patterns may lie between.")] = None,
    mode: Annotated[str, typer.Option(help="full, or fast for the in-order recurrence.")] = "full",
    settings: Settings = None,
) -> None:
    """Hold bus utilisation, cycles and latency of DRAM streams against another simulator, row by row; exit 1 on a miss.

    Activates, refreshes and energy (columns acts, refs, pJ_per_B_act, _rdwr, _ref, _bg) are told beside them.
    """
    from accelsim.errors import ConfigError, choices
    from accelsim.hardware.memory import load_memory
    from accelsim.validation import dram

    if mode not in dram.MODES:
        raise ConfigError(f"--mode: {mode!r} is unknown\n    {choices(dram.MODES, mode)}")
    with progress_shown() as progress:
        comparison = dram.validate(load_memory(config, settings or ()), table, second=second_oracle, mode=mode, progress=progress)
    judge(comparison.lines(), comparison.passed)


@app.command("pcie")
def validate_pcie(table: Annotated[Path, typer.Option(help="Reference (.csv): gen, lanes, mps and rates in GB/s.")]) -> None:
    """Hold PCI Express rates against another model, row by row; exit 1 on a miss."""
    from accelsim.validation import pcie

    comparison = pcie.validate(table)
    judge(comparison.lines(), comparison.passed)


@app.command("dataflow")
def validate_dataflow(table: Annotated[Path, typer.Option(help="Reference (.csv): layer sizes, array, dataflow, total_cycles.")]) -> None:
    """Hold cycles of the systolic dataflows against another simulator, row by row; exit 1 on a miss."""
    from accelsim.validation import dataflow

    comparison = dataflow.validate(table)
    judge(comparison.lines(), comparison.passed)
