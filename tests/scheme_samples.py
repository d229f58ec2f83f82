"""Schemes and maps for the tests of schemes and schedules. Schemes are found by listing, so a new one is tested without a word here."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from schedule_samples import graph

from accelsim import schemes
from accelsim.schemes._streams import StreamOptions
from accelsim.trace import SYNTHETIC, Trace, measure

OPTIONS = (
    "bitmap:unit=64",
    "channel_marker:layout=slots",
    "channel_marker:printed=true",
    "constant_marker:layout=packed,fallback=true",
    "csr:unit=128,layout=packed,word_indices=true",
    "ebpc:unit=64,layout=packed,block=16",
    "ebpc:unit=100,fallback=false,run_bits=2",
    "part_marker:height=2,width=3",
    "part_marker:layout=packed,fallback=true",
    "part_marker:layout=slots",
    "part_marker:parts=linear",
    "part_marker:summary=count",
    "rlc:run_bits=3,packing=none",
    "sbnet:height=2,width=3,layout=slots",
    "zero_block:height=2,width=5,layout=slots",
    "zero_block:layout=raster,fallback=true",
    "zvc:unit=100,fallback=false,rate=32,latency=4",
    "zvc:unit=32,layout=packed",
)
"""Options that change how maps lie."""
EVERY = (*sorted(schemes.names(), key=lambda name: name != "dense"), *OPTIONS)
"""Every scheme, dense first, and options of some."""
LABELS = tuple(label for label in EVERY if schemes.load(label).needs != "values")
"""Every scheme that a trace serves as it lies in a file, and options of some."""

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 13), st.integers(1, 13)),
    st.tuples(st.integers(1, 80), st.just(1), st.just(1)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(40, 90)),
)
"""Small maps; vectors, whose units reach over channels; and maps of long rows, of which units hold one."""

TYPES = {8: ("uint8", "int8"), 16: ("int16", "uint16", "float16"), 32: ("int32", "float32")}


def compresses(label: str) -> bool:
    """Whether a scheme stores streams instead of skipping units."""
    return isinstance(schemes.load(label).options, StreamOptions)


def values(shape: tuple[int, int, int], dtype: str, seed: int, zeros: float) -> np.ndarray:
    """A map of which about so many elements are zero, in stretches as well as alone; -0.0 and NaN among them where the type has them.

    Some channels are slopes, and some are one value.
    """
    rng = np.random.default_rng(seed)
    live = (rng.random(shape) >= zeros) & (rng.random(shape[0]) >= zeros / 2)[:, None, None]
    noise = rng.normal(scale=30, size=shape)
    form = rng.integers(4, size=shape[0])
    noise[form == 1] = np.arange(shape[1] * shape[2]).reshape(shape[1:])
    found = np.where(live, noise, 0)
    found[form == 2] = rng.integers(1, 99, size=int((form == 2).sum()))[:, None, None]
    found = found.astype(dtype)
    if found.dtype.kind == "f" and found.size > 2:
        found.flat[0], found.flat[1] = -0.0, np.nan
    return found


def one_map(shape: tuple[int, int, int], seed: int = 0, zeros: float = 0.8, dead: float = 0.3) -> Trace:
    """A trace of a map whose elements are zero with probability `zeros`, its channels with probability `dead`; no channel is one value."""
    rng = np.random.default_rng(seed)
    live = (rng.random(shape) >= zeros) & (rng.random(shape[0]) >= dead)[:, None, None]
    return of_values(np.where(live, 1 + np.arange(live.size).reshape(shape) + rng.random(shape), 0))


def of_values(data: np.ndarray) -> Trace:
    """A trace of a network that hands one map on; it knows the values."""
    net = graph(data.shape, {"kind": "dropout"})
    fmap = measure(np.asarray(data, dtype=np.float32), (4, 4), values=True)
    return Trace(net, (fmap, fmap), "noise", 0.0, "channel", (4, 4), SYNTHETIC, {})
