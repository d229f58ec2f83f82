"""A trace, a machine and a scheme become a schedule.

Every stored map has a region in DRAM; nodes that only rename maps are followed to what is stored. What the host writes or reads is plain:
the network's input (and what it crops from it) and the maps that no layer reads are dense and have no markers. Biases, one word a filter,
are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from accelsim import schemes
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, UnifiedBuffer
from accelsim.hardware.tilings import by_tensor
from accelsim.schedule import views
from accelsim.schedule.assemble import Assembly
from accelsim.schedule.coded import CodedFilters, dense_pieces, encode, nonzero_columns, skim
from accelsim.schedule.fetch import Job
from accelsim.schedule.fixed import fixed_tiling, require_layers
from accelsim.schedule.geometry import COSTED_KINDS, geometry
from accelsim.schedule.keep import Chain, Cut, Nest, kept, loaded
from accelsim.schedule.markers import spilled
from accelsim.schedule.memory import Allocator, FilterRegion, MapRegion, Segment
from accelsim.schedule.plan import Plan, plan
from accelsim.schedule.pooling import fusions
from accelsim.schedule.runs import Bool, Rules
from accelsim.schedule.tables import NONE, Schedule
from accelsim.schedule.work import Source, measure
from accelsim.schemes import Scheme
from accelsim.schemes.base import EncodedMap
from accelsim.trace import Trace
from accelsim.weights.base import EncodedWeights

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
Place = tuple[int, int]
"""Address and bytes."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One scheduled node: what it reads and writes, and its tiles. `sources` of each operand; `reads`: stored maps.

    `made`: the node whose map it writes: itself, or the pooling layer that its results pass.
    A negative number among `reads` is an alias (see `views`); the maps whose bytes it means are there, too.
    """

    node: Node
    made: Node
    plan: Plan
    sources: tuple[Source, ...]
    reads: frozenset[int]
    cut: Cut


def build(trace: Trace, accelerator: Accelerator, scheme: str) -> Schedule:
    """Compile a replay to integers.

    Units:   `scheme`: name of a member of `schemes`, with options as `schemes.load` reads them
    Raises:  `ConfigError` for an unknown scheme or option, for fixed tilings that no layer has, or where the buffer cannot hold one tile;
             `TraceError` where the trace lacks what the scheme needs, weights among it; `ModelError` for a kind of node that cannot be
             scheduled
    """
    chosen, dense = schemes.load(scheme), schemes.load("dense")
    graph = trace.graph
    prepared = _prepared(graph)
    pools = fusions(graph) if accelerator.fuse_pooling else {}
    layers, plain = _layers(graph, prepared, accelerator, pools)
    if not layers:
        raise ModelError(f"{graph.name}: nothing to schedule: no layer costs anything\n    scheduled kinds: {', '.join(COSTED_KINDS)}")
    names, maps = ({node.index for node in nodes} for nodes in zip(*((layer.node, layer.made) for layer in layers), strict=True))
    fused = {node.name: _fused(node, graph, pools) for node in graph.nodes if node.index not in names}
    require_layers(accelerator, [layer.node.name for layer in layers], fused, graph.name)
    # what wrote a given map knew the scheme; its markers come from memory
    given = frozenset(node.index for node in graph.nodes if node.kind == "given")
    marked = frozenset().union(*(layer.reads for layer in layers)) & (maps | given)
    marked -= frozenset().union(*plain.values())
    encoded = {index: (chosen if index in marked else dense).encode(trace, index, accelerator) for index in maps | prepared}
    encoded |= {index: dense.encode(trace, -index, accelerator) for index in plain}
    coded, columns = _coded(layers, trace, accelerator, chosen, maps | given)
    for layer in layers:
        if not (layer.cut.held.stored or chosen.saves.macs):
            # what never leaves the buffer is not coded, and its reader skips no work
            encoded[layer.made.index] = replace(encoded[layer.made.index], metadata_bits=0)
    for index in {part for layer in layers if layer.node.index in columns for part in layer.reads if part > 0}:
        flags = graph.nodes[index].elements
        encoded[index] = replace(encoded[index], metadata_bits=encoded[index].metadata_bits + flags)
    regions, filters, sums, metadata, codebooks = _memory(layers, encoded, graph, accelerator, plain, coded, columns)
    out = spilled(
        [layer.reads for layer in layers],
        [layer.made.index for layer in layers],
        {index: fmap.metadata_bytes for index, fmap in encoded.items()},
        accelerator.marker_memory.size,
    ) | {index for index in given if encoded[index].metadata_bytes}
    order = {layer.made.index: number for number, layer in enumerate(layers)}
    rules = Rules(accelerator.dma.min_skip, accelerator.dma.access, accelerator.dma.dims)
    assembly = Assembly(accelerator.dma, rules, drains=isinstance(accelerator.buffer, UnifiedBuffer))
    for layer in layers:
        index, made, code = layer.node.index, layer.made.index, coded.get(layer.node.index)
        alive = None if code is None else code.alive
        computed = encoded[made].computed if made == index else None
        work = measure(layer.plan, layer.sources, regions, accelerator.pe_array, computed, alive)
        loads = loaded(layer.sources, layer.cut, plain) | layer.reads & out
        job = Job(
            plan=layer.plan,
            sources=layer.sources,
            regions=regions,
            ofmap=regions[made],
            filters=filters.get(index),
            sums=sums,
            work=work if code is None else skim(work, layer.plan, code, columns.get(index)),
            wait_layer=max((order[read] for read in loads if read in order), default=NONE),
            markers_in=(*(metadata[read] for read in sorted(layer.reads & out)), *codebooks.get(index, ())),
            marker_out=metadata[made] if made in out else None,
            resident=layer.cut.resident,
            stored=layer.cut.held.stored,
            pool=None if made == index else geometry(layer.made, [layer.node.shape]),
        )
        assembly.add(index, job)
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
        notes=(*notes, *chosen.notes, *chosen.weights.notes([coded.get(index) for index in filters])),
        tilings=tuple(layer.plan.tiling.text(layer.plan.layer) for layer in layers),
        kept=kept([(layer.plan.layer, layer.sources, layer.cut, regions[layer.made.index]) for layer in layers], regions),
    )


def _fused(node: Node, graph: Graph, pools: Mapping[int, int]) -> str:
    """Why a node costs nothing of its own."""
    if node.index in pools:
        return f"computed as the tiles of {graph.nodes[pools[node.index]].name} leave the array"
    return _FUSED[node.kind]


def _prepared(graph: Graph) -> frozenset[int]:
    """Maps that lie in memory from the start: the input, what the host crops from it, and those that are given."""
    host = {0}
    for node in graph.nodes:
        if node.kind in ("given", "constant"):
            host.add(node.index)
        if node.kind == "crop" and node.inputs[0] in host:
            host.add(node.index)
    return frozenset(host)


def _layers(
    graph: Graph, prepared: frozenset[int], accelerator: Accelerator, pools: Mapping[int, int]
) -> tuple[list[_Layer], dict[int, frozenset[int]]]:
    """The costed nodes with their tilings and what they read; and the stored maps whose bytes each alias means."""
    pool_of = {conv: graph.nodes[pool] for pool, conv in pools.items()}
    segments: list[tuple[Segment, ...]] = []
    nests = []
    plain: dict[int, frozenset[int]] = {}
    for node in graph.nodes:
        shapes = graph.input_shapes(node.index)
        costed = node.index not in prepared and node.index not in pools and views.costs(node, shapes)
        if node.kind == "reshape" or (costed and node.kind == "permute"):
            under = frozenset(part.node for part in segments[node.inputs[0]])
            plain[-node.index] = frozenset(index for number in under for index in (plain[number] if number < 0 else (number,)))
        if costed:
            sources = tuple(views.operand(node, segments[index], shape) for index, shape in zip(node.inputs, shapes, strict=True))
            nest = geometry(node, [shape for _, shape in sources])
            label = f"{node.name} (layer {node.index})"
            reads = frozenset(part.node for parts, _ in sources for part in parts)
            reads |= frozenset().union(*(plain[index] for index in reads if index < 0))
            made = pool_of.get(node.index, node)
            if made is not node:
                nest = replace(nest, written=made.shape[1] * made.shape[2])
            nests.append(Nest(node, made, nest, label, fixed_tiling(nest, accelerator, node.name, label), sources, reads))
        elif not (node.index in prepared or node.index in pools or node.kind in _FUSED):
            geometry(node, shapes)  # says which kinds can be scheduled
        stored = costed or node.index in prepared or node.index in pools
        segments.append((Segment(0, node.shape[0], node.index, 0),) if stored else views.joined(graph, node, segments))
    inner = frozenset(index for node in graph.nodes for index in node.inputs)
    seen = frozenset(part.node for node in graph.nodes if node.index not in inner for part in segments[node.index])
    host = seen | frozenset().union(*(plain[index] for index in seen if index < 0))
    cuts = Chain(nests, plain, host, accelerator).cut()
    layers = []
    for found, cut in zip(nests, cuts, strict=True):
        laid_out = plan(cut.held.loads(found.layer), cut.tiling, accelerator.data)
        layers.append(_Layer(found.node, found.made, laid_out, found.sources, found.reads, cut))
    return layers, plain


def _memory(
    layers: list[_Layer],
    encoded: Mapping[int, EncodedMap],
    graph: Graph,
    accelerator: Accelerator,
    plain: Mapping[int, frozenset[int]],
    coded: Mapping[int, EncodedWeights],
    columns: Mapping[int, Bool],
) -> tuple[dict[int, MapRegion], dict[int, FilterRegion | CodedFilters], int, dict[int, Place], dict[int, tuple[Place]]]:
    """Regions of maps and filters, address of the partial sums, places of each map's markers and of each layer's codebook.

    An alias of one map lies where that lies; one of several joined maps has a place of its own, as if they were written there.
    """
    space = Allocator()
    makers = {layer.made.index: layer for layer in layers if layer.plan.layer.weights}
    regions: dict[int, MapRegion] = {}
    filters: dict[int, FilterRegion | CodedFilters] = {}
    for index in sorted(encoded, key=lambda number: (number < 0, number)):
        if index in makers:
            number = makers[index].node.index
            filters[number] = _filters(space, makers[index].plan, accelerator, coded.get(number), columns.get(number))
        shape: Shape = graph.nodes[abs(index)].shape
        empty = MapRegion(0, shape, accelerator.data.ifmap_bits, encoded[index])
        under = [regions[number] for number in plain.get(index, ())]
        alone = len(under) == 1 and under[0].size == empty.size
        regions[index] = MapRegion(under[0].address if alone else space.take(empty.size), shape, empty.bits, encoded[index])
    sums = space.take(max((layer.plan.spill_bytes(accelerator.dma.access) for layer in layers), default=0))
    sizes = {index: encoded[index].metadata_bytes for index in sorted(encoded)}
    metadata = {index: (space.take(size), size) for index, size in sizes.items() if size}
    codebooks = {index: ((space.take(code.shared), code.shared),) for index, code in coded.items() if code.shared}
    return regions, filters, sums, metadata, codebooks


def _filters(
    space: Allocator, plan: Plan, accelerator: Accelerator, code: EncodedWeights | None, columns: Bool | None
) -> FilterRegion | CodedFilters:
    """A region for the filters of a layer."""
    plain = FilterRegion(0, plan.layer, accelerator.data.filter_bits, accelerator.layout.filter)
    if code is None:
        return replace(plain, address=space.take(plain.size))
    needed = None if columns is None else np.asarray(columns.any(axis=0))
    region = CodedFilters(0, code, dense_pieces(plan, plain), needed, accelerator.dma.access)
    return replace(region, address=space.take(region.size))


def _coded(
    layers: list[_Layer], trace: Trace, accelerator: Accelerator, scheme: Scheme, known: frozenset[int] | set[int]
) -> tuple[dict[int, EncodedWeights], dict[int, Bool]]:
    """Weights that do not lie dense; and which columns are not zero, where they are left out: a producer must have seen its elements."""
    coded: dict[int, EncodedWeights] = {}
    columns: dict[int, Bool] = {}
    for layer in layers:
        index = layer.node.index
        code = encode(trace, layer.node, layer.plan, accelerator.data, scheme) if layer.plan.layer.weights else None
        if code is not None:
            coded[index] = code
            if code.granularity == "column" and {part for part in layer.reads if part >= 0} <= known:
                columns[index] = nonzero_columns(trace, layer.node, layer.plan.layer)
    return coded, columns
