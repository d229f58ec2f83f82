"""The machine: PE array, buffer, DMA engine, link, DRAM, codec and energy, each a frozen part that a YAML file describes."""

from accelsim.hardware.accelerator import EMBEDDED, Accelerator, describe, link_timing, load_accelerator, notices, peaks
from accelsim.hardware.chip import Data, Layout, MarkerMemory, PeArray, SplitBuffer, UnifiedBuffer
from accelsim.hardware.dma import Dma
from accelsim.hardware.dram import FlatDram
from accelsim.hardware.links import BusLink, PcieLink

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
