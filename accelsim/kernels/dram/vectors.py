"""Sets of banks as the bits of a number.

Without the jit each function here is that plain Python function: it says what the machine code (`lowering.py`) does.
"""

from __future__ import annotations


def lowest(bits: int) -> int:
    """The number of the lowest 1 bit; there must be one."""
    return (int(bits) & -int(bits)).bit_length() - 1
