"""Small graphs and traces for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from accelsim.graph import Graph, Node
from accelsim.trace import FeatureMap, Trace, measure, spread

KINDS = ("dropout", "concat", "add", "maxpool", "fc", "softmax")
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=12)


@st.composite
def data(draw, shape=None):
    """A map with zeros, zero channels, negative zeros, NaN and infinities. Shapes: float32 [C, H, W]."""
    channels, height, width = shape or draw(st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = generator.standard_normal((channels, height, width)).astype(np.float32)
    values[generator.random(values.shape) < draw(st.sampled_from((0.0, 0.5, 0.95, 1.0)))] = -0.0
    values[generator.random(channels) < 0.3] = 0
    odd = generator.random(values.shape)
    values[odd < 0.02] = np.nan
    values[odd > 0.98] = np.inf
    return values


@st.composite
def nodes(draw, index):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)))
    if index == 0:
        return Node(0, "input", "input", (), shape)
    return Node(
        index=index,
        name=f"{index - 1:03d}_{draw(texts)}",
        kind=draw(st.sampled_from(KINDS)),
        inputs=tuple(draw(st.lists(st.integers(0, index - 1), min_size=1, max_size=3))),
        shape=shape,
        kernel=draw(st.tuples(st.integers(1, 11), st.integers(1, 11))),
        pad=draw(st.tuples(*[st.integers(0, 3)] * 4)),
        slope=draw(st.floats(-1, 1)),
        zero_point=draw(st.integers(-128, 255)),
        attributes=draw(st.dictionaries(texts, st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-1, 1), texts), max_size=2)),
    )


@st.composite
def traces(draw, masks=None):
    """A trace of up to five maps, with masks and part maxima, or with counts only."""
    graph = Graph(draw(texts), tuple(draw(nodes(index)) for index in range(draw(st.integers(1, 5)))))
    fine_part = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    masks = draw(st.booleans()) if masks is None else masks
    maps = []
    for node in graph.nodes:
        if masks:
            fmap = measure(draw(data(node.shape)), fine_part)
            if draw(st.booleans()):
                fmap = FeatureMap(fmap.shape, fmap.zero_channels, fmap.zero_elements, fmap.mask)
        else:
            dead = draw(st.integers(0, node.shape[0]))
            zeros = draw(st.none() | st.integers(dead * node.shape[1] * node.shape[2], node.elements))
            fmap = FeatureMap(node.shape, spread(dead, node.shape[0]), zeros)
        maps.append(fmap)
    source = "inference" if masks else draw(st.sampled_from(("published statistics", "synthetic")))
    epsilon, mode = draw(st.floats(0, 1)), draw(st.sampled_from(("channel", "part", "element")))
    return Trace(graph, tuple(maps), draw(texts), epsilon, mode, fine_part, source, draw(st.dictionaries(texts, texts, max_size=3)))
