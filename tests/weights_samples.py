"""Weights for the tests of weight schemes, and of schedules that load them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from accelsim.weights.base import Cut

LABELS = (
    "eie",
    "eie:columns=all",
    "eie:index_bits=1,fallback=false",
    "eie:index_bits=8,columns=all,fallback=false",
    "filter_pruned",
    "filter_pruned:fallback=false",
    "pruned_csr",
    "pruned_csr:fallback=false",
)
"""Every weight scheme that leaves zeros out, and options that change how weights lie."""

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 6), st.integers(1, 9))
"""Groups, filters, channels, taps."""


@st.composite
def cuts(draw, shape: tuple[int, ...]) -> Cut:
    """Any way to cut a layer; several groups in a piece come whole, as tiles take them."""
    edges = [np.array(sorted({0, extent, *draw(st.lists(st.integers(0, extent), max_size=3))})) for extent in shape[:3]]
    if (np.diff(edges[0]) > 1).any():
        edges[1:] = [np.array([0, extent]) for extent in shape[1:3]]
    return Cut(*edges)


def values(shape: tuple[int, ...], dtype: str, seed: int, zeros: float) -> np.ndarray:
    """Weights of which about so many are zero, whole filters and channels among them; -0.0 where the type has it."""
    rng = np.random.default_rng(seed)
    groups, filters, channels, _ = shape
    live = rng.random(shape) >= zeros
    live &= (rng.random((groups, filters)) >= zeros / 3)[:, :, None, None] & (rng.random((groups, channels)) >= zeros / 3)[:, None, :, None]
    found = np.where(live, rng.normal(scale=30, size=shape), 0).astype(dtype)
    if found.dtype.kind == "f":
        found.flat[0] = -0.0
    return found
