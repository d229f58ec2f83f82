"""The machine: PE array, buffer, DMA engine, link, DRAM, codec and energy, each a frozen part that a YAML file describes."""

from accelsim.hardware.accelerator import (
    EMBEDDED,
    Accelerator,
    BusLink,
    Data,
    Dma,
    Layout,
    MarkerMemory,
    PcieLink,
    PeArray,
    SplitBuffer,
    UnifiedBuffer,
    describe,
    link_timing,
    load_accelerator,
    notices,
    peaks,
)
from accelsim.hardware.dram import FlatDram

__all__ = [
    "EMBEDDED",
    "Accelerator",
    "BusLink",
    "Data",
    "Dma",
    "FlatDram",
    "Layout",
    "MarkerMemory",
    "PcieLink",
    "PeArray",
    "SplitBuffer",
    "UnifiedBuffer",
    "describe",
    "link_timing",
    "load_accelerator",
    "notices",
    "peaks",
]
