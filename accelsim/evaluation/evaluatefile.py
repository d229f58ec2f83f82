"""Evaluate files: which network on which labelled images, at which epsilons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from accelsim import configfile
from accelsim.configfile.schema import FromPath
from accelsim.errors import RefusalError, refuse
from accelsim.labelled import ImageSet, Photographs
from accelsim.runfile import Filed, Location, Name, NetworkFile, Section, repeats

MOST_STEPS = 1000
"""More epsilons than this are taken for a mistake in the step."""

Epsilon = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1)]
Mode = Literal["channel", "part", "element"]


class Range(Section):
    """Epsilons at equal distances."""

    start: Epsilon = 0.0
    """The first."""
    stop: Epsilon
    """The last, included if a step meets it."""
    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    """The distance."""

    @model_validator(mode="after")
    def _sound(self) -> Range:
        if self.stop < self.start:
            raise RefusalError(f"stop {self.stop:g} lies below start {self.start:g}", "exchange the two", at=["stop"])
        if (self.stop - self.start) / self.step > MOST_STEPS:
            raise RefusalError(f"more than {MOST_STEPS:,} epsilons", "take a larger step", at=["step"])
        return self

    def values(self) -> tuple[float, ...]:
        """All of them; rounded, so that 3 steps of 0.1 give 0.3."""
        count = int((self.stop - self.start) / self.step * (1 + 1e-12) + 1e-9) + 1
        return tuple(round(self.start + index * self.step, 12) for index in range(count))


class Auto(Section):
    """An epsilon for each layer, chosen greedily.

    In running order each layer gets the largest candidate with which, beside what the layers before it got and 0 for those after it,
    at most `budget` is lost; 0 where none is. Each mode is chosen for by itself.
    """

    candidates: Annotated[tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...], Field(min_length=1)] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """What a layer may get, besides 0."""
    budget: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    """Points of top-1 accuracy that may be lost, in all, on the images that are chosen with."""
    images: Side | None = None
    """Choose with this many of the images, the first ones; all if not given. Accuracy on the others is then an honest one."""


def _is_range(value: Any) -> str:
    return "range" if isinstance(value, Range | Mapping) else "list"


Epsilons = Annotated[
    Annotated[Range, Tag("range")] | Annotated[tuple[Epsilon, ...], Field(min_length=1), Tag("list")],
    Discriminator(_is_range),
]


def _is_mapping(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping) else "list"


LayerEpsilons = Annotated[
    Annotated[dict[str, Epsilon], Tag("mapping")] | Annotated[tuple[Epsilon, ...], Tag("list")],
    Discriminator(_is_mapping),
]


class Evaluate(ImageSet, Filed):
    """Accuracy and reduction against epsilon, on many images."""

    name: Name
    """What the results are filed under."""
    network: Annotated[NetworkFile, FromPath()]
    """Path of a network file, or its content."""
    epsilons: Epsilons = (0.0,)
    """Numbers, each for all layers, or a range: {start: 0, stop: 0.5, step: 0.1}. 0 is always there: losses are counted from it."""
    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("channel",)
    """What is overwritten with zeros before the next layer reads it: wholly zero channels, parts, or elements."""
    part: tuple[Side, Side] = (8, 8)
    """Height and width of a part, elements."""
    layer_epsilons: LayerEpsilons | None = None
    """One more setting, an epsilon for each layer: by name ('*' stands for any letters; layers not named have 0), or a list in running
    order, one for each layer whose output is overwritten (convolutions, max-pools, sums and their like)."""
    auto: Auto | None = None
    """One more setting a mode: an epsilon for each layer, chosen so that accuracy stays within a budget."""
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that work at the same time, one thread each."""
    block: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Images that one process works on before it notes what it found; what is noted is not done again."""
    results: Annotated[Path, Location(file=False, here=True)] = Path("results")
    """Folder for tables and figures, from the current folder; results/<name> if not given."""

    @model_validator(mode="after")
    def _consistent(self) -> Evaluate:
        faults = repeats(self.modes, "modes")
        if self.auto is not None and isinstance(self.images, Photographs):
            faults.append(
                RefusalError("to choose epsilons by accuracy, the images need labels", "give images.table or images.stack", at=["auto"])
            )
        if self.outputs is not None and isinstance(self.images, Photographs):
            faults.append(RefusalError("the images have no labels that could be outputs", "remove it", at=["outputs"]))
        refuse(faults)
        return self

    def all_epsilons(self) -> tuple[float, ...]:
        """Numbers for all layers, ascending, each once, 0 among them."""
        given = self.epsilons.values() if isinstance(self.epsilons, Range) else self.epsilons
        return tuple(sorted({0.0, *given}))

    def network_file(self) -> NetworkFile:
        """The network with the preprocessing that is used here."""
        return self.seen_by(self.network)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Evaluate:
    """Read an evaluate file with the network file it names. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, Evaluate, "evaluate", overrides, {"network": "network"})


def describe(resolved: Evaluate) -> str:
    """A resolved evaluate file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    return configfile.dump({"evaluate": resolved.model_dump(mode="json", exclude_none=True)})


def dump_chosen(chosen: Mapping[str, Mapping[str, float]]) -> bytes:
    """Epsilons by mode and layer as YAML; what stands under a mode can be given as `layer_epsilons`."""
    return configfile.dump({mode: {"layer_epsilons": dict(layers)} for mode, layers in chosen.items()}).encode()
