"""A small machine as a YAML file, where any will do."""

from __future__ import annotations

SMALL_MACHINE = """\
accelerator:
  name: small
  clock: 800 MHz
  pe_array: {rows: 4, cols: 4}
  buffer: {organisation: unified, size: 64 KiB}
  link: {kind: bus}
  dram: {kind: flat, rate: 12.8 GB/s}
"""
TINY_MACHINE = SMALL_MACHINE.replace("64 KiB", "8 KiB").replace("12.8 GB/s", "1 GB/s").replace("800 MHz", "1 GHz").replace("small", "fixed")
"""With so little buffer that a fixed tiling soon does not fit."""
