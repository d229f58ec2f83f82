"""Network files and run files: which network with which preprocessing; which machine, schemes and jobs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.runfile.network import WAYS, NetworkFile, Quantisation, Section, load_network_file
    from accelsim.runfile.run import (
        EMBEDDED,
        KINDS,
        Filed,
        InferenceJob,
        Job,
        Run,
        StoreJob,
        TraceJob,
        describe,
        kind_of_job,
        load_run,
        repeats,
    )
    from accelsim.runfile.values import ImageList, InputFile, Location, Name, PresetName, image_list

__all__ = [
    "EMBEDDED",
    "KINDS",
    "WAYS",
    "Filed",
    "ImageList",
    "InferenceJob",
    "InputFile",
    "Job",
    "Location",
    "Name",
    "NetworkFile",
    "PresetName",
    "Quantisation",
    "Run",
    "Section",
    "StoreJob",
    "TraceJob",
    "describe",
    "image_list",
    "kind_of_job",
    "load_network_file",
    "load_run",
    "repeats",
]

_HOMES = {
    **dict.fromkeys(("WAYS", "NetworkFile", "Quantisation", "Section", "load_network_file"), "network"),
    **dict.fromkeys(("ImageList", "InputFile", "Location", "Name", "PresetName", "image_list"), "values"),
}


def __getattr__(name: str) -> object:
    """Import the public names when they are first used: whoever reads a network file alone waits for no machines and schemes."""
    if name not in __all__:
        raise AttributeError(f"module 'accelsim.runfile' has no attribute {name!r}")
    return getattr(import_module(f"accelsim.runfile.{_HOMES.get(name, 'run')}"), name)
