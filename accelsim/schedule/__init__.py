"""A replay compiled to integers: tiles, blocks, transfers and descriptors."""

from accelsim.schedule.builder import build

__all__ = ["build"]
