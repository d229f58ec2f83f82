"""Paper files: which networks stand for those of the paper, what was printed of them, and what other works published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from accelsim import configfile
from accelsim.errors import RefusalError, choices, quoted, refuse
from accelsim.runfile import Filed, InputFile, Location, Name, Section

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Text = Annotated[str, Field(min_length=1)]


class Archive(Section):
    """Feature maps that others published as numbers."""

    file: Text
    """An archive (.npz), as a path below the folder of reference assets (ACCELSIM_ASSETS)."""
    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    """The arrays in it that are outputs of convolutions, [C, H, W], in running order."""
    like: Text
    """The network of this file that has the same layers: its outputs are what reductions are counted over."""
    image: Text
    """What the maps are of."""


class PaperNetwork(Section):
    """What is at hand of one network of the paper. Files that cannot be read are told with their reason, and so is all that needs them."""

    network: InputFile | None = None
    """A network file with weights."""
    other: Text | None = None
    """Where the weights are not the paper's: whose they are."""
    photographs: InputFile | None = None
    """An evaluate file for the paper's five photographs at epsilon 0 and 0.1."""
    labelled: InputFile | None = None
    """An evaluate file for labelled images; epsilons and modes are those of the paper, whatever it says."""
    trace: InputFile | None = None
    """A trace of the dog, at epsilon 0."""
    archive: Archive | None = None
    """Maps of others."""
    absent: Text = "nothing of it is at hand"
    """Why the rest cannot be measured."""


class Zebra(Section):
    """Blocks of zeros."""

    traces: tuple[InputFile, ...]
    """Traces with masks: what blocks of networks that were not trained for it are worth."""
    blocks: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (4, 8)
    """Heights and widths of a block."""
    evaluate: tuple[InputFile, ...] = ()
    """Evaluate files: the most that thresholds of `epsilons` save in blocks while top-1 loses at most `budget` points."""
    epsilons: tuple[Annotated[float, Field(ge=0.0)], ...] = (0.0,)
    """Thresholds."""
    block: Annotated[int, Field(ge=1)] = 4
    """Height and width of the blocks of these."""
    budget: Annotated[float, Field(ge=0.0)] = 1.0
    """Points of top-1 accuracy."""


class Rlc(Section):
    """A measured chip, layer by layer, with and without its run-length code."""

    table: InputFile
    """What was measured of it, with the zeros of its maps."""
    mapping: InputFile
    """Its layers and how they were mapped."""
    accelerator: InputFile
    """The chip."""


class Columns(Section):
    """Positions that all channels leave out."""

    networks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Networks of the zoo."""
    shares: tuple[Share, ...] = (0.1, 0.2, 0.3)
    """Of the positions of each convolution's output."""
    accelerator: InputFile
    """The machine that runs them."""


class Headline(Section):
    """What is measured beside the numbers that other works published."""

    published: InputFile
    """Those numbers, a row each, with their conditions."""
    zebra: Zebra
    """Zebra."""
    eyeriss: Rlc
    """Eyeriss."""
    columns: Columns
    """Semi-structured sparsity."""
    maps: tuple[InputFile, ...] = ()
    """Network files whose maps are measured value by value (int8) for codes that need values."""
    images: tuple[InputFile, ...] = ()
    """Evaluate files whose first image these networks run on, one each, in the same order."""

    @model_validator(mode="after")
    def _paired(self) -> Headline:
        if len(self.maps) != len(self.images):
            raise RefusalError(
                f"{len(self.maps)} maps and {len(self.images)} images", "give an evaluate file for each network", at=["images"]
            )
        return self


class Paper(Filed):
    """The paper's tables and figures again, each number beside the printed one."""

    name: Name
    """What the results are filed under."""
    printed: InputFile
    """The printed numbers (.csv): item, network, quantity, at, unit, printed, note."""
    networks: Annotated[dict[str, PaperNetwork], Field(min_length=1)]
    """The networks, as the paper calls them."""
    figure_6: Text
    """The network whose layers Figure 6 shows."""
    headline: Headline
    """Other works."""
    results: Annotated[Path, Location(file=False, here=True)] = Path("results")
    """Folder for tables and figures, from the current folder; results/<name> if not given."""

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        named = {f"networks.{key}.archive.like": one.archive.like for key, one in self.networks.items() if one.archive is not None}
        wrong = {at: name for at, name in {"figure_6": self.figure_6, **named}.items() if name not in self.networks}
        refuse(
            [
                RefusalError(f"{quoted(name)} is no network of this file", choices(list(self.networks), name), at=[at])
                for at, name in wrong.items()
            ]
        )
        return self


def load(path: str | Path, overrides: Sequence[str] = ()) -> Paper:
    """Read a paper file. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, Paper, "paper", overrides)


def describe(resolved: Paper) -> str:
    """A resolved paper file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    return configfile.dump({"paper": resolved.model_dump(mode="json", exclude_none=True)})
