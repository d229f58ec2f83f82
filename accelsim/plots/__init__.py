"""Figures, one file each; the only door to matplotlib."""

from accelsim.plots.bytes_per_layer import bytes_per_layer
from accelsim.plots.cycles_per_layer import cycles_per_layer
from accelsim.plots.gallery import files, of_layers, of_trace
from accelsim.plots.paper_figure6 import paper_figure6
from accelsim.plots.stall_causes import stall_causes
from accelsim.plots.style import DOUBLE_COLUMN, SINGLE_COLUMN, render, save
from accelsim.plots.zero_channel_map import zero_channel_map

__all__ = [
    "DOUBLE_COLUMN",
    "SINGLE_COLUMN",
    "bytes_per_layer",
    "cycles_per_layer",
    "files",
    "of_layers",
    "of_trace",
    "paper_figure6",
    "render",
    "save",
    "stall_causes",
    "zero_channel_map",
]
