"""Sets of banks as the bits of a number, and what rarely happens.

Without the jit each function here is that plain Python function: it says what the machine code (`lowering.py`) does.
"""

from __future__ import annotations


def lowest(bits: int) -> int:
    """The number of the lowest 1 bit; there must be one."""
    return (int(bits) & -int(bits)).bit_length() - 1


def rarely(condition: bool) -> bool:
    """The condition itself, which seldom holds: registers are kept for what happens otherwise."""
    return bool(condition)
