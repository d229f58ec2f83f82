"""Threads that share a kernel's work without asking Python: one opens a job, others that wait in compiled code join it.

They have a cache of their own, keyed by the content of these files (`compile.py`).
"""

from __future__ import annotations

from accelsim.kernels.crew.atomics import LINE, PARTS, entry_of, has_entries
from accelsim.kernels.crew.crew import ASLEEP, DONE, FAILED, LATE, OTHER, STOP, launch, serve, settled

__all__ = ["ASLEEP", "DONE", "FAILED", "LATE", "LINE", "OTHER", "PARTS", "STOP", "entry_of", "has_entries", "launch", "serve", "settled"]
