"""Schemes and maps for the tests of schemes and schedules."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from accelsim import schemes

LABELS = (
    *schemes.replayable(),
    "bitmap:unit=64",
    "channel_marker:layout=slots",
    "channel_marker:printed=true",
    "csr:unit=128,layout=packed,word_indices=true",
    "part_marker:height=2,width=3",
    "part_marker:layout=packed",
    "part_marker:layout=slots",
    "part_marker:parts=linear",
    "part_marker:summary=count",
    "rlc:run_bits=3,packing=none",
    "sbnet:height=2,width=3,layout=slots",
    "zero_block:height=2,width=5,layout=slots",
    "zero_block:layout=raster",
    "zvc:unit=100,fallback=false",
    "zvc:unit=32,layout=packed",
)
"""Every scheme that a trace serves, and options that change how maps lie."""

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 13), st.integers(1, 13)),
    st.tuples(st.integers(1, 80), st.just(1), st.just(1)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(40, 90)),
)
"""Small maps; vectors, whose units reach over channels; and maps of long rows, of which units hold one."""

TYPES = {8: ("uint8", "int8"), 16: ("int16", "uint16", "float16"), 32: ("int32", "float32")}


def values(shape: tuple[int, int, int], dtype: str, seed: int, zeros: float) -> np.ndarray:
    """A map of which about so many elements are zero, in stretches as well as alone; -0.0 and NaN among them where the type has them."""
    rng = np.random.default_rng(seed)
    live = (rng.random(shape) >= zeros) & (rng.random(shape[0]) >= zeros / 2)[:, None, None]
    found = np.where(live, rng.normal(scale=30, size=shape), 0).astype(dtype)
    if found.dtype.kind == "f" and found.size > 2:
        found.flat[0], found.flat[1] = -0.0, np.nan
    return found
