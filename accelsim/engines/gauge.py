"""Bytes held in a buffer over time."""

from __future__ import annotations


class Gauge:
    """Bytes held; its peak looks at levels that last, so that a release and an allocation at one instant do not add."""

    def __init__(self) -> None:
        self.level = self.peak = self.changed = 0

    def change(self, size: int, now: int) -> None:
        """Hold `size` bytes more from `now` on, which is not before the last change."""
        if now > self.changed:
            self.peak = max(self.peak, self.level)
        self.level += size
        self.changed = now
