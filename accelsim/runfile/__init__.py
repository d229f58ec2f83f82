"""Network files and run files: which network with which preprocessing; which machine, schemes and jobs."""

from accelsim.runfile.network import WAYS, NetworkFile, Quantisation, Section, load_network_file
from accelsim.runfile.run import EMBEDDED, KINDS, Filed, InferenceJob, Job, Run, TraceJob, describe, load_run, repeats
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
    "TraceJob",
    "describe",
    "image_list",
    "load_network_file",
    "load_run",
    "repeats",
]
