"""An area proxy: what the array and the on-chip memories of a machine would take in 45 nm, for ranking designs, not for pricing them.

Every element of the array has one multiply-accumulate unit, whose multiplier grows with the product of its operands' bits; every byte of
buffer and marker memory has its share of an SRAM. The DMA engine, the link, the DRAM and a scheme's codec are left out: they are the same
for designs that differ in array and buffer, or no source at hand prices them.
"""

from __future__ import annotations

from accelsim.hardware import Accelerator, UnifiedBuffer

MAC_UM2 = 3110.0
"""A 16-bit fixed-point multiply-accumulate unit. Source: Han et al., EIE, ISCA 2016, table II, ArithmUnit; TSMC 45 nm, after layout."""
MAC_BITS = 16 * 16
"""Product of the operands' bits of that unit."""
SRAM_UM2_PER_BYTE = 469_412 / (128 * 1024)
"""An SRAM of 128 KiB with a port of 64 bits: 3.58 um2 a byte. Source: the same table, SpmatRead; its size from section VI."""


def area_mm2(accelerator: Accelerator) -> float:
    """Area of array, buffer and marker memory.

    Units:   square millimetres in a 45 nm process
    """
    data, buffer, array = accelerator.data, accelerator.buffer, accelerator.pe_array
    unit = MAC_UM2 * data.ifmap_bits * data.filter_bits / MAC_BITS
    held = buffer.size if isinstance(buffer, UnifiedBuffer) else buffer.ifmap + buffer.filter + buffer.ofmap
    return (array.rows * array.cols * unit + (held + accelerator.marker_memory.size) * SRAM_UM2_PER_BYTE) / 1e6
