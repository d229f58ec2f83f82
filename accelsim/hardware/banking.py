"""Banks and ports of the on-chip buffer; what they cost is worked out in `engines.contention`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.hardware.memory import Part
from accelsim.units import Bytes

Count = Annotated[int, Field(ge=1, le=2**20)]


class Banking(Part):
    """Banks and ports of a buffer memory, where the DMA engine and the array may meet and hold each other up."""

    banks: Count
    """Banks of each memory; neighbouring words lie in neighbouring banks."""
    ports: Count = 1
    """Accesses of each bank in a cycle."""
    width: Bytes = 16
    """Bytes of an access: the word of a bank."""
    mapping: Literal["interleaved", "slots"] = "interleaved"
    """`interleaved`: all slots over all banks; `slots`: each slot in banks of its own, so that filling never meets working."""
