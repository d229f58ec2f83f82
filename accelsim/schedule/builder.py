"""A trace, a machine and a scheme become a schedule.

Every stored map has a region in DRAM; nodes that only rename maps are followed to what is stored. What the host writes or reads is plain:
the network's input (and what it crops from it) and the maps that no layer reads are dense and have no markers. Biases, one word a filter,
are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim import schemes
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, UnifiedBuffer
from accelsim.schedule.assemble import Assembly
from accelsim.schedule.fetch import Job, traffic
from accelsim.schedule.geometry import COSTED_KINDS, Geometry, geometry
from accelsim.schedule.markers import spilled
from accelsim.schedule.memory import Allocator, FilterRegion, MapRegion, Segment
from accelsim.schedule.plan import Plan, plan
from accelsim.schedule.runs import Rules
from accelsim.schedule.tables import NONE, Schedule
from accelsim.schedule.tiling import search
from accelsim.schedule.work import Source, measure
from accelsim.schemes import dense
from accelsim.schemes.base import EncodedMap
from accelsim.trace import Trace

_FUSED = {
    "input": "the host stores it before the replay starts",
    "crop": "the host crops the image before it stores it",
    "concat": "its producers write into it",
    "dropout": "identity at inference",
    "yolo": "an output: the host reads the map as it is",
    "cost": "training only",
}
"""Why a node costs nothing of its own."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One scheduled node: what it reads and writes, and its tiles. `sources` of each operand; `reads`: stored maps."""

    node: Node
    plan: Plan
    sources: tuple[Source, ...]
    reads: frozenset[int]


def build(trace: Trace, accelerator: Accelerator, scheme: str) -> Schedule:
    """Compile a replay to integers.

    Units:   `scheme`: name of a member of `schemes`
    Raises:  `ConfigError` for an unknown scheme, or where the buffer cannot hold one tile; `TraceError` where the trace lacks what the
             scheme needs; `ModelError` for a kind of node that cannot be scheduled
    """
    encode = schemes.load(scheme).encode
    graph = trace.graph
    prepared = _prepared(graph)
    layers = _layers(graph, prepared, accelerator)
    if not layers:
        raise ModelError(f"{graph.name}: nothing to schedule: no layer costs anything\n    scheduled kinds: {', '.join(COSTED_KINDS)}")
    names = {layer.node.index for layer in layers}
    marked = frozenset().union(*(layer.reads for layer in layers)) & names
    encoded = {index: (encode if index in marked else dense.encode)(trace, index, accelerator) for index in names | prepared}
    regions, filters, sums, metadata = _memory(layers, encoded, graph, accelerator)
    out = spilled(
        [layer.reads for layer in layers],
        [layer.node.index for layer in layers],
        {index: fmap.metadata_bytes for index, fmap in encoded.items()},
        accelerator.marker_memory.size,
    )
    order = {layer.node.index: number for number, layer in enumerate(layers)}
    rules = Rules(accelerator.dma.min_skip, accelerator.dma.access, accelerator.dma.dims)
    assembly = Assembly(drains=isinstance(accelerator.buffer, UnifiedBuffer))
    for layer in layers:
        job = Job(
            plan=layer.plan,
            sources=layer.sources,
            regions=regions,
            ofmap=regions[layer.node.index],
            filters=filters.get(layer.node.index),
            sums=sums,
            work=measure(layer.plan, layer.sources, regions, accelerator.pe_array),
            wait_layer=max((order[index] for index in layer.reads if index in order), default=NONE),
            markers_in=tuple(metadata[index] for index in sorted(layer.reads & out)),
            marker_out=metadata[layer.node.index] if layer.node.index in out else None,
        )
        assembly.add(layer.node.index, job, traffic(job, accelerator.dma, rules, assembly.pool))
    notes = () if trace.positions_known else ("zero-channel positions are assumed evenly spread (published statistics)",)
    return assembly.schedule(
        scheme=scheme,
        names=tuple(layer.node.name for layer in layers),
        kinds=tuple(layer.node.kind for layer in layers),
        slots=(accelerator.buffer.slots,) * 3,
        fused={node.name: _FUSED[node.kind] for node in graph.nodes if node.index not in names},
        notes=notes,
        tilings=tuple(layer.plan.tiling.text(layer.plan.layer) for layer in layers),
    )


def _prepared(graph: Graph) -> frozenset[int]:
    """Maps that the host stores: the input, or what it crops from it."""
    host = {0}
    for node in graph.nodes:
        if node.kind == "crop" and node.inputs[0] in host:
            host.add(node.index)
    return frozenset(host)


def _layers(graph: Graph, prepared: frozenset[int], accelerator: Accelerator) -> list[_Layer]:
    """The costed nodes with their tilings and what they read."""
    segments: list[tuple[Segment, ...]] = []
    layers = []
    for node in graph.nodes:
        costed = node.kind in COSTED_KINDS and node.index not in prepared
        if costed:
            shapes = graph.input_shapes(node.index)
            nest = geometry(node, shapes)
            tiling = search(nest, accelerator, f"{node.name} (layer {node.index})")
            sources = tuple((segments[index], shape) for index, shape in zip(node.inputs, shapes, strict=True))
            reads = frozenset(part.node for parts, _ in sources for part in parts)
            layers.append(_Layer(node, plan(nest, tiling, accelerator.data), sources, reads))
        elif node.index not in prepared and node.kind not in _FUSED:
            geometry(node, graph.input_shapes(node.index))  # says which kinds can be scheduled
        stored = costed or node.index in prepared
        segments.append((Segment(0, node.shape[0], node.index, 0),) if stored else _joined(graph, node, segments))
    return layers


def _joined(graph: Graph, node: Node, segments: list[tuple[Segment, ...]]) -> tuple[Segment, ...]:
    """Where the channels of a node without a region of its own lie: those of its inputs one after the other."""
    found, low = [], 0
    for index in node.inputs:
        for part in segments[index]:
            found.append(Segment(low + part.low, low + part.high, part.node, part.first))
        low += graph.nodes[index].shape[0]
    return tuple(found)


def _memory(
    layers: list[_Layer], encoded: Mapping[int, EncodedMap], graph: Graph, accelerator: Accelerator
) -> tuple[dict[int, MapRegion], dict[int, FilterRegion], int, dict[int, tuple[int, int]]]:
    """Regions of maps and filters, address of the partial sums, (address, bytes) of each map's markers."""
    space = Allocator()
    nests: dict[int, Geometry] = {layer.node.index: layer.plan.layer for layer in layers}
    regions: dict[int, MapRegion] = {}
    filters: dict[int, FilterRegion] = {}
    for index in sorted(encoded):
        if index in nests and nests[index].weights:
            filters[index] = _region(space, nests[index], accelerator)
        shape: Shape = graph.nodes[index].shape
        empty = MapRegion(0, shape, accelerator.data.ifmap_bits, encoded[index])
        regions[index] = MapRegion(space.take(shape[0] * empty.plane_bytes), shape, empty.bits, encoded[index])
    sums = space.take(max((layer.plan.spill_bytes(accelerator.dma.access) for layer in layers), default=0))
    sizes = {index: encoded[index].metadata_bytes for index in sorted(encoded)}
    metadata = {index: (space.take(size), size) for index, size in sizes.items() if size}
    return regions, filters, sums, metadata


def _region(space: Allocator, nest: Geometry, accelerator: Accelerator) -> FilterRegion:
    size = FilterRegion(0, nest, accelerator.data.filter_bits, accelerator.layout.filter).size
    return FilterRegion(space.take(size), nest, accelerator.data.filter_bits, accelerator.layout.filter)
