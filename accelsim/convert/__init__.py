"""To other tools and back: SCALE-Sim, Timeloop, ZigZag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelsim import configfile, hardware, simulate
from accelsim.convert import scalesim, timeloop, zigzag
from accelsim.convert.base import Converted, write
from accelsim.errors import ConfigError, choices

FORMATS = ("scalesim", "timeloop", "zigzag", "accelsim")
FOLDERS = ("timeloop",)
"""Formats of several files: the output is a folder."""


def convert(source: str | Path, out: str | Path, to: str, overrides: Sequence[str] = ()) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write a network or a machine for another tool, or a machine of SCALE-Sim for us; gives the files written, and notes for people.

    `source`: a network (anything `simulate.open_network` takes), an accelerator file, or a SCALE-Sim configuration. `out`: a file, or
    a folder where the format has a file for each layer. `to`: one of `FORMATS`. `overrides`: `dotted.path=value` for a YAML source.
    Raises:  `ConfigError` for a source that the format cannot say; as the readers do
    """
    if to not in FORMATS:
        raise ConfigError(f"--to: {to!r} is not a format\n    {choices(FORMATS, to)}")
    made = _converted(str(source), to, overrides)
    folder = Path(out)
    paths = [folder / name for name, _ in made.files] if to in FOLDERS else [folder]
    for path, (_, text) in zip(paths, made.files, strict=True):
        write(path, text)
    return tuple(paths), made.notes


def _converted(source: str, to: str, overrides: Sequence[str]) -> Converted:
    path = Path(source)
    if path.suffix == ".cfg" and scalesim.is_config(path):
        if to != "accelsim":
            raise ConfigError(f"{source}: a machine of SCALE-Sim becomes one of ours alone\n    write --to accelsim")
        machine, notes = scalesim.machine(path)
        return Converted(((f"{path.stem}.yaml", hardware.describe(machine)),), notes)
    if path.suffix in {".yaml", ".yml"} and configfile.root_key(path) == "accelerator":
        if to != "scalesim":
            raise ConfigError(f"{source}: a machine can be written for SCALE-Sim alone, {to} takes networks\n    write --to scalesim")
        return scalesim.config(hardware.load_accelerator(path, overrides))
    if to == "accelsim":
        raise ConfigError(
            f"{source}: is no machine of SCALE-Sim (a .cfg with [architecture_presets])\n"
            "    networks need no conversion: 'accelsim check' and 'accelsim trace synthetic --network' take them as they are"
        )
    graph = simulate.open_network(source, overrides).graph
    return {"scalesim": scalesim.topology, "timeloop": timeloop.problems, "zigzag": zigzag.workload}[to](graph)
