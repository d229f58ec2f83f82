"""Figures, one file each; the only door to matplotlib."""

from accelsim.plots.bandwidth_over_time import bandwidth_over_time
from accelsim.plots.buffer_occupancy import buffer_occupancy
from accelsim.plots.bytes_per_layer import bytes_per_layer
from accelsim.plots.cycles_per_layer import cycles_per_layer
from accelsim.plots.energy_breakdown import energy_breakdown
from accelsim.plots.epsilon_curve import epsilon_curve
from accelsim.plots.gallery import files, of_bandwidth, of_layers, of_run, of_trace
from accelsim.plots.heat_map import heat_map
from accelsim.plots.image_spread import image_spread
from accelsim.plots.observed import observed
from accelsim.plots.paper_figure4 import paper_figure4
from accelsim.plots.paper_figure6 import paper_figure6
from accelsim.plots.pareto_scatter import pareto_scatter
from accelsim.plots.roofline import Roof, roofline
from accelsim.plots.schemes_by_tensor import schemes_by_tensor
from accelsim.plots.sensitivity_bars import sensitivity_bars
from accelsim.plots.sparsity import sparsity
from accelsim.plots.spread_curves import spread_curves
from accelsim.plots.stall_causes import stall_causes
from accelsim.plots.static_dynamic import static_dynamic
from accelsim.plots.style import DOUBLE_COLUMN, LOOKS, SINGLE_COLUMN, Look, look, render, save, slug
from accelsim.plots.sweep_curves import sweep_curves
from accelsim.plots.sweep_gallery import of_sweep
from accelsim.plots.zero_channel_map import zero_channel_map

__all__ = [
    "DOUBLE_COLUMN",
    "LOOKS",
    "SINGLE_COLUMN",
    "Look",
    "Roof",
    "bandwidth_over_time",
    "buffer_occupancy",
    "bytes_per_layer",
    "cycles_per_layer",
    "energy_breakdown",
    "epsilon_curve",
    "files",
    "heat_map",
    "image_spread",
    "look",
    "observed",
    "of_bandwidth",
    "of_layers",
    "of_run",
    "of_sweep",
    "of_trace",
    "paper_figure4",
    "paper_figure6",
    "pareto_scatter",
    "render",
    "roofline",
    "save",
    "schemes_by_tensor",
    "sensitivity_bars",
    "slug",
    "sparsity",
    "spread_curves",
    "stall_causes",
    "static_dynamic",
    "sweep_curves",
    "zero_channel_map",
]
