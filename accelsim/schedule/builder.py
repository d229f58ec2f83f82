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
from accelsim.schedule import views
from accelsim.schedule.assemble import Assembly
from accelsim.schedule.fetch import Job, traffic
from accelsim.schedule.fixed import fixed_tiling, require_layers
from accelsim.schedule.geometry import COSTED_KINDS, Geometry, geometry
from accelsim.schedule.markers import spilled
from accelsim.schedule.memory import Allocator, FilterRegion, MapRegion, Segment
from accelsim.schedule.plan import Plan, plan
from accelsim.schedule.runs import Rules
from accelsim.schedule.tables import NONE, Schedule
from accelsim.schedule.tiling import search
from accelsim.schedule.work import Source, measure
from accelsim.schemes.base import EncodedMap
from accelsim.tilings import by_tensor
from accelsim.trace import Trace

_FUSED = {
    "input": "the host stores it before the replay starts",
    "crop": "the host crops the image before it stores it",
    "given": "it lies in memory before the replay starts",
    "concat": "its producers write into it",
    "dropout": "identity at inference",
    "yolo": "an output: the host reads the map as it is",
    "cost": "training only",
    **views.FUSED,
}
"""Why a node costs nothing of its own."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One scheduled node: what it reads and writes, and its tiles. `sources` of each operand; `reads`: stored maps.

    A negative number among `reads` is an alias (see `views`); the maps whose bytes it means are there, too.
    """

    node: Node
    plan: Plan
    sources: tuple[Source, ...]
    reads: frozenset[int]


def build(trace: Trace, accelerator: Accelerator, scheme: str) -> Schedule:
    """Compile a replay to integers.

    Units:   `scheme`: name of a member of `schemes`, with options as `schemes.load` reads them
    Raises:  `ConfigError` for an unknown scheme or option, for fixed tilings that no layer has, or where the buffer cannot hold one tile;
             `TraceError` where the trace lacks what the scheme needs; `ModelError` for a kind of node that cannot be scheduled
    """
    chosen, dense = schemes.load(scheme), schemes.load("dense")
    graph = trace.graph
    prepared = _prepared(graph)
    layers, plain = _layers(graph, prepared, accelerator)
    if not layers:
        raise ModelError(f"{graph.name}: nothing to schedule: no layer costs anything\n    scheduled kinds: {', '.join(COSTED_KINDS)}")
    names = {layer.node.index for layer in layers}
    fused = {node.name: _FUSED[node.kind] for node in graph.nodes if node.index not in names}
    require_layers(accelerator, [layer.node.name for layer in layers], fused, graph.name)
    # what wrote a given map knew the scheme; its markers come from memory
    given = frozenset(node.index for node in graph.nodes if node.kind == "given")
    marked = frozenset().union(*(layer.reads for layer in layers)) & (names | given)
    marked -= frozenset().union(*plain.values())
    encoded = {index: (chosen if index in marked else dense).encode(trace, index, accelerator) for index in names | prepared}
    encoded |= {index: dense.encode(trace, -index, accelerator) for index in plain}
    regions, filters, sums, metadata = _memory(layers, encoded, graph, accelerator, plain)
    out = spilled(
        [layer.reads for layer in layers],
        [layer.node.index for layer in layers],
        {index: fmap.metadata_bytes for index, fmap in encoded.items()},
        accelerator.marker_memory.size,
    ) | {index for index in given if encoded[index].metadata_bytes}
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
            work=measure(layer.plan, layer.sources, regions, accelerator.pe_array, encoded[layer.node.index].computed),
            wait_layer=max((order[index] for index in layer.reads if index in order), default=NONE),
            markers_in=tuple(metadata[index] for index in sorted(layer.reads & out)),
            marker_out=metadata[layer.node.index] if layer.node.index in out else None,
        )
        assembly.add(layer.node.index, job, traffic(job, accelerator.dma, rules, assembly.pool))
    images, notes = graph.nodes[0].images, []
    if not trace.positions_known:
        notes.append("zero-channel positions are assumed evenly spread (published statistics)")
    if images > 1:
        notes.append(f"batch of {images}: cycles, MACs and bytes are those of all its images")
    return assembly.schedule(
        scheme=chosen.label,
        names=tuple(layer.node.name for layer in layers),
        kinds=tuple(layer.node.kind for layer in layers),
        slots=by_tensor(accelerator.buffer.slots),
        fused=fused,
        notes=(*notes, *chosen.notes),
        tilings=tuple(layer.plan.tiling.text(layer.plan.layer) for layer in layers),
    )


def _prepared(graph: Graph) -> frozenset[int]:
    """Maps that lie in memory from the start: the input, what the host crops from it, and those that are given."""
    host = {0}
    for node in graph.nodes:
        if node.kind in ("given", "constant"):
            host.add(node.index)
        if node.kind == "crop" and node.inputs[0] in host:
            host.add(node.index)
    return frozenset(host)


def _layers(graph: Graph, prepared: frozenset[int], accelerator: Accelerator) -> tuple[list[_Layer], dict[int, frozenset[int]]]:
    """The costed nodes with their tilings and what they read; and the stored maps whose bytes each alias means."""
    segments: list[tuple[Segment, ...]] = []
    layers = []
    plain: dict[int, frozenset[int]] = {}
    for node in graph.nodes:
        shapes = graph.input_shapes(node.index)
        costed = node.index not in prepared and views.costs(node, shapes)
        if node.kind == "reshape" or (costed and node.kind == "permute"):
            under = frozenset(part.node for part in segments[node.inputs[0]])
            plain[-node.index] = frozenset(index for number in under for index in (plain[number] if number < 0 else (number,)))
        if costed:
            sources = tuple(views.operand(node, segments[index], shape) for index, shape in zip(node.inputs, shapes, strict=True))
            nest = geometry(node, [shape for _, shape in sources])
            label = f"{node.name} (layer {node.index})"
            tiling = search(nest, accelerator, label, fixed_tiling(nest, accelerator, node.name, label))
            reads = frozenset(part.node for parts, _ in sources for part in parts)
            reads |= frozenset().union(*(plain[index] for index in reads if index < 0))
            layers.append(_Layer(node, plan(nest, tiling, accelerator.data), sources, reads))
        elif node.index not in prepared and node.kind not in _FUSED:
            geometry(node, shapes)  # says which kinds can be scheduled
        stored = costed or node.index in prepared
        segments.append((Segment(0, node.shape[0], node.index, 0),) if stored else views.joined(graph, node, segments))
    return layers, plain


def _memory(
    layers: list[_Layer],
    encoded: Mapping[int, EncodedMap],
    graph: Graph,
    accelerator: Accelerator,
    plain: Mapping[int, frozenset[int]],
) -> tuple[dict[int, MapRegion], dict[int, FilterRegion], int, dict[int, tuple[int, int]]]:
    """Regions of maps and filters, address of the partial sums, (address, bytes) of each map's markers.

    An alias of one map lies where that lies; one of several joined maps has a place of its own, as if they were written there.
    """
    space = Allocator()
    nests: dict[int, Geometry] = {layer.node.index: layer.plan.layer for layer in layers}
    regions: dict[int, MapRegion] = {}
    filters: dict[int, FilterRegion] = {}
    for index in sorted(encoded, key=lambda number: (number < 0, number)):
        if index in nests and nests[index].weights:
            filters[index] = _region(space, nests[index], accelerator)
        shape: Shape = graph.nodes[abs(index)].shape
        empty = MapRegion(0, shape, accelerator.data.ifmap_bits, encoded[index])
        under = [regions[number] for number in plain.get(index, ())]
        alone = len(under) == 1 and under[0].size == empty.size
        regions[index] = MapRegion(under[0].address if alone else space.take(empty.size), shape, empty.bits, encoded[index])
    sums = space.take(max((layer.plan.spill_bytes(accelerator.dma.access) for layer in layers), default=0))
    sizes = {index: encoded[index].metadata_bytes for index in sorted(encoded)}
    metadata = {index: (space.take(size), size) for index, size in sizes.items() if size}
    return regions, filters, sums, metadata


def _region(space: Allocator, nest: Geometry, accelerator: Accelerator) -> FilterRegion:
    size = FilterRegion(0, nest, accelerator.data.filter_bits, accelerator.layout.filter).size
    return FilterRegion(space.take(size), nest, accelerator.data.filter_bits, accelerator.layout.filter)
