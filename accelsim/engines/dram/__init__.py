"""The DRAM of banks in the readable engine: plain objects that say what the kernels of the same names must do.

`requests.py`: requests of the DMA engine as accesses of the channels; `channel.py`: how accesses come to one; `controller.py`, with
`staged.py` and `strict.py`: which command goes next; `inorder.py`: no choice at all; `timing.py`: from when a command is allowed.
Nothing here is shared with the kernels but the numbers of the technology, so that the engines' equality says something of both.
"""

from __future__ import annotations

from accelsim.engines.dram.requests import BankedDram, new_channel

__all__ = ["BankedDram", "new_channel"]
