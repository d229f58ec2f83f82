"""Figures, one file each; the only door to matplotlib."""

from accelsim.plots.bandwidth_over_time import bandwidth_over_time
from accelsim.plots.bytes_per_layer import bytes_per_layer
from accelsim.plots.cycles_per_layer import cycles_per_layer
from accelsim.plots.energy_breakdown import energy_breakdown
from accelsim.plots.epsilon_curve import epsilon_curve
from accelsim.plots.gallery import files, of_bandwidth, of_layers, of_trace
from accelsim.plots.heat_map import heat_map
from accelsim.plots.paper_figure6 import paper_figure6
from accelsim.plots.sparsity import sparsity
from accelsim.plots.stall_causes import stall_causes
from accelsim.plots.static_dynamic import static_dynamic
from accelsim.plots.style import DOUBLE_COLUMN, SINGLE_COLUMN, render, save, slug
from accelsim.plots.sweep_curves import sweep_curves
from accelsim.plots.sweep_gallery import of_sweep
from accelsim.plots.zero_channel_map import zero_channel_map

__all__ = [
    "DOUBLE_COLUMN",
    "SINGLE_COLUMN",
    "bandwidth_over_time",
    "bytes_per_layer",
    "cycles_per_layer",
    "energy_breakdown",
    "epsilon_curve",
    "files",
    "heat_map",
    "of_bandwidth",
    "of_layers",
    "of_sweep",
    "of_trace",
    "paper_figure6",
    "render",
    "save",
    "slug",
    "sparsity",
    "stall_causes",
    "static_dynamic",
    "sweep_curves",
    "zero_channel_map",
]
