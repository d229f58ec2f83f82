"""Network files: which network, with which weights, and what happens to an image first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim import configfile
from accelsim.errors import RefusalError, refuse
from accelsim.images import Preprocessing
from accelsim.pruning import Pruning
from accelsim.runfile.values import ImageList, InputFile, InTheZoo, Name, PresetName

WAYS = ("darknet", "onnx", "zoo")
"""Keys of a network file that name a network; one of them must be there."""


class Section(BaseModel):
    """Base of every part of these files: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Darknet(Section):
    """A network in Darknet's format."""

    cfg: InputFile
    """The .cfg file: layers and shapes."""
    weights: InputFile | None = None
    """The .weights file; without it the network gives shapes, but cannot be run."""


class Labels(Section):
    """Names of the network's outputs: a table (.csv) with a header line."""

    file: InputFile
    """The table."""
    column: str = "name"
    """Column with the name."""
    index: str | None = None
    """Column with the number of the output, from 0; without it the rows stand in the order of the outputs."""


class Quantisation(Section):
    """Maps and weights in whole numbers, after training; inference stays in float32, with values on the grids."""

    map_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of an element of a map; `data.ifmap_bits` of the machine says what it takes in memory."""
    weight_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of a weight."""
    maps: Literal["symmetric", "zero_point"] = "zero_point"
    """Whether the integer 0 means 0, or the integers span the values that occur: then the one that means 0 is the zero point."""
    weights: Literal["per_channel", "per_tensor"] = "per_channel"
    """A step for each filter, or one for all of a layer; always symmetric."""
    images: Annotated[tuple[str, ...], Field(min_length=1), ImageList()]
    """Calibration images: least and largest value of each map are those seen on these."""


class NetworkFile(Section):
    """A network: where its layers and weights are, and what it does to an image first."""

    name: Name
    """What reports and trace files call it."""
    darknet: Darknet | None = None
    """A network in Darknet's files."""
    onnx: InputFile | None = None
    """A network in an ONNX file."""
    zoo: Annotated[str, InTheZoo()] | None = None
    """A well-known network without weights, by name; at another input size with it: resnet50@256."""
    synthetic_weights: Annotated[int, Field(ge=0)] | None = None
    """Seed of random weights for a network that has none: it then runs on images, and every trace and report says 'synthetic'."""
    prune: Pruning | None = None
    """Small weights become zero."""
    quantise: Quantisation | None = None
    """Maps and weights become whole numbers, after pruning."""
    preprocessing: Annotated[Preprocessing, PresetName()]
    """Name of a preset, or its keys."""
    labels: Labels | None = None
    """Names of the outputs."""

    @model_validator(mode="after")
    def _one_network(self) -> NetworkFile:
        given = [way for way in WAYS if getattr(self, way) is not None]
        faults = []
        if not given:
            faults.append(RefusalError("no network is named", f"give one of: {', '.join(WAYS)}"))
        faults += [RefusalError(f"one network is enough, {given[0]} names another", f"remove {way}", at=[way]) for way in given[1:]]
        if self.synthetic_weights is not None and self.darknet is not None and self.darknet.weights is not None:
            faults.append(RefusalError("the network has weights of its own", "remove one of the two", at=["synthetic_weights"]))
        if self.synthetic_weights is not None and self.onnx is not None:
            faults.append(RefusalError("an ONNX file has weights of its own", "remove one of the two", at=["synthetic_weights"]))
        refuse(faults)
        return self


def load_network_file(path: str | Path, overrides: Sequence[str] = ()) -> NetworkFile:
    """Read a network file. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, NetworkFile, "network", overrides)
